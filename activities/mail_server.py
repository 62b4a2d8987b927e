"""Handing a mail to an SMTP server."""

import asyncio
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from pathlib import Path

import aiosmtplib

from db.models import Mail


class NotTaken(Exception):
    """The server has not taken a mail; it says why, and whether it never will. Holds no address and no content."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


@dataclass(frozen=True)
class MailServer:
    """Where mails go. ``security`` is ``tls``, ``starttls`` or ``none``; ``host`` is ``None`` where none is set."""

    host: str | None
    port: int
    security: str
    user: str | None
    password: str | None
    sender: str
    """The address mails come from, with a name if wanted."""
    ca_file: Path | None = None
    seconds: float = 20
    """For each step; the whole takes three times as long at most."""

    async def send(self, mail: Mail) -> None:
        """Return when the server has taken the mail; raise ``NotTaken`` where it has not, or may not have."""
        await self.take(compose(mail, self.sender), self.sender, mail.to_address)

    async def take(self, message: EmailMessage, sender: str, recipient: str) -> None:
        """The same with a message that is composed already; ``sender`` may have a name."""
        if self.host is None:
            raise NotTaken("No mail server is set: BATON_SMTP_HOST.")
        try:
            async with asyncio.timeout(self.seconds * 3):
                await aiosmtplib.send(
                    message,
                    sender=parseaddr(sender)[1],
                    recipients=[recipient],
                    hostname=self.host,
                    port=self.port,
                    username=self.user,
                    password=self.password,
                    timeout=self.seconds,
                    use_tls=self.security == "tls",
                    start_tls=self.security == "starttls",
                    tls_context=ssl.create_default_context(cafile=self.ca_file) if self.security != "none" else None,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _not_taken(error.recipients[0]) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _not_taken(error) from error
        except aiosmtplib.SMTPNotSupported as error:
            raise NotTaken(f"The mail server cannot do what is asked of it: {error.message}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise NotTaken(f"The mail server does not answer: {type(error).__name__}") from error


def _not_taken(error: aiosmtplib.SMTPResponseException) -> NotTaken:
    # A refused password is put right by an operator, after which the mail can go.
    wrong_password = isinstance(error, aiosmtplib.SMTPAuthenticationError)
    words = " ".join(error.message.split())[:200]
    return NotTaken(f"The mail server answered {error.code} {words}", for_good=error.code >= 500 and not wrong_password)


def compose(mail: Mail, sender: str) -> EmailMessage:
    """The message as it is sent, the same each time: its Message-ID follows from the mail's key."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to_address
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = message_id(mail.key, sender)
    message["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is announced to us
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message


def message_id(key: str, sender: str) -> str:
    """The id of what has this key, under the sender's domain."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return f"<{sha256(key.encode()).hexdigest()[:40]}@{domain}>"
