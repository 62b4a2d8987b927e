"""A channel's own door: what a platform posts with a signature, instead of an API key."""

from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse

from api.channel_doors import WebhookDoor
from api.idempotency import RequestId, claim
from api.intake import Intake
from api.problems import Problem
from api.routers.conversations import by_channel, take_many, take_one
from api.schemas.intake import BatchView, IncomingView
from api.schemas.webhook import EXAMPLES, Happened, MessageCreated

router = APIRouter(prefix="/channels/{channel_id}/webhook", tags=["conversations"])

_LONGEST_ID = 200


@router.post(
    "",
    response_model=IncomingView | BatchView,
    responses={201: {"model": IncomingView, "description": "A message that is new"}},
    summary="Take in messages from a platform, by its signature",
)
async def take_webhook(
    document: Annotated[Happened, Body(examples=EXAMPLES)], request: Request, door: WebhookDoor
) -> Response:
    """Signed as [Standard Webhooks](https://www.standardwebhooks.com) has it, with a secret of the channel.

    The documents, and what becomes of them, are those of `POST /conversations/{external_id}/messages` and of
    `/messages/batch`. Send again, with the same `webhook-id`, whatever was not answered with 2xx.
    """
    await _once(door, request)
    intake = Intake(door.tickets.services, door.tickets.caller)
    if isinstance(document, MessageCreated):
        row = by_channel(document.data, door.channel.id)
        return await take_one(intake, row.conversation, row)
    view = await take_many(intake, document.data.messages, channel_id=door.channel.id)
    return JSONResponse(view.model_dump(mode="json"))


async def _once(door: WebhookDoor, request: Request) -> None:
    """Refuse a ``webhook-id`` that came with another content. The same one again is taken: messages are kept once."""
    known_as = request.headers["webhook-id"]
    if len(known_as) > _LONGEST_ID:
        raise Problem("invalid_request", f"A webhook-id has at most {_LONGEST_ID} characters.", at="webhook-id")
    key = f"webhook:{door.channel.id}:{known_as}"
    digest = sha256(await request.body()).hexdigest()[:32]
    async with door.tickets.session.begin():
        await claim(
            door.tickets.session, door.channel.organization_id, RequestId(key=key, fingerprint=digest, given=True)
        )
