"""What is said on a ticket: messages with the customer, and notes among members."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select

from api.deliveries import page_of_messages, shown_messages
from api.dependencies import ReadSession
from api.idempotency import REPLAYED, Idempotency
from api.messages import Messages, Told
from api.pagination import Page, Paging, page_by_time
from api.routers.answers import answer_headers
from api.routers.tickets import Acting, Looking
from api.schemas.conversation import CreateMessage, CreateNote, MessageView, NoteView
from db.links import conversations_merged_into, tickets_merged_into
from db.models import Message, Note

router = APIRouter(prefix="/tickets/{ticket_id}", tags=["tickets"])


async def _messages_of(tickets: Acting) -> Messages:
    return Messages(tickets)


Telling = Annotated[Messages, Depends(_messages_of)]


@router.post("/messages", status_code=201, response_model=MessageView, summary="Add a customer's or an agent's message")
async def add_message(ticket_id: UUID, document: CreateMessage, messages: Telling, request: Idempotency) -> Response:
    """Keep the message once by its `external_id` and tell its ticket.

    Where the ticket was closed too long ago, `ticket_id` of the answer is that of the follow-up ticket.
    """
    told = await messages.add(ticket_id, document, request)
    assert isinstance(told.stored, Message)
    [view] = await shown_messages(messages.tickets.session, [told.stored])
    return _response(told, view)


@router.get("/messages", response_model=Page[MessageView], summary="Read the conversation")
async def list_messages(ticket_id: UUID, tickets: Looking, session: ReadSession, place: Paging) -> Page[MessageView]:
    """Its own, and those of the tickets that were merged into it."""
    recorded = await tickets.find(ticket_id)
    own = Message.conversation_id == recorded.ticket.conversation_id
    mine = select(Message).where(own | Message.conversation_id.in_(conversations_merged_into(ticket_id)))
    return await page_of_messages(session, mine, place)


@router.post("/notes", status_code=201, response_model=NoteView, summary="Add an internal note")
async def add_note(ticket_id: UUID, document: CreateNote, messages: Telling, request: Idempotency) -> Response:
    told = await messages.add_note(ticket_id, document, request)
    return _response(told, NoteView.model_validate(told.stored))


@router.get("/notes", response_model=Page[NoteView], summary="Read the internal notes")
async def list_notes(ticket_id: UUID, tickets: Looking, session: ReadSession, place: Paging) -> Page[NoteView]:
    """Its own, and those of the tickets that were merged into it."""
    await tickets.find(ticket_id)
    mine = select(Note).where((Note.ticket_id == ticket_id) | Note.ticket_id.in_(tickets_merged_into(ticket_id)))
    return await page_by_time(session, mine, Note, NoteView, place)


def _response(told: Told, view: MessageView | NoteView) -> Response:
    headers = answer_headers(told.answer)
    if not told.fresh:
        headers[REPLAYED] = "true"
    return Response(view.model_dump_json(), 201 if told.fresh else 200, headers, media_type=JSONResponse.media_type)
