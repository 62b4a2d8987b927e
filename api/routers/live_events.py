"""Live events: what happens in an organization, shown as it happens."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from pydantic_core import to_json
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import AppServices, Caller
from api.live_feed import LiveFeed, Resync
from api.problems import Problem
from db.live_events import Happening, Position

router = APIRouter(prefix="/events", tags=["live events"])

HEARTBEAT_SECONDS = 15
"""A comment goes that often, so that neither side takes a quiet connection for a dead one."""

SEND_SECONDS = 30
"""A client that takes nothing for that long is let go; it comes again with its last id."""

COME_AGAIN_MS = 1000

_DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 80312-77\nevent: ticket\ndata: {"ticket_id":"…","version":3,"status":"waiting"}\n\n',
            }
        },
    }
}


@router.get("", response_class=EventSourceResponse, responses=_DESCRIBED, summary="Follow what happens, live")
async def follow(
    caller: Caller,
    services: AppServices,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=100, description="Continue after this event; browsers send it."),
    ] = None,
) -> EventSourceResponse:
    """A stream of server-sent events, their ids rising.

    `ticket` for each change of a ticket, `escalation` of an escalation, `delivery` for what becomes of an answer on its
    way out, attempt by attempt, and `notification` for what the acting member is told. `resync` says that
    events were missed: read the lists again and go on. `hello` begins a stream and names its place.
    The stream ends when its session or key does, and when the member is disabled.
    """
    after = Position.read(last_event_id) if last_event_id else None
    if last_event_id and after is None:
        raise Problem("invalid_cursor", "Last-Event-ID is not one of ours; begin again without it.")
    return EventSourceResponse(
        _sent(services.live_feed, caller, after), ping=HEARTBEAT_SECONDS, send_timeout=SEND_SECONDS, sep="\n"
    )


async def _sent(feed: LiveFeed, caller: Caller, after: Position | None) -> AsyncIterator[ServerSentEvent]:
    async with feed.stream(caller.organization_id, caller.credentials, after) as stream:
        yield ServerSentEvent("{}", event="hello", id=str(stream.position), retry=COME_AGAIN_MS, sep="\n")
        async for each in stream.events():
            yield _event(each)


def _event(each: Happening | Resync) -> ServerSentEvent:
    if isinstance(each, Resync):
        return ServerSentEvent("{}", event="resync", id=str(each.position), sep="\n")
    data = to_json({**each.payload, "at": each.at}).decode()
    return ServerSentEvent(data, event=each.kind, id=str(each.position), sep="\n")
