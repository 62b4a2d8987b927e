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

from activities.ticket_record import TicketRecord
from db.engine import make_engine, make_sessions
from db.models import TicketRow
from domain.ticket import Status, Ticket
from repair.comparison import AT_ONCE, Compared, Comparison, Finding
from repair.rebuilding import CannotRebuild, Rebuilding
from repair.revival import Revival
from settings import Settings, read_settings
from workflows.connection import connect

_HELP = """Reads BATON_DATABASE_URL, BATON_TEMPORAL_ADDRESS and the other settings of the worker.

compare   holds every read model against its workflow; exit code 1 when something has to be done
rebuild   writes a ticket's row and events anew from its workflow (--all: of every ticket that is behind, different,
          without a row or with gaps)
restart   starts a ticket's missing workflow from its read model (--all: every missing one)

Each asks workflows through a worker, so one has to run. After a restore see docs/operations.md: the API stays closed.
"""

REBUILT = {Finding.BEHIND, Finding.DIFFERENT, Finding.NO_ROW, Finding.GAPS}
"""What rebuilding mends. Not a row that is ahead: that would take back what was acknowledged."""


@dataclass(frozen=True)
class Tools:
    """What the commands work with."""

    comparison: Comparison
    rebuilding: Rebuilding
    revival: Revival
    console: Console


async def compare(tools: Tools, options: argparse.Namespace) -> int:
    """Print every fault and how many tickets there are of each kind."""
    counts: Counter[Finding] = Counter()
    async for compared in tools.comparison.all(options.organization):
        counts[compared.finding] += 1
        if compared.finding.is_fault:
            tools.console.print(_line(compared))
    for finding in Finding:
        tools.console.print(f"{finding:12} {counts[finding]:>8}")
    return 1 if any(count for finding, count in counts.items() if finding.is_fault) else 0


async def rebuild(tools: Tools, options: argparse.Namespace) -> int:
    """Rebuild the named tickets, or all that need it; exit code 1 when some could not be."""
    wanted = list(options.tickets)
    if options.all:
        wanted += [
            each.ticket_id async for each in tools.comparison.all(options.organization) if each.finding in REBUILT
        ]
    rebuilt = await _each(wanted, lambda ticket_id: _rebuild(tools, ticket_id))
    failed = len(wanted) - rebuilt
    tools.console.print(f"{rebuilt} rebuilt" + (f", {failed} could not be" if failed else ""))
    return 1 if failed else 0


async def _rebuild(tools: Tools, ticket_id: UUID) -> bool:
    try:
        done = await tools.rebuilding.rebuild(ticket_id)
    except CannotRebuild as problem:
        tools.console.print(f"{ticket_id}: {problem}")
        return False
    since = f", from version {done.first_version}" if (done.first_version or 1) > 1 else ""
    tools.console.print(f"{done.ticket.label}: version {done.ticket.version}, {done.events} events{since}")
    return True


async def restart(tools: Tools, options: argparse.Namespace) -> int:
    """Start the named tickets' workflows, or all missing ones; others only where that is asked for."""
    ended = {Finding.STUCK} if options.terminate_stuck else set()
    ended |= {Finding.AHEAD} if options.terminate_older else set()
    wanted = list(options.tickets)
    if options.all:
        concerned = {Finding.NO_WORKFLOW, *ended}
        wanted += [
            each.ticket_id async for each in tools.comparison.all(options.organization) if each.finding in concerned
        ]
    started = await _each(wanted, lambda ticket_id: _restart(tools, ticket_id, ended))
    tools.console.print(f"{started} started")
    return 0


async def _restart(tools: Tools, ticket_id: UUID, ended: set[Finding]) -> bool:
    ticket = await _recorded(tools, ticket_id)
    compared = await tools.comparison.one(ticket)
    if compared.finding in ended:
        await tools.revival.terminate(ticket.id, f"Ended by an operator: {compared.detail}")
    elif compared.finding is not Finding.NO_WORKFLOW and ticket.status is not Status.CLOSED:
        tools.console.print(f"{ticket.label}: {compared.finding}, left alone. {compared.detail}")
        return False
    if ticket.status is Status.CLOSED:
        tools.console.print(f"{ticket.label}: closed; reopen it through the API instead")
        return False
    await tools.revival.start(ticket)
    tools.console.print(f"{ticket.label}: started from version {ticket.version}")
    return True


async def _each(wanted: Sequence[UUID], work: Callable[[UUID], Awaitable[bool]]) -> int:
    """Do the work for every ticket, some at once; returns for how many it was done."""
    done = 0
    for start in range(0, len(wanted), AT_ONCE):
        done += sum(await asyncio.gather(*(work(ticket_id) for ticket_id in wanted[start : start + AT_ONCE])))
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


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m repair", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in {"compare": compare, "rebuild": rebuild, "restart": restart}.items():
        part = commands.add_parser(name, help=command.__doc__)
        part.set_defaults(command=command, tickets=[], all=False)
        part.add_argument("--organization", type=UUID, help="only this organization's tickets")
        if command is not compare:
            part.add_argument("tickets", nargs="*", type=UUID, help="ids of tickets")
            part.add_argument("--all", action="store_true", help="every ticket that needs it")
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
    if options.command is not compare and not options.all and not options.tickets:
        parser.error("name tickets, or --all")
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
