"""Deliveries: which is next, making an attempt, and giving it up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.connectors.connector import Connector, NotDelivered, Outgoing, Refused, Suppressed, TryAgain, Unknown
from activities.outgoing import read_outgoing
from activities.signatures import (
    DELIVER,
    GIVE_DELIVERY_UP,
    NEXT_DELIVERY,
    Deliver,
    Delivered,
    DeliverNext,
    NextDelivery,
)
from db.channel_secrets import Seal
from db.deliveries import KEPT_ATTEMPTS, announce
from db.engine import Sessions
from db.models import Channel, Delivery
from domain.delivery import FETCHED, TRIED_FOR, AttemptOutcome, ConnectorName, DeliveryState, connector_of, wait_after

_LONGEST_REASON = 500

_OUTCOMES: Mapping[type[NotDelivered], AttemptOutcome] = {
    Refused: AttemptOutcome.FAILED,
    Suppressed: AttemptOutcome.SUPPRESSED,
    Unknown: AttemptOutcome.UNCERTAIN,
}
_STATES = {
    AttemptOutcome.SENT: DeliveryState.SENT,
    AttemptOutcome.FAILED: DeliveryState.FAILED,
    AttemptOutcome.SUPPRESSED: DeliveryState.SUPPRESSED,
    AttemptOutcome.UNCERTAIN: DeliveryState.UNCERTAIN,
}
"""What an outcome makes of a delivery; where nothing stands here, it goes on."""

UNHEARD = "An attempt ended without a word: it may have arrived, and this channel has no key to tell by."


@dataclass(frozen=True)
class _Attempt:
    """One that has begun: ``at`` tells it from others."""

    number: int
    at: str
    outgoing: Outgoing
    connector: Connector


class Deliveries:
    """Takes deliveries to connectors and keeps account of each attempt, before it is made and after."""

    def __init__(self, sessions: Sessions, connectors: Mapping[ConnectorName, Connector], seal: Seal) -> None:
        self._sessions = sessions
        self._connectors = connectors
        self._seal = seal

    @activity.defn(name=NEXT_DELIVERY)
    async def next(self, request: DeliverNext) -> NextDelivery:
        """The conversation's first delivery that is pending. Changes nothing."""
        async with self._sessions.begin() as session:
            found = await session.scalar(
                select(Delivery)
                .where(
                    Delivery.conversation_id == request.conversation_id,
                    Delivery.state == DeliveryState.PENDING,
                    Delivery.connector.not_in(FETCHED),
                )
                .order_by(Delivery.number)
                .limit(1)
            )
        if found is None:
            return NextDelivery()
        return NextDelivery(
            deliver=Deliver(organization_id=found.organization_id, delivery_id=found.id),
            try_for=max(found.try_until - datetime.now(UTC), timedelta()),
        )

    @activity.defn(name=DELIVER)
    async def deliver(self, request: Deliver) -> Delivered:
        """Make an attempt; one that may yet succeed fails, so that it is tried again when it is due.

        Safe to repeat: what is decided is not sent again, and what may have arrived is sent again only by connectors
        whose receiver is told the delivery's key.
        """
        began = await self._begin(request.delivery_id)
        if isinstance(began, Delivered):
            return began
        try:
            sent = await began.connector.send(began.outgoing)
        except NotDelivered as error:
            return await self._failed(request.delivery_id, began.at, began.number, error)
        return await self._end(request.delivery_id, began.at, AttemptOutcome.SENT, provider_id=sent.provider_id)

    @activity.defn(name=GIVE_DELIVERY_UP)
    async def give_up(self, request: Deliver) -> Delivered:
        """Nobody took it for a day; why is what the last attempt was answered. Safe to repeat."""
        async with self._sessions.begin() as session:
            row = await _locked(session, request.delivery_id)
            if row.state == DeliveryState.PENDING:
                row.state, row.finished_at = DeliveryState.FAILED, datetime.now(UTC)
                row.reason = row.reason or "No attempt was made, or none has ended."
                await announce(session, row)
            return Delivered(state=DeliveryState(row.state), reason=row.reason)

    async def _begin(self, delivery_id: UUID) -> _Attempt | Delivered:
        """Write down that an attempt begins; or what has become of the delivery, where none is to be made."""
        async with self._sessions.begin() as session:
            row = await _locked(session, delivery_id)
            if row.state != DeliveryState.PENDING:
                return Delivered(state=DeliveryState(row.state), reason=row.reason)
            channel = await session.get_one(Channel, row.channel_id)
            name = connector_of(channel.kind, channel.settings)
            if name in FETCHED:  # the channel is answered in another way by now
                row.connector = name
                return Delivered(state=DeliveryState.PENDING)
            now = datetime.now(UTC)
            row.tried += 1
            attempt: dict[str, Any] = {"at": now.isoformat(), "outcome": None, "reason": None}
            unheard = bool(row.attempts) and row.attempts[-1]["outcome"] is None
            row.attempts = [*row.attempts, attempt][-KEPT_ATTEMPTS:]
            connector = self._connectors.get(name) if name else None
            try:
                if name is None:
                    raise Suppressed("The channel has no way to answer any more.")
                row.connector = name
                if connector is None:
                    raise TryAgain(f"This worker has no connector for {name}.")
                if unheard and not connector.safe_to_repeat:
                    _note(row, attempt["at"], AttemptOutcome.UNCERTAIN, UNHEARD)
                    await announce(session, row)
                    return Delivered(state=DeliveryState.UNCERTAIN, reason=UNHEARD)
                outgoing = await read_outgoing(session, self._seal, row, channel)
            except NotDelivered as error:
                failure = error
            else:
                return _Attempt(_number(row), attempt["at"], outgoing, connector)
            number = _number(row)
        return await self._failed(delivery_id, attempt["at"], number, failure)

    async def _failed(self, delivery_id: UUID, at: str, number: int, error: NotDelivered) -> Delivered:
        """Write down why; raises what has Temporal try again, where that is worth while."""
        reason = " ".join(str(error).replace("\x00", "").split())[:_LONGEST_REASON]
        if not isinstance(error, TryAgain):
            return await self._end(delivery_id, at, _OUTCOMES.get(type(error), AttemptOutcome.UNCERTAIN), reason=reason)
        wait = wait_after(number, error.after)
        ended = await self._end(delivery_id, at, AttemptOutcome.TRY_AGAIN, reason=reason, wait=wait)
        if ended.state is not DeliveryState.PENDING:  # given up meanwhile
            return ended
        raise ApplicationError(
            reason, type="not_delivered", next_retry_delay=wait, category=ApplicationErrorCategory.BENIGN
        )

    async def _end(
        self,
        delivery_id: UUID,
        at: str,
        outcome: AttemptOutcome,
        *,
        reason: str | None = None,
        provider_id: str | None = None,
        wait: timedelta | None = None,
    ) -> Delivered:
        async with self._sessions.begin() as session:
            row = await _locked(session, delivery_id)
            _note(row, at, outcome, reason)
            row.provider_id = provider_id or row.provider_id
            if wait is not None:
                row.due_at = datetime.now(UTC) + wait
            await announce(session, row)
            return Delivered(state=DeliveryState(row.state), reason=row.reason)


def _number(row: Delivery) -> int:
    """Which attempt this is since the delivery was written, or asked for again by hand."""
    since = row.try_until - TRIED_FOR
    return sum(datetime.fromisoformat(each["at"]) >= since for each in row.attempts)


def _note(row: Delivery, at: str, outcome: AttemptOutcome, reason: str | None) -> None:
    """Write an attempt's outcome down.

    What is decided stays so, for an attempt that was believed dead may come after another; only that it was taken
    after all is true whatever was believed.
    """
    row.attempts = [
        {**each, "outcome": outcome.value, "reason": reason} if each["at"] == at else each for each in row.attempts
    ]
    if row.state != DeliveryState.PENDING and outcome is not AttemptOutcome.SENT:
        return
    row.reason = reason
    if outcome in _STATES:
        row.state, row.finished_at = _STATES[outcome], datetime.now(UTC)


async def _locked(session: AsyncSession, delivery_id: UUID) -> Delivery:
    row = await session.get(Delivery, delivery_id, with_for_update=True)
    if row is None:
        raise ApplicationError(f"There is no delivery {delivery_id}.", type="no_such_delivery", non_retryable=True)
    return row
