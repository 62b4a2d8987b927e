"""People who sign in, their sessions, and how they come to be members."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Account(Table):
    """A person who signs in, member of any number of organizations. ``email`` is case-folded.

    ``password_hash`` is ``None`` for who only signs in elsewhere (OpenID Connect). ``email_verified_at`` is when the
    address was shown to be theirs; ``None`` after a sign-up, which shows nothing.
    """

    __tablename__ = "accounts"

    id: Mapped[Key]
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]


class Identity(Table):
    """An account as an OpenID Connect provider knows it."""

    __tablename__ = "identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]


class AccountSession(Table):
    """Somebody is signed in: a browser holds the token of which only a hash is kept here.

    ``organization_id`` is the one chosen last. ``expires_at`` moves on with use, up to a fixed time after
    ``created_at``; a session signed out is deleted.
    """

    __tablename__ = "account_sessions"

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id", ondelete="SET NULL"))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Invitation(Table):
    """Somebody was asked to join as ``member_id``; the mail holds a token that works once and until ``expires_at``.

    Sent again it gets another token, and the one before stops working. Neither accepted nor revoked, it is open.
    """

    __tablename__ = "invitations"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    invited_by: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "organization_id", "created_at", "id"),)


class PasswordReset(Table):
    """A mailed token that sets a new password, once and until ``expires_at``."""

    __tablename__ = "password_resets"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Attempts(Table):
    """How often something was tried since ``since``; ``bucket`` is a keyed hash of what, and by or for whom."""

    __tablename__ = "attempts"

    bucket: Mapped[bytes] = mapped_column(primary_key=True)
    tries: Mapped[int]
    since: Mapped[datetime] = mapped_column(index=True)
