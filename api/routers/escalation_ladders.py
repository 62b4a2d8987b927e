"""Escalation ladders: what happens, step by step, until somebody acts."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Caller, Principal, ReadSession, Session, find_member
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.problems import Problem, unique_or
from api.schemas.ladder import EscalationLadderDocument, EscalationLadderView
from db.models import EscalationLadderRow, Team
from db.sla import policy_naming
from domain.ladders import EscalationLadder, Notify

router = APIRouter(prefix="/escalation-ladders", tags=["ladders"])


@router.post("", status_code=201, response_model=EscalationLadderView, summary="Create an escalation ladder")
async def create_ladder(
    document: EscalationLadderDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """Breached SLA metrics (by their policy) and unacknowledged tickets (by their team) climb ladders."""

    async def work() -> EscalationLadderView:
        row = EscalationLadderRow(
            id=uuid4(), organization_id=caller.organization_id, version=0, created_at=datetime.now(UTC)
        )
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List escalation ladders")
async def list_ladders(caller: Caller, session: ReadSession, place: Paging) -> Page[EscalationLadderView]:
    mine = select(EscalationLadderRow).where(EscalationLadderRow.organization_id == caller.organization_id)
    return await page_by_time(session, mine, EscalationLadderRow, EscalationLadderView, place)


@router.get("/{ladder_id}", summary="Read an escalation ladder")
async def read_ladder(ladder_id: UUID, caller: Caller, session: ReadSession) -> EscalationLadderView:
    row = await find_own(session, caller, EscalationLadderRow, ladder_id, "escalation ladder")
    return EscalationLadderView.model_validate(row)


@router.put("/{ladder_id}", response_model=EscalationLadderView, summary="Replace an escalation ladder")
async def replace_ladder(
    ladder_id: UUID, document: EscalationLadderDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """Replace a ladder; those that are being climbed stay as they began."""

    async def work() -> EscalationLadderView:
        row = await find_own(session, caller, EscalationLadderRow, ladder_id, "escalation ladder", lock=True)
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work)


@router.delete(
    "/{ladder_id}", status_code=204, response_class=Response, summary="Delete an escalation ladder nothing uses"
)
async def delete_ladder(ladder_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """A policy's older versions use it too, until a newer one is applied to running tickets."""

    async def work() -> None:
        row = await find_own(session, caller, EscalationLadderRow, ladder_id, "escalation ladder", lock=True)
        team = await session.scalar(select(Team.name).where(Team.escalation_ladder_id == ladder_id).limit(1))
        if team is not None:
            raise Problem("still_in_use", f"The team {team} climbs this ladder; give it another one first.")
        policy = await policy_naming(session, caller.organization_id, "escalation_ladder_id", ladder_id)
        if policy is not None:
            raise Problem(
                "still_in_use",
                f"The SLA policy {policy} climbs this ladder; give it another one and apply it to running tickets.",
            )
        await session.delete(row)

    return await once(session, caller.organization_id, request, work, status=204)


async def _write(
    session: AsyncSession, caller: Principal, row: EscalationLadderRow, document: EscalationLadderDocument
) -> EscalationLadderView:
    """Put the checked document into the row; the caller owns the transaction."""
    ladder = document.ladder()
    for position, member_id in _members(ladder):
        await find_member(session, caller.organization_id, member_id, f"steps/{position}/actions")
    values = ladder.model_dump(mode="json")
    row.name, row.steps, row.repeat, row.version = ladder.name, values["steps"], ladder.repeat, row.version + 1
    session.add(row)
    with unique_or("An escalation ladder with this name exists already."):
        await session.flush()
    return EscalationLadderView.model_validate(row)


def _members(ladder: EscalationLadder) -> list[tuple[int, UUID]]:
    """The members a ladder names, each with the place of its step."""
    return [
        (position, member_id)
        for position, step in enumerate(ladder.steps)
        for action in step.actions
        if isinstance(action, Notify)
        for member_id in action.member_ids
    ]
