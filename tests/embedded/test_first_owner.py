from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api.schemas.organization import CreateOrganization
from db.models import Account, Member, Organization
from domain.permissions import Role
from embedded.demo import ensure_demo
from embedded.first_owner import ensure_owner
from settings import Settings


@pytest.fixture
def settings(new_database: Callable[[], str]) -> Settings:
    return Settings(database_url=new_database(), secret_key=SecretStr("s" * 32))


def test_demo_gets_one_owner_who_can_sign_in_and_is_told_once(settings: Settings, tmp_path: Path) -> None:
    ensure_demo(settings, tmp_path / "key")
    owner = ensure_owner(settings)
    assert owner is not None
    assert ensure_owner(settings) is None
    with Session(create_engine(settings.database_url, poolclass=NullPool)) as session:
        account = session.scalars(select(Account)).one()
        member = session.scalars(select(Member).where(Member.account_id == account.id)).one()
    assert (account.email, member.role) == (owner.email, Role.OWNER)
    assert account.password_hash is not None
    assert PasswordHasher().verify(account.password_hash, owner.password)
    assert owner.password not in account.password_hash


def test_somebody_elses_organizations_get_none(settings: Settings, tmp_path: Path) -> None:
    with Session(create_engine(settings.database_url, poolclass=NullPool)) as session, session.begin():
        session.add(Organization(id=uuid4(), **CreateOrganization(name="Blue Airline").model_dump()))
    ensure_demo(settings, tmp_path / "key")
    assert ensure_owner(settings) is None


def test_owner_who_was_removed_gets_none(settings: Settings, tmp_path: Path) -> None:
    ensure_demo(settings, tmp_path / "key")
    with Session(create_engine(settings.database_url, poolclass=NullPool)) as session, session.begin():
        session.execute(update(Member).values(status="disabled"))
    assert ensure_owner(settings) is None
