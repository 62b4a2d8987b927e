"""The built-in web chat, as a visitor's browser speaks with it: no API key, a token for one conversation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import AppServices, Services, Session
from api.guessing import network_of
from api.idempotency import REPLAYED
from api.intake import Intake
from api.live_feed import LONGEST_STREAM
from api.problems import Problem, not_found
from api.routers.live_events import COME_AGAIN_MS, HEARTBEAT_SECONDS, SEND_SECONDS
from api.schemas.intake import IncomingMessage, Writer
from api.schemas.ticket import RequesterDocument
from api.schemas.webchat import OpenVisit, SaidPage, SaidView, Say, VisitView
from api.webchat import MINE, Visit, Visiting, is_open, read_token, write_token
from api.webchat_feed import Follower, undisturbed
from db.deliveries import fetched
from db.models import Channel, Message
from db.walls import within
from db.webchat import handled_by, place_of, said_after

router = APIRouter(prefix="/webchat/{channel_id}", tags=["web chat"])

_FROM_US = ("agent", "system")

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 5e0c…\nevent: message\ndata: {"id":"5e0c…","author":"agent","body":"Hello!",…}\n\n',
            }
        },
    }
}


@router.post("/visits", summary="Open a web chat, or resume a conversation")
async def open_visit(
    channel_id: UUID, document: OpenVisit, request: Request, session: Session, services: AppServices
) -> VisitView:
    """Nothing is stored before something is said. Keep the token as carefully as the conversation."""
    services.strangers.take(request, uuid5(NAMESPACE_URL, network_of(request)))
    channel = await session.get(Channel, channel_id)
    if channel is None or not is_open(channel.kind, channel.settings):
        raise not_found("web chat")
    known = read_token(document.token, channel_id, services.settings) if document.token else None
    visit = known if known and not document.anew else Visit.new(channel, known.visitor_id if known else None)
    token, expires_at = write_token(visit, services.settings)
    return VisitView(token=token, expires_at=expires_at, resumed=visit is known)


@router.post("/messages", status_code=201, response_model=SaidView, summary="Say something as the visitor")
async def say(document: Say, visitor: Visiting) -> Response:
    """Kept once by its `client_id`, then decided on as every customer's message. 503 with `kept`: send it again."""
    visit, intake = visitor.visit, Intake(visitor.tickets.services, visitor.tickets.caller)
    message = IncomingMessage(
        external_id=f"{MINE}{document.client_id}",
        author=Writer.CUSTOMER,
        body=document.body,
        channel_id=visit.channel_id,
        requester=RequesterDocument(external_id=visit.requester, name=document.name, email=document.email),
    )
    arrival = await intake.take_alone(visit.conversation, message)
    kept = arrival.message
    view = SaidView(
        id=kept.id,
        client_id=document.client_id,
        author=kept.author_kind,
        author_name=kept.author_name,
        body=kept.body,
        sent_at=kept.sent_at,
    )
    headers = {} if arrival.fresh else {REPLAYED: "true"}
    return Response(view.model_dump_json(), 201 if arrival.fresh else 200, headers, media_type=JSONResponse.media_type)


@router.get("/messages", summary="Read what was said, or what was said since")
async def list_said(
    visitor: Visiting,
    services: AppServices,
    after: Annotated[
        UUID | None, Query(description="The last message that is known; the latest ones without it.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> SaidPage:
    """In the order in which they came. What a person has answered counts as delivered by being read here."""
    mine = visitor.visit.conversation_id
    async with services.reads() as session:
        place = await place_of(session, mine, after) if after else None
        if after and place is None:
            raise _not_ours()
        found = await said_after(session, mine, place, limit + 1)
        has = await handled_by(session, mine)
    shown = found[:limit] if place else found[-limit:]
    await _note_fetched(services, visitor.visit, shown)
    more = place is not None and len(found) > limit
    return SaidPage(items=[SaidView.of(each) for each in shown], more=more, handled_by=has)


@router.get("/events", response_class=EventSourceResponse, responses=_STREAM, summary="Follow the conversation, live")
async def follow(
    visitor: Visiting,
    services: AppServices,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="Continue after this message.")
    ] = None,
) -> EventSourceResponse:
    """A stream of server-sent events: `hello` begins it, `message` is each message, the visitor's own among them.

    A message may come twice, at the seam of two streams: know it by its id. It ends after five minutes; come again.
    Browsers' `EventSource` cannot send a token: read it with `fetch`.
    """
    try:
        after = UUID(last_event_id) if last_event_id else None
    except ValueError:
        raise _not_ours() from None
    follower = Follower(services.reads, visitor.visit.organization_id, visitor.visit.conversation_id)
    if not await follower.begin(after):
        raise _not_ours()
    services.webchat_feed.admit(visitor.visit.conversation_id)
    return EventSourceResponse(
        _sent(services, visitor.visit, follower), ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS, sep="\n"
    )


async def _sent(services: Services, visit: Visit, follower: Follower) -> AsyncIterator[ServerSentEvent]:
    end = asyncio.get_running_loop().time() + LONGEST_STREAM
    feed = services.webchat_feed
    with feed.follow(visit.conversation_id) as news:
        yield ServerSentEvent("{}", event="hello", retry=COME_AGAIN_MS, sep="\n")
        while not feed.stopped:
            news.clear()
            try:
                async for each in follower.news():
                    data = SaidView.of(each).model_dump_json()
                    yield ServerSentEvent(data, event="message", id=str(each.id), sep="\n")
                    await _note_fetched(services, visit, [each])
                async with asyncio.timeout_at(end):
                    await news.wait()
            except (TimeoutError, DBAPIError, PoolTimeoutError, OSError):
                return  # the visitor's widget comes again after its last message


async def _note_fetched(services: Services, visit: Visit, messages: Sequence[Message]) -> None:
    """What the visitor has been shown of others counts as delivered."""
    ids = [each.id for each in messages if each.author_kind in _FROM_US]
    if ids:
        with within(visit.organization_id), undisturbed():
            async with services.sessions.begin() as session:
                await fetched(session, visit.conversation_id, ids)


def _not_ours() -> Problem:
    return Problem("invalid_cursor", "There is no such message in this conversation; begin again without it.")
