"""What rules decided, and why."""

from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import ColumnElement, select

from api.dependencies import Caller, ReadSession, Session
from api.routers.conversations import KnownAs, find_conversation
from api.routers.tickets import Looking
from api.schemas.decision import DecisionView
from db.models import Decision

router = APIRouter(tags=["decisions"])

MOST = 200
"""Decisions in one answer."""


@router.get("/conversations/{external_id}/decisions", summary="Read what rules decided in a conversation, and why")
async def list_decisions_in_conversation(
    external_id: KnownAs, caller: Caller, session: ReadSession
) -> list[DecisionView]:
    """The newest first, at most 200."""
    found = await find_conversation(session, caller, external_id)
    return await _newest(session, Decision.conversation_id == found.id)


@router.get("/tickets/{ticket_id}/decisions", summary="Read which rules had a part in a ticket, and why")
async def list_decisions_on_ticket(ticket_id: UUID, tickets: Looking, session: ReadSession) -> list[DecisionView]:
    """The newest first, at most 200."""
    await tickets.find(ticket_id)
    return await _newest(session, Decision.ticket_id == ticket_id)


async def _newest(session: Session, of: ColumnElement[bool]) -> list[DecisionView]:
    rows = select(Decision).where(of).order_by(Decision.at.desc(), Decision.id).limit(MOST)
    return [DecisionView.model_validate(row) for row in await session.scalars(rows)]
