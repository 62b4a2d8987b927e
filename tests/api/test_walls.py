"""The second wall: with the queries' own filters taken away, Postgres still shows one organization's rows only."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

import db.tickets
from db.engine import Sessions, make_application_engine, make_reading_engine, make_reads, make_sessions
from db.models import (
    ApiKey,
    Member,
    Message,
    Organization,
    Requester,
    Table,
    Team,
    TeamMember,
    TicketEventRow,
    TicketRow,
)
from db.walls import ROLE, enter, every_organization, whichever_organization, within
from settings import Settings
from tests.api.tenant import Tenant, new_tenant

WITHOUT_AN_ORGANIZATION: dict[str, str] = {
    "accounts": "of people, who may belong to several organizations",
    "identities": "of people, who may belong to several organizations",
    "password_resets": "of people, who may belong to several organizations",
    "attempts": "of whoever knocks",
}
"""Tables that no wall stands before, each with the reason."""

LOGIN, PASSWORD = "walled", "password-of-the-tests"


@pytest.fixture(scope="module")
def walled(settings: Settings) -> Settings:
    """As a cluster has it: API and worker sign in as a user that is nothing but a member of the application's role."""
    with psycopg.connect(settings.psycopg_url, autocommit=True) as owner:
        name, role = sql.Identifier(LOGIN), sql.Identifier(ROLE)
        if not owner.execute("SELECT FROM pg_roles WHERE rolname = %s", [LOGIN]).fetchone():
            owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(PASSWORD)))
        owner.execute(sql.SQL("GRANT {} TO {}").format(role, name))
    place = urlsplit(settings.psycopg_url)
    address = f"postgresql://{LOGIN}:{PASSWORD}@{place.hostname}:{place.port}{place.path}"
    return Settings(database_url=address, secret_key=SecretStr("0" * 32), database_pool_size=1)


@pytest.fixture
async def engine(walled: Settings) -> AsyncIterator[AsyncEngine]:
    """One connection, so that it goes from organization to organization."""
    engine = make_application_engine(walled)
    yield engine
    await engine.dispose()


@pytest.fixture
async def reads(walled: Settings) -> AsyncIterator[Sessions]:
    """On one connection too."""
    engine = make_reading_engine(walled)
    yield make_reads(engine)
    await engine.dispose()


@dataclass(frozen=True)
class Two:
    """Two organizations with a ticket, a message, a member and a team each."""

    mine: Tenant
    theirs: Tenant
    tickets: dict[str, str]

    @property
    def me(self) -> UUID:
        return UUID(self.mine.id)

    @property
    def them(self) -> UUID:
        return UUID(self.theirs.id)


@pytest.fixture(scope="module")
async def two(http: httpx.AsyncClient) -> Two:
    """The same for all tests here, which leave them as they are."""
    mine, theirs = await new_tenant(http), await new_tenant(http)
    tickets = {}
    for each in (mine, theirs):
        ticket = await each.ticket("in_progress")
        assert (await each.message(ticket)).is_success
        member = await each.member()
        await each.team(member_ids=[member["id"]])
        tickets[each.id] = ticket["id"]
    return Two(mine, theirs, tickets)


@pytest.fixture(params=["in transactions", "statement by statement"])
def sessions(engine: AsyncEngine, reads: Sessions, request: pytest.FixtureRequest) -> Sessions:
    """Both ways in which the application talks to Postgres."""
    return make_sessions(engine) if request.param == "in transactions" else reads


async def test_queries_without_a_filter_see_the_callers_rows_only(sessions: Sessions, two: Two) -> None:
    for organization_id in (two.me, two.them, two.me):
        with within(organization_id):
            async with sessions() as session:
                assert set(await session.scalars(select(Organization.id))) == {organization_id}
                for model in (TicketRow, TicketEventRow, Message, Member, Requester, Team, ApiKey):
                    found = list(await session.scalars(select(model.organization_id)))
                    assert set(found) == {organization_id}, model.__tablename__
                # Rows that name no organization belong to one by what they are part of.
                teams = set(await session.scalars(select(Team.id)))
                assert set(await session.scalars(select(TeamMember.team_id))) == teams
                assert len(teams) == 1


async def test_another_organizations_rows_can_be_neither_written_nor_changed(sessions: Sessions, two: Two) -> None:
    with within(two.me):
        async with sessions() as session:
            changed = await session.execute(update(TicketRow).values(title="Mine now").returning(TicketRow.id))
            assert [str(each) for each in changed.scalars()] == [two.tickets[two.mine.id]]
            await session.rollback()
            gone = await session.execute(delete(Message).where(Message.organization_id == two.them))
            assert gone.rowcount == 0  # type: ignore[attr-defined]
            await session.rollback()
            theirs = {"id": uuid4(), "organization_id": two.them, "name": "Somebody"}
            for statement in (
                insert(Requester).values(theirs),
                update(Requester).values(organization_id=two.them),
                insert(Organization).values(
                    id=uuid4(), name="A", auto_close_after=func.make_interval(), reopen_window=func.make_interval()
                ),
            ):
                with pytest.raises(ProgrammingError, match="row-level security"):
                    await session.execute(statement)
                await session.rollback()


async def test_who_works_for_nobody_sees_nothing(sessions: Sessions, two: Two) -> None:
    with within(two.me):
        async with sessions() as session:
            assert await session.scalar(select(func.count()).select_from(TicketRow)) == 1
    async with sessions() as session:  # the same connection
        for table in Table.metadata.sorted_tables:
            if table.name not in WITHOUT_AN_ORGANIZATION:
                assert await session.scalar(select(func.count()).select_from(table)) == 0, table.name
    with every_organization():
        async with sessions() as session:
            owners = set(await session.scalars(select(TicketRow.organization_id)))
    assert {two.me, two.them} <= owners


async def test_a_connection_keeps_for_whom_it_works_through_rollbacks_and_failures(
    sessions: Sessions, two: Two
) -> None:
    count = select(TicketRow.organization_id)
    with within(two.me):
        async with sessions() as session:
            await session.scalars(count)
            await session.rollback()
    with within(two.them):
        with pytest.raises(ProgrammingError):
            async with sessions.begin() as session:
                await session.execute(text("SELECT nonsense"))
        async with sessions() as session:
            assert set(await session.scalars(count)) == {two.them}
            await session.rollback()
            assert set(await session.scalars(count)) == {two.them}
    with within(two.me):
        async with sessions() as session:
            assert set(await session.scalars(count)) == {two.me}
    with whichever_organization():
        async with sessions() as session:
            assert set(await session.scalars(count)) == {two.me}


async def test_a_connection_that_died_in_the_pool_is_replaced(settings: Settings, reads: Sessions, two: Two) -> None:
    with within(two.me):
        async with reads() as session:
            pid = await session.scalar(select(func.pg_backend_pid()))
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url, autocommit=True) as owner:
        await owner.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with within(two.them):
        async with reads() as session:
            assert set(await session.scalars(select(TicketRow.organization_id))) == {two.them}


async def test_the_role_cannot_get_round_the_wall(walled: Settings, settings: Settings, two: Two) -> None:
    owner = urlsplit(settings.psycopg_url).username
    forbidden = (
        f"SET ROLE {owner}",
        f"SET SESSION AUTHORIZATION {owner}",
        "ALTER TABLE tickets DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tickets NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY one_organization ON tickets",
        "CREATE POLICY mine ON tickets USING (true)",
        f"ALTER TABLE tickets OWNER TO {LOGIN}",
        f"ALTER ROLE {LOGIN} BYPASSRLS",
        f"ALTER ROLE {ROLE} BYPASSRLS",
        f"GRANT {owner} TO {LOGIN}",
        "TRUNCATE tickets",
        "SELECT * FROM alembic_version",
        "SET row_security = off; SELECT * FROM tickets",
    )
    async with await psycopg.AsyncConnection.connect(walled.psycopg_url, autocommit=True) as connection:
        for statement in forbidden:
            with pytest.raises(InsufficientPrivilege):
                await connection.execute(statement)
        await connection.execute("SET row_security = on")
        for leave in ("RESET ROLE", "SET ROLE NONE"):
            await connection.execute(leave)
            assert await (await connection.execute("SELECT FROM tickets")).fetchall() == []
        facts = await connection.execute(
            "SELECT bool_or(rolsuper OR rolbypassrls OR rolcreaterole) FROM pg_roles WHERE rolname = ANY(%s)",
            [[LOGIN, ROLE]],
        )
        assert await facts.fetchone() == (False,)


def test_every_table_has_its_wall(settings: Settings) -> None:
    with psycopg.connect(settings.psycopg_url) as owner:
        standing = owner.execute(
            "SELECT c.relname, array_agg(p.policyname::text ORDER BY p.policyname) FROM pg_class c"
            " JOIN pg_policies p ON p.tablename = c.relname"
            " WHERE c.relrowsecurity AND c.relforcerowsecurity GROUP BY 1"
        ).fetchall()
    walls: dict[str, list[str]] = dict(standing)
    for table in Table.metadata.sorted_tables:
        expected = None if table.name in WITHOUT_AN_ORGANIZATION else ["everything", "one_organization"]
        assert walls.get(table.name) == expected, (
            f"{table.name}: its migration has to call wall() or wall_by() of migrations/walls.py"
        )
        assert not (table.name in WITHOUT_AN_ORGANIZATION and "organization_id" in table.columns)


@pytest.mark.parametrize("forgetful", ["_FIND", "_FIND_WITH_ANSWER", "_FIND_SHOWN"])
async def test_a_route_whose_query_forgot_the_organization_still_answers_404(
    two: Two, monkeypatch: pytest.MonkeyPatch, forgetful: str
) -> None:
    ticket_id = (await two.theirs.ticket("in_progress"))["id"]
    whole = getattr(db.tickets, forgetful)
    conditions = [each for each in whole._where_criteria if "organization" not in str(each)]
    assert len(conditions) == len(whole._where_criteria) - 1
    careless = whole._generate()
    careless._where_criteria = tuple(conditions)
    monkeypatch.setattr(db.tickets, forgetful, careless)
    for method, path, document in (
        ("GET", f"/tickets/{ticket_id}", None),
        ("POST", f"/tickets/{ticket_id}/status", {"to": "waiting"}),
    ):
        refusal = await two.mine.call(method, path, document)
        assert (refusal.status_code, refusal.json()["code"]) == (404, "not_found"), refusal.text
        assert (await two.theirs.call(method, path, document)).is_success


async def test_lists_whose_query_forgot_the_organization_show_the_callers_tickets(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = db.tickets._recorded()
    monkeypatch.setattr("api.routers.tickets.list_tickets", lambda *_: careless)
    listed = [each["id"] async for each in two.mine.pages("/tickets")]
    assert listed == [two.tickets[two.mine.id]]


async def test_tasks_of_one_process_work_for_their_own_organization(reads: Sessions, two: Two) -> None:
    async def owners(organization_id: UUID) -> set[UUID]:
        enter(organization_id)
        found = set()
        for _ in range(5):
            async with reads() as session:
                found |= set(await session.scalars(select(TicketRow.organization_id)))
            await asyncio.sleep(0)
        return found

    wanted = [two.me, two.them] * 5
    assert await asyncio.gather(*map(owners, wanted)) == [{each} for each in wanted]


async def test_the_application_signs_in_as_nobody_else(sessions: Sessions) -> None:
    async with sessions() as session:
        assert await session.scalar(text("SELECT current_user || ' ' || session_user")) == f"{ROLE} {LOGIN}"


Block = Callable[[], AbstractContextManager[None]]


@pytest.mark.parametrize("block", [every_organization, whichever_organization, lambda: within(uuid4())])
async def test_a_block_ends_where_it_ends(reads: Sessions, two: Two, block: Block) -> None:
    with ExitStack() as stack:
        stack.enter_context(block())
        async with reads() as session:
            await session.execute(select(TicketRow.id))
    async with reads() as session:
        assert list(await session.scalars(select(TicketRow.id))) == []
