"""What the API does with tickets: create, command, tell, and answer only once the read model shows it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from pydantic import JsonValue
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.decisions import because
from api.dependencies import Principal, Services, find_member, find_team
from api.idempotency import RequestId, check_fingerprint
from api.problems import Problem, not_found
from api.read_model import Watch
from api.request_log import concerns
from api.routing import NewTicket, route_new
from api.schemas.ticket import CreateTicket, RequesterDocument
from api.temporal_answers import RunEnded
from api.ticket_gateway import TicketGateway
from db.models import Channel, Conversation, IdempotentRequest, Member, Organization, Requester, Team
from db.tickets import (
    KeptAnswer,
    RecordedTicket,
    RequesterFacts,
    find_requester,
    find_shown,
    find_ticket,
    find_with_answer,
)
from domain.commands import ChangeStatus, Command, Merge
from domain.errors import DomainError
from domain.events import Actor, ActorKind, EventKind
from domain.ids import conversation_id, requester_id, ticket_id, workflow_id
from domain.lifecycle import check, closed
from domain.priority import Priority
from domain.rules.routing import Properties
from domain.ticket import MAX_TAGS, TRANSITIONS, ChannelKind, Status, Ticket, legal_targets
from workflows.messages import Created, Outcome


@dataclass(frozen=True)
class Answer:
    """A ticket to answer with. ``pending``: the read model does not show it yet. ``replayed``: an earlier answer."""

    recorded: RecordedTicket
    pending: bool = False
    replayed: bool = False


@dataclass(frozen=True)
class Reserved:
    """A ticket's number, its moment of creation, and how new the rules were then."""

    number: int
    at: datetime
    rules_revision: int


@dataclass(frozen=True)
class Tickets:
    """Acts for one caller; nothing of another organization can be reached."""

    services: Services
    session: AsyncSession
    caller: Principal

    @property
    def gateway(self) -> TicketGateway:
        """The way to the workflows."""
        return TicketGateway(self.services.temporal, self.services.settings)

    async def find(self, wanted_id: UUID) -> RecordedTicket:
        """The ticket as recorded, or ``not_found``."""
        return await self.recorded(wanted_id) or await self._unrecorded(wanted_id)

    async def recorded(self, wanted_id: UUID) -> RecordedTicket | None:
        """The ticket as recorded; ``None`` for one that is not yet, and for none."""
        async with self.services.reads() as session:
            return await find_ticket(session, self.caller.organization_id, wanted_id)

    async def create(self, document: CreateTicket, request: RequestId) -> Answer:
        """Create a ticket once for the request; the same request gets the same ticket."""
        new_id = ticket_id(self.caller.organization_id, request.key)
        concerns(new_id)
        with self.services.read_model.watch(new_id) as watch:
            known = await self._known(new_id, request)
            if known is not None:
                return known
            try:
                ticket, requester, rules = await self._reserve(new_id, document, request)
            except IntegrityError as error:
                if not isinstance(error.orig, UniqueViolation):
                    raise
                # Another request has made the same requester in this instant; now it is there.
                ticket, requester, rules = await self._reserve(new_id, document, request)
            created = Created(
                actor=self.caller.actor,
                request_id=request.key,
                fingerprint=request.fingerprint,
                description=document.description,
                because=rules,
            )
            return await self.start(watch, ticket, requester, created)

    async def start(self, watch: Watch, ticket: Ticket, requester: RequesterFacts, created: Created) -> Answer:
        """Start a reserved ticket's workflow and wait until it can be read."""
        await self.gateway.start(ticket, created)
        fallback = RecordedTicket(ticket.model_copy(update={"version": 1}), created.description, requester)
        return await self._shown(watch, fallback, created.request_id)

    async def command(self, wanted_id: UUID, command: Command | Merge, request: RequestId) -> Answer:
        """Have the ticket obey, once for the request; an earlier answer is given again."""
        with self.services.read_model.watch(wanted_id) as watch:
            recorded, kept = await self._with_answer(wanted_id, request)
            if kept is not None:
                return replayed(recorded, kept, request)
            try:
                outcome = await self._obey(recorded, command)
            except DomainError:
                known = await self._known(wanted_id, request)
                if known is None:
                    raise
                return known  # a run that has ended meanwhile had dealt with an earlier try
            check_fingerprint(outcome.fingerprint, request)
            fallback = replace(recorded, ticket=outcome.ticket)
            answer = await self._shown(watch, fallback, request.key, seen=recorded.ticket.version)
            if answer.pending and outcome.repeated:
                # The workflow knows that it has dealt with the request, and only the read model how.
                raise Problem(
                    "outcome_unknown",
                    "An earlier request with this Idempotency-Key was dealt with, but what it came to cannot be read "
                    "yet. Send the request again with the same Idempotency-Key.",
                )
            return answer

    async def goes_on_as(self, recorded: RecordedTicket) -> RecordedTicket:
        """The ticket itself, or the one that has taken it over, however many tickets there were between."""
        while (following := recorded.ticket.merged_into) is not None:
            recorded = await self.find(following)
        return recorded

    async def submit(self, wanted_id: UUID, command: Command, request: RequestId) -> None:
        """Hand a command on and do not wait for its outcome, which the ticket's events will tell."""
        recorded, kept = await self._with_answer(wanted_id, request)
        if kept is not None:
            check_fingerprint(kept.fingerprint, request)
            return
        if recorded.ticket.status is Status.CLOSED:
            check(recorded.ticket, command)  # no run would tell the refusal
        try:
            await self.deliver(
                recorded, lambda ticket, start: self.gateway.submit(ticket, command, start=start), _reopens(command)
            )
        except DomainError:
            if await self._known(wanted_id, request) is None:
                raise

    async def deliver(
        self, recorded: RecordedTicket, send: Callable[[Ticket, bool], Awaitable[None]], reopening: bool
    ) -> None:
        """Send a signal to the ticket's run; where it is closed, to its next run if ``reopening``, else refuse."""
        ticket = recorded.ticket
        for _ in range(3):
            if ticket.status is Status.CLOSED and not (reopening or ticket.merged_into):
                raise closed(ticket)
            try:
                await send(ticket, ticket.status is Status.CLOSED)
            except RunEnded:
                ticket = await self._as_it_ended(ticket)
            else:
                return
        raise _missing(ticket)

    async def shown(self, watch: Watch, recorded: RecordedTicket, request_id: str) -> Answer:
        """Wait until what a delivered signal made of the ticket can be read."""
        return await self._shown(watch, recorded, request_id, wait_for_event=True)

    async def knows(self, wanted_id: UUID, request_id: str) -> bool:
        """Whether the ticket's story has an event of the request already."""
        async with self.services.reads() as session:
            found = await find_with_answer(session, self.caller.organization_id, wanted_id, request_id)
        return found is not None and found[1] is not None

    async def _obey(self, recorded: RecordedTicket, command: Command | Merge) -> Outcome:
        ticket = recorded.ticket
        for _ in range(3):
            try:
                if ticket.status is not Status.CLOSED:
                    return await self.gateway.command(ticket.id, command)
                if _reopens(command) and ticket.merged_into is None:
                    assert isinstance(command, ChangeStatus)
                    return await self.gateway.reopen(ticket, command)
            except RunEnded:
                ticket = await self._as_it_ended(ticket)
            else:
                check(ticket, command)  # refuses it: without a run, in the words the workflow would use
        raise _missing(ticket)

    async def _as_it_ended(self, ticket: Ticket) -> Ticket:
        """The ticket read again after its run was found ended: a run that ends has recorded that it is closed."""
        again = (await self.find(ticket.id)).ticket
        if again.status is not Status.CLOSED:
            raise _missing(ticket)
        return again

    async def _known(self, wanted_id: UUID, request: RequestId) -> Answer | None:
        async with self.services.reads() as session:
            found = await find_with_answer(session, self.caller.organization_id, wanted_id, request.key)
        if found is None or found[1] is None:
            return None
        return replayed(found[0], found[1], request)

    async def _with_answer(self, wanted_id: UUID, request: RequestId) -> tuple[RecordedTicket, KeptAnswer | None]:
        async with self.services.reads() as session:
            found = await find_with_answer(session, self.caller.organization_id, wanted_id, request.key)
        return found or (await self._unrecorded(wanted_id), None)

    async def _unrecorded(self, wanted_id: UUID) -> RecordedTicket:
        """A ticket that was acknowledged while the read model lagged, as its workflow holds it; else ``not_found``."""
        try:
            if await self.gateway.owner_of(wanted_id) != self.caller.organization_id:
                raise not_found("ticket")
            live = await self.gateway.live(wanted_id)
        except RunEnded:
            raise not_found("ticket") from None
        if live.ticket is None:
            raise not_found("ticket")
        async with self.services.reads() as session:
            requester = await find_requester(session, live.ticket.requester_id)
        return RecordedTicket(live.ticket, "", requester)

    async def _shown(
        self, watch: Watch, fallback: RecordedTicket, request_id: str, *, wait_for_event: bool = False, seen: int = 0
    ) -> Answer:
        """What the read model has once it shows the request's effect; ``fallback``, marked, if that takes too long.

        A command that changed nothing leads to a version ``seen`` before, which nobody announces again.
        """
        organization_id, wanted = self.caller.organization_id, fallback.ticket

        async def look() -> RecordedTicket | None:
            async with self.services.reads() as session:
                shown = await find_shown(session, organization_id, wanted.id, request_id)
            if shown is None:
                return None
            if shown.cause is not None and shown.cause.kind == EventKind.COMMAND_REFUSED:
                raise _refused(replace(shown.cause, ticket=shown.recorded.ticket))
            # Without a cause of its own: a command that asked for what already was.
            enough = shown.cause is not None or (not wait_for_event and shown.version >= wanted.version)
            return shown.recorded if enough else None

        seconds = self.services.settings.read_model_wait.total_seconds()
        at_least = 1 if wait_for_event else wanted.version
        recorded = await watch.until(look, seconds, at_least if at_least > seen else 0)
        return Answer(recorded) if recorded else Answer(fallback, pending=True)

    async def _reserve(
        self, new_id: UUID, document: CreateTicket, request: RequestId
    ) -> tuple[Ticket, RequesterFacts, list[dict[str, JsonValue]]]:
        """Take a number, make requester and conversation, and route the ticket, in one transaction.

        Safe to repeat for the request. Also returns the rules that had a part in it.
        """
        async with self.session.begin():
            document = await self._on_channel(document)
            team = await find_team(self.session, self.caller, document.team_id)
            assignee = document.assignee_id and await find_member(
                self.session, self.caller.organization_id, document.assignee_id, "assignee_id"
            )
            requester = await self._requester(document.requester, new_id)
            reserved = await self.reserve_number(request)
            await self.session.execute(
                insert(Conversation)
                .values(
                    id=conversation_id(new_id),
                    organization_id=self.caller.organization_id,
                    channel=document.channel,
                    channel_id=document.channel_id,
                    requester_id=requester.id,
                    ticket_id=new_id,
                )
                .on_conflict_do_nothing()
            )
            given = Properties(
                team_id=document.team_id,
                assignee_id=document.assignee_id,
                priority=document.priority if "priority" in document.model_fields_set else None,
                tags=tuple(document.tags),
            )
            new = NewTicket(
                id=new_id,
                organization_id=self.caller.organization_id,
                conversation_id=conversation_id(new_id),
                text=f"{document.title}\n{document.description}",
                at=reserved.at,
                rules_revision=reserved.rules_revision,
                channel=document.channel,
                channel_id=document.channel_id,
            )
            properties, decided = await route_new(self.session, self.services, new, given)
            fields = await self.fields(properties, reserved.at, team, assignee or None)
        ticket = Ticket(
            id=new_id,
            organization_id=self.caller.organization_id,
            number=reserved.number,
            title=document.title,
            source=document.source,
            channel=document.channel,
            requester_id=requester.id,
            conversation_id=conversation_id(new_id),
            **fields,
        )
        return ticket, requester, because(decided)

    async def _on_channel(self, document: CreateTicket) -> CreateTicket:
        """The document with the kind of the channel that it names, or an ``invalid_reference``."""
        if document.channel_id is None:
            return document
        known = select(Channel.kind).where(
            Channel.id == document.channel_id, Channel.organization_id == self.caller.organization_id
        )
        kind = await self.session.scalar(known)
        if kind is None:
            raise Problem("invalid_reference", "channel_id names no channel of this organization.", at="channel_id")
        return document.model_copy(update={"channel": ChannelKind(kind)})

    async def fields(
        self, properties: Properties, at: datetime, team: Team | None = None, assignee: Member | None = None
    ) -> dict[str, Any]:
        """The fields of a new ticket with these properties; a team that is gone or a member who left is left out.

        ``team`` and ``assignee`` are those of the properties where the caller has them already.
        """
        session, mine = self.session, self.caller.organization_id
        if team is None and properties.team_id is not None:
            team = await session.scalar(select(Team).where(Team.id == properties.team_id, Team.organization_id == mine))
        if assignee is None and properties.assignee_id is not None:
            assignee = await session.scalar(
                select(Member).where(
                    Member.id == properties.assignee_id, Member.organization_id == mine, Member.status == "active"
                )
            )
        return {
            "priority": properties.priority or Priority.NORMAL,
            "tags": properties.tags[:MAX_TAGS],
            "sla_policy_id": properties.sla_policy_id,
            "team_id": team.id if team else None,
            "team_name": team.name if team else None,
            "assignee_id": assignee.id if assignee else None,
            "assignee_name": assignee.name if assignee else None,
            "assigned_at": at if assignee else None,
            "assignment_episode": 1 if assignee else 0,
            "created_at": at,
            "updated_at": at,
            "status_since": at,
        }

    async def reserve_number(self, request: RequestId) -> "Reserved":
        """The request's ticket number and moment of creation: the same ones however often it is asked.

        The caller owns the transaction.
        """
        organization_id = self.caller.organization_id
        kept = insert(IdempotentRequest).values(
            organization_id=organization_id, key=request.key, fingerprint=request.fingerprint, status=201, answer={}
        )
        fresh = await self.session.scalar(kept.on_conflict_do_nothing().returning(IdempotentRequest.key))
        mine = (IdempotentRequest.organization_id == organization_id, IdempotentRequest.key == request.key)
        if fresh is None:
            row = (await self.session.scalars(select(IdempotentRequest).where(*mine))).one()
            check_fingerprint(row.fingerprint, request)
            revision = select(Organization.rules_revision).where(Organization.id == organization_id)
            return Reserved(
                row.answer["number"],
                datetime.fromisoformat(row.answer["created_at"]),
                await self.session.scalar(revision) or 0,
            )
        number, revision_now = (
            await self.session.execute(
                update(Organization)
                .where(Organization.id == organization_id)
                .values(next_ticket_number=Organization.next_ticket_number + 1)
                .returning(Organization.next_ticket_number - 1, Organization.rules_revision)
            )
        ).one()
        at = datetime.now(UTC)
        await self.session.execute(
            update(IdempotentRequest).where(*mine).values(answer={"number": number, "created_at": at.isoformat()})
        )
        return Reserved(number, at, revision_now)

    async def _requester(self, document: RequesterDocument, new_id: UUID) -> RequesterFacts:
        """The requester known by its external id, with what is newly known of them; else one for this ticket alone."""
        external_id = document.external_id
        known_as = requester_id(self.caller.organization_id, external_id or f"ticket:{new_id}")
        values = {"name": document.name, "email": document.email, "language": document.language}
        statement = insert(Requester).values(
            id=known_as, organization_id=self.caller.organization_id, external_id=external_id, **values
        )
        known: dict[str, object] = {**values, "external_id": external_id}
        # Something has to be set for the row to be returned.
        news = {name: value for name, value in known.items() if value is not None} or {
            "organization_id": self.caller.organization_id
        }
        statement = statement.on_conflict_do_update(index_elements=["id"], set_=news)
        columns = (Requester.id, Requester.external_id, Requester.name, Requester.email)
        return RequesterFacts(*(await self.session.execute(statement.returning(*columns))).one())


def replayed(recorded: RecordedTicket, kept: KeptAnswer, request: RequestId) -> Answer:
    """The earlier answer to the same request; a refusal is given again too."""
    check_fingerprint(kept.fingerprint, request)
    if kept.kind == EventKind.COMMAND_REFUSED:
        raise _refused(kept)
    return Answer(replace(recorded, ticket=kept.ticket or recorded.ticket), replayed=True)


def _refused(kept: KeptAnswer) -> Problem:
    """The refusal of a command nobody waited for, with the moves that were legal then."""
    status = kept.ticket and kept.ticket.status
    then = {"current": status, "legal": legal_targets(status)} if status else {}
    return Problem(str(kept.about["code"]), kept.reason or "The command was refused.", **then)


def customer(requester: RequesterFacts) -> Actor:
    """The requester as the actor of their own messages."""
    return Actor(kind=ActorKind.CUSTOMER, id=requester.id, name=requester.name)


def _reopens(command: Command | Merge) -> bool:
    return isinstance(command, ChangeStatus) and command.to in TRANSITIONS[Status.CLOSED]


def _missing(ticket: Ticket) -> Problem:
    return Problem(
        "ticket_workflow_missing",
        f"Ticket #{ticket.number} is {ticket.status}, but its workflow does not run. Nothing was changed; "
        "tell whoever operates Baton.",
        workflow_id=workflow_id(ticket.id),
    )
