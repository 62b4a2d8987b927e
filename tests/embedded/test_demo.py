import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from api.schemas.organization import CreateOrganization, OrganizationView
from api.schemas.people import MemberView
from api.security import hash_api_key
from db.models import ApiKey, Member, Organization, Table, Team, TeamMember
from domain.permissions import Role
from embedded.demo import ensure_demo
from settings import Settings

SECRET = SecretStr("s" * 32)


@pytest.fixture
def settings(new_database: Callable[[], str]) -> Settings:
    return Settings(database_url=new_database(), secret_key=SECRET)


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    engine: Engine = create_engine(settings.database_url, poolclass=NullPool)
    with Session(engine) as session:
        yield session


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "key"


def made(settings: Settings, key_file: Path) -> str:
    key = ensure_demo(settings, key_file)
    assert key is not None
    return key


def works(session: Session, key: str) -> bool:
    row = select(ApiKey.id).where(ApiKey.hash == hash_api_key(key, SECRET), ApiKey.revoked_at.is_(None))
    return session.scalar(row) is not None


def rows(session: Session) -> dict[str, int]:
    tables = Table.metadata.sorted_tables
    counts = {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}
    return {name: count for name, count in counts.items() if count}


def test_an_empty_database_gets_an_organization_that_can_work(
    settings: Settings, session: Session, key_file: Path
) -> None:
    key = made(settings, key_file)
    assert works(session, key)
    organization = OrganizationView.model_validate(session.scalars(select(Organization)).one())
    defaults = CreateOrganization(name="Demo")
    assert organization.model_dump(include=set(CreateOrganization.model_fields)) == defaults.model_dump()
    members = [MemberView.model_validate(row) for row in session.scalars(select(Member))]
    assert [member.role for member in members].count(Role.AGENT) == 4
    assert {Role.OWNER, Role.SUPERVISOR} < {member.role for member in members}
    supervisor = next(member.id for member in members if member.role is Role.SUPERVISOR)
    for team in session.scalars(select(Team)):
        positions = select(TeamMember.position).where(TeamMember.team_id == team.id).order_by(TeamMember.position)
        assert len(turns := list(session.scalars(positions))) >= 2
        assert turns == list(range(len(turns)))
        assert team.supervisor_id == supervisor
    limits = {team.name: team.acknowledge_within for team in session.scalars(select(Team))}
    assert limits.keys() == {"Support", "Billing", "Bugs"}
    assert [name for name, limit in limits.items() if limit] == ["Support"]


def test_the_key_is_kept_for_its_owner_only(settings: Settings, key_file: Path) -> None:
    key = made(settings, key_file)
    assert key_file.read_text().strip() == key
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_a_second_call_changes_nothing(settings: Settings, session: Session, key_file: Path) -> None:
    key, before = made(settings, key_file), rows(session)
    session.rollback()
    assert ensure_demo(settings, key_file) == key
    assert rows(session) == before


def test_a_lost_key_is_replaced_and_stays_good(settings: Settings, session: Session, key_file: Path) -> None:
    lost = made(settings, key_file)
    key_file.unlink()
    found = made(settings, key_file)
    assert found != lost
    assert works(session, found)
    assert works(session, lost)
    assert key_file.read_text().strip() == found


def test_a_revoked_key_is_replaced_and_stays_revoked(settings: Settings, session: Session, key_file: Path) -> None:
    revoked = made(settings, key_file)
    session.execute(update(ApiKey).values(revoked_at=func.now()))
    session.commit()
    assert works(session, made(settings, key_file))
    assert not works(session, revoked)


def test_organizations_of_somebody_else_are_left_alone(settings: Settings, session: Session, key_file: Path) -> None:
    wanted = CreateOrganization(name="Blue Airline")
    session.add(Organization(id=uuid4(), **wanted.model_dump()))
    session.commit()
    before = rows(session)
    session.rollback()
    assert ensure_demo(settings, key_file) is None
    assert rows(session) == before
    assert not key_file.exists()


def test_a_kill_before_the_commit_leaves_nothing_that_the_next_call_trips_over(
    settings: Settings, session: Session, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_die(file: Path, text: str) -> None:
        file.write_text(text)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("embedded.demo.write_private", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            ensure_demo(settings, key_file)
    assert rows(session) == {}
    session.rollback()
    assert works(session, made(settings, key_file))
