"""Who follows a ticket, and who has it open."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import case, delete, select
from sqlalchemy.dialects.postgresql import insert

from api.dependencies import Caller, ReadSession, Session, find_member
from api.idempotency import Idempotency, once
from api.problems import Problem
from api.routers.tickets import Acting, Looking
from api.schemas.teamwork import PresenceDocument, PresenceView, WatcherView
from db.models import Member, TicketPresence, TicketWatcher
from db.watchers import add_watchers

router = APIRouter(prefix="/tickets/{ticket_id}", tags=["working together"])

PRESENT_FOR = timedelta(seconds=30)
"""How long a presence counts; clients say it again every ten seconds or so."""


@router.get("/watchers", summary="Who follows a ticket")
async def list_watchers(ticket_id: UUID, tickets: Looking, session: ReadSession) -> list[WatcherView]:
    await tickets.find(ticket_id)
    watching = (
        select(Member.id.label("member_id"), Member.name, TicketWatcher.created_at.label("since"))
        .join(TicketWatcher, TicketWatcher.member_id == Member.id)
        .where(TicketWatcher.ticket_id == ticket_id)
        .order_by(TicketWatcher.created_at, Member.id)
    )
    return [WatcherView.model_validate(row) for row in await session.execute(watching)]


@router.put("/watchers/{member_id}", status_code=204, response_class=Response, summary="Have a member follow a ticket")
async def add_watcher(
    ticket_id: UUID, member_id: UUID, tickets: Acting, caller: Caller, session: Session, *, request: Idempotency
) -> Response:
    """They are told what the ticket's assignee is told: customers' messages, moves, warnings and breaches."""
    await tickets.find(ticket_id)

    async def work() -> None:
        await find_member(session, caller.organization_id, member_id, "member_id")
        await add_watchers(session, caller.organization_id, ticket_id, [member_id])

    return await once(session, caller.organization_id, request, work, status=204)


@router.delete("/watchers/{member_id}", status_code=204, response_class=Response, summary="Stop following a ticket")
async def remove_watcher(
    ticket_id: UUID, member_id: UUID, tickets: Acting, caller: Caller, session: Session, *, request: Idempotency
) -> Response:
    await tickets.find(ticket_id)

    async def work() -> None:
        watcher = TicketWatcher
        await session.execute(delete(watcher).where(watcher.ticket_id == ticket_id, watcher.member_id == member_id))

    return await once(session, caller.organization_id, request, work, status=204)


@router.get("/presence", summary="Who views or answers a ticket at this moment")
async def list_presences(ticket_id: UUID, tickets: Looking, session: ReadSession) -> list[PresenceView]:
    await tickets.find(ticket_id)
    return await _present(session, ticket_id)


@router.put("/presence", summary="Say that a member views or answers a ticket")
async def keep_presence(
    ticket_id: UUID, document: PresenceDocument, tickets: Acting, caller: Caller, session: Session
) -> list[PresenceView]:
    """Counts for half a minute. Answers with everybody who is there, the member included."""
    await tickets.find(ticket_id)
    now, row = datetime.now(UTC), TicketPresence
    statement = insert(row).values(
        ticket_id=ticket_id,
        member_id=_member(caller.actor.member_id),
        organization_id=caller.organization_id,
        activity=document.activity,
        since=now,
        expires_at=now + PRESENT_FOR,
    )
    new = statement.excluded
    goes_on = (row.activity == new.activity) & (row.expires_at > now)
    async with session.begin():
        # Those who left without a word make room when somebody else comes, so nothing has to sweep.
        await session.execute(delete(row).where(row.ticket_id == ticket_id, row.expires_at <= now))
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["ticket_id", "member_id"],
                set_={
                    "activity": new.activity,
                    "since": case((goes_on, row.since), else_=new.since),
                    "expires_at": new.expires_at,
                },
            )
        )
        return await _present(session, ticket_id)


@router.delete("/presence", status_code=204, response_class=Response, summary="Say that a member has left a ticket")
async def end_presence(ticket_id: UUID, tickets: Acting, caller: Caller, session: Session) -> Response:
    await tickets.find(ticket_id)
    row = TicketPresence
    async with session.begin():
        await session.execute(
            delete(row).where(row.ticket_id == ticket_id, row.member_id == _member(caller.actor.member_id))
        )
    return Response(status_code=204)


def _member(member_id: UUID | None) -> UUID:
    # Not a dependency: whose ticket it is not learns no more than that there is none.
    if member_id is None:
        raise Problem("member_required", "Only a member can do this: send Baton-On-Behalf-Of with the member's id.")
    return member_id


async def _present(session: Session, ticket_id: UUID) -> list[PresenceView]:
    row = TicketPresence
    found = (
        select(row.member_id, Member.name, row.activity, row.since, row.expires_at)
        .join(Member, Member.id == row.member_id)
        .where(row.ticket_id == ticket_id, row.expires_at > datetime.now(UTC))
        .order_by(row.since, row.member_id)
    )
    return [PresenceView.model_validate(each) for each in await session.execute(found)]
