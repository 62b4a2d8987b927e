"""What a new ticket needs before its workflow starts: a number, its requester, a conversation, and its place."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.decisions import because
from api.dependencies import Principal, Services, find_member, find_team
from api.idempotency import RequestId, check_fingerprint
from api.problems import Problem
from api.routing import NewTicket, route_new
from api.schemas.ticket import CreateTicket, RequesterDocument
from db.models import Channel, Conversation, Member, Requester, Team
from db.numbers import Reserved, reserve_number
from db.tickets import RequesterFacts
from domain.ids import conversation_id, requester_id
from domain.priority import Priority
from domain.rules.routing import Properties
from domain.ticket import MAX_TAGS, ChannelKind, Ticket


@dataclass(frozen=True)
class Reservations:
    """Makes them for one caller; whatever is reserved for a request once stays the same for it."""

    services: Services
    session: AsyncSession
    caller: Principal

    async def ticket(
        self, new_id: UUID, document: CreateTicket, request: RequestId
    ) -> tuple[Ticket, RequesterFacts, list[dict[str, JsonValue]]]:
        """Take a number, make requester and conversation, and route the ticket, in one transaction.

        Safe to repeat for the request. Also returns the rules that had a part in it.
        """
        try:
            return await self._ticket(new_id, document, request)
        except IntegrityError as error:
            if not isinstance(error.orig, UniqueViolation):
                raise
            # Another request has made the same requester in this instant; now it is there.
            return await self._ticket(new_id, document, request)

    async def _ticket(
        self, new_id: UUID, document: CreateTicket, request: RequestId
    ) -> tuple[Ticket, RequesterFacts, list[dict[str, JsonValue]]]:
        async with self.session.begin():
            document = await self._on_channel(document)
            team = await find_team(self.session, self.caller, document.team_id)
            assignee = document.assignee_id and await find_member(
                self.session, self.caller.organization_id, document.assignee_id, "assignee_id"
            )
            requester = await self._requester(document.requester, new_id)
            reserved = await self.number(request)
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

    async def number(self, request: RequestId) -> Reserved:
        """The request's ticket number and moment of creation: the same ones however often it is asked.

        The caller owns the transaction.
        """
        reserved = await reserve_number(self.session, self.caller.organization_id, request.key, request.fingerprint)
        check_fingerprint(reserved.fingerprint, request)
        return reserved

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
