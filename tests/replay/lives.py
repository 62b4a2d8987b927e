"""Lives of tickets and of what stands beside them, one of each kind, whose histories are kept.

They run in real time, on ladders of fractions of a second, so that the histories look like production's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from activities.bulk import PAGE
from activities.signatures import EraseRequester, ExportRequest
from db.bell import LeftToTell
from db.models import BulkChange, Export, Mail
from domain.assignment import Assignment
from domain.bulk import PrioritizeAll
from domain.clocks import Metric
from domain.commands import AgentReplied, Erase, Merge
from domain.ids import deliveries_workflow_id, gathering_workflow_id, mail_workflow_id
from domain.ladders import (
    EscalationLadder,
    LadderStep,
    Notify,
    RaisePriority,
    ReminderAction,
    ReminderLadder,
    ReminderStep,
    Target,
)
from domain.priority import Priority
from domain.ticket import Source, Status
from tests.receiver import Does, receiver
from tests.support import eventually
from tests.workflows.answers import conversation_on, says
from tests.workflows.life import Life
from tests.workflows.line import Line, edit_team
from tests.workflows.office import Office, add_ladder
from tests.workflows.past import Past, escalation_event
from tests.workflows.queue import change_member, hand_out_by_workflow, remove_member
from tests.workflows.rules import Rules
from workflows.bell import make_bell
from workflows.bulk import BulkChangeWorkflow, StartBulkChange
from workflows.erasure import ErasureWorkflow
from workflows.export import ExportWorkflow, StartExport
from workflows.sweeping import SweepWorkflow

MOMENT = timedelta(milliseconds=300)

Kept = dict[str, str]
"""Ids of the workflows whose histories are kept, by the histories' name; several runs of one are numbered."""


async def silence(office: Office) -> Kept:
    """Waits, reminds twice, resolves and closes by itself."""
    steps = [ReminderAction.REMIND, ReminderAction.REMIND, ReminderAction.RESOLVE]
    hasty = ReminderLadder(
        name="Hasty",
        steps=tuple(ReminderStep(after=number * MOMENT, action=action) for number, action in enumerate(steps, start=1)),
    )
    await office.open(reminders=hasty, auto_close_after=MOMENT)
    life = await office.ticket(assignee="Ana")
    await life.move(Status.IN_PROGRESS, "Ana")
    await life.move(Status.WAITING, "Ana")
    await life.handle.result()
    return {"waiting-to-the-end": life.handle.id}


async def answer_while_waiting(office: Office) -> Kept:
    """The customer answers before the ladder ends, after an automatic reply that counts for nothing."""
    await office.open()
    life = await office.ticket(assignee="Ana")
    await life.move(Status.WAITING, "Ana")
    await life.history_length()  # the reminder's timer is armed
    await life.customer_writes(automatic=True)
    await life.customer_writes()
    await life.settled()
    return {"customer-answers": life.handle.id}


async def nobody_takes_it(office: Office) -> Kept:
    """Goes to the next member, then to the supervisor, who takes it."""
    await office.open(acknowledge_within=MOMENT)
    life = await office.ticket(assignee="Ana")
    await eventually(lambda: _has(life, "Sue"))
    await life.move(Status.IN_PROGRESS, "Sue")
    await life.settled()
    return {"reassigned-to-the-supervisor": life.handle.id}


async def second_thoughts(office: Office) -> Kept:
    """Resolved, reopened by the customer, resolved again and reopened by a member."""
    await office.open()
    life = await office.ticket()
    await life.move(Status.RESOLVED)
    await life.customer_writes()
    await life.move(Status.RESOLVED)
    await life.move(Status.IN_PROGRESS, "Ben")
    await life.settled()
    return {"reopened-while-resolved": life.handle.id}


async def second_run(office: Office) -> Kept:
    """Closed, and reopened by a command: two runs, of which the second loads what the first left."""
    await office.open()
    life = await office.ticket(assignee="Ana")
    await life.move(Status.RESOLVED)
    await life.move(Status.CLOSED)
    await life.handle.result()
    await life.reopen(life.to(Status.IN_PROGRESS, "Ana"))
    await life.obey(life.edit("Goes on"))
    await life.settled()
    return {"reopened-after-closed": life.handle.id}


async def follow_up(office: Office) -> Kept:
    """A ticket that takes over from one that was closed too long ago."""
    await office.open()
    closed = await office.ticket()
    life = await office.ticket(follow_up_of=closed.id)
    await life.customer_writes()
    await life.settled()
    return {"follow-up": life.handle.id}


async def refusal(office: Office) -> Kept:
    """A command whose sender did not wait is refused, another is obeyed."""
    await office.open()
    life = await office.ticket()
    await life.submit(life.to(Status.CLOSED))
    await life.submit(life.edit("Obeyed"))
    await life.settled()
    return {"refused-submission": life.handle.id}


async def long_life(office: Office) -> Kept:
    """More events than a run may have."""
    await office.open()
    life = await office.ticket(assignee="Ana", history_limit=40)
    await life.move(Status.WAITING, "Ana")
    while len(await life.runs()) == 1:
        await life.obey(life.edit("Another title"))
        await life.obey(life.edit("Refund for order 1001"))
    await life.obey(life.edit("Goes on"))
    await life.settled()
    return {"continued-as-new": life.handle.id}


async def burst(office: Office) -> Kept:
    """Ten commands and ten messages at once, recorded in few batches."""
    await office.open()
    life = await office.ticket()
    commands = (life.obey(life.edit(f"Title {number}")) for number in range(10))
    messages = (life.customer_writes() for _ in range(10))
    await asyncio.gather(*commands, *messages)
    await life.settled()
    return {"burst": life.handle.id}


async def broken_promise(office: Office) -> Kept:
    """Nobody answers in time: a warning, the breach, its ladder's step, and then the answer."""
    rules = Rules(await office.open())
    louder = LadderStep(wait=MOMENT, actions=(RaisePriority(), Notify(targets=(Target.SUPERVISORS,))))
    await rules.policy({Metric.FIRST_RESPONSE: 2 * MOMENT}, escalation_ladder_id=await rules.ladder(louder))
    life = await office.ticket(assignee="Ana")
    await eventually(lambda: _is_now(life, Priority.HIGH))
    await life.tell(AgentReplied(message_id=uuid4(), at=datetime.now(UTC), actor=office.members["Ana"]))
    await life.settled()
    return {"promise-broken": life.handle.id}


async def other_rules(office: Office) -> Kept:
    """The organization's rules change, and a rollout tells the ticket."""
    rules = Rules(await office.open())
    policy_id = await rules.policy({Metric.RESOLUTION: timedelta(days=1)})
    life = await office.ticket(assignee="Ana")
    await rules.edit(policy_id, {Metric.RESOLUTION: timedelta(days=2)}, applied=True)
    await rules.roll_out()
    await life.settled()
    (rollout,) = [run.id async for run in office.client.list_workflows("WorkflowType = 'SlaRollout'")]
    return {"rules-changed": life.handle.id, "rollout": rollout}


async def tried_rule(office: Office) -> Kept:
    """A rule is tried on what customers wrote, in two pages."""
    past = Past(await office.open())
    await past.happened([["I want a refund"], ["Hello"]] * 300)
    handle = await past.begin(await past.backtest(escalation_event({"keyword": "refund"})))
    await handle.result()
    return {"backtest": handle.id}


async def given_by_turn(office: Office) -> Kept:
    """Nobody is named for it, so the team's turns decide; then a ladder does."""
    await office.open(assignment=Assignment.ROUND_ROBIN, acknowledge_within=MOMENT)
    life = await office.ticket()
    await eventually(lambda: _has(life, "Ben"))
    await life.move(Status.IN_PROGRESS, "Ben")
    await life.settled()
    return {"assigned-by-turn": life.handle.id}


async def waits_for_somebody(office: Office) -> Kept:
    """Nobody is free: it waits until the member resolves another ticket; a third waits for a larger capacity."""
    await office.open(assignment=Assignment.ROUND_ROBIN, agents=["Ana"], member_capacity=1)
    first, life, last = [await office.ticket() for _ in range(3)]
    await eventually(lambda: _has(first, "Ana"))
    await first.move(Status.RESOLVED, "Ana")
    await eventually(lambda: _has(life, "Ana"))
    await change_member(office, "Ana", capacity=2)
    hand_out_id = await hand_out_by_workflow(office)
    await eventually(lambda: _has(last, "Ana"))
    return {"waited-in-queue": life.handle.id, "hand-out": hand_out_id}


async def owner_removed(office: Office) -> Kept:
    """Whoever has the ticket is removed; it goes back to the queue and to the next."""
    await office.open(assignment=Assignment.ROUND_ROBIN)
    life = await office.ticket(assignee="Ana")
    await life.move(Status.IN_PROGRESS, "Ana")
    await life.settled()
    removal_id = await remove_member(office, "Ana")
    await eventually(lambda: _has(life, "Ben"))
    return {"owner-removed": life.handle.id, "member-removal": removal_id}


async def told_by_mail(office: Office) -> Kept:
    """A member is told twice, gets one mail of it, and a sweep finds nothing."""
    await office.open()
    await office.ticket(assignee="Ana")
    await office.ticket(assignee="Ana")
    ana, queue = office.members["Ana"].id, office.settings.temporal_task_queue
    assert ana is not None
    gathering = office.client.get_workflow_handle(gathering_workflow_id(ana))
    await gathering.result()
    async with office.sessions() as session:
        mail_id = await session.scalar(select(Mail.id).where(Mail.organization_id == office.id))
    assert mail_id is not None
    sending = office.client.get_workflow_handle(mail_workflow_id(mail_id))
    await sending.result()
    sweep = await office.client.start_workflow(SweepWorkflow.run, id="sweep", task_queue=queue)
    await sweep.result()
    return {"mails-of-member": gathering.id, "mail": sending.id, "sweep": sweep.id}


async def answered(office: Office) -> Kept:
    """A customer is answered three times: the receiver fails first, refuses the second, and puts the third off.

    That one is tried again by hand.
    """
    await office.open()
    async with receiver() as platform:
        platform.will([Does.FAIL, Does.TAKE, Does.REFUSE, Does.PUT_OFF])
        conversation_id = await conversation_on(office, platform)
        await says(office, conversation_id, "One", "Two", "Three")
        await eventually(lambda: len(platform.requests) == 4, 30)
        # The activity has to have said that it waits.
        delivering = office.client.get_workflow_handle(deliveries_workflow_id(conversation_id))
        await eventually(lambda: _waits_to_try_again(delivering), 30)
        await make_bell(office.client, office.settings)(LeftToTell(changed_ids={conversation_id}))
        await delivering.result()
        assert platform.said() == ["One", "Three"]
    return {"deliveries": delivering.id}


async def _waits_to_try_again(delivering: WorkflowHandle[Any, Any]) -> bool:
    pending = (await delivering.describe()).raw_description.pending_activities
    return any(each.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED for each in pending)


async def merged(office: Office) -> Kept:
    """One ticket goes into another, having been refused to go into itself."""
    await office.open()
    source, target = await office.ticket(assignee="Ana"), await office.ticket()
    for into in (source, target):
        command = Merge(request_id=str(uuid4()), fingerprint="merge", actor=office.members["Ana"], target_id=into.id)
        with suppress(WorkflowUpdateFailedError):
            await source.handle.execute_update("merge", command)
    await source.handle.result()
    await target.settled()
    return {"merged": source.handle.id, "absorbed": target.handle.id}


async def changed_together(office: Office) -> Kept:
    """One change for a page of tickets and a second one, of which all but one ticket are not there."""
    await office.open()
    life = await office.ticket(assignee="Ana")
    row = BulkChange(
        id=uuid4(),
        organization_id=office.id,
        actor=office.members["Sue"].model_dump(mode="json"),
        change=PrioritizeAll(priority=Priority.HIGH).model_dump(mode="json"),
        ticket_ids=[life.id, *(uuid4() for _ in range(PAGE))],
        status="running",
    )
    async with office.sessions.begin() as session:
        session.add(row)
    start = StartBulkChange(bulk_change_id=row.id)
    bulk = await _start(office, BulkChangeWorkflow.run, start, "bulk-change")
    await eventually(lambda: _is_now(life, Priority.HIGH))
    return {"bulk-change": bulk}


async def forgotten(office: Office) -> Kept:
    """A ticket forgets its customer's words and goes on in another run; another requester is erased altogether."""
    await office.open()
    life = await office.ticket(assignee="Ana")
    command = Erase(request_id="erase:1", actor=office.members["Sue"])
    await life.handle.execute_update("erase", command)
    await eventually(lambda: _runs(life, 2))
    await life.move(Status.WAITING, "Ana")
    await life.settled()
    other = await office.ticket()
    live = await other.live()
    assert live.ticket
    start = EraseRequester(
        organization_id=office.id,
        requester_id=live.ticket.requester_id,
        erasure_id=uuid4(),
        actor=office.members["Sue"],
    )
    erasure = await _start(office, ErasureWorkflow.run, start, "erasure")
    return {"erased": life.handle.id, "erasure": erasure}


async def taken_along(office: Office) -> Kept:
    """An export is gathered, kept for a moment and deleted."""
    await office.open()
    export = Export(
        id=uuid4(),
        organization_id=office.id,
        actor_kind="system",
        status="running",
        rows={},
        expires_at=datetime.now(UTC),
    )
    async with office.sessions.begin() as session:
        session.add(export)
    request = ExportRequest(organization_id=office.id, export_id=export.id)
    start = StartExport(request=request, expires_at=datetime.now(UTC) + 3 * MOMENT)
    return {"export": await _start(office, ExportWorkflow.run, start, "export")}


async def escalated(office: Office) -> Kept:
    """Waits in the queue until its ladder has told everybody; claimed, answered and resolved; and raised once more."""
    await office.open()
    async with office.sessions.begin() as session:
        step = LadderStep(wait=MOMENT, actions=(RaisePriority(), Notify(targets=(Target.SUPERVISORS,))))
        ladder = EscalationLadder(name="Hasty", steps=(step,), repeat=1)
        ladder_id = await add_ladder(session, office.id, ladder)
    await edit_team(office, queue_ladder_id=ladder_id)
    line = await Line(office).open()
    await line.said(waiting=datetime.now(UTC))
    await line.raise_()
    await line.raise_(Source.RULE, of={"rule_name": "Refunds"})
    await eventually(lambda: _climbed(line, 2))
    await line.obey(line.claim("Ana"))
    await line.refused(line.claim("Ben"))
    await line.spoken(answered=datetime.now(UTC))
    await line.resolve()
    await line.handle.result()
    await line.raise_()
    await line.settled()
    return {"escalated": line.handle.id}


async def taken_over(office: Office) -> Kept:
    """Taken over without anybody having asked; its owner is silent, and it goes back; a member is removed."""
    await office.open()
    await edit_team(office, silence_limit=2 * MOMENT)
    line = await Line(office).open()
    await line.said(waiting=datetime.now(UTC))
    await line.take_over("Ana")
    await eventually(lambda: _climbed(line, 1, "returned"))
    await line.obey(line.claim("Ben"))
    await line.settled()
    await remove_member(office, "Ben")
    await eventually(lambda: _climbed(line, 2, "returned"))
    await line.settled()
    return {"taken-over": line.handle.id}


async def contested(office: Office) -> Kept:
    """Two members take it over in one instant, and who wins ends it before that is recorded."""
    line = await Line(await office.open()).open()
    await line.contest("Ana", "Ben")
    await line.handle.result()
    return {"contested": line.handle.id}


async def _climbed(line: Line, number: int, kind: str = "ladder_step") -> bool:
    return (await line.story()).count(kind) == number


async def _start(office: Office, run: Any, start: Any, name: str) -> str:
    workflow_id = f"{name}-{uuid4()}"
    await office.client.execute_workflow(run, start, id=workflow_id, task_queue=office.settings.temporal_task_queue)
    return workflow_id


async def _runs(life: Life, number: int) -> bool:
    return len(await life.runs()) == number


LIVES: tuple[Callable[[Office], Awaitable[Kept]], ...] = (
    silence,
    answer_while_waiting,
    nobody_takes_it,
    second_thoughts,
    second_run,
    follow_up,
    refusal,
    long_life,
    burst,
    broken_promise,
    other_rules,
    tried_rule,
    given_by_turn,
    waits_for_somebody,
    owner_removed,
    told_by_mail,
    answered,
    merged,
    changed_together,
    forgotten,
    taken_along,
    escalated,
    taken_over,
    contested,
)


async def _has(life: Life, name: str) -> bool:
    ticket = (await life.live()).ticket
    return ticket is not None and ticket.assignee_name == name


async def _is_now(life: Life, priority: Priority) -> bool:
    ticket = (await life.live()).ticket
    return ticket is not None and ticket.priority is priority
