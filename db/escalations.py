"""Escalations in Postgres: reasons written before their workflow is told, and the record it makes of itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import RaiseToCome, left_to_tell
from db.channels import TICKETS, ticket_payload
from db.live_events import ESCALATION, publish
from db.models import Conversation, EscalationChangeRow, EscalationReasonRow, EscalationRow, Member
from domain.assignment import HEARTBEAT_LIMIT, Presence
from domain.commands import Remembered
from domain.escalation import LIVE, Escalation, EscalationStatus
from domain.escalation_commands import PresenceChanged, Raise, Spoken
from domain.escalation_story import EscalationChange

_REASON_FIELDS = ("source", "priority", "rule_id", "rule_version", "rule_name", "flow_id", "node_id", "metric", "at")


async def raise_escalation(
    session: AsyncSession,
    organization_id: UUID,
    conversation_id: UUID,
    raising: Raise,
    *,
    why: str | None = None,
    note: str | None = None,
) -> None:
    """Have a human look at a conversation, as soon as the caller's transaction is committed.

    The reason counts once, however often this is called for its id. It is left in ``db.bell.left_to_tell``: whoever
    calls ``ring_for`` after the commit has the workflow told at once; else the sweep does within two minutes. ``why``
    and ``note`` may hold people's words: they are kept here and shown, and no workflow gets them.
    """
    fresh = await session.scalar(
        insert(EscalationReasonRow)
        .values(**_reason_values(organization_id, conversation_id, raising), why=why, note=note)
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(EscalationReasonRow.id)
    )
    if fresh is not None:
        left_to_tell(session).raisings[fresh] = RaiseToCome(organization_id, conversation_id, raising)


async def untold_raisings(session: AsyncSession, before: datetime, limit: int) -> dict[UUID, RaiseToCome]:
    """Reasons written before then of which no workflow has recorded that it was told; by id, the oldest first."""
    rows = await session.scalars(
        select(EscalationReasonRow)
        .where(EscalationReasonRow.escalation_id.is_(None), EscalationReasonRow.created_at < before)
        .order_by(EscalationReasonRow.created_at)
        .limit(limit)
    )
    return {
        row.id: RaiseToCome(row.organization_id, row.conversation_id, Raise.model_validate(row.raising)) for row in rows
    }


async def untold_spoken(session: AsyncSession, before: datetime, limit: int) -> dict[UUID, Spoken]:
    """By conversation, its times where its escalation has had others on record since before then."""
    here, there = EscalationRow, Conversation
    differ: ColumnElement[bool] = here.answered_at.is_distinct_from(there.answered_at) | (
        here.waiting_since.is_distinct_from(there.waiting_since)
    )
    rows = await session.execute(
        select(there.id, there.waiting_since, there.answered_at)
        .join(here, here.conversation_id == there.id)
        .where(here.status.in_(LIVE), here.updated_at < before, differ)
        .order_by(there.id)
        .limit(limit)
    )
    return {row.id: Spoken(waiting_since=row.waiting_since, answered_at=row.answered_at) for row in rows}


async def untold_presences(
    session: AsyncSession, now: datetime, limit: int, member_id: UUID | None = None
) -> dict[UUID, PresenceChanged]:
    """By conversation, whose owner has gone offline or come back, where its escalation does not know; of all members.

    A heartbeat that stops says nothing by itself: somebody has to look. As ``domain.assignment.has_gone``.
    """
    stopped = (Member.presence == Presence.OFFLINE) | (Member.heartbeat_at < now - HEARTBEAT_LIMIT)
    gone: ColumnElement[bool] = Member.heartbeat_at.is_not(None) & stopped
    row = EscalationRow
    statement = (
        select(row.conversation_id, row.owner_id, gone.label("gone"), Member.heartbeat_at)
        .join(Member, Member.id == row.owner_id)
        .where(row.status == EscalationStatus.CLAIMED, gone != row.absent_since.is_not(None))
        .order_by(row.owner_id, row.id)
        .limit(limit)
    )
    if member_id is not None:
        statement = statement.where(row.owner_id == member_id)
    return {
        each.conversation_id: PresenceChanged(
            member_id=each.owner_id,
            absent_since=min(now, each.heartbeat_at + HEARTBEAT_LIMIT) if each.gone else None,
        )
        for each in await session.execute(statement)
    }


async def write_changes(
    session: AsyncSession,
    escalation: Escalation,
    changes: Sequence[EscalationChange],
    answers: Mapping[str, Escalation],
) -> set[int]:
    """Write changes that are not there yet and, if any were, the row, the reasons and who has the conversation.

    Returns the versions of the fresh ones. ``answers`` are by request the states that commands were answered with,
    where ``escalation`` is not it. Listeners are told when the caller's transaction commits.
    """
    rows = [
        {
            "escalation_id": escalation.id,
            "organization_id": escalation.organization_id,
            "conversation_id": escalation.conversation_id,
            "version": change.version,
            "kind": change.kind,
            "at": change.at,
            "actor_kind": change.actor.kind,
            "actor_id": change.actor.id,
            "actor_name": change.actor.name,
            "why": change.why,
            "about": change.about,
            "request_id": change.request_id,
            "fingerprint": change.fingerprint,
            "answer": answers.get(change.request_id, escalation).model_dump(mode="json")
            if change.request_id and change.fingerprint
            else None,
        }
        for change in changes
    ]
    # By its request too: one that came again for an escalation that has ended was dealt with there.
    statement = insert(EscalationChangeRow).values(rows).on_conflict_do_nothing()
    fresh = set(await session.scalars(statement.returning(EscalationChangeRow.version)))
    if not fresh:
        return fresh
    await _write_row(session, escalation)
    for change in changes:
        for reason in change.reasons if change.version in fresh else ():
            raising = Raise(reason=reason, actor=change.actor)
            values = _reason_values(escalation.organization_id, escalation.conversation_id, raising)
            statement = insert(EscalationReasonRow).values(**values, escalation_id=escalation.id)
            await session.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"escalation_id": escalation.id})
            )
    await _write_conversation(session, escalation)
    for announced in (escalation.id, escalation.conversation_id):
        payload = ticket_payload(announced, escalation.version)
        await session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": TICKETS, "payload": payload})
    shown = escalation.model_dump(
        mode="json",
        include={"conversation_id", "status", "priority", "version", "team_id", "owner_id", "owner_name", "ticket_id"},
    )
    await publish(session, escalation.organization_id, ESCALATION, {"escalation_id": str(escalation.id), **shown})
    return fresh


async def lock_conversation(session: AsyncSession, organization_id: UUID, conversation_id: UUID) -> Spoken | None:
    """The conversation's times, which stay so until the caller's transaction ends; ``None`` where it is gone."""
    row = (
        await session.execute(
            select(Conversation.waiting_since, Conversation.answered_at)
            .where(Conversation.id == conversation_id, Conversation.organization_id == organization_id)
            .with_for_update()
        )
    ).one_or_none()
    return Spoken(waiting_since=row.waiting_since, answered_at=row.answered_at) if row else None


async def find_live(session: AsyncSession, organization_id: UUID, conversation_id: UUID) -> Escalation | None:
    """The conversation's live escalation as it is on record."""
    state = await session.scalar(
        select(EscalationRow.state).where(
            EscalationRow.organization_id == organization_id,
            EscalationRow.conversation_id == conversation_id,
            EscalationRow.status.in_(LIVE),
        )
    )
    return Escalation.model_validate(state) if state is not None else None


async def told_otherwise(session: AsyncSession, escalation_id: UUID, changes: Sequence[EscalationChange]) -> list[int]:
    """The versions of which other changes than these are on record; as ``db.ticket_histories`` has it for tickets."""
    versions = {change.version: change.at for change in changes}
    row = EscalationChangeRow
    recorded = await session.execute(
        select(row.version, row.at).where(row.escalation_id == escalation_id, row.version.in_(versions))
    )
    return sorted(version for version, at in recorded if versions[version] != at)


async def count_changes(session: AsyncSession, escalation_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many changes each escalation has on record; a whole story has one for each version."""
    change = EscalationChangeRow
    mine = change.escalation_id.in_(escalation_ids)
    counted = select(change.escalation_id, func.count()).where(mine).group_by(change.escalation_id)
    return {row[0]: row[1] for row in await session.execute(counted)}


async def remembered_requests(session: AsyncSession, escalation_id: UUID, limit: int) -> dict[str, Remembered]:
    """The latest requests that an escalation has dealt with, the oldest first."""
    row = EscalationChangeRow
    latest = await session.execute(
        select(row.request_id, row.version, row.fingerprint)
        .where(row.escalation_id == escalation_id, row.request_id.is_not(None))
        .order_by(row.version.desc())
        .limit(limit)
    )
    return {
        each.request_id: Remembered(version=each.version, fingerprint=each.fingerprint or "")
        for each in reversed(latest.all())
        if each.request_id is not None
    }


async def known_requests(session: AsyncSession, conversation_id: UUID, request_ids: Sequence[str]) -> set[str]:
    """Which of the requests any of the conversation's escalations has on record."""
    change = EscalationChangeRow
    found = await session.scalars(
        select(change.request_id).where(
            change.conversation_id == conversation_id, change.request_id.in_(list(request_ids))
        )
    )
    return {each for each in found if each is not None}


async def latest_requests(session: AsyncSession, conversation_id: UUID, limit: int) -> Sequence[str]:
    """The latest requests that the conversation's escalations have on record."""
    change = EscalationChangeRow
    mine = select(change.request_id).where(change.conversation_id == conversation_id, change.request_id.is_not(None))
    return [each for each in await session.scalars(mine.order_by(change.at.desc()).limit(limit)) if each is not None]


def _reason_values(organization_id: UUID, conversation_id: UUID, raising: Raise) -> dict[str, Any]:
    reason = raising.reason
    return {
        "id": reason.id,
        "organization_id": organization_id,
        "conversation_id": conversation_id,
        **{name: getattr(reason, name) for name in _REASON_FIELDS},
        "raising": raising.model_dump(mode="json"),
    }


_FIXED = ("id", "organization_id", "conversation_id", "requester_id", "channel", "raised_at")


async def restore_escalation(session: AsyncSession, escalation: Escalation) -> None:
    """Write the row whatever it holds, and who has the conversation. The caller owns the transaction."""
    await _write_row(session, escalation, only_newer=False)
    await _write_conversation(session, escalation)


async def _write_row(session: AsyncSession, escalation: Escalation, *, only_newer: bool = True) -> None:
    columns = EscalationRow.__table__.columns.keys()
    values: dict[str, Any] = {
        **{name: getattr(escalation, name) for name in columns if name in Escalation.model_fields},
        "priority_rank": escalation.priority.rank,
        "in_line_since": escalation.in_line_since,
        "state": escalation.model_dump(mode="json"),
    }
    statement = insert(EscalationRow).values(values)
    changing = {name: statement.excluded[name] for name in values if name not in _FIXED}
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_=changing,
            where=EscalationRow.version < statement.excluded.version if only_newer else None,
        )
    )


async def _write_conversation(session: AsyncSession, escalation: Escalation) -> None:
    """Who has the conversation: nobody new until somebody has claimed it, and the bot again once that is over."""
    if escalation.first_claimed_at is None:
        return
    handled_by = "human" if escalation.is_live else "bot"
    owner_id = escalation.owner_id if escalation.status is EscalationStatus.CLAIMED else None
    await session.execute(
        update(Conversation)
        .where(Conversation.id == escalation.conversation_id)
        .values(handled_by=handled_by, owner_id=owner_id)
    )


async def expected_wait(
    session: AsyncSession, organization_id: UUID, team_id: UUID | None, since: datetime
) -> float | None:
    """Seconds in the middle of what the team's conversations waited for a human; ``None`` where none was claimed."""
    row = EscalationRow
    seconds = func.extract("epoch", row.first_claimed_at - row.raised_at)
    found: Any = await session.scalar(
        select(func.percentile_cont(0.5).within_group(seconds)).where(
            row.organization_id == organization_id,
            row.team_id.is_(None) if team_id is None else row.team_id == team_id,
            row.raised_at >= since,
            row.first_claimed_at.is_not(None),
        )
    )
    return None if found is None else float(found)
