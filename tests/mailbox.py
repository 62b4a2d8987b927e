"""A real SMTP server that does with each mail what a test wants of it."""

import asyncio
import ssl
import warnings
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import Enum, auto
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from embedded.ports import LOOPBACK


class Does(Enum):
    """What the server does with a mail."""

    TAKE = auto()
    REFUSE = auto()
    REFUSE_CONTENT = auto()
    GREYLIST = auto()
    HANG = auto()
    DROP_BEFORE = auto()  # the line is cut, and the mail was not taken
    DROP_AFTER = auto()  # the mail was taken, and the line is cut before that is said


@dataclass
class Mailbox:
    """Its mails, and what is done with the next ones; when nothing is said any more, they are taken."""

    port: int = 0
    next: deque[Does] = field(default_factory=deque)
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    offered: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, does: Iterable[Does]) -> None:
        self.next.extend(does)

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == address]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        self.offered += 1
        does = self.next[0] if self.next else Does.TAKE
        if does is Does.REFUSE:
            self.next.popleft()
            return "550 5.1.1 There is nobody of that name here"
        if does is Does.GREYLIST:
            self.next.popleft()
            return "451 4.7.1 Come again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        does = self.next.popleft() if self.next else Does.TAKE
        if does is Does.REFUSE_CONTENT:
            return "554 5.6.0 Not wanted"
        if does is Does.HANG:
            await self.hanging.wait()
        if does in (Does.TAKE, Does.DROP_AFTER):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        if does in (Does.DROP_BEFORE, Does.DROP_AFTER):
            server.transport.abort()
        return "250 OK"


@asynccontextmanager
async def mailbox(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False, login: tuple[str, str] | None = None
) -> AsyncIterator[Mailbox]:
    """A server on a free port of loopback.

    With ``tls`` it takes nothing in the clear: it wants STARTTLS, or where ``implicit`` TLS from the first byte. With
    ``login`` it takes mails only from whoever has given that name and password.
    """
    loop = asyncio.get_running_loop()
    box = Mailbox()

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
        box.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=box.logins[-1] == login, handled=False)

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it does not know of TLS from the first byte, and warns of logins without
            return SMTP(
                box,
                hostname="mail.example",
                loop=loop,
                tls_context=None if implicit else tls,
                require_starttls=tls is not None and not implicit,
                auth_required=login is not None,
                auth_require_tls=not implicit,
                authenticator=authenticate,
            )

    server = await loop.create_server(protocol, LOOPBACK, 0, ssl=tls if implicit else None)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        box.hanging.set()
        server.close()
        await server.wait_closed()
