"""Mails, written with the change that causes them and sent after it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import left_to_tell
from db.models import Mail
from domain.ids import mail_id
from domain.mail import MailState


async def send_mail(
    session: AsyncSession,
    *,
    key: str,
    to: str,
    subject: str,
    text: str,
    html: str | None = None,
    organization_id: UUID | None = None,
    headers: Mapping[str, str] | None = None,
) -> UUID:
    """Have a mail sent, once for ``key``, as soon as the caller's transaction is committed; returns its id.

    Safe to repeat: a key that is known changes nothing. Line ends in the subject and the address become spaces.
    Text and HTML have ``domain.mail.TOKEN_GOES_HERE`` for a token, which is never kept (``domain.mail.mail_token``).
    """
    new_id = mail_id(key)
    await session.execute(
        insert(Mail)
        .values(
            id=new_id,
            key=key,
            organization_id=organization_id,
            to_address=" ".join(to.split()),
            subject=" ".join(subject.split()),
            text=text,
            html=html,
            headers=dict(headers or {}),
            created_at=datetime.now(UTC),
            state=MailState.QUEUED,
        )
        .on_conflict_do_nothing(index_elements=["key"])
    )
    left_to_tell(session).mail_ids.add(new_id)
    return new_id
