"""Secrets of channels, sealed in the database with a key that is not in it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import ChannelSecret

SIGNING = "signing"
"""The purpose of what a webhook's deliveries are signed with."""

_NONCE_BYTES = 12


class SealBroken(Exception):
    """A secret was sealed under another ``BATON_SECRET_KEY``, or for another channel."""


@dataclass(frozen=True)
class Seal:
    """AES-256-GCM under a key that follows from the process's own secret."""

    secret: str

    def close(self, channel_id: UUID, plain: str) -> bytes:
        """The secret as the database keeps it; only for this channel can it be opened again."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, plain.encode(), channel_id.bytes)

    def open(self, channel_id: UUID, sealed: bytes) -> str:
        """The secret; raises ``SealBroken``."""
        nonce, kept = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher().decrypt(nonce, kept, channel_id.bytes).decode()
        except InvalidTag as error:
            raise SealBroken("The channel's secret cannot be read any more; make a new one.") from error

    def _cipher(self) -> AESGCM:
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton channel secrets")
        return AESGCM(kdf.derive(self.secret.encode()))


async def keep_secret(
    session: AsyncSession,
    seal: Seal,
    organization_id: UUID,
    channel_id: UUID,
    *,
    purpose: str,
    plain: str,
    others_until: datetime | None = None,
) -> None:
    """Make this the channel's newest secret for the purpose; older ones count until ``others_until``, or no more.

    An older one never comes to count longer than it did. The caller owns the transaction.
    """
    mine = (ChannelSecret.channel_id == channel_id, ChannelSecret.purpose == purpose)
    if others_until is None:
        await session.execute(delete(ChannelSecret).where(*mine))
    else:
        await session.execute(delete(ChannelSecret).where(*mine, ChannelSecret.expires_at < datetime.now(UTC)))
        await session.execute(
            update(ChannelSecret).where(*mine, ChannelSecret.expires_at.is_(None)).values(expires_at=others_until)
        )
    session.add(
        ChannelSecret(
            id=uuid4(),
            organization_id=organization_id,
            channel_id=channel_id,
            purpose=purpose,
            sealed=seal.close(channel_id, plain),
            created_at=datetime.now(UTC),
        )
    )
    await session.flush()


async def open_secrets(session: AsyncSession, seal: Seal, channel_id: UUID) -> Mapping[str, tuple[str, ...]]:
    """The channel's secrets that count now, by purpose, the newest first. Raises ``SealBroken``."""
    rows = await session.scalars(
        select(ChannelSecret)
        .where(
            ChannelSecret.channel_id == channel_id,
            or_(ChannelSecret.expires_at.is_(None), ChannelSecret.expires_at > datetime.now(UTC)),
        )
        .order_by(ChannelSecret.created_at.desc(), ChannelSecret.id)
    )
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        found[row.purpose] = (*found.get(row.purpose, ()), seal.open(channel_id, row.sealed))
    return found
