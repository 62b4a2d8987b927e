"""Everything the system says about a run: its tables, its workflows, and its API as each organization sees it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client, RPCError, WorkflowFailureError
from temporalio.service import RPCStatusCode

from db.engine import make_engine, make_sessions
from db.models import (
    Conversation,
    Delivery,
    EscalationChangeRow,
    EscalationLadderRow,
    EscalationNote,
    EscalationReasonRow,
    EscalationRow,
    Member,
    Message,
    Note,
    Notification,
    Organization,
    ReminderLadderRow,
    Requester,
    Team,
    TeamMember,
    TicketEventRow,
    TicketRow,
)
from db.models.table import Table
from db.sla import load_sla_book
from domain.escalation import QUEUE_LADDER, SILENCE_LIMIT, Escalation, EscalationStatus
from domain.ids import escalation_workflow_id, workflow_id
from domain.ladders import DEFAULT_REMINDERS, EscalationLadder, ReminderLadder
from domain.sla_book import SlaBook
from domain.ticket import Status, Ticket
from settings import Settings
from tests.chaos.journal import History, now
from workflows.escalation import EscalationWorkflow
from workflows.handles import ticket_handle
from workflows.messages import LiveEscalation, LiveTicket
from workflows.search_attributes import TICKET_ORGANIZATION
from workflows.ticket import TicketWorkflow

Row = Mapping[str, Any]

_CONCURRENCY = 12
_RPC_TIMEOUT = timedelta(seconds=20)
_STRANGERS = 3
"""Tickets, and escalations, of each other organization that an organization's key is tried on."""


@dataclass(frozen=True)
class TeamRules:
    """What a team asks of its tickets' owners."""

    name: str
    acknowledge_within: timedelta | None
    ladder_id: UUID | None
    supervisor_id: UUID | None
    member_ids: tuple[UUID, ...]
    queue_ladder_id: UUID | None
    silence_limit: timedelta | None


@dataclass(frozen=True)
class Settled:
    """An organization's rules; they do not change during a run."""

    book: SlaBook
    reminders: ReminderLadder
    ladders: Mapping[UUID, EscalationLadder]
    auto_close_after: timedelta
    reopen_window: timedelta
    teams: Mapping[UUID, TeamRules]
    members: Mapping[UUID, str]

    def queue_ladder(self, team_id: UUID | None) -> EscalationLadder:
        """What is climbed while a conversation is in the team's queue, or in nobody's."""
        ladder_id = self.teams[team_id].queue_ladder_id if team_id else None
        return self.ladders[ladder_id] if ladder_id else QUEUE_LADDER

    def silence_limit(self, team_id: UUID | None) -> timedelta:
        """How long who has a conversation may leave its customer waiting."""
        return (self.teams[team_id].silence_limit if team_id else None) or SILENCE_LIMIT


@dataclass(frozen=True)
class Tables:
    """The read model, row by row, as one transaction saw it at ``at``."""

    at: datetime
    tickets: Sequence[Row]
    events: Sequence[Row]
    messages: Sequence[Row]
    notes: Sequence[Row]
    notifications: Sequence[Row]
    conversations: Sequence[Row]
    requesters: Sequence[Row]
    members: Sequence[Row]
    escalations: Sequence[Row]
    changes: Sequence[Row]
    """Of escalations."""
    reasons: Sequence[Row]
    escalation_notes: Sequence[Row]
    deliveries: Sequence[Row]
    rules: Mapping[UUID, Settled]
    """By organization."""


@dataclass(frozen=True)
class WorkflowReading:
    """What Temporal has of a ticket: the state its workflow holds or ended with, or why there is none."""

    ticket: Ticket | None
    ended: bool = False
    problem: str = ""


@dataclass(frozen=True)
class EscalationReading:
    """What Temporal has of a conversation's escalation: ``None`` of a run that found nothing to do."""

    escalation: Escalation | None
    problem: str = ""


@dataclass(frozen=True)
class Listed:
    """What an organization is shown: versions by id, and which of others' tickets and escalations it was let at."""

    versions: Mapping[str, int]
    strangers: Sequence[str]
    escalations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    tables: Tables
    workflows: Mapping[UUID, WorkflowReading]
    api: Mapping[str, Listed]
    escalations: Mapping[UUID, EscalationReading] = field(default_factory=dict)
    """By conversation."""


async def read_tables(session: AsyncSession) -> Tables:
    """Read all of it in the session's transaction, which the caller owns."""
    at = now()
    organizations = await _rows(session, Organization)
    return Tables(
        at=at,
        tickets=await _rows(session, TicketRow, without="search"),
        events=sorted(await _rows(session, TicketEventRow), key=lambda row: (str(row["ticket_id"]), row["version"])),
        messages=await _rows(session, Message),
        notes=await _rows(session, Note),
        notifications=await _rows(session, Notification),
        conversations=await _rows(session, Conversation),
        requesters=await _rows(session, Requester),
        members=await _rows(session, Member),
        escalations=sorted(await _rows(session, EscalationRow), key=lambda row: row["raised_at"]),
        changes=sorted(
            await _rows(session, EscalationChangeRow), key=lambda row: (str(row["escalation_id"]), row["version"])
        ),
        reasons=await _rows(session, EscalationReasonRow),
        escalation_notes=await _rows(session, EscalationNote),
        deliveries=sorted(await _rows(session, Delivery), key=lambda row: row["number"]),
        rules={row["id"]: await _rules(session, row) for row in organizations},
    )


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[AsyncSession]:
    """A session in one transaction that sees one state and can write nothing."""
    engine = make_engine(settings.model_copy(update={"database_timeout": timedelta(minutes=1)}))
    try:
        async with make_sessions(engine)() as session:
            await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield session
    finally:
        await engine.dispose()


async def read_workflows(temporal: Client, history: History, tables: Tables) -> dict[UUID, WorkflowReading]:
    """Every ticket that the read model or Temporal knows of: queried while it runs, else its result."""
    closed = {row["id"]: row["status"] == Status.CLOSED for row in tables.tickets}
    prefix = workflow_id(UUID(int=0)).removesuffix(str(UUID(int=0)))
    known = set(closed)
    for organization in history.organizations:
        query = f"WorkflowType = 'Ticket' AND {TICKET_ORGANIZATION.name} = '{organization}'"
        known |= {UUID(found.id.removeprefix(prefix)) async for found in temporal.list_workflows(query)}
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def one(ticket: UUID) -> WorkflowReading:
        async with slots:
            return await _workflow(temporal, ticket, closed=closed.get(ticket, False))

    return dict(zip(known, await asyncio.gather(*map(one, known)), strict=True))


async def read_escalations(temporal: Client, tables: Tables) -> dict[UUID, EscalationReading]:
    """What the workflow of each conversation that has needed a human says, whether it runs or has ended."""
    known = list({row["conversation_id"] for row in (*tables.escalations, *tables.reasons)})
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def one(conversation: UUID) -> EscalationReading:
        handle = temporal.get_workflow_handle(escalation_workflow_id(conversation))
        async with slots:
            try:
                live: LiveEscalation = await handle.query(EscalationWorkflow.live, rpc_timeout=_RPC_TIMEOUT)
            except RPCError as error:
                return EscalationReading(None, problem=f"its workflow does not answer: {error.status.name}")
        return EscalationReading(live.escalation)

    return dict(zip(known, await asyncio.gather(*map(one, known)), strict=True))


async def read_api(http: httpx.AsyncClient, history: History) -> dict[str, Listed]:
    """The lists of each organization, and what it gets when it asks for others' tickets."""
    keys = {id_: organization.api_key for id_, organization in history.organizations.items()}
    shown = {id_: await _listed(http, key, "/tickets") for id_, key in keys.items()}
    every_status = [status.value for status in EscalationStatus]
    escalations = {id_: await _listed(http, key, "/escalations", status=every_status) for id_, key in keys.items()}
    found = {}
    for id_, key in keys.items():
        reached: list[str] = []
        for path, lists in (("/tickets", shown), ("/escalations", escalations)):
            others = [each for other, own in lists.items() if other != id_ for each in list(own)[:_STRANGERS]]
            answers = [await _get(http, key, f"{path}/{each}") for each in others]
            reached += [each for each, answer in zip(others, answers, strict=True) if answer.status_code != 404]
        found[id_] = Listed(shown[id_], reached, escalations[id_])
    return found


async def _workflow(temporal: Client, ticket: UUID, *, closed: bool) -> WorkflowReading:
    handle = ticket_handle(temporal, ticket)
    try:
        if closed:
            return WorkflowReading(await handle.result(rpc_timeout=_RPC_TIMEOUT), ended=True)
        live: LiveTicket = await handle.query(TicketWorkflow.live, rpc_timeout=_RPC_TIMEOUT)
    except WorkflowFailureError as error:
        return WorkflowReading(None, ended=True, problem=f"its workflow failed: {error.cause}")
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return WorkflowReading(None, problem="it has no workflow")
        return WorkflowReading(None, problem=f"its workflow does not answer: {error.status.name}")
    return WorkflowReading(live.ticket)


async def _listed(http: httpx.AsyncClient, key: str, path: str, **query: list[str]) -> dict[str, int]:
    versions: dict[str, int] = {}
    cursor: dict[str, str] = {}
    while True:
        page = (await _get(http, key, path, limit="100", **query, **cursor)).json()
        versions |= {view["id"]: view["version"] for view in page["items"]}
        if page["next_cursor"] is None:
            return versions
        cursor = {"cursor": page["next_cursor"]}


async def _get(http: httpx.AsyncClient, key: str, path: str, **query: str | list[str]) -> httpx.Response:
    return await http.get(f"/api/v1{path}", params=query, headers={"Authorization": f"Bearer {key}"})


async def _rows(session: AsyncSession, model: type[Table], *, without: str = "") -> list[Row]:
    columns = [column for column in inspect(model).columns if column.key != without]
    return [dict(row) for row in (await session.execute(select(*columns))).mappings()]


async def _rules(session: AsyncSession, organization: Row) -> Settled:
    mine = {"organization_id": organization["id"]}

    def own(rows: Iterable[Any]) -> list[Any]:
        return [row for row in rows if row.organization_id == mine["organization_id"]]

    reminders = own(await session.scalars(select(ReminderLadderRow).where(ReminderLadderRow.is_default)))
    places = list(await session.scalars(select(TeamMember).order_by(TeamMember.position)))
    return Settled(
        book=await load_sla_book(session, organization["id"]),
        reminders=ReminderLadder.model_validate({"name": reminders[0].name, "steps": reminders[0].steps})
        if reminders
        else DEFAULT_REMINDERS,
        ladders={row.id: row.ladder() for row in own(await session.scalars(select(EscalationLadderRow)))},
        auto_close_after=organization["auto_close_after"],
        reopen_window=organization["reopen_window"],
        teams={
            row.id: TeamRules(
                name=row.name,
                acknowledge_within=row.acknowledge_within,
                ladder_id=row.escalation_ladder_id,
                supervisor_id=row.supervisor_id,
                member_ids=tuple(place.member_id for place in places if place.team_id == row.id),
                queue_ladder_id=row.queue_ladder_id,
                silence_limit=row.silence_limit,
            )
            for row in own(await session.scalars(select(Team)))
        },
        members={row.id: row.name for row in own(await session.scalars(select(Member)))},
    )
