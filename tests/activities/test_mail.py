from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.letters import Letters
from activities.mail import Post
from activities.mail_server import MailServer
from activities.signatures import MailOutcome, MemberMail, SendMail
from activities.sweep import Sweep
from activities.ticket_record import TicketRecord
from db.bell import LeftToTell
from db.engine import Sessions
from db.live_events import Position, publish, read_after
from db.mail import send_mail
from db.models import Backtest, LiveEvent, Mail, Member, Notification
from db.notices import Subject, notify
from db.preferences import write_preferences
from domain.events import NoticeKind
from domain.mail import TOKEN_GOES_HERE, MailState, as_html, mail_token
from domain.notices import Preferences, QuietHours
from domain.ticket import Ticket
from domain.unsubscribing import read_unsubscribe_token, unsubscribe_token
from tests.activities.test_ticket_record import batch, created
from tests.mailbox import Does, Mailbox, mailbox

SECRET = "0" * 32
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as it:
        yield it


@pytest.fixture
def post(sessions: Sessions, box: Mailbox) -> Post:
    server = MailServer("127.0.0.1", box.port, "none", None, None, "Baton <baton@desk.example>", SECRET, seconds=0.3)
    letters = Letters(
        public_url="https://baton.example/",
        secret=SECRET,
        sender=server.sender,
        reply_to="desk+{ticket}@desk.example",
        gather=timedelta(seconds=30),
    )
    return Post(sessions, server, letters)


async def queued(sessions: Sessions, **others: str) -> UUID:
    async with sessions.begin() as session:
        values = {"key": str(uuid4()), "to": "ada@example.com", "subject": "Hello", "text": "A word.\n"} | others
        return await send_mail(session, **values)  # type: ignore[arg-type]


async def mail_of(sessions: Sessions, mail_id: UUID) -> Mail:
    async with sessions() as session:
        return await session.get_one(Mail, mail_id)


async def sent(post: Post, mail_id: UUID) -> MailOutcome:
    outcome: MailOutcome = await ActivityEnvironment().run(post.send, SendMail(mail_id=mail_id))
    return outcome


async def test_mail_is_sent_once_however_often_it_is_asked_for(post: Post, sessions: Sessions, box: Mailbox) -> None:
    key = str(uuid4())
    mail_id = await queued(sessions, key=key, subject="Two\r\nlines", html="<p>A word.</p>")
    assert await queued(sessions, key=key, subject="Another") == mail_id
    for _ in range(2):
        assert await sent(post, mail_id) == MailOutcome(state=MailState.SENT)
    [mail] = box.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == ("ada@example.com", "Baton <baton@desk.example>", "Two lines")
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    row = await mail_of(sessions, mail_id)
    assert (row.attempts, row.state, row.error, row.sent_at is None) == (1, "sent", None, False)


async def test_token_is_in_the_mail_and_not_in_what_is_kept_of_it(post: Post, sessions: Sessions, box: Mailbox) -> None:
    key = f"invitation:{uuid4()}"
    text = f"Join <Acme>, not https://other.example/x:\nhttps://baton.example/#token={TOKEN_GOES_HERE}\n\nBye.\n"
    mail_id = await queued(sessions, key=key, text=text, html=as_html(text, "https://baton.example"))
    await sent(post, mail_id)
    [mail] = box.mails
    token = mail_token(key, SECRET)
    link = f"https://baton.example/#token={token}"
    plain, html = (part.get_content().replace("\r\n", "\n") for part in mail.iter_parts())
    assert plain == f"Join <Acme>, not https://other.example/x:\n{link}\n\nBye.\n"
    assert f'<p>Join &lt;Acme&gt;, not https://other.example/x:<br>\n<a href="{link}">{link}</a></p>' in html
    row = await mail_of(sessions, mail_id)
    assert token not in "".join(str(value) for value in vars(row).values())
    others = [mail_token(f"{key}!", SECRET), mail_token(key, "1" * 32), unsubscribe_token(uuid4(), SECRET)]
    assert len({token, *others}) == 4, "it is of this mail and this secret alone"


@pytest.mark.parametrize(
    ("does", "why", "taken"),
    [
        ([Does.GREYLIST, Does.GREYLIST], "answered 451 4.7.1 Come again later", 1),
        ([Does.HANG], "does not answer: SMTPReadTimeoutError", 1),
        ([Does.DROP_BEFORE], "does not answer: SMTPServerDisconnected", 1),
        # It has it, and we cannot know. The second has the same Message-ID, by which the receiver tells.
        ([Does.DROP_AFTER], "does not answer: SMTPServerDisconnected", 2),
    ],
    ids=["greylisted", "times out", "line dropped before", "line dropped after"],
)
async def test_mail_that_was_not_taken_is_offered_again(
    post: Post, sessions: Sessions, box: Mailbox, *, does: Sequence[Does], why: str, taken: int
) -> None:
    mail_id = await queued(sessions)
    box.will(does)
    for attempt in range(1, len(does) + 1):
        with pytest.raises(ApplicationError, match="mail server") as caught:
            await sent(post, mail_id)
        assert (caught.value.type, caught.value.non_retryable) == ("mail_not_taken", False)
        row = await mail_of(sessions, mail_id)
        assert (row.attempts, row.state) == (attempt, "queued")
        assert why in str(row.error)
    assert (await sent(post, mail_id)).state is MailState.SENT
    assert len(box.mails) == taken
    assert len({mail["Message-ID"] for mail in box.mails}) == 1
    row = await mail_of(sessions, mail_id)
    assert (row.attempts, row.state, row.error) == (len(does) + 1, "sent", None)


@pytest.mark.parametrize(
    ("does", "why"), [(Does.REFUSE, "550 5.1.1 There is nobody"), (Does.REFUSE_CONTENT, "554 5.6.0")]
)
async def test_refused_mail_is_not_offered_again_and_says_why(
    post: Post, sessions: Sessions, box: Mailbox, does: Does, why: str
) -> None:
    mail_id = await queued(sessions)
    box.will([does])
    for _ in range(2):
        outcome = await sent(post, mail_id)
        assert outcome.state is MailState.REFUSED
        assert why in str(outcome.error)
    assert (box.offered, box.mails) == (1, [])
    # What is decided stays decided.
    assert (await ActivityEnvironment().run(post.give_up, SendMail(mail_id=mail_id))).state is MailState.REFUSED


async def test_given_up_mail_keeps_the_last_reason_and_is_not_sent_late(
    post: Post, sessions: Sessions, box: Mailbox
) -> None:
    mail_id = await queued(sessions)
    box.will([Does.GREYLIST])
    with pytest.raises(ApplicationError):
        await sent(post, mail_id)
    outcome = await ActivityEnvironment().run(post.give_up, SendMail(mail_id=mail_id))
    assert outcome.state is MailState.GIVEN_UP
    assert "451" in str(outcome.error)
    assert await sent(post, mail_id) == outcome
    assert box.mails == []


async def test_without_a_server_nothing_is_lost(sessions: Sessions, post: Post) -> None:
    nowhere = MailServer(None, 587, "none", None, None, "baton@desk.example", SECRET)
    mail_id = await queued(sessions)
    with pytest.raises(ApplicationError, match="BATON_SMTP_HOST"):
        await sent(Post(sessions, nowhere, post._letters), mail_id)
    assert (await sent(post, mail_id)).state is MailState.SENT


# What members are told


@pytest.fixture
async def ada(sessions: Sessions, ticket: Ticket) -> UUID:
    """Of an organization with a recorded ticket, whose title would be a script; she is told nothing yet."""
    hostile = ticket.model_copy(update={"title": "<script>alert(1)</script>\nBcc: all@example.com"})
    await ActivityEnvironment().run(TicketRecord(sessions).record, batch(created(hostile)))
    assert ticket.assignee_id is not None
    async with sessions.begin() as session:
        await session.execute(update(Notification).values(mail_due=False))
    return ticket.assignee_id


async def tell(
    sessions: Sessions, ticket: Ticket, member: UUID, why: str, *, urgent: bool = False, at: datetime | None = None
) -> None:
    async with sessions.begin() as session:
        await notify(
            session,
            Subject(ticket.organization_id, ticket.id, 1, urgent=urgent),
            str(uuid4()),
            kind=NoticeKind.MENTIONED,
            why=why,
            member_ids=[member],
            at=at or datetime.now(UTC),
        )


async def folded(post: Post, member: UUID, now: datetime) -> UUID | None:
    found: UUID | None = (await ActivityEnvironment().run(post.fold, MemberMail(member_id=member, now=now))).mail_id
    return found


async def test_many_notifications_become_one_mail(
    post: Post, sessions: Sessions, ticket: Ticket, ada: UUID, box: Mailbox
) -> None:
    now = datetime.now(UTC)
    for number in range(5):
        await tell(sessions, ticket, ada, f"Reason <{number}>", at=now + timedelta(seconds=number))
    plan = await ActivityEnvironment().run(post.plan, MemberMail(member_id=ada, now=now))
    assert plan.due_at == now + timedelta(seconds=30)
    mail_id = await folded(post, ada, now + MINUTE)
    assert mail_id is not None
    assert await folded(post, ada, now + MINUTE) is None, "each is in one mail"
    assert (await ActivityEnvironment().run(post.plan, MemberMail(member_id=ada, now=now))).due_at is None
    await sent(post, mail_id)
    [mail] = box.mails
    text, html = (part.get_content() for part in mail.iter_parts())
    assert mail["Subject"] == "[#1 <script>alert(1)</script> Bcc: all@example.com] 5 notifications"
    assert "Bcc" not in mail
    places = [text.index(f"Why you are told: Reason <{number}>") for number in range(5)]
    assert places == sorted(places)
    assert html.count("Why you are told: Reason &lt;") == 5
    assert "<script>" not in html
    assert f"https://baton.example/tickets/{ticket.id}" in text
    # What a mail program needs to put it with the others, to answer, and to unsubscribe.
    root = mail["In-Reply-To"]
    assert root == mail["References"] != mail["Message-ID"]
    assert mail["Reply-To"] == f"desk+{ticket.id}@desk.example"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://baton.example/unsubscribe/")
    assert read_unsubscribe_token(link.rpartition("/")[2], SECRET) == ada
    async with sessions() as session:
        rows = await session.scalars(select(Notification).where(Notification.mail_id == mail_id))
        assert {(row.medium, row.mail_due) for row in rows} == {("email", False)}
    # The next mail about the ticket stands in the same thread.
    await tell(sessions, ticket, ada, "Again")
    later = await folded(post, ada, now + 2 * MINUTE)
    assert later is not None
    await sent(post, later)
    assert box.mails[1]["References"] == root
    assert box.mails[1]["Message-ID"] != mail["Message-ID"]


async def test_urgent_ones_do_not_wait_for_the_morning(
    post: Post, sessions: Sessions, ticket: Ticket, ada: UUID
) -> None:
    now = datetime.now(UTC)
    begins = (now - timedelta(hours=1)).time().replace(microsecond=0)
    ends = now + timedelta(hours=7)
    night = QuietHours(begins=begins, until=ends.time())
    async with sessions.begin() as session:
        await write_preferences(session, ticket.organization_id, ada, Preferences(quiet_hours=night))
    await tell(sessions, ticket, ada, "Calm", at=now)
    assert (await ActivityEnvironment().run(post.plan, MemberMail(member_id=ada, now=now))).due_at == ends
    assert await folded(post, ada, now) is None
    await tell(sessions, ticket, ada, "Fire", urgent=True, at=now)
    assert (await ActivityEnvironment().run(post.plan, MemberMail(member_id=ada, now=now))).due_at == now
    mail_id = await folded(post, ada, now)
    assert mail_id is not None
    mail = await mail_of(sessions, mail_id)
    assert ("Fire" in mail.text, "Calm" in mail.text, mail.subject[:8]) == (True, False, "Urgent: ")
    assert await folded(post, ada, ends) is not None


async def test_who_has_left_is_told_nothing_more(post: Post, sessions: Sessions, ticket: Ticket, ada: UUID) -> None:
    await tell(sessions, ticket, ada, "Too late")
    async with sessions.begin() as session:
        await session.execute(update(Member).where(Member.id == ada).values(status="disabled"))
    now = datetime.now(UTC)
    assert await folded(post, ada, now) is None
    assert (await ActivityEnvironment().run(post.plan, MemberMail(member_id=ada, now=now))).due_at is None


# What falls between a commit and its signal


async def test_sweep_finds_what_nobody_was_told_of_and_nothing_else(
    sessions: Sessions, ticket: Ticket, ada: UUID
) -> None:
    async with sessions() as session:
        people = {
            row.name: row.id
            for row in await session.scalars(select(Member).where(Member.organization_id == ticket.organization_id))
        }
    now = datetime.now(UTC)
    begins = (now - timedelta(hours=1)).time().replace(microsecond=0)
    night = QuietHours(begins=begins, until=(now + timedelta(hours=1)).time())
    async with sessions.begin() as session:
        await write_preferences(session, ticket.organization_id, people["Ben"], Preferences(quiet_hours=night))
    await tell(sessions, ticket, ada, "Lost", at=now - 5 * MINUTE)
    await tell(sessions, ticket, people["Ben"], "Sleeps", at=now - 5 * MINUTE)
    await tell(sessions, ticket, people["Cleo"], "Just now", at=now)
    await tell(sessions, ticket, people["Sam"], "Long ago", at=now - timedelta(days=10))
    lost, tried, fresh, old = [await queued(sessions) for _ in range(4)]
    async with sessions.begin() as session:
        for mail_id, values in (
            (lost, {"created_at": now - 5 * MINUTE}),
            (tried, {"created_at": now - 5 * MINUTE, "attempts": 1}),
            (old, {"created_at": now - timedelta(days=2)}),
        ):
            await session.execute(update(Mail).where(Mail.id == mail_id).values(**values))
    rung: list[LeftToTell] = []

    async def bell(waiting: LeftToTell) -> None:
        rung.append(waiting)

    sweep = Sweep(sessions, bell, mails=True, gather=timedelta(seconds=30), keep_backtests=MINUTE)
    await ActivityEnvironment().run(sweep.sweep)
    [waiting] = rung
    assert waiting.member_ids == {ada}
    assert waiting.mail_ids & {lost, tried, fresh, old} == {lost}
    assert (await mail_of(sessions, old)).state == MailState.GIVEN_UP


async def test_old_live_events_go_but_the_last_of_them(sessions: Sessions, ticket: Ticket) -> None:
    organization = ticket.organization_id
    for _ in range(3):
        async with sessions.begin() as session:
            await publish(session, organization, "ticket", {"number": 1})
    async with sessions.begin() as session:
        await session.execute(update(LiveEvent).values(at=datetime.now(UTC) - timedelta(hours=2)))
    async with sessions.begin() as session:
        await publish(session, organization, "ticket", {"number": 2})

    async def bell(_: LeftToTell) -> None:
        raise AssertionError

    swept = await ActivityEnvironment().run(
        Sweep(sessions, bell, mails=False, gather=MINUTE, keep_backtests=MINUTE).sweep
    )
    assert swept.forgotten >= 2
    async with sessions() as session:
        left = await read_after(session, Position(0, 0), [organization], 10)
    assert [each.payload["number"] for each in left.happenings] == [1, 2]


async def test_old_back_tests_go_unless_they_still_run(sessions: Sessions, ticket: Ticket) -> None:
    now = datetime.now(UTC)
    async with sessions.begin() as session:
        for name, status, days in (
            ("old", "done", 3),
            ("left", "stopped", 3),
            ("long", "running", 3),
            ("new", "done", 1),
        ):
            session.add(
                Backtest(
                    id=uuid4(),
                    organization_id=ticket.organization_id,
                    kind="escalation_event",
                    definition={"name": name},
                    since=now,
                    until=now,
                    status=status,
                    result={},
                    updated_at=now - timedelta(days=days),
                )
            )

    async def bell(_: LeftToTell) -> None:
        raise AssertionError

    sweep = Sweep(sessions, bell, mails=False, gather=MINUTE, keep_backtests=timedelta(days=2))
    assert (await ActivityEnvironment().run(sweep.sweep)).backtests == 2
    async with sessions() as session:
        mine = select(Backtest.definition).where(Backtest.organization_id == ticket.organization_id)
        assert {each["name"] for each in await session.scalars(mine)} == {"long", "new"}
