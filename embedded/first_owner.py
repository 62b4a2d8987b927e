"""The first owner of the demo organization, who can sign in."""

import secrets
from typing import NamedTuple
from uuid import uuid4

from argon2 import PasswordHasher
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from db.models import Account, Member
from domain.permissions import Role
from embedded.demo import ORGANIZATION_ID
from settings import Settings


class Credentials(NamedTuple):
    """What is shown once, and kept nowhere: the password is in the database as a hash alone."""

    email: str
    password: str


def ensure_owner(settings: Settings) -> Credentials | None:
    """An account for the demo organization's owner, with a random password that only this answer knows.

    ``None`` where somebody can sign in as an owner already, and where the organizations are somebody's own. Safe to
    repeat.
    """
    engine = create_engine(settings.database_url, poolclass=NullPool)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        owners = list(
            session.scalars(
                select(Member)
                .where(Member.organization_id == ORGANIZATION_ID, Member.role == Role.OWNER, Member.status == "active")
                .order_by(Member.created_at, Member.id)
                .with_for_update()
            )
        )
        if not owners or any(owner.account_id for owner in owners):
            return None
        owner, password = owners[0], secrets.token_urlsafe(12)
        if session.scalar(select(Account.id).where(Account.email == owner.email)) is not None:
            return None  # signed up on their own; they are invited like everybody else
        account = Account(id=uuid4(), email=owner.email, name=owner.name, password_hash=PasswordHasher().hash(password))
        session.add(account)
        session.flush()
        owner.account_id = account.id
    return Credentials(owner.email, password)
