"""``python -m repair``: compare read models with workflows, rebuild the one, start the other again."""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from rich.console import Console
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from activities.escalation_record import EscalationRecord
from activities.ticket_record import TicketRecord
from db.engine import make_engine, make_sessions
from db.escalations import remembered_requests
from db.models import TicketRow
from domain.ids import escalation_workflow_id, workflow_id
from domain.ticket import Status, Ticket
from repair.escalation_comparison import ComparedEscalation, EscalationComparison
from repair.escalation_rebuilding import EscalationRebuilding
from repair.findings import AT_ONCE, Finding
from repair.rebuilding import CannotRebuild, Rebuilding
from repair.revival import Revival
from repair.ticket_comparison import Compared, Comparison
from settings import Settings, read_settings
from workflows.connection import connect
from workflows.requests import REMEMBERED_REQUESTS

_HELP = """Reads BATON_DATABASE_URL, BATON_TEMPORAL_ADDRESS and the other settings of the worker.

compare   holds every read model against its workflow; exit code 1 when something has to be done
rebuild   writes a ticket's row and events anew from its workflow (--all: of every ticket that is behind, different,
          without a row or with gaps); the same for a conversation's escalations
restart   starts a ticket's missing workflow from its read model (--all: every missing one); the same for the live
          escalation of a conversation

Each asks workflows through a worker, so one has to run. After a restore see docs/operations.md: the API stays closed.
"""

REBUILT = {Finding.BEHIND, Finding.DIFFERENT, Finding.NO_ROW, Finding.GAPS}
"""What rebuilding mends. Not a row that is ahead: that would take back what was acknowledged."""


@dataclass(frozen=True)
class Tools:
    """What the commands work with."""

    comparison: Comparison
    rebuilding: Rebuilding
    escalations: EscalationComparison
    escalation_rebuilding: EscalationRebuilding
    revival: Revival
    console: Console


async def compare(tools: Tools, options: argparse.Namespace) -> int:
    """Print every fault, and how many tickets and escalations there are of each kind."""
    tickets: Counter[Finding] = Counter()
    escalations: Counter[Finding] = Counter()
    async for ticket in tools.comparison.all(options.organization):
        tickets[ticket.finding] += 1
        if ticket.finding.is_fault:
            tools.console.print(_line(ticket))
    async for escalation in tools.escalations.all(options.organization):
        escalations[escalation.finding] += 1
        if escalation.finding.is_fault:
            tools.console.print(_escalation_line(escalation))
    tools.console.print(f"{'':12}  tickets escalations")
    for finding in Finding:
        tools.console.print(f"{finding:12} {tickets[finding]:>8} {escalations[finding]:>11}")
    return 1 if any(finding.is_fault for finding in (tickets + escalations)) else 0


async def rebuild(tools: Tools, options: argparse.Namespace) -> int:
    """Rebuild the named tickets and escalations, or all that need it; exit code 1 when some could not be."""
    tickets, conversations = await _wanted(tools, options, REBUILT)
    rebuilt = await _each(tickets, lambda ticket_id: _rebuild(tools, ticket_id))
    rebuilt += await _each(conversations, lambda conversation_id: _rebuild_escalation(tools, conversation_id))
    failed = len(tickets) + len(conversations) - rebuilt
    tools.console.print(f"{rebuilt} rebuilt" + (f", {failed} could not be" if failed else ""))
    return 1 if failed else 0


async def _wanted(
    tools: Tools, options: argparse.Namespace, findings: set[Finding]
) -> tuple[Sequence[UUID], Sequence[UUID]]:
    """The tickets, and the conversations with their escalations, that were named or are found to be so."""
    tickets, conversations = list(options.tickets), list(options.conversation)
    if options.all:
        found = tools.comparison.all(options.organization)
        tickets += [each.ticket_id async for each in found if each.finding in findings]
        escalations = tools.escalations.all(options.organization)
        conversations += [each.conversation_id async for each in escalations if each.finding in findings]
    return tickets, conversations


async def _rebuild(tools: Tools, ticket_id: UUID) -> bool:
    try:
        done = await tools.rebuilding.rebuild(ticket_id)
    except CannotRebuild as problem:
        tools.console.print(f"{ticket_id}: {problem}")
        return False
    since = f", from version {done.first_version}" if (done.first_version or 1) > 1 else ""
    tools.console.print(f"{done.ticket.label}: version {done.ticket.version}, {done.events} events{since}")
    return True


async def _rebuild_escalation(tools: Tools, conversation_id: UUID) -> bool:
    try:
        done = await tools.escalation_rebuilding.rebuild(conversation_id)
    except CannotRebuild as problem:
        tools.console.print(f"escalation of conversation {conversation_id}: {problem}")
        return False
    tools.console.print(f"escalation {done.id}: version {done.version}")
    return True


async def restart(tools: Tools, options: argparse.Namespace) -> int:
    """Start the named workflows, or all missing ones; others only where that is asked for."""
    ended = {Finding.STUCK} if options.terminate_stuck else set()
    ended |= {Finding.AHEAD} if options.terminate_older else set()
    tickets, conversations = await _wanted(tools, options, {Finding.NO_WORKFLOW, *ended})
    started = await _each(tickets, lambda ticket_id: _restart(tools, ticket_id, ended))
    started += await _each(conversations, lambda conversation_id: _restart_escalation(tools, conversation_id, ended))
    tools.console.print(f"{started} started")
    return 0


async def _restart(tools: Tools, ticket_id: UUID, ended: set[Finding]) -> bool:
    ticket = await _recorded(tools, ticket_id)
    compared = await tools.comparison.one(ticket)
    if compared.finding in ended:
        await tools.revival.terminate(workflow_id(ticket.id), f"Ended by an operator: {compared.detail}")
    elif compared.finding is not Finding.NO_WORKFLOW and ticket.status is not Status.CLOSED:
        tools.console.print(f"{ticket.label}: {compared.finding}, left alone. {compared.detail}")
        return False
    if ticket.status is Status.CLOSED:
        tools.console.print(f"{ticket.label}: closed; reopen it through the API instead")
        return False
    await tools.revival.start(ticket)
    tools.console.print(f"{ticket.label}: started from version {ticket.version}")
    return True


async def _restart_escalation(tools: Tools, conversation_id: UUID, ended: set[Finding]) -> bool:
    compared = await tools.escalations.of(conversation_id)
    if compared is None:
        tools.console.print(f"Conversation {conversation_id} has no escalation that could be started")
        return False
    label = f"escalation {compared.escalation_id} of conversation {conversation_id}"
    if compared.finding in ended:
        reason = f"Ended by an operator: {compared.detail}"
        await tools.revival.terminate(escalation_workflow_id(conversation_id), reason)
    elif compared.finding is not Finding.NO_WORKFLOW:
        tools.console.print(f"{label}: {compared.finding}, left alone. {compared.detail}")
        return False
    live = await tools.escalations.recorded(conversation_id)
    if live is None:
        tools.console.print(f"{label}: over on record, so nothing is started")
        return False
    async with tools.comparison.sessions() as session:
        remembered = await remembered_requests(session, live.id, REMEMBERED_REQUESTS)
    await tools.revival.start_escalation(live, remembered)
    tools.console.print(f"{label}: started from version {live.version}")
    return True


async def _each(wanted: Sequence[UUID], work: Callable[[UUID], Awaitable[bool]]) -> int:
    """Do the work for every id, some at once; returns for how many it was done."""
    done = 0
    for start in range(0, len(wanted), AT_ONCE):
        done += sum(await asyncio.gather(*(work(each) for each in wanted[start : start + AT_ONCE])))
    return done


async def _recorded(tools: Tools, ticket_id: UUID) -> Ticket:
    async with tools.comparison.sessions() as session:
        row = await session.get(TicketRow, ticket_id)
    if row is None:
        raise SystemExit(f"The read model has no ticket {ticket_id}; if its workflow lives, rebuild it.")
    return Ticket.model_validate(row.state)


def _line(compared: Compared) -> str:
    number = f"#{compared.number}" if compared.number is not None else "?"
    return f"{compared.finding:12} {compared.ticket_id} {number} {compared.detail}"


def _escalation_line(compared: ComparedEscalation) -> str:
    what = f"escalation {compared.escalation_id or '?'} of conversation {compared.conversation_id}"
    return f"{compared.finding:12} {what} {compared.detail}"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m repair", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in {"compare": compare, "rebuild": rebuild, "restart": restart}.items():
        part = commands.add_parser(name, help=command.__doc__)
        part.set_defaults(command=command, tickets=[], conversation=[], all=False)
        part.add_argument("--organization", type=UUID, help="only what is this organization's")
        if command is not compare:
            part.add_argument("tickets", nargs="*", type=UUID, help="ids of tickets")
            part.add_argument(
                "--conversation",
                action="append",
                type=UUID,
                default=[],
                help="id of a conversation, for its escalation",
            )
            part.add_argument("--all", action="store_true", help="every ticket and escalation that needs it")
        if command is restart:
            part.add_argument(
                "--terminate-stuck",
                action="store_true",
                help="end runs that make no progress; what they decided and did not record is lost",
            )
            part.add_argument(
                "--terminate-older",
                action="store_true",
                help="end runs that Temporal has from an older backup than the rows",
            )
    options = parser.parse_args(arguments)
    if options.command is not compare and not (options.all or options.tickets or options.conversation):
        parser.error("name tickets or conversations, or --all")
    return options


async def _require_worker(temporal: Client, settings: Settings) -> None:
    """Say in one line what would otherwise be a time-out for each ticket."""
    queue = TaskQueue(name=settings.temporal_task_queue)
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace, task_queue=queue, task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    )
    if not (await temporal.workflow_service.describe_task_queue(request)).pollers:
        raise SystemExit(f"No worker asks for tasks of {queue.name!r}, so no workflow can be asked. Start one.")


async def run(settings: Settings, arguments: list[str] | None, console: Console) -> int:
    """Run one command and return its exit code."""
    options = _options(arguments)
    command: Callable[[Tools, argparse.Namespace], Awaitable[int]] = options.command
    engine = make_engine(settings)
    sessions = make_sessions(engine)
    try:
        temporal = await connect(settings)
        await _require_worker(temporal, settings)
        tools = Tools(
            Comparison(sessions, temporal),
            Rebuilding(temporal, TicketRecord(sessions)),
            EscalationComparison(sessions, temporal),
            EscalationRebuilding(temporal, EscalationRecord(sessions)),
            Revival(temporal, settings),
            console,
        )
        return await command(tools, options)
    finally:
        await engine.dispose()


def main() -> None:
    code = asyncio.run(run(read_settings(), None, Console(markup=False, highlight=False, soft_wrap=True)))
    sys.stdout.flush()
    # A normal exit can crash in Temporal's client library (https://github.com/temporalio/sdk-python/issues/300).
    os._exit(code)


if __name__ == "__main__":
    main()
