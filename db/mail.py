"""Mails, written with the change that causes them and sent after it."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Mail


async def send_mail(
    session: AsyncSession,
    *,
    key: str,
    to: str,
    subject: str,
    text: str,
    html: str | None = None,
    organization_id: UUID | None = None,
) -> None:
    """Have a mail sent, once for ``key``, as soon as the caller's transaction is committed.

    Safe to repeat: a key that is known changes nothing. Line ends in the subject and the address become spaces.
    """
    await session.execute(
        insert(Mail)
        .values(
            id=uuid4(),
            key=key,
            organization_id=organization_id,
            to_address=" ".join(to.split()),
            subject=" ".join(subject.split()),
            text=text,
            html=html,
            headers={},
            created_at=datetime.now(UTC),
            state="queued",
        )
        .on_conflict_do_nothing(index_elements=["key"])
    )
