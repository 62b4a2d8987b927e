import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from temporalio.client import WorkflowUpdateFailedError

from db.models import CalendarRow, Conversation, EscalationRow
from domain.clocks import Metric
from domain.escalation import EscalationStatus
from domain.escalation_commands import HandBack, PresenceChanged, Released, Resolve
from domain.ladders import EscalationLadder, LadderStep, Notify, Target
from domain.priority import Priority
from domain.ticket import Source
from settings import Settings
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.line import Line, cause_of, edit_team
from tests.workflows.office import Office, add_ladder
from tests.workflows.queue import change_member
from tests.workflows.rules import Rules

MINUTE = timedelta(minutes=1)
ASKED = "The customer asked for a human."
UNCLAIMED = "Nobody has taken the conversation."


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """In the sandbox."""
    return settings.model_copy(update={"worker_sandboxed": True})


@pytest.fixture
async def line(office: Office) -> Line:
    return await Line(await office.open()).open()


@pytest.fixture
async def skipped(skipping_office: Office) -> Line:
    return await Line(await skipping_office.open()).open()


async def test_a_reason_makes_an_escalation_and_its_team_is_told_once(line: Line) -> None:
    waiting = datetime.now(UTC) - MINUTE
    await line.said(waiting=waiting)
    raising = await line.raise_()
    await line.tell(raising)
    escalation = await line.settled()
    assert (escalation.status, escalation.waiting_since) == (EscalationStatus.QUEUED, waiting)
    assert await line.story() == ["raised"]
    assert await line.told() == [("Ana", ASKED), ("Ben", ASKED)]
    (reason,) = await line.reasons()
    assert (reason.id, reason.escalation_id, reason.source) == (raising.reason.id, escalation.id, "assistant")
    assert (await line.conversation()).handled_by == "bot"


async def test_many_reasons_a_takeover_and_two_rules_in_one_instant_are_one_escalation(line: Line) -> None:
    rules = [f"Rule {number}" for number in range(2)]
    named = (line.office.members["Ana"].id, line.office.members["Sue"].id)
    raised = [line.raise_(notify_member_ids=named) for _ in range(10)]
    raised += [
        line.raise_(Source.RULE, of={"rule_name": rule}, notify_team_ids=(line.office.team_id,)) for rule in rules
    ]
    await asyncio.gather(*raised, line.take_over("Ben"))
    escalation = await line.settled()

    async def all_added() -> bool:  # a takeover that comes first is one more
        return len([each for each in await line.reasons() if each.escalation_id and each.source != "takeover"]) == 12

    await eventually(all_added, 20)
    assert len(await line.rows()) == 1
    assert (escalation.status, escalation.owner_name) == (EscalationStatus.CLAIMED, "Ben")
    told = [name for name, _ in await line.told()]
    assert len(told) == len(set(told))  # whoever is told at all, for what is taken over at once needs nobody else
    assert set(told) <= {"Ana", "Ben", "Sue"}


async def test_of_members_who_claim_in_the_same_instant_one_wins_and_the_others_are_told_who(line: Line) -> None:
    await line.raise_()
    await line.settled()
    claims = [line.obey(line.claim(name)) for name in ("Ana", "Ben", "Sue")]
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    escalation = await line.settled()
    refused = [cause_of(each) for each in outcomes if isinstance(each, WorkflowUpdateFailedError)]
    assert len(refused) == 2
    said = {(each.type, each.details[0]["owner_name"]) for each in refused}
    assert said == {("claimed_by_another", escalation.owner_name)}
    conversation = await line.conversation()
    assert (conversation.handled_by, conversation.owner_id) == ("human", escalation.owner_id)
    assert (await line.story()).count("claimed") == 1


async def test_takeovers_in_the_same_instant_make_one_escalation(line: Line) -> None:
    outcomes = await asyncio.gather(*(line.take_over(name) for name in ("Ana", "Ben", "Sue")), return_exceptions=True)
    escalation = await line.settled()
    assert sum(isinstance(each, WorkflowUpdateFailedError) for each in outcomes) == 2
    assert len(await line.rows()) == 1
    assert [reason.source for reason in escalation.reasons] == [Source.TAKEOVER]
    assert (await line.story(), await line.told()) == (["raised", "claimed"], [])


async def test_a_refused_takeover_does_not_take_the_conversation_once_the_winner_has_ended_it(line: Line) -> None:
    outcomes = await line.contest("Ana", "Ben", "Sue")
    assert sum(isinstance(each, WorkflowUpdateFailedError) for each in outcomes) == 2
    await asyncio.wait_for(line.handle.result(), 20)
    assert await line.story() == ["raised", "claimed", "resolved"]
    assert [reason.source for reason in await line.reasons()] == ["takeover"]


async def test_handing_back_ends_it_and_the_bot_has_the_conversation_again(line: Line) -> None:
    await line.take_over("Ana")
    command = HandBack(request_id="back", fingerprint="back", actor=line.office.members["Ben"])
    assert (await line.refused(command)).type == "claimed_by_another"
    outcome = await line.obey(command.model_copy(update={"actor": line.office.members["Ana"], "request_id": "b"}))
    assert outcome.escalation.status is EscalationStatus.RESOLVED
    assert await line.handle.result() is not None
    conversation = await line.conversation()
    assert (conversation.handled_by, conversation.owner_id) == ("bot", None)


async def test_a_reason_that_comes_again_after_the_end_makes_no_second_escalation(line: Line) -> None:
    raising = await line.raise_()
    await line.settled()
    await line.resolve()
    await line.handle.result()
    await line.tell(raising)
    await line.handle.result()
    assert len(await line.rows()) == 1
    await line.raise_()
    await eventually(lambda: _rows(line, 2))
    assert await line.story() == ["raised", "resolved", "raised"]


async def test_what_was_asked_of_an_earlier_escalation_and_comes_again_is_none_of_the_next_ones(line: Line) -> None:
    raised = [await line.raise_(), await line.raise_(of={"priority": Priority.URGENT})]
    await eventually(lambda: _reasons(line, 2))
    resolve = Resolve(request_id="resolve", fingerprint="resolve", actor=line.office.members["Ana"])
    await line.obey(resolve)
    await line.handle.result()
    await line.raise_()
    await eventually(lambda: _rows(line, 2))
    for raising in raised:
        await line.tell(raising)
    assert (await line.refused(resolve)).type == "escalation_over"  # what came of it then is on record
    await line.raise_()
    escalation = await line.settled()
    assert (escalation.priority, len(escalation.reasons), escalation.version) == (Priority.NORMAL, 2, 2)
    assert await line.story() == ["raised", "reason_added", "resolved", "raised", "reason_added"]


async def test_an_earlier_try_of_a_takeover_that_changed_nothing_takes_nothing_over_later(line: Line) -> None:
    await line.take_over("Ana")
    outcome = await line.take_over("Ana", request_id="again")
    assert (outcome.escalation.owner_name, outcome.version) == ("Ana", 3)
    for _ in range(2):
        await line.resolve()
        await line.handle.result()
        await line.take_over("Ben")  # Temporal itself knows the updates of the last run
    await line.resolve()
    await line.handle.result()
    with pytest.raises(WorkflowUpdateFailedError) as late:
        await line.take_over("Ana", request_id="again")
    assert cause_of(late.value).type == "escalation_over"
    assert (await line.story())[:4] == ["raised", "claimed", "unchanged", "resolved"]
    assert len(await line.rows()) == 3


async def test_a_reason_in_the_instant_of_the_end_is_never_lost(line: Line) -> None:
    for round_ in range(1, 6):
        await line.raise_()
        await eventually(lambda: _live(line))
        await asyncio.gather(line.resolve(), line.raise_())
        await eventually(lambda number=2 * round_: _reasons(line, number))  # type: ignore[misc]
        if (await line.settled()).is_live:
            await line.resolve()
        await eventually(lambda: _nothing_live(line))
    reasons = await line.reasons()
    assert all(reason.escalation_id for reason in reasons)


async def test_a_long_life_goes_on_in_further_runs(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"history_limit": 40})
    line = await Line(await office.open()).open()
    for _ in range(20):
        await line.raise_()
        await line.settled()
    await line.raise_(of={"priority": Priority.URGENT})
    await eventually(lambda: _reasons(line, 21))
    escalation = await line.settled()
    assert (escalation.priority, escalation.further_reasons, len(await line.rows())) == (Priority.URGENT, 1, 1)
    assert (await line.handle.describe()).history_length < 80
    assert [change.version for change in await line.changes()] == list(range(1, 22))


async def test_the_ladder_is_climbed_and_stops_at_a_claim_between_two_steps(skipped: Line) -> None:
    await skipped.raise_()
    await skipped.settled()
    await skipped.let_pass(6 * MINUTE)
    await skipped.let_pass(10 * MINUTE)
    assert await skipped.told() == [
        ("Ana", ASKED),
        ("Ben", ASKED),
        ("Ana", UNCLAIMED),
        ("Ben", UNCLAIMED),
        ("Sue", UNCLAIMED),
    ]
    await skipped.obey(skipped.claim("Ana"))
    await skipped.let_pass(timedelta(days=1))
    assert len(await skipped.told()) == 5
    assert await skipped.story() == ["raised", "ladder_step", "ladder_step", "claimed"]


async def test_the_ladder_ends_by_itself(skipped: Line) -> None:
    await skipped.raise_()
    await skipped.settled()
    escalation = await skipped.let_pass(timedelta(days=7))
    assert escalation.status is EscalationStatus.QUEUED
    assert (await skipped.story()).count("ladder_step") == 6


async def test_a_team_has_a_ladder_of_its_own(skipped: Line) -> None:
    step = LadderStep(wait=2 * MINUTE, actions=(Notify(targets=(Target.SUPERVISORS,)),))
    async with skipped.office.sessions.begin() as session:
        ladder_id = await add_ladder(
            session, skipped.office.id, EscalationLadder(name="Quick", steps=(step,), repeat=1)
        )
    await edit_team(skipped.office, queue_ladder_id=ladder_id)
    await skipped.raise_()
    await skipped.settled()
    await skipped.let_pass(timedelta(hours=1))
    assert [name for name, why in await skipped.told() if why == UNCLAIMED] == ["Sue", "Sue"]


async def test_waits_can_count_working_time(skipped: Line) -> None:
    hours = [{"day": day, "opens": "00:00", "closes": "24:00"} for day in _other_days(datetime.now(UTC))]
    async with skipped.office.sessions.begin() as session:
        session.add(
            CalendarRow(
                organization_id=skipped.office.id,
                id=skipped.office.team_id,
                name="Not today",
                definition={"time_zone": "UTC", "hours": hours},
                is_default=True,
            )
        )
    await edit_team(skipped.office, queue_in_business_hours=True)
    raised_at = (await skipped.raise_()).reason.at
    await skipped.settled()
    midnight = (raised_at + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert [timer.due_at for timer in (await skipped.live()).timers] == [midnight + 5 * MINUTE]
    await skipped.let_pass(midnight + 6 * MINUTE - await skipped.now())
    assert await skipped.story() == ["raised", "ladder_step"]
    assert [timer.due_at for timer in (await skipped.live()).timers] == [midnight + 15 * MINUTE]


async def test_who_leaves_the_customer_waiting_loses_the_conversation_to_the_queue(skipped: Line) -> None:
    await edit_team(skipped.office, silence_limit=10 * MINUTE)
    await skipped.said(waiting=datetime.now(UTC))
    await skipped.raise_()
    await skipped.settled()
    await skipped.obey(skipped.claim("Ana"))
    assert (await skipped.let_pass(9 * MINUTE)).owner_name == "Ana"
    escalation = await skipped.let_pass(2 * MINUTE)
    assert (escalation.status, escalation.owner_id, escalation.stay) == (EscalationStatus.QUEUED, None, 2)
    conversation = await skipped.conversation()
    assert (conversation.handled_by, conversation.owner_id) == ("human", None)
    told = [name for name, why in await skipped.told() if why.startswith("A conversation came back")]
    assert told == ["Ana", "Ben"]
    await skipped.let_pass(6 * MINUTE)  # the ladder begins again
    assert (await skipped.story())[-2:] == ["returned", "ladder_step"]


async def test_an_answer_ends_the_silence_and_the_next_question_begins_it_anew(skipped: Line) -> None:
    await edit_team(skipped.office, silence_limit=10 * MINUTE)
    await skipped.take_over("Ana")
    await skipped.settled()
    assert (await skipped.live()).timers == ()
    now = await skipped.now()
    await skipped.spoken(waiting=now)
    await skipped.let_pass(9 * MINUTE)
    await skipped.spoken(answered=now + 9 * MINUTE)
    assert (await skipped.let_pass(timedelta(hours=3))).owner_name == "Ana"
    asked = await skipped.now()
    await skipped.spoken(waiting=asked)
    assert [timer.due_at for timer in (await skipped.live()).timers] == [asked + 10 * MINUTE]


async def test_an_answer_whose_signal_got_lost_is_found_before_anything_is_taken_away(skipped: Line) -> None:
    await edit_team(skipped.office, silence_limit=10 * MINUTE)
    await skipped.said(waiting=datetime.now(UTC))
    await skipped.raise_()
    await skipped.settled()
    await skipped.obey(skipped.claim("Ana"))
    await skipped.settled()
    await skipped.said(answered=datetime.now(UTC))  # nobody tells the workflow
    assert (await skipped.let_pass(timedelta(hours=1))).owner_name == "Ana"


@pytest.mark.parametrize("back", [True, False], ids=["comes back", "stays away"])
async def test_who_goes_offline_loses_the_conversation_unless_they_come_back(skipped: Line, back: bool) -> None:
    await edit_team(skipped.office, silence_limit=10 * MINUTE)
    await skipped.take_over("Ana")
    await skipped.settled()
    ana = skipped.office.members["Ana"].id
    assert ana is not None
    await change_member(skipped.office, "Ana", presence="offline", heartbeat_at=datetime.now(UTC))
    await skipped.handle.signal("presence_changed", PresenceChanged(member_id=ana, absent_since=await skipped.now()))
    await skipped.settled()
    await skipped.let_pass(5 * MINUTE)
    if back:
        await change_member(skipped.office, "Ana", presence="online")
    escalation = await skipped.let_pass(6 * MINUTE)
    assert escalation.owner_name == ("Ana" if back else None)


async def test_what_a_removed_member_has_goes_back(line: Line) -> None:
    await line.take_over("Ana")
    await line.settled()
    ana = line.office.members["Ana"].id
    assert ana is not None
    for _ in range(2):
        await line.handle.signal("released", Released(member_id=ana, request_id="removal"))
    escalation = await line.settled()
    assert escalation.status is EscalationStatus.QUEUED
    assert await line.story() == ["raised", "claimed", "returned"]


async def test_what_is_claimed_for_a_removed_member_goes_back_by_its_own_record(line: Line) -> None:
    await line.raise_()
    await line.settled()
    await change_member(line.office, "Ana", status="disabled")
    await line.obey(line.claim("Ana"))
    await eventually(lambda: _told_story(line, ["raised", "claimed", "returned"]))


async def test_a_command_that_comes_again_is_answered_and_a_key_that_is_used_again_is_refused(line: Line) -> None:
    await line.raise_()
    await line.settled()
    command = line.claim("Ana", request_id="once")
    first = await line.handle.execute_update("claim", command, id="a")
    again = await line.handle.execute_update("claim", command, id="b")
    assert (first["version"], again["version"]) == (2, 2)
    other = Resolve(request_id="once", fingerprint="other", actor=line.office.members["Ana"])
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await line.handle.execute_update("resolve", other, id="c")
    assert cause_of(refusal.value).type == "idempotency_key_reused"


async def test_a_broken_promise_for_a_chats_ticket_puts_the_conversation_into_the_queue_once(office: Office) -> None:
    rules = Rules(await office.open())
    await rules.policy({Metric.FIRST_RESPONSE: timedelta(seconds=2)})
    chat = await office.ticket()
    ticket = (await chat.live()).ticket
    assert ticket is not None
    async with office.sessions.begin() as session:
        chats = update(Conversation).where(Conversation.id == ticket.conversation_id)
        await session.execute(chats.values(external_id="chat"))
    by_hand = await office.ticket()
    line = Line(office, ticket.conversation_id)
    await eventually(lambda: _reasons(line, 1))
    escalation = await line.settled()
    [reason] = await line.reasons()
    assert (reason.source, reason.metric) == ("sla", "first_response")
    assert (escalation.team_id, escalation.ticket_id) == (office.team_id, chat.id)
    await eventually(lambda: _is_breached(by_hand))
    async with office.sessions() as session:
        assert (
            len(list(await session.scalars(select(EscalationRow).where(EscalationRow.organization_id == office.id))))
            == 1
        )


async def _is_breached(life: Life) -> bool:
    return (await life.settled()).breached


async def _reasons(line: Line, number: int) -> bool:
    return len([reason for reason in await line.reasons() if reason.escalation_id]) == number


async def _rows(line: Line, number: int) -> bool:
    return len(await line.rows()) == number


async def _live(line: Line) -> bool:
    rows = await line.rows()
    return bool(rows) and rows[-1].status == "queued"


async def _nothing_live(line: Line) -> bool:
    return all(row.status == "resolved" for row in await line.rows())


async def _told_story(line: Line, story: list[str]) -> bool:
    return await line.story() == story


def _other_days(now: datetime) -> list[str]:
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    return [day for number, day in enumerate(days) if number != now.weekday()]
