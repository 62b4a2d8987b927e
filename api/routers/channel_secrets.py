"""Secrets of channels: made here or brought along, said once, and replaced without an outage."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import Select, select, update

from api.channel_doors import new_signing_secret
from api.dependencies import Caller, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own
from api.problems import Problem, not_found
from api.routers.tickets import Acting
from api.schemas.channel import MadeSecretView, MakeSecret, SecretPurpose, SecretView
from db.audit import note_change
from db.channel_secrets import Seal, keep_secret
from db.models import Channel, ChannelSecret
from domain.delivery import ConnectorName

router = APIRouter(prefix="/channels/{channel_id}/secrets", tags=["conversations"])

MOST = 5
"""Secrets of one purpose: what comes in is held against each."""

_SHOWN_ONCE = "secret"
_FOR_GOOD = datetime(9999, 1, 1, tzinfo=UTC)
_STANDARD_BYTES = range(24, 65)  # as the specification of Standard Webhooks asks


@router.post("", status_code=201, response_model=MadeSecretView, summary="Make or bring a channel's secret")
async def make_secret(channel_id: UUID, document: MakeSecret, tickets: Acting, request: Idempotency) -> Response:
    """The answer is the only one that holds it. Others of its purpose count on for a while, so that nothing fails."""
    session, caller, services = tickets.session, tickets.caller, tickets.services

    async def work() -> MadeSecretView:
        channel = await find_own(session, caller, Channel, channel_id, "channel", lock=True)
        plain = _plain(channel, document)
        old_until = datetime.now(UTC) + document.old_for if document.old_for else None
        seal = Seal(services.settings.secret_key.get_secret_value())
        # Those that were to stay end as all others do, when a later one says so.
        staying = (ChannelSecret.channel_id == channel_id, ChannelSecret.expires_at == _FOR_GOOD)
        await session.execute(
            update(ChannelSecret).where(*staying, ChannelSecret.purpose == document.purpose).values(expires_at=None)
        )
        await keep_secret(
            session,
            seal,
            caller.organization_id,
            channel_id,
            purpose=document.purpose,
            plain=plain,
            others_until=_FOR_GOOD if document.keep_old else old_until,
        )
        rows = list(await session.scalars(_newest_first(channel_id, document.purpose)))
        if len(rows) > MOST:
            raise Problem("limit_reached", f"A channel has at most {MOST} secrets of a purpose; delete one first.")
        note_change(session, "channel", channel_id, {"secret": None}, {"secret": f"{document.purpose} made"})
        return MadeSecretView(
            id=rows[0].id,
            channel_id=channel_id,
            purpose=document.purpose,
            secret=None if document.secret else plain,
            created_at=rows[0].created_at,
            old_until=None if document.keep_old else old_until,
        )

    return await once(session, caller.organization_id, request, work, status=201, secret=_SHOWN_ONCE)


@router.get("", summary="List a channel's secrets")
async def list_secrets(channel_id: UUID, caller: Caller, session: ReadSession) -> Sequence[SecretView]:
    """What there is for which purpose, and until when it counts; the newest first."""
    await find_own(session, caller, Channel, channel_id, "channel")
    rows = await session.scalars(_newest_first(channel_id, None))
    return [SecretView.model_validate(_fields(row)) for row in rows]


@router.delete("/{secret_id}", status_code=204, response_class=Response, summary="Delete a channel's secret")
async def delete_secret(
    channel_id: UUID, secret_id: UUID, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """At once: what is signed with it is refused from now on."""

    async def work() -> None:
        await find_own(session, caller, Channel, channel_id, "channel", lock=True)
        row = await session.get(ChannelSecret, secret_id)
        if row is None or row.channel_id != channel_id:
            raise not_found("secret")
        await session.delete(row)
        note_change(session, "channel", channel_id, {"secret": None}, {"secret": f"{row.purpose} deleted"})

    return await once(session, caller.organization_id, request, work, status=204)


def _newest_first(channel_id: UUID, purpose: str | None) -> Select[ChannelSecret]:
    found = select(ChannelSecret).where(ChannelSecret.channel_id == channel_id)
    if purpose is not None:
        found = found.where(ChannelSecret.purpose == purpose)
    return found.order_by(ChannelSecret.created_at.desc(), ChannelSecret.id)


def _fields(row: ChannelSecret) -> dict[str, object]:
    ends = row.expires_at
    return {
        "id": row.id,
        "purpose": row.purpose,
        "created_at": row.created_at,
        "expires_at": None if ends == _FOR_GOOD else ends,
    }


def _plain(channel: Channel, document: MakeSecret) -> str:
    """The secret to keep, or ``invalid_request``."""
    of_chatwoot = channel.settings.get("connector") == ConnectorName.CHATWOOT
    if document.purpose is not SecretPurpose.SIGNING and not of_chatwoot:
        raise Problem("invalid_request", "Only a channel of Chatwoot has such tokens.", at="purpose")
    if document.secret is None:
        if of_chatwoot:
            raise Problem(
                "invalid_request", "Chatwoot makes its secrets and tokens: send the one it shows.", at="secret"
            )
        return new_signing_secret()
    plain = document.secret.get_secret_value()
    if not of_chatwoot and not _is_standard(plain):
        raise Problem(
            "invalid_request",
            "A signing secret is whsec_ and 24 to 64 bytes in base64, of Standard Webhooks.",
            at="secret",
        )
    if not plain.isascii() or not plain.isprintable() or " " in plain:
        raise Problem("invalid_request", "A secret has printable ASCII characters only.", at="secret")
    return plain


def _is_standard(plain: str) -> bool:
    try:
        return len(base64.b64decode(plain.removeprefix("whsec_"), validate=True)) in _STANDARD_BYTES
    except binascii.Error:
        return False
