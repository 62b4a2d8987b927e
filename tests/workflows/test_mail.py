"""Mails through Temporal: gathered, held over quiet hours by a timer that lasts, sent, and given up."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.signatures import MailOutcome, SendMail
from db.bell import LeftToTell
from db.mail import send_mail
from db.notices import Subject, notify
from db.preferences import write_preferences
from domain.events import NoticeKind
from domain.ids import gathering_workflow_id, mail_workflow_id
from domain.mail import MailState
from domain.notices import Preferences, QuietHours
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.mailbox import Mailbox, mailbox
from tests.support import eventually
from tests.workflows.office import Office
from workflows.bell import make_bell
from workflows.gathering import GatheringWorkflow, StartGathering
from workflows.sending import SendingWorkflow


@pytest.fixture(scope="module")
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as it:
        yield it


@pytest.fixture(scope="module")
async def settings(database_url: str, temporal_server: EmbeddedTemporal, box: Mailbox) -> Settings:
    """Of this module's own database, task queue and mail server."""
    return Settings(
        database_url=database_url,
        temporal_address=temporal_server.address,
        temporal_task_queue=f"tickets-{uuid4()}",
        worker_sandboxed=True,
        secret_key=SecretStr("0" * 32),
        smtp_host="127.0.0.1",
        smtp_port=box.port,
        smtp_security="none",
        mail_gather=timedelta(seconds=3),  # time for two tickets
    )


async def tell(office: Office, name: str, why: str, *, at: datetime | None = None) -> None:
    async with office.sessions.begin() as session:
        await notify(
            session,
            Subject(office.id),
            str(uuid4()),
            kind=NoticeKind.MENTIONED,
            why=why,
            member_ids=[office.members[name].id],
            at=at or datetime.now(UTC),
        )


async def test_ticket_that_is_assigned_comes_by_mail(office: Office, box: Mailbox) -> None:
    await office.open(agents=("Mia",))
    await office.ticket(assignee="Mia")
    await office.ticket(assignee="Mia")
    [mail] = await eventually(lambda: box.to("mia@example.com"), 20)
    assert mail["Subject"] == "2 notifications about 2 tickets"

    async def over() -> bool:
        handle = office.client.get_workflow_handle(gathering_workflow_id(_id(office, "Mia")))
        return (await handle.describe()).close_time is not None

    assert await eventually(over, 20), "nobody waits for a member who has nothing to be told"
    assert len(box.to("mia@example.com")) == 1


async def test_mail_waits_over_quiet_hours(
    skipping_office: Office, skipping_env: WorkflowEnvironment, box: Mailbox
) -> None:
    office = await skipping_office.open(agents=("Nia",))
    member, now = _id(office, "Nia"), datetime.now(UTC)
    begins, ends = now - timedelta(hours=1), now + timedelta(hours=8)
    night = QuietHours(begins=begins.time(), until=ends.time())
    async with office.sessions.begin() as session:
        await write_preferences(session, office.id, member, Preferences(quiet_hours=night))
    await tell(office, "Nia", "At night")
    handle = await skipping_env.client.start_workflow(
        GatheringWorkflow.run,
        StartGathering(member_id=member),
        id=gathering_workflow_id(member),
        task_queue=office.settings.temporal_task_queue,
    )
    await handle.result()
    history = await handle.fetch_history()
    waits = [each for each in history.events if each.event_type == EventType.EVENT_TYPE_TIMER_STARTED]
    seconds = waits[0].timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
    assert timedelta(hours=7, minutes=50) < seconds <= timedelta(hours=8)
    assert len(await eventually(lambda: box.to("nia@example.com"), 20)) == 1


async def test_mail_of_any_kind_is_sent_at_once_and_once(office: Office, box: Mailbox) -> None:
    address = f"{uuid4()}@example.com"
    bell = make_bell(office.client, office.settings)
    async with office.sessions.begin() as session:
        mail_id = await send_mail(session, key=address, to=address, subject="Welcome", text="Come in.\n")
    for _ in range(3):
        await bell(LeftToTell({mail_id}))
    outcome = await office.client.get_workflow_handle(mail_workflow_id(mail_id), result_type=MailOutcome).result()
    assert outcome == MailOutcome(state=MailState.SENT)
    assert [mail["Subject"] for mail in box.to(address)] == ["Welcome"]


async def test_mail_that_cannot_be_sent_is_given_up(office: Office) -> None:
    outcome = await office.client.execute_workflow(
        SendingWorkflow.run,
        SendMail(mail_id=uuid4()),
        id=f"mail-{uuid4()}",
        task_queue=office.settings.temporal_task_queue,
    )
    assert outcome == MailOutcome(state=MailState.GIVEN_UP, error="There is no such mail.")


async def test_bell_that_nobody_hears_is_no_error(office: Office, settings: Settings) -> None:
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    await make_bell(away, settings)(LeftToTell(set(), {uuid4()}))


def _id(office: Office, name: str) -> UUID:
    found = office.members[name].id
    assert found is not None
    return found
