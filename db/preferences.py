"""What members have chosen about notifications."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Member, NotificationSettings
from domain.events import NoticeKind
from domain.notices import Choice, Preferences


async def read_preferences(session: AsyncSession, member_id: UUID) -> Preferences:
    """The member's; nothing chosen where there is no row."""
    row = await session.get(NotificationSettings, member_id)
    if row is None:
        return Preferences()
    # A kind that a newer version knows, and this one does not, is left alone.
    known = {kind: choice for kind, choice in row.media.items() if kind in set(NoticeKind)}
    return Preferences.model_validate({"media": known, "quiet_hours": row.quiet_hours})


async def write_preferences(session: AsyncSession, organization_id: UUID, member_id: UUID, chosen: Preferences) -> None:
    """Replace what the member has chosen. The caller owns the transaction."""
    values = chosen.model_dump(mode="json")
    await session.execute(
        insert(NotificationSettings)
        .values(organization_id=organization_id, member_id=member_id, **values)
        .on_conflict_do_update(index_elements=["member_id"], set_=values)
    )


async def stop_mails(session: AsyncSession, member_id: UUID) -> bool:
    """Turn email off for every kind; false where there is no such member. Safe to repeat."""
    member = await session.get(Member, member_id)
    if member is None:
        return False
    chosen = await read_preferences(session, member_id)
    media = {kind: Choice(in_app=chosen.choice(kind).in_app, email=False) for kind in NoticeKind}
    quieter = Preferences(media=media, quiet_hours=chosen.quiet_hours)
    await write_preferences(session, member.organization_id, member_id, quieter)
    return True
