"""The one writer of the read model of escalations."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.signatures import (
    LOAD_ESCALATION,
    LOOK_AFTER_ESCALATION,
    RECORD_ESCALATION,
    EscalationBatch,
    LoadedEscalation,
    LoadEscalation,
    LookAfterEscalation,
    RecordedEscalation,
)
from activities.ticket_record import refuse_another_history
from db.bell import Bell, no_bell, ring_for
from db.deliveries import notice_to_come
from db.engine import Sessions
from db.escalation_terms import find_escalation_terms
from db.escalations import (
    find_live,
    known_requests,
    latest_requests,
    lock_conversation,
    restore_escalation,
    told_otherwise,
    write_changes,
)
from db.models import Conversation, EscalationReasonRow, Member
from db.notices import Around, Subject, notify, receivers_of
from db.ticket_histories import lay_ground
from domain.assignment import has_gone
from domain.delivery import DeliveryKind
from domain.escalation import Escalation, EscalationStatus
from domain.escalation_commands import Spoken
from domain.escalation_lifecycle import Raised
from domain.escalation_story import ENDED, ChangeKind, EscalationChange
from domain.escalation_timers import Look, adopt, wanted
from domain.priority import Priority

MOST_REPEATED = 256
"""Requests of a conversation's earlier escalations that are known when they come again."""


class EscalationRecord:
    """Writes what escalation workflows hand on, and reads what they begin with; ``bell`` is rung for mails."""

    def __init__(self, sessions: Sessions, bell: Bell = no_bell) -> None:
        self._sessions = sessions
        self._bell = bell

    @activity.defn(name=LOAD_ESCALATION)
    async def load(self, request: LoadEscalation) -> LoadedEscalation:
        """Read a conversation that is to be escalated, and what its escalations have dealt with before."""
        async with self._sessions.begin() as session:
            conversation = await session.get(Conversation, request.conversation_id)
            if conversation is None or conversation.organization_id != request.organization_id:
                raise ApplicationError(
                    f"There is no conversation {request.conversation_id}.",
                    type="conversation_not_found",
                    non_retryable=True,
                )
            known = await known_requests(session, conversation.id, [request.request_id])
            latest = await latest_requests(session, conversation.id, MOST_REPEATED)
            live = await find_live(session, request.organization_id, conversation.id)
        return LoadedEscalation(
            of=Raised(
                organization_id=conversation.organization_id,
                conversation_id=conversation.id,
                requester_id=conversation.requester_id,
                channel=conversation.channel,
                ticket_id=conversation.ticket_id,
                spoken=Spoken(waiting_since=conversation.waiting_since, answered_at=conversation.answered_at),
            ),
            known=bool(known),
            live=live,
            dealt_with=tuple(latest),
        )

    @activity.defn(name=RECORD_ESCALATION)
    async def record(self, batch: EscalationBatch) -> RecordedEscalation:
        """Write one batch in one transaction: row, changes, reasons, who has the conversation, notifications.

        Safe to repeat: the row is guarded by its version, everything else is unique by key. The conversation is locked
        first: a message that is kept later finds the escalation and tells it, of one that was kept before the answer
        says so.
        """
        escalation = batch.escalation
        structlog.contextvars.bind_contextvars(escalation_id=str(escalation.id))
        async with self._sessions.begin() as session:
            spoken = await lock_conversation(session, escalation.organization_id, escalation.conversation_id)
            terms = await find_escalation_terms(session, escalation, wanted(escalation))
            adopted = adopt(escalation, terms)
            fresh = await write_changes(session, adopted, batch.changes, batch.answers)
            if len(fresh) < len(batch.changes):
                await _require_one_history(session, batch)
            for change in batch.changes:
                if change.version in fresh:
                    await _tell(session, adopted, change)
                    await _tell_platform(session, adopted, change)
            leaver_id = await _leaver(session, escalation)
        await ring_for(session, self._bell)
        return RecordedEscalation(terms=terms.model_copy(update={"spoken": spoken}), leaver_id=leaver_id)

    async def restore(self, escalation: Escalation, batches: Iterable[EscalationBatch]) -> None:
        """Write a conversation's escalations anew: the last one's row as ``escalation``, and what is missing of others.

        Not an activity, and only for repairs: that row is overwritten, whatever it holds, unless its changes tell
        another history. ``batches`` are the oldest first. What platforms were told once they are not told again. One
        transaction; safe to repeat.
        """
        async with self._sessions.begin() as session:
            await lay_ground(session, escalation)
            for batch in batches:
                await _require_one_history(session, batch)
                fresh = await write_changes(session, batch.escalation, batch.changes, batch.answers)
                for change in batch.changes:
                    if change.version in fresh:
                        await _tell(session, batch.escalation, change)
            await restore_escalation(session, escalation)

    @activity.defn(name=LOOK_AFTER_ESCALATION)
    async def look(self, request: LookAfterEscalation) -> Look:
        """What is so at this moment of whoever has a conversation: signals that said so may have got lost."""
        async with self._sessions.begin() as session:
            conversation = await session.get(Conversation, request.conversation_id)
            owner = await session.get(Member, request.owner_id)
        absent = owner is None or has_gone(datetime.now(UTC), owner.presence, owner.heartbeat_at)
        if conversation is None:
            return Look(absent=absent)
        spoken = Spoken(waiting_since=conversation.waiting_since, answered_at=conversation.answered_at)
        return Look(spoken=spoken, absent=absent)


async def _require_one_history(session: AsyncSession, batch: EscalationBatch) -> None:
    """Refuse to mix two histories of an escalation; what is on record stays, and the escalation is stuck."""
    refuse_another_history(await told_otherwise(session, batch.escalation.id, batch.changes))


async def _leaver(session: AsyncSession, escalation: Escalation) -> UUID | None:
    """The owner, where they have been removed: whoever removed them may have looked before this was on record."""
    if escalation.status is not EscalationStatus.CLAIMED or escalation.owner_id is None:
        return None
    status = await session.scalar(select(Member.status).where(Member.id == escalation.owner_id))
    return escalation.owner_id if status == "disabled" else None


async def _tell_platform(session: AsyncSession, escalation: Escalation, change: EscalationChange) -> None:
    """Have the conversation's platform, and so its bot, learn who has it now; once a change."""
    if change.kind is ChangeKind.CLAIMED:
        kind = DeliveryKind.HANDED_OVER
        about = {"member_id": change.about["owner_id"], "member_name": change.about["owner_name"]}
    elif change.kind in ENDED and escalation.first_claimed_at is not None:
        kind, actor = DeliveryKind.HANDED_BACK, change.actor
        about = {"member_id": str(actor.id), "member_name": actor.name} if actor.member_id else {}
    else:
        return
    await notice_to_come(
        session,
        escalation.organization_id,
        escalation.conversation_id,
        kind,
        key=f"escalation:{escalation.id}:{change.version}",
        about={**about, "escalation_id": str(escalation.id), "reason": change.kind.value},
    )


async def _tell(session: AsyncSession, escalation: Escalation, change: EscalationChange) -> None:
    """Tell each receiver of a change once, however often this runs; nobody is told of their own act."""
    told = {change.actor.member_id}
    around = Around(escalation.organization_id, escalation.team_id, escalation.owner_id)
    subject = Subject(
        escalation.organization_id,
        escalation.ticket_id,
        None,
        escalation.conversation_id,
        urgent=escalation.priority is Priority.URGENT,
    )
    for notice in change.notices:
        receivers = await receivers_of(session, around, notice, notice.team_ids) - told
        told |= receivers
        await notify(
            session,
            subject,
            f"{escalation.id}:{notice.key}",
            kind=notice.kind,
            why=await _why(session, change) or notice.why,
            member_ids=receivers,
            at=change.at,
        )


async def _why(session: AsyncSession, change: EscalationChange) -> str | None:
    """What matched, which only Postgres holds; ``None`` where the change's own words are all there is."""
    if not change.reasons:
        return None
    ids = [reason.id for reason in change.reasons]
    found: str | None = await session.scalar(
        select(EscalationReasonRow.why).where(EscalationReasonRow.id.in_(ids), EscalationReasonRow.why.is_not(None))
    )
    return found
