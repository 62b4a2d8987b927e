"""The connector for email: an answer stands in the customer's own thread, and no machine is answered."""

from email.message import EmailMessage
from email.utils import format_datetime, formataddr

from activities.connectors.connector import (
    EarlierMessage,
    Outgoing,
    OutgoingMessage,
    Refused,
    Sent,
    Suppressed,
    TryAgain,
)
from activities.mail_server import MailServer, NotTaken, message_id

CUSTOMER, AGENT = "customer", "agent"


class EmailConnector:
    """Hands messages to a mail server, from the channel's own address."""

    safe_to_repeat = True  # the receiver shows two mails of one Message-ID once

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def send(self, outgoing: Outgoing) -> Sent:
        """See ``Connector``."""
        message, address = outgoing.message, outgoing.customer.email
        if message is None:
            raise Suppressed("Nobody is told of a hand-over by email.")
        if address is None:
            raise Suppressed("The customer's address is not known.")
        written = [each for each in outgoing.earlier if each.author_kind == CUSTOMER]
        if message.author_kind != AGENT and written and all(each.automatic for each in written):
            raise Suppressed("Only a machine has written; it is not answered by another.")
        try:
            mail = compose(outgoing, message, address)
        except ValueError as error:
            raise Refused("The address or the name of the sender or the receiver cannot stand in a mail.") from error
        try:
            await self._server.take(mail, str(mail["From"]), address)
        except NotTaken as error:
            raise (Refused(str(error)) if error.for_good else TryAgain(str(error))) from error
        return Sent(provider_id=str(mail["Message-ID"]))


def compose(outgoing: Outgoing, message: OutgoingMessage, address: str) -> EmailMessage:
    """The mail, the same in every attempt."""
    settings = outgoing.channel.settings
    sender = str(settings["from_address"])
    mail = EmailMessage()
    mail["From"] = formataddr((_one_line(settings.get("from_name")), sender))
    mail["To"] = formataddr((_one_line(outgoing.customer.name), address))
    mail["Subject"] = _subject(outgoing)
    mail["Date"] = format_datetime(message.sent_at)
    mail["Message-ID"] = message_id(outgoing.key, sender)
    thread = [known for each in outgoing.earlier if (known := _known_as(each)) is not None]
    if thread:
        mail["In-Reply-To"] = _answered(outgoing) or thread[-1]
        mail["References"] = " ".join(dict.fromkeys(thread))
    if message.author_kind != AGENT:
        mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is announced to us
        mail["X-Auto-Response-Suppress"] = "All"  # the same for who does not know the other
    mail.set_content(message.body)
    return mail


def _subject(outgoing: Outgoing) -> str:
    if outgoing.ticket is None:
        return "Re: your message" if outgoing.earlier else "A message for you"
    return f"Re: {_one_line(outgoing.ticket.title)} (#{outgoing.ticket.number})"


def _one_line(words: object) -> str:
    """What may stand in a header."""
    return " ".join(str(words or "").split())


def _answered(outgoing: Outgoing) -> str | None:
    """The latest mail that a person wrote us."""
    found = [each for each in outgoing.earlier if each.author_kind == CUSTOMER and not each.automatic]
    return next((known for each in reversed(found) if (known := _known_as(each)) is not None), None)


def _known_as(earlier: EarlierMessage) -> str | None:
    """The Message-ID of an earlier message; ``None`` for one that was no mail, and for a machine's."""
    if earlier.automatic:
        return None
    known = (earlier.external_id if earlier.author_kind == CUSTOMER else earlier.provider_id or "").strip()
    inner = known.removeprefix("<").removesuffix(">")
    local, at, domain = inner.rpartition("@")
    plain = inner.isascii() and inner.isprintable() and not set(inner) & set(' <>,;()"')
    return f"<{inner}>" if local and at and domain and plain else None
