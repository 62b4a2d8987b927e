"""Invitations as clients send and see them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.account import Folded, NewPassword, Token
from api.schemas.fields import Document, Name, View
from domain.permissions import Role

MOST = 100
"""Invitations in one request."""


class InvitationStatus(StrEnum):
    """What became of an invitation."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Invitee(Document):
    """Whom to ask, and what they are to be; an agent unless said otherwise."""

    email: Folded
    name: Name | None = Field(default=None, description="Until they say themselves; the address without one.")
    role: Role = Role.AGENT
    team_ids: list[UUID] = Field(default_factory=list, max_length=100)


class Invite(Document):
    """One or many, all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"invitations": [{"email": "ada@example.com", "name": "Ada Agent", "role": "agent"}]}]
        }
    )

    invitations: list[Invitee] = Field(min_length=1, max_length=MOST)


class InvitationView(View):
    """An invitation. The token is in the mail alone."""

    id: UUID
    member_id: UUID
    email: str
    name: str
    role: Role
    status: InvitationStatus
    invited_by: str | None
    created_at: datetime
    sent_at: datetime
    expires_at: datetime


class InvitationsView(View):
    """The invitations just made."""

    items: list[InvitationView]


class PreviewInvitation(Document):
    """The token from the mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "o5Yv0cQ7mB…"}]})

    token: Token


class InvitationPreview(View):
    """What somebody was invited to."""

    organization: str
    email: str
    role: Role
    invited_by: str | None
    has_account: bool = Field(description="They sign in first, and then accept without name and password.")


class AcceptInvitation(Document):
    """Name and password for a new account; neither for one that is signed in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "o5Yv0cQ7mB…", "name": "Ada Agent", "password": "seven green umbrellas"}]
        }
    )

    token: Token
    name: Name | None = None
    password: NewPassword | None = None
