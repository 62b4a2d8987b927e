from uuid import UUID, uuid4

from sqlalchemy import select

from db.bell import LeftToTell, left_to_tell, ring_for
from db.engine import Sessions
from db.live_events import NOTIFICATION
from db.models import LiveEvent, Member, Notification
from db.notices import Subject, notify
from db.preferences import write_preferences
from domain.events import NoticeKind
from domain.notices import Choice, Preferences
from domain.ticket import Ticket
from tests.unit.tickets import NOW


async def tell(sessions: Sessions, ticket: Ticket, key: str, kind: NoticeKind, *, urgent: bool = False) -> set[UUID]:
    """Tell everybody of the organization; returns whom to wake a mail for."""
    rung: list[LeftToTell] = []

    async def bell(waiting: LeftToTell) -> None:
        rung.append(waiting)

    async with sessions.begin() as session:
        members = await session.scalars(select(Member.id).where(Member.organization_id == ticket.organization_id))
        subject = Subject(ticket.organization_id, ticket.id, 1, urgent=urgent)
        await notify(session, subject, key, kind=kind, why="Because.", member_ids=set(members), at=NOW)
        await notify(session, subject, key, kind=kind, why="Because.", member_ids=[], at=NOW)
    await ring_for(session, bell)
    assert not left_to_tell(session), "each bell is rung once"
    return rung[0].member_ids if rung else set()


async def written(sessions: Sessions, key: str) -> set[tuple[str, str, bool]]:
    async with sessions() as session:
        found = await session.execute(
            select(Member.name, Notification.medium, Notification.mail_due)
            .join(Member, Member.id == Notification.member_id)
            .where(Notification.key.startswith(f"{key}:"))
        )
    return {(name, medium, due) for name, medium, due in found}


async def members(sessions: Sessions, ticket: Ticket) -> dict[str, UUID]:
    async with sessions() as session:
        rows = await session.scalars(select(Member).where(Member.organization_id == ticket.organization_id))
        return {row.name: row.id for row in rows}


async def test_each_is_told_by_the_media_they_want(sessions: Sessions, ticket: Ticket) -> None:
    people = await members(sessions, ticket)
    chosen = {
        "Ada": Choice(in_app=True, email=True),
        "Ben": Choice(in_app=False, email=True),
        "Cleo": Choice(in_app=False, email=False),
    }
    async with sessions.begin() as session:
        for name, choice in chosen.items():
            mine = Preferences(media={NoticeKind.CUSTOMER_REPLIED: choice})
            await write_preferences(session, ticket.organization_id, people[name], mine)
    key = str(uuid4())
    woken = await tell(sessions, ticket, key, NoticeKind.CUSTOMER_REPLIED)
    assert await written(sessions, key) == {
        ("Ada", "in_app", False),
        ("Ada", "email", True),
        ("Ben", "email", True),
        ("Sam", "in_app", False),  # by default
    }
    assert woken == {people["Ada"], people["Ben"]}
    async with sessions() as session:
        shown = await session.scalars(select(LiveEvent).where(LiveEvent.ticket_id == ticket.id))
        assert {(row.kind, row.member_id) for row in shown} == {
            (NOTIFICATION, people["Ada"]),
            (NOTIFICATION, people["Sam"]),
        }


async def test_told_again_under_the_same_key_nobody_hears_it_twice(sessions: Sessions, ticket: Ticket) -> None:
    first, second = str(uuid4()), str(uuid4())
    assert len(await tell(sessions, ticket, first, NoticeKind.MENTIONED)) == 4
    before = await written(sessions, first)
    assert len(before) == 8
    assert await tell(sessions, ticket, first, NoticeKind.MENTIONED) == set()
    assert await written(sessions, first) == before
    # Another episode is told again, but who has a mail to come already is not woken for it, unless it is urgent.
    assert await tell(sessions, ticket, second, NoticeKind.MENTIONED) == set()
    assert len(await written(sessions, second)) == 8
    assert len(await tell(sessions, ticket, str(uuid4()), NoticeKind.MENTIONED, urgent=True)) == 4


async def test_what_is_rolled_back_was_told_to_nobody(sessions: Sessions, ticket: Ticket) -> None:
    key = str(uuid4())
    async with sessions() as session:
        people = await session.scalars(select(Member.id).where(Member.organization_id == ticket.organization_id))
        subject = Subject(ticket.organization_id, ticket.id)
        await notify(session, subject, key, kind=NoticeKind.MENTIONED, why="?", member_ids=set(people), at=NOW)
        await session.rollback()
    assert await written(sessions, key) == set()
