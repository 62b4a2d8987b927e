"""What commands and facts make of a ticket: pure decisions, each a ``Story``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from domain import clocks
from domain.assignment import Offer, waits_for_somebody
from domain.clocks import Change, Clocks
from domain.commands import (
    Absorb,
    AgentReplied,
    Assign,
    ChangeStatus,
    Command,
    CustomerReplied,
    Edit,
    Erase,
    Escalate,
    Merge,
    NoteAdded,
    PolicyChanged,
)
from domain.errors import (
    AssignedToAnother,
    DomainError,
    TicketClosed,
    TicketMerged,
    TicketNotActive,
    VersionMismatch,
)
from domain.events import (
    SYSTEM,
    Actor,
    ActorKind,
    CustomerMessage,
    CustomerMessageKind,
    EventKind,
    Notice,
    NoticeKind,
)
from domain.ladders import Target
from domain.story import Story
from domain.ticket import ACTIVE, ERASED_TITLE, Move, Status, Ticket, legal_targets, move_between

REMOVED = "Whoever had the ticket was removed from the organization."
"""Why a ticket is released."""


def create(
    ticket: Ticket,
    actor: Actor,
    now: datetime,
    request_id: str,
    fingerprint: str,
    *,
    because: Sequence[Mapping[str, JsonValue]] = (),
) -> Story:
    """The first event of a new ticket (given at version 0); ``because`` are the rules that had a part in it."""
    story = Story(ticket, now, actor, request_id, fingerprint)
    about: dict[str, JsonValue] = {"follow_up_of": str(ticket.follow_up_of)} if ticket.follow_up_of else {}
    if because:
        about["because"] = [dict(each) for each in because]
    story.tell(
        EventKind.CREATED,
        about={"source": ticket.source.value, "channel": ticket.channel.value, **about},
        notices=[_assigned_notice(ticket, "The ticket was created with you as its assignee.")]
        if ticket.assignee_id
        else [],
        clocks=clocks.opened(ticket.created_at),
    )
    return story


def check(ticket: Ticket, command: Command | Merge | Absorb) -> None:
    """Refuse with a ``DomainError`` what the ticket, as it stands, cannot do; changes nothing."""
    if command.if_version is not None and command.if_version != ticket.version:
        raise VersionMismatch(
            f"The ticket is at version {ticket.version}, not {command.if_version}; read it again and decide anew.",
            version=ticket.version,
        )
    if ticket.merged_into is not None:
        raise closed(ticket)
    if isinstance(command, ChangeStatus):
        move_between(ticket.status, command.to)
        _check_owner(ticket, command)
    elif ticket.status is Status.CLOSED:
        raise closed(ticket)
    elif isinstance(command, Escalate) and ticket.status not in ACTIVE:
        raise TicketNotActive(
            f"A ticket that is {ticket.status} does not escalate; reopen it first.",
            current=ticket.status.value,
            legal=legal_targets(ticket.status),
        )


def closed(ticket: Ticket) -> TicketClosed:
    """The refusal of anything but reopening, or of that too where another ticket took this one over."""
    if ticket.merged_into is not None:
        return TicketMerged(
            f"Ticket #{ticket.number} was merged into the ticket {ticket.merged_into}; go on there.",
            current=ticket.status.value,
            legal=[],
            merged_into=str(ticket.merged_into),
        )
    return TicketClosed(
        f"Ticket #{ticket.number} is closed; reopen it first.",
        current=ticket.status.value,
        legal=legal_targets(ticket.status),
    )


def decide(ticket: Ticket, command: Command, now: datetime) -> Story:
    """What ``command`` makes of ``ticket``; without events when it asks for what already is.

    Raises the ``DomainError`` that ``check`` raises.
    """
    check(ticket, command)
    story = Story(ticket, now, command.actor, command.request_id, command.fingerprint)
    if isinstance(command, ChangeStatus):
        _change_status(story, command)
    elif isinstance(command, Assign):
        _assign(story, command)
    elif isinstance(command, Edit):
        _edit(story, command)
    else:
        _escalate(story, command)
    return story


def customer_replied(ticket: Ticket, fact: CustomerReplied, now: datetime) -> Story:
    """A customer's message ends waiting and reopens what was resolved or closed; an automatic reply does neither."""
    story = Story(ticket, now, fact.actor, fact.request_id)
    about: dict[str, JsonValue] = {"message_id": str(fact.message_id), "automatic": fact.automatic}
    if fact.automatic:
        story.tell(EventKind.CUSTOMER_REPLIED, about=about, reason="An automatic reply is no answer.")
        return story
    at = _within_life(ticket, fact.at, now)
    story.tell(
        EventKind.CUSTOMER_REPLIED,
        about=about,
        notices=[
            Notice(
                key=f"customer_replied:{fact.message_id}",
                kind=NoticeKind.CUSTOMER_REPLIED,
                why="The customer wrote on a ticket that is assigned to you.",
                targets=(Target.ASSIGNEE,),
            ),
            Notice(
                key=f"customer_replied:{fact.message_id}:watchers",
                kind=NoticeKind.CUSTOMER_REPLIED,
                why="The customer wrote on a ticket that you watch.",
                targets=(Target.WATCHERS,),
            ),
        ],
        changes={"unanswered_since": min(ticket.unanswered_since or at, at)},
        clocks=clocks.customer_message(ticket.clocks, at),
    )
    if ticket.status is Status.WAITING:
        _move(story, Status.IN_PROGRESS, reason="The customer answered.")
    elif ticket.status not in ACTIVE:
        _move(story, Status.OPEN, reason="The customer wrote again.")
    return story


def agent_replied(ticket: Ticket, fact: AgentReplied, now: datetime) -> Story:
    """A human answer: the assignee's own, or anybody's where nobody is assigned, starts an open ticket."""
    story = Story(ticket, now, fact.actor, fact.request_id)
    at = _within_life(ticket, fact.at, now)
    story.tell(
        EventKind.AGENT_REPLIED,
        about={"message_id": str(fact.message_id)},
        changes={"unanswered_since": _still_unanswered(ticket, at)},
        clocks=clocks.human_reply(ticket.clocks, at),
    )
    if ticket.status is Status.OPEN and ticket.assignee_id in (None, fact.actor.member_id):
        _move(story, Status.IN_PROGRESS, reason="Answered the customer.")
    return story


def note_added(ticket: Ticket, fact: NoteAdded, now: datetime) -> Story:
    """A note is part of the story and moves nothing."""
    story = Story(ticket, now, fact.actor, fact.request_id)
    story.tell(EventKind.NOTE_ADDED, about={"note_id": str(fact.note_id)})
    return story


def offered(ticket: Ticket, offer: Offer, now: datetime) -> Story:
    """A member was chosen for the ticket while it waited in its team's queue; without events if it does not any more.

    It was then assigned by hand, or moved, or worked on: its next record gives the place to the next ticket.
    """
    story = Story(ticket, now, SYSTEM)
    wait = (ticket.id, ticket.team_id, ticket.assignment_episode)
    if not waits_for_somebody(ticket) or wait != (offer.ticket_id, offer.team_id, offer.episode):
        return story
    changes = _assignment(ticket, offer.member_id, offer.member_name, now)
    notice = _assigned_notice(ticket.model_copy(update=changes), offer.why)
    story.tell(EventKind.ASSIGNED, reason=offer.why, notices=[notice], changes=changes)
    return story


def left(ticket: Ticket, member_id: UUID, now: datetime) -> Story:
    """Whoever has the ticket turns out to have been removed: it goes back to its team's queue."""
    story = Story(ticket, now, SYSTEM)
    if ticket.status in ACTIVE:
        release = Assign(request_id="", fields=frozenset({"assignee"}), released_from=member_id, reason=REMOVED)
        _assign(story, release)
    return story


def policy_changed(ticket: Ticket, fact: PolicyChanged, now: datetime) -> Story:
    """The organization's rules changed: deadlines that follow from them are asked for anew.

    Ladders that run stay as they began.
    """
    story = Story(ticket, now, fact.actor, fact.request_id)
    changes: dict[str, object] = {"sla_asked": ticket.sla_asked + 1}
    if ticket.status is Status.RESOLVED:
        changes["auto_close_at"] = None
    story.tell(EventKind.POLICY_CHANGED, reason=fact.reason, changes=changes)
    return story


def erased(ticket: Ticket, command: Erase, now: datetime) -> Story:
    """The ticket without its requester's words, whatever its status; the event does not repeat what they were."""
    story = Story(ticket, now, command.actor, command.request_id)
    story.tell(EventKind.ERASED, changes={"title": ERASED_TITLE})
    story.events[-1] = story.events[-1].model_copy(update={"changes": {}})
    return story


def refused(ticket: Ticket, command: Command, refusal: DomainError, now: datetime) -> Story:
    """A command nobody waits for an answer to was refused: the story says so, the ticket stays as it is."""
    story = Story(ticket, now, command.actor, command.request_id, command.fingerprint)
    story.tell(EventKind.COMMAND_REFUSED, reason=str(refusal), about={"command": command.kind, "code": refusal.code})
    return story


def move(story: Story, to: Status, reason: str, *, tell_customer: bool = True) -> None:
    """A status change the system decides by itself (auto-resolve, auto-close)."""
    move_between(story.ticket.status, to)
    _move(story, to, reason=reason, tell_customer=tell_customer)


def _check_owner(ticket: Ticket, command: ChangeStatus) -> None:
    """A member cannot start work on what another member owns."""
    member = command.actor.member_id
    if command.to is Status.IN_PROGRESS and member and ticket.assignee_id not in (None, member):
        raise AssignedToAnother(
            "The ticket is assigned to another member; assign it to yourself before you start work on it.",
            assignee_id=str(ticket.assignee_id),
        )


def _change_status(story: Story, command: ChangeStatus) -> None:
    _move(story, command.to, reason=command.reason, tell_customer=command.tell_customer)


def _move(story: Story, to: Status, *, reason: str | None, tell_customer: bool = True) -> None:
    ticket, now = story.ticket, story.now
    name = move_between(ticket.status, to)
    changes: dict[str, object] = {"status": to, "status_since": now, "reminders": None, "acknowledgement": None}
    customer_messages: list[CustomerMessage] = []
    notices: list[Notice] = []
    if name is Move.REOPEN:
        changes |= {"resolved_at": None, "closed_at": None, "auto_close_at": None, "reopen_until": None}
        changes["reopened"] = ticket.reopened + 1
        if tell_customer:
            customer_messages.append(
                CustomerMessage(key=f"reopened:{ticket.reopened + 1}", kind=CustomerMessageKind.REOPENED)
            )
        notices.append(
            Notice(
                key=f"reopened:{ticket.reopened + 1}",
                kind=NoticeKind.TICKET_REOPENED,
                why=reason or "The ticket was reopened.",
                targets=(Target.ASSIGNEE, Target.WATCHERS),
            )
        )
        if to is Status.OPEN and ticket.assignee_id:
            # Whoever had it owes a new acknowledgement.
            changes |= {"assigned_at": now, "assignment_episode": ticket.assignment_episode + 1}
    elif not story.events:  # else what led to it has been told already
        notices.append(
            Notice(
                key=f"status:{ticket.version + 1}",
                kind=NoticeKind.STATUS_CHANGED,
                why=f"A ticket that you watch is {to.replace('_', ' ')} now.",
                targets=(Target.WATCHERS,),
            )
        )
    if name is Move.UNASSIGN:
        changes |= _assignment(ticket, None, None, now)
    if to is Status.IN_PROGRESS and ticket.assignee_id is None and story.actor.member_id:
        changes |= _assignment(ticket, story.actor.member_id, story.actor.name, now)
    if to is Status.WAITING:
        changes["waiting_episode"] = ticket.waiting_episode + 1
    if to is Status.RESOLVED:
        changes["resolved_at"] = now
        if tell_customer:
            customer_messages.append(
                CustomerMessage(key=f"resolved:{ticket.reopened}", kind=CustomerMessageKind.RESOLVED)
            )
    if to is Status.CLOSED:
        changes |= {"closed_at": now, "auto_close_at": None}
        if tell_customer and story.actor.kind is ActorKind.SYSTEM:
            customer_messages.append(CustomerMessage(key=f"closed:{ticket.reopened}", kind=CustomerMessageKind.CLOSED))
    story.tell(
        EventKind.STATUS_CHANGED,
        reason=reason,
        about={"move": name.value},
        notices=notices,
        customer_messages=customer_messages,
        changes=changes,
        clocks=_moved(ticket.clocks, ticket.status, to, now),
    )


def _moved(before: Clocks, current: Status, to: Status, now: datetime) -> Change | None:
    """What leaving one status for another does to the clocks."""
    if to is Status.RESOLVED:
        return clocks.resolved(before, now)
    if to is Status.WAITING:
        return clocks.waiting(before, now)
    if current is Status.WAITING:
        return clocks.resumed(before, now)
    if current not in ACTIVE and to in ACTIVE:
        return clocks.reopened(before, now)
    return None


def _still_unanswered(ticket: Ticket, answered_at: datetime) -> datetime | None:
    """Since when the customer waits after a reply of ``answered_at``, which may be told late."""
    waits_since, asked_at = ticket.unanswered_since, ticket.clocks.asked_at
    if waits_since is None or answered_at < waits_since:
        return waits_since
    return asked_at if asked_at and asked_at > answered_at else None


def _within_life(ticket: Ticket, at: datetime, now: datetime) -> datetime:
    """A sender's time, as far as it can be believed: not before the ticket, and not in the future."""
    return min(max(at, ticket.created_at), now)


def _assignment(ticket: Ticket, member_id: UUID | None, name: str | None, now: datetime) -> dict[str, object]:
    return {
        "assignee_id": member_id,
        "assignee_name": name if member_id else None,
        "assigned_at": now if member_id else None,
        "assignment_episode": ticket.assignment_episode + 1 if member_id else ticket.assignment_episode,
        "acknowledgement": None,
    }


def _assign(story: Story, command: Assign) -> None:
    ticket = story.ticket
    if command.released_from is not None and command.released_from != ticket.assignee_id:
        return
    team_id, team_name = ticket.team_id, ticket.team_name
    assignee_id, assignee_name = ticket.assignee_id, ticket.assignee_name
    if "team" in command.fields and command.team_id != team_id:
        team_id, team_name = command.team_id, command.team_name
        assignee_id = assignee_name = None  # another team's ticket is nobody's until that team picks it up
    if "assignee" in command.fields:
        assignee_id, assignee_name = command.assignee_id, command.assignee_name
    if (team_id, assignee_id) == (ticket.team_id, ticket.assignee_id):
        return
    changes: dict[str, object] = {"team_id": team_id, "team_name": team_name}
    moved: Change | None = None
    notices: list[Notice] = []
    if assignee_id != ticket.assignee_id:
        changes |= _assignment(ticket, assignee_id, assignee_name, story.now)
        if assignee_id is None and ticket.status in (Status.IN_PROGRESS, Status.WAITING):
            changes |= {"status": Status.OPEN, "status_since": story.now, "reminders": None}
            moved = _moved(ticket.clocks, ticket.status, Status.OPEN, story.now)
        if assignee_id and assignee_id != command.actor.member_id:
            notices.append(_assigned_notice(ticket.model_copy(update=changes), command.reason or "You were assigned."))
        if ticket.assignee_id and ticket.assignee_id != command.actor.member_id:
            notices.append(
                Notice(
                    key=f"lost:{ticket.assignment_episode}",
                    kind=NoticeKind.TICKET_REASSIGNED,
                    why=command.reason or "The ticket was assigned to somebody else.",
                    member_ids=(ticket.assignee_id,),
                )
            )
    if command.released_from is not None:
        notices.append(
            Notice(
                key=f"released:{ticket.assignment_episode}",
                kind=NoticeKind.TICKET_RELEASED,
                why=command.reason or REMOVED,
                targets=(Target.TEAM, Target.SUPERVISORS),
            )
        )
    story.tell(EventKind.ASSIGNED, reason=command.reason, notices=notices, changes=changes, clocks=moved)


def _assigned_notice(ticket: Ticket, why: str) -> Notice:
    return Notice(
        key=f"assigned:{ticket.assignment_episode}",
        kind=NoticeKind.TICKET_ASSIGNED,
        why=why,
        member_ids=(ticket.assignee_id,) if ticket.assignee_id else (),
    )


def _edit(story: Story, command: Edit) -> None:
    wanted = {"title": command.title, "priority": command.priority, "tags": command.tags}
    changes = {
        name: value for name, value in wanted.items() if value is not None and value != getattr(story.ticket, name)
    }
    if changes:
        story.tell(EventKind.EDITED, changes=changes)


def _escalate(story: Story, command: Escalate) -> None:
    ticket = story.ticket
    raised = ticket.priority.raised()
    if command.priority is not None:
        raised = max(ticket.priority, command.priority, key=lambda priority: priority.rank)
    story.tell(
        EventKind.ESCALATED,
        reason=command.reason,
        notices=[
            Notice(
                key=f"escalated:{ticket.escalated + 1}",
                kind=NoticeKind.TICKET_ESCALATED,
                why=command.reason,
                targets=(Target.ASSIGNEE, Target.SUPERVISORS),
            )
        ],
        changes={"priority": raised, "escalated": ticket.escalated + 1},
    )
