"""Signing in and out as clients send and see it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from api.passwords import LONGEST, SHORTEST
from api.schemas.fields import Document, Email, Name, View
from domain.permissions import Role

Folded = Annotated[Email, AfterValidator(str.casefold)]
GivenPassword = Annotated[SecretStr, Field(max_length=LONGEST)]
NewPassword = Annotated[SecretStr, Field(min_length=SHORTEST, max_length=LONGEST)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=200, description="From the link in the mail.")]

_PASSWORD = "seven green umbrellas"  # noqa: S105 - an example
_TOKEN = "o5Yv0cQ7mB…"  # noqa: S105 - an example


class SignUp(Document):
    """An organization and its first owner. An account that exists already gets one more organization."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "organization": "Blue Airline",
                    "name": "Olive Owner",
                    "email": "olive@example.com",
                    "password": _PASSWORD,
                }
            ]
        }
    )

    organization: Name
    name: Name
    email: Folded
    password: NewPassword


class SignIn(Document):
    """Who, and the word only they know."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "olive@example.com", "password": _PASSWORD}]})

    email: Folded
    password: GivenPassword


class RequestReset(Document):
    """Whose password was forgotten."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "olive@example.com"}]})

    email: Folded


class ConfirmReset(Document):
    """The token from the mail, and the new password."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": _TOKEN, "password": _PASSWORD}]})

    token: Token
    password: NewPassword


class ChangePassword(Document):
    """The password there is, and the one there is to be."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"current_password": "an older one", "password": _PASSWORD}]}
    )

    current_password: GivenPassword
    password: NewPassword


class ChooseOrganization(Document):
    """Where the session works from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"organization_id": "9f0c2c1e-5d0e-4d7b-9a35-6f3c0f1c2b7a"}]}
    )

    organization_id: UUID


class AccountView(View):
    """A person who signs in."""

    id: UUID
    email: str
    name: str


class MembershipView(View):
    """An organization the account is an active member of."""

    organization_id: UUID
    organization: str
    member_id: UUID
    role: Role


class SignedInView(View):
    """Who is signed in, where they work now, and where else they could."""

    account: AccountView
    current: MembershipView | None = Field(description="Null where no organization is chosen, or it was left.")
    memberships: list[MembershipView]


class SessionView(View):
    """A browser that is signed in."""

    id: UUID
    current: bool = Field(description="The one this is asked with.")
    address: str | None = Field(examples=["192.0.2.7"])
    user_agent: str | None
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class AcceptedResetView(View):
    """The same whether there is such an account or not."""

    detail: str = Field(examples=["If there is an account with this address, a mail is on its way to it."])
