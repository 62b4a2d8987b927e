"""What the API does with escalations: raise, take over, command, and answer once the read model shows it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal, Services, find_member, find_team
from api.escalation_gateway import EscalationGateway
from api.idempotency import RequestId, check_fingerprint, claim
from api.problems import STATUS_OF, Problem, not_found
from api.read_model import Watch
from api.schemas.escalation import RaiseDocument
from api.temporal_answers import RunEnded
from db.bell import ring_for
from db.escalation_lists import (
    ShownEscalation,
    escalation_of_reason,
    find_change,
    find_escalation_row,
    show,
)
from db.escalations import expected_wait, find_live, raise_escalation
from db.models import Conversation, EscalationNote, EscalationRow, Member
from db.notices import SUPERVISING_ROLES
from domain import escalation_lifecycle as lifecycle
from domain.errors import DomainError, IdempotencyKeyReused
from domain.escalation import Escalation, Reason
from domain.escalation_commands import Claim, EscalationCommand, HandBack, Raise
from domain.ids import raising_id
from domain.queue_line import expected_wait as expected_at
from domain.ticket import Source
from workflows.messages import EscalationOutcome

LATELY = timedelta(days=7)
"""How far back it is looked how long customers waited."""


@dataclass(frozen=True)
class EscalationAnswer:
    """An escalation to answer with; ``pending``: reads do not show it yet; ``replayed``: an earlier answer."""

    shown: ShownEscalation
    pending: bool = False
    replayed: bool = False


@dataclass(frozen=True)
class Escalations:
    """Acts for one caller; nothing of another organization can be reached."""

    services: Services
    session: AsyncSession
    caller: Principal

    @property
    def gateway(self) -> EscalationGateway:
        """The way to the workflows."""
        return EscalationGateway(self.services.temporal, self.services.settings)

    async def find(self, escalation_id: UUID) -> EscalationRow:
        """The escalation as recorded, or ``not_found``."""
        async with self.services.reads() as session:
            row = await find_escalation_row(session, self.caller.organization_id, escalation_id)
        if row is None:
            raise not_found("escalation")
        return row

    async def shown(self, row: EscalationRow) -> ShownEscalation:
        """The escalation as people see it."""
        async with self.services.reads() as session:
            return (await show(session, self.caller.organization_id, [row]))[0]

    async def raise_(
        self, conversation: Conversation, document: RaiseDocument, request: RequestId
    ) -> EscalationAnswer | None:
        """Have a human look at the conversation; ``None`` where that is kept, and not in the queue yet.

        Safe to repeat: the same request is the same reason.
        """
        mine, now = self.caller.organization_id, datetime.now(UTC)
        reason = Reason(
            id=raising_id(conversation.id, request.key),
            source=Source(document.source),
            at=now,
            priority=document.priority,
            flow_id=document.flow_id,
            node_id=document.node_id,
            by=self.caller.actor.name,
        )
        raising = Raise(reason=reason, actor=self.caller.actor, team_id=document.team_id)
        with self.services.read_model.watch(conversation.id) as watch:
            async with self.session.begin():
                if request.given:
                    await claim(self.session, mine, request)
                await find_team(self.session, self.caller, document.team_id)
                await raise_escalation(
                    self.session, mine, conversation.id, raising, why=document.reason, note=document.note
                )
            await ring_for(self.session, self.services.bell)

            async def look() -> EscalationRow | None:
                async with self.services.reads() as session:
                    return await escalation_of_reason(session, mine, reason.id)

            row = await watch.until(look, self._patience, at_least=0)
        return EscalationAnswer(await self.shown(row)) if row else None

    async def usual_wait(self, answer: EscalationAnswer | None) -> timedelta | None:
        """How long the escalation may wait, from how long its team's waited lately."""
        if answer is None or answer.shown.position is None:
            return None
        async with self.services.reads() as session:
            team_id, since = answer.shown.escalation.team_id, datetime.now(UTC) - LATELY
            seconds = await expected_wait(session, self.caller.organization_id, team_id, since)
        return expected_at(answer.shown.position, None if seconds is None else timedelta(seconds=seconds))

    async def take_over(self, conversation: Conversation, member: Member, request: RequestId) -> EscalationAnswer:
        """Give the conversation to a member: the live escalation is claimed, or one is made for it.

        Of several in the same instant one wins; the others are refused with the winner's name.
        """
        reason = Reason(
            id=raising_id(conversation.id, request.key), source=Source.TAKEOVER, at=datetime.now(UTC), by=member.name
        )
        command = Claim(
            request_id=request.key,
            fingerprint=request.fingerprint,
            actor=self.caller.actor,
            member_id=member.id,
            member_name=member.name,
            raising=Raise(reason=reason, actor=self.caller.actor),
        )
        with self.services.read_model.watch(conversation.id) as watch:
            if (known := await self.known(conversation.id, request)) is not None:
                return known
            try:
                outcome = await self.gateway.take_over(self.caller.organization_id, conversation.id, command)
            except RunEnded:
                raise _missing(conversation.id) from None
            except Problem as refusal:
                if (known := await self._known_after(refusal, conversation.id, request)) is not None:
                    return known
                raise
            check_fingerprint(outcome.fingerprint, request)
            return await self._answer(watch, outcome)

    async def hand_back(self, conversation: Conversation, note: str | None, request: RequestId) -> EscalationAnswer:
        """Return the conversation to the bot; supervisors and programs may do so whoever has it."""
        if (known := await self.known(conversation.id, request)) is not None:
            return known
        async with self.services.reads() as session:
            live = await find_live(session, self.caller.organization_id, conversation.id)
        if live is None:
            # An earlier try may have ended it, and have been recorded between two looks.
            if (known := await self.known(conversation.id, request)) is not None:
                return known
            if note is not None:
                await self._forget_note(conversation.id, request)
            raise Problem("not_claimed", "Nobody has the conversation.")
        forced = self.caller.role is None or self.caller.role in SUPERVISING_ROLES
        command = HandBack(**self.fields(request), escalation_id=live.id, forced=forced)
        return await self.command(await self.find(live.id), command, request, note=note)

    async def command(
        self, row: EscalationRow, command: EscalationCommand, request: RequestId, *, note: str | None = None
    ) -> EscalationAnswer:
        """Have the escalation obey, once for the request; an earlier answer is given again."""
        conversation_id = row.conversation_id
        with self.services.read_model.watch(conversation_id) as watch:
            if (known := await self.known(conversation_id, request)) is not None:
                return known
            try:
                return await self._obeyed(watch, row, command, request, note)
            except (Problem, DomainError) as refusal:
                if (known := await self._known_after(refusal, conversation_id, request)) is not None:
                    return known
                if note is not None and _is_final(refusal):
                    await self._forget_note(conversation_id, request)
                raise

    def fields(self, request: RequestId) -> dict[str, object]:
        """What every command carries."""
        return {"request_id": request.key, "fingerprint": request.fingerprint, "actor": self.caller.actor}

    async def member(self, member_id: UUID | None) -> Member:
        """The member who acts, or the one who is named; they must be active."""
        wanted = member_id or self.caller.actor.member_id
        if wanted is None:
            raise Problem("member_required", "Say who takes it: send member_id, or Baton-On-Behalf-Of.")
        async with self.services.reads() as session:
            return await find_member(session, self.caller.organization_id, wanted, "member_id")

    async def known(self, conversation_id: UUID, request: RequestId) -> EscalationAnswer | None:
        """The answer to the same request, where it was dealt with and recorded."""
        if not request.given:
            return None
        async with self.services.reads() as session:
            kept = await find_change(session, conversation_id, request.key)
            if kept is None:
                return None
            check_fingerprint(kept.fingerprint, request)
            row = await find_escalation_row(session, self.caller.organization_id, kept.escalation.id)
        assert row is not None
        return EscalationAnswer(await self._as(row, kept.escalation), replayed=True)

    async def _known_after(
        self, refusal: Problem | DomainError, conversation_id: UUID, request: RequestId
    ) -> EscalationAnswer | None:
        """The answer to an earlier try, where it was obeyed and recorded before things came to stand as refused."""
        return await self.known(conversation_id, request) if _is_final(refusal) else None

    async def _answer(self, watch: Watch, outcome: EscalationOutcome) -> EscalationAnswer:
        """The escalation as the command left it, once it can be read; marked where that takes too long."""
        mine = self.caller.organization_id

        async def look() -> EscalationRow | None:
            async with self.services.reads() as session:
                row = await find_escalation_row(session, mine, outcome.escalation.id)
            return row if row is not None and row.version >= outcome.version else None

        row = await watch.until(look, self._patience, at_least=0)
        if row is not None:
            return EscalationAnswer(await self.shown(row))
        shown = ShownEscalation(outcome.escalation, None, None, None, None, None)
        return EscalationAnswer(shown, pending=True)

    async def _as(self, row: EscalationRow, escalation: Escalation) -> ShownEscalation:
        shown = await self.shown(row)
        return ShownEscalation(
            escalation,
            shown.external_id,
            shown.team_name,
            shown.position,
            shown.ticket_number,
            shown.ticket_status,
            shown.reasons,
            shown.notes,
        )

    async def _obeyed(
        self, watch: Watch, row: EscalationRow, command: EscalationCommand, request: RequestId, note: str | None
    ) -> EscalationAnswer:
        conversation_id, escalation = row.conversation_id, Escalation.model_validate(row.state)
        if not escalation.is_live:
            lifecycle.check(escalation, command)
        if note is not None:
            await self._note(row.id, note, request)
        try:
            outcome = await self.gateway.command(conversation_id, command)
        except RunEnded:
            if (known := await self.known(conversation_id, request)) is not None:
                return known
            again = await self.find(row.id)
            lifecycle.check(Escalation.model_validate(again.state), command)
            raise _missing(conversation_id) from None
        check_fingerprint(outcome.fingerprint, request)
        return await self._answer(watch, outcome)

    async def _note(self, escalation_id: UUID, note: str, request: RequestId) -> None:
        """Keep what a member says with a command, beside the workflow; once for the request."""
        async with self.session.begin():
            await self.session.execute(
                insert(EscalationNote)
                .values(
                    id=uuid5(escalation_id, f"note:{request.key}"),
                    organization_id=self.caller.organization_id,
                    escalation_id=escalation_id,
                    author_id=self.caller.actor.id,
                    author_name=self.caller.actor.name,
                    body=note,
                )
                .on_conflict_do_nothing()
            )

    async def _forget_note(self, conversation_id: UUID, request: RequestId) -> None:
        """The command was refused, and its note says nothing, on whichever escalation an earlier try has left it."""
        async with self.session.begin():
            theirs = select(EscalationRow.id).where(EscalationRow.conversation_id == conversation_id)
            notes = [uuid5(each, f"note:{request.key}") for each in await self.session.scalars(theirs)]
            await self.session.execute(delete(EscalationNote).where(EscalationNote.id.in_(notes)))

    @property
    def _patience(self) -> float:
        return self.services.settings.read_model_wait.total_seconds()


def _is_final(refusal: Problem | DomainError) -> bool:
    """Whether no try of the request has taken effect or will; after others the client may send it again."""
    return STATUS_OF[refusal.code] < 500 and refusal.code != IdempotencyKeyReused.code


def _missing(conversation_id: UUID) -> Problem:
    return Problem(
        "escalation_workflow_missing",
        "The escalation's workflow does not run. Nothing was changed; raise it again, or tell whoever operates Baton.",
        conversation_id=str(conversation_id),
    )
