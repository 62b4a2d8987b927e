"""Requesters: the customers who write."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import select

from api.dependencies import Caller, ReadSession
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.schemas.fields import ExternalId
from api.schemas.intake import ConversationView, RequesterView
from db.models import Conversation, Requester

router = APIRouter(prefix="/requesters", tags=["conversations"])


@router.get("", summary="List requesters")
async def list_requesters(
    caller: Caller,
    session: ReadSession,
    place: Paging,
    external_id: Annotated[ExternalId | None, Query(description="The one you know by this id.")] = None,
) -> Page[RequesterView]:
    mine = select(Requester).where(Requester.organization_id == caller.organization_id)
    if external_id is not None:
        mine = mine.where(Requester.external_id == external_id)
    return await page_by_time(session, mine, Requester, RequesterView, place)


@router.get("/{requester_id}", summary="Read a requester")
async def read_requester(requester_id: UUID, caller: Caller, session: ReadSession) -> RequesterView:
    return RequesterView.model_validate(await find_own(session, caller, Requester, requester_id, "requester"))


@router.get("/{requester_id}/conversations", summary="Read a requester's conversations")
async def list_conversations_of_requester(
    requester_id: UUID, caller: Caller, session: ReadSession, place: Paging
) -> Page[ConversationView]:
    """In the order in which they began."""
    await find_own(session, caller, Requester, requester_id, "requester")
    mine = select(Conversation).where(Conversation.requester_id == requester_id)
    return await page_by_time(session, mine, Conversation, ConversationView, place)
