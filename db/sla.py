"""Reading an organization's SLA policies and calendars."""

from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.models import CalendarRow, SlaPolicyRow, SlaPolicyVersion
from domain.calendar import BusinessCalendar
from domain.sla import SlaPolicy
from domain.sla_book import PolicyVersion, SlaBook

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""From when a version is effective that was applied to running tickets."""


async def load_sla_book(session: AsyncSession, organization_id: UUID) -> SlaBook:
    """Read the whole book, calendars only where there are policies; the caller owns the transaction."""
    found = (
        await session.execute(
            select(SlaPolicyRow, SlaPolicyVersion)
            .join(SlaPolicyVersion, SlaPolicyVersion.policy_id == SlaPolicyRow.id)
            .where(SlaPolicyRow.organization_id == organization_id)
            .order_by(SlaPolicyRow.position, SlaPolicyRow.id, SlaPolicyVersion.version.desc())
        )
    ).all()
    if not found:
        return SlaBook((), {}, None)
    rows = list(await session.scalars(select(CalendarRow).where(CalendarRow.organization_id == organization_id)))
    return SlaBook(
        policies=[
            [PolicyVersion(policy=read_policy(row, kept), effective_from=kept.effective_from) for row, kept in versions]
            for _, versions in groupby(found, key=lambda pair: pair[0].id)
        ],
        calendars={row.id: read_calendar(row) for row in rows},
        default_calendar_id=next((row.id for row in rows if row.is_default), None),
    )


async def policy_naming(session: AsyncSession, organization_id: UUID, field: str, named: UUID) -> str | None:
    """The name of a policy that may still promise by what ``field`` names; ``None`` when no version does.

    A version older than one that was applied to running tickets counts no more. The caller owns the transaction.
    """
    newer = aliased(SlaPolicyVersion)
    applied_since = exists().where(
        newer.policy_id == SlaPolicyVersion.policy_id,
        newer.version > SlaPolicyVersion.version,
        newer.effective_from <= ALWAYS,
    )
    found: str | None = await session.scalar(
        select(SlaPolicyRow.name)
        .join(SlaPolicyVersion, SlaPolicyVersion.policy_id == SlaPolicyRow.id)
        .where(
            SlaPolicyRow.organization_id == organization_id,
            SlaPolicyVersion.definition[field].astext == str(named),
            ~applied_since,
        )
        .limit(1)
    )
    return found


def read_policy(row: SlaPolicyRow, kept: SlaPolicyVersion) -> SlaPolicy:
    """The domain's policy."""
    return SlaPolicy.model_validate(
        {**kept.definition, "id": row.id, "name": row.name, "version": kept.version, "enabled": row.enabled}
    )


def read_calendar(row: CalendarRow) -> BusinessCalendar:
    """The domain's calendar."""
    return BusinessCalendar.model_validate({**row.definition, "name": row.name, "version": row.version})
