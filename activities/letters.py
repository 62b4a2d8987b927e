"""What a mail about notifications says, in text and in HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from activities.mail_server import message_id
from db.models import Notification, TicketRow
from domain.events import NoticeKind
from domain.unsubscribing import unsubscribe_token

UNSUBSCRIBE_PATH = "/unsubscribe"

_HEADLINES = {
    NoticeKind.TICKET_ASSIGNED: "assigned to you",
    NoticeKind.TICKET_REASSIGNED: "reassigned",
    NoticeKind.TICKET_ESCALATED: "escalated",
    NoticeKind.TICKET_REOPENED: "reopened",
    NoticeKind.TICKET_RESOLVED: "resolved",
    NoticeKind.TICKET_RELEASED: "released to the queue",
    NoticeKind.CUSTOMER_REPLIED: "the customer replied",
    NoticeKind.REMINDER_SENT: "the customer was reminded",
    NoticeKind.SLA_WARNING: "close to its SLA target",
    NoticeKind.SLA_BREACHED: "SLA target missed",
    NoticeKind.ESCALATION_RAISED: "needs a human",
    NoticeKind.MENTIONED: "you were mentioned",
    NoticeKind.STATUS_CHANGED: "its status changed",
    NoticeKind.TICKET_MERGED: "merged into another",
}


@dataclass(frozen=True)
class Told:
    """One notification as a mail shows it."""

    what: str
    why: str
    at: datetime
    urgent: bool
    ticket_id: UUID | None
    number: int | None
    title: str | None

    @classmethod
    def of(cls, row: Notification, ticket: TicketRow | None) -> "Told":
        return cls(
            what=_HEADLINES[NoticeKind(row.kind)],
            why=row.why,
            at=row.created_at,
            urgent=row.urgent,
            ticket_id=row.ticket_id,
            number=ticket.number if ticket else None,
            title=ticket.title if ticket else None,
        )

    @property
    def about(self) -> str:
        """What it is about, in a line."""
        return f"#{self.number} {self.title}" if self.number else "A conversation"


@dataclass(frozen=True)
class Letter:
    """What a mail says; ``headers`` are for its receiver's program."""

    subject: str
    text: str
    html: str
    headers: dict[str, str]


class Letters:
    """Writes mails; built once a process.

    ``public_url`` is where members reach us, ``secret`` signs what lets them unsubscribe. In ``reply_to``,
    ``{ticket}`` stands for the id of the ticket a mail is about, so that an answer can be told where it belongs.
    """

    def __init__(
        self, *, public_url: str, secret: str, sender: str, reply_to: str | None = None, gather: timedelta
    ) -> None:
        self.gather = gather
        """How long a notification waits for others to share a mail with."""
        self._public_url = public_url.rstrip("/")
        self._secret = secret
        self._sender = sender
        self._reply_to = reply_to
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._text = environment.get_template("notifications.txt")
        self._html = environment.get_template("notifications.html")

    def about(self, member_id: UUID, name: str, told: Sequence[Told]) -> Letter:
        """A mail to a member about at least one notification, the oldest first."""
        unsubscribe = f"{self._public_url}{UNSUBSCRIBE_PATH}/{unsubscribe_token(member_id, self._secret)}"
        values = {"name": name, "told": told, "public_url": self._public_url, "unsubscribe": unsubscribe}
        return Letter(
            subject=_subject(told),
            text=self._text.render(values),
            html=self._html.render(values),
            headers={
                **self._threading(told),
                "List-Unsubscribe": f"<{unsubscribe}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )

    def _threading(self, told: Sequence[Told]) -> dict[str, str]:
        """Mails about one ticket stand together, and answers to them find it."""
        tickets = list(dict.fromkeys(each.ticket_id for each in told if each.ticket_id))
        roots = [message_id(f"ticket:{ticket_id}", self._sender) for ticket_id in tickets[:20]]
        if len(tickets) != 1:
            return {"References": " ".join(roots)} if roots else {}
        headers = {"In-Reply-To": roots[0], "References": roots[0]}
        if self._reply_to:
            headers["Reply-To"] = self._reply_to.replace("{ticket}", str(tickets[0]))
        return headers


def _subject(told: Sequence[Told]) -> str:
    urgent = "Urgent: " if any(each.urgent for each in told) else ""
    subjects = list(dict.fromkeys(each.about for each in told))
    if len(told) == 1:
        return f"{urgent}[{subjects[0]}] {told[0].what}"
    if len(subjects) == 1:
        return f"{urgent}[{subjects[0]}] {len(told)} notifications"
    return f"{urgent}{len(told)} notifications about {len(subjects)} tickets"
