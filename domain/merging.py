"""Two tickets become one: the one ends and names the other, which goes on with what it had."""

from datetime import datetime

from domain import clocks
from domain.commands import Absorb, Merge
from domain.errors import MergeRefused
from domain.events import EventKind, Notice, NoticeKind
from domain.ladders import Target
from domain.lifecycle import check, move
from domain.story import Story
from domain.ticket import ACTIVE, MAX_TAGS, Status, Ticket


def check_merge(ticket: Ticket, command: Merge) -> None:
    """Refuse with a ``DomainError`` what can be known to be wrong without looking at the other ticket."""
    check(ticket, command)
    if command.target_id == ticket.id:
        raise MergeRefused("A ticket cannot be merged into itself.", target_id=str(ticket.id))


def absorb_of(ticket: Ticket, command: Merge) -> Absorb:
    """What the target is asked to take over; one request however often it is asked."""
    return Absorb(
        request_id=f"merge:{ticket.id}:{command.request_id}",
        fingerprint=command.fingerprint,
        actor=command.actor,
        source_id=ticket.id,
        source_label=ticket.label,
        tags=ticket.tags,
        unanswered_since=ticket.unanswered_since,
    )


def merged(ticket: Ticket, command: Merge, now: datetime) -> Story:
    """The end of a ticket that ``command.target_id`` has taken over: closed, and nothing is waited for any more."""
    story = Story(ticket, now, command.actor, command.request_id, command.fingerprint)
    story.tell(
        EventKind.MERGED,
        reason=command.reason,
        about={"into": str(command.target_id)},
        notices=[
            Notice(
                key="merged",
                kind=NoticeKind.TICKET_MERGED,
                why="The ticket was merged into another one, which you watch from now on if you watched this one.",
                targets=(Target.ASSIGNEE, Target.WATCHERS),
            )
        ],
        changes={
            "status": Status.CLOSED,
            "status_since": now,
            "closed_at": now,
            "merged_into": command.target_id,
            "unanswered_since": None,
            "reminders": None,
            "acknowledgement": None,
            "auto_close_at": None,
        },
        clocks=clocks.resolved(ticket.clocks, now) if ticket.status in ACTIVE else None,
    )
    return story


def absorbed(ticket: Ticket, command: Absorb, now: datetime) -> Story:
    """The ticket goes on for both: tags united, and a customer who waits for an answer there waits for it here.

    Raises the ``DomainError`` that ``check`` raises.
    """
    check(ticket, command)
    story = Story(ticket, now, command.actor, command.request_id, command.fingerprint)
    waits_since = command.unanswered_since and max(command.unanswered_since, ticket.created_at)
    story.tell(
        EventKind.ABSORBED,
        about={"from": str(command.source_id)},
        notices=[
            Notice(
                key=f"absorbed:{command.source_id}",
                kind=NoticeKind.TICKET_MERGED,
                why=f"The ticket {command.source_label} was merged into this one.",
                targets=(Target.ASSIGNEE, Target.WATCHERS),
            )
        ],
        changes={
            "tags": tuple(dict.fromkeys((*ticket.tags, *command.tags)))[:MAX_TAGS],
            "unanswered_since": min(filter(None, (ticket.unanswered_since, waits_since)), default=None),
        },
        clocks=clocks.customer_message(ticket.clocks, waits_since) if waits_since else None,
    )
    if waits_since and ticket.status is Status.WAITING:
        move(story, Status.IN_PROGRESS, "A ticket with an unanswered message was merged into it.")
    elif waits_since and ticket.status not in ACTIVE:
        move(story, Status.OPEN, "A ticket with an unanswered message was merged into it.")
    return story
