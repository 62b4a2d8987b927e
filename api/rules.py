"""What the API does with rules, one mechanism for escalation events and routing rules."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from fastapi import Response
from pydantic import RootModel
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal
from api.idempotency import RequestId, once
from api.own import find_own, in_turn
from api.pagination import Page, Place, after, after_number, encode_cursor
from api.problems import Problem, not_found, unique_or
from api.schemas.decision import DecisionView
from api.schemas.rule import (
    MOST_RULES,
    EscalationEventDocument,
    EscalationEventsView,
    EscalationEventVersionView,
    EscalationEventView,
    ModeDocument,
    RoutingRuleDocument,
    RoutingRulesView,
    RoutingRuleVersionView,
    RoutingRuleView,
    RuleDocument,
    RuleOrderDocument,
    RuleView,
    VersionView,
)
from db.audit import note_change
from db.models import Channel, Decision, Member, RuleRow, RuleVersion, SlaPolicyRow, Team
from db.rules import Counts, count_decisions, newest_versions, rules_changed, size_in_force
from domain.rules.conditions import ChannelIs, invalid, placed_leaves
from domain.rules.rule import EscalationActions, Outcome, RoutingActions, Rule, RuleKind, RuleMode, dump_definition
from domain.ticket import ChannelKind

MOST_IN_FORCE = 500
"""Rules of both kinds that are on or in shadow: each message is held against all of them."""

COUNTED_OVER = timedelta(days=30)
"""Decisions that a rule's counts are of."""

MOST_KEYWORDS = 20_000
"""Keywords of all rules in force; they are held in the memory of each process."""

D = TypeVar("D", bound=RuleDocument)
V = TypeVar("V", bound=RuleView)
O = TypeVar("O", bound=VersionView)  # noqa: E741 - an old version
L = TypeVar("L", bound=RootModel[Any])


@dataclass(frozen=True)
class Noun(Generic[D, V, O, L]):
    """A kind of rule: what it is called, and how it is sent and shown (one, an old version, all)."""

    kind: RuleKind
    name: str
    document: type[D]
    view: type[V]
    version: type[O]
    all: type[L]


ESCALATION_EVENTS = Noun(
    RuleKind.ESCALATION_EVENT,
    "escalation event",
    EscalationEventDocument,
    EscalationEventView,
    EscalationEventVersionView,
    EscalationEventsView,
)
ROUTING_RULES = Noun(
    RuleKind.ROUTING_RULE,
    "routing rule",
    RoutingRuleDocument,
    RoutingRuleView,
    RoutingRuleVersionView,
    RoutingRulesView,
)


@dataclass(frozen=True)
class Rules(Generic[D, V, O, L]):
    """The caller's rules of one kind. What writes is done once for a request, and every process follows it at once."""

    session: AsyncSession
    caller: Principal
    noun: Noun[D, V, O, L]

    async def create(self, document: D, request: RequestId) -> Response:
        """Keep a new rule, the last in order."""

        async def work() -> V:
            await in_turn(self.session, self.caller)
            taken = list(await self.session.scalars(select(RuleRow.position).where(*self._mine)))
            if len(taken) >= MOST_RULES:
                raise Problem("limit_reached", f"An organization keeps at most {MOST_RULES} {self.noun.name}s.")
            row = RuleRow(
                id=uuid4(),
                organization_id=self.caller.organization_id,
                kind=self.noun.kind,
                position=max(taken, default=0) + 1,
                mode=RuleMode.ON,
                version=0,
                created_at=datetime.now(UTC),
            )
            return await self._write(row, document)

        return await once(self.session, self.caller.organization_id, request, work, status=201)

    async def all(self) -> L:
        """Every rule, in order."""
        listed = newest_versions().where(*self._mine).order_by(RuleRow.position, RuleRow.id)
        rows = (await self.session.execute(listed)).all()
        counts = await self._counts([row.id for row, _ in rows])
        return self.noun.all.model_validate([self._view(row, kept, counts.get(row.id, Counts())) for row, kept in rows])

    async def read(self, rule_id: UUID) -> V:
        """A rule in its newest version, or ``not_found``."""
        row = await self.find(rule_id)
        return await self._shown(row, await self.session.get_one(RuleVersion, (rule_id, row.version)))

    async def replace(self, rule_id: UUID, document: D, request: RequestId) -> Response:
        """Write the rule's next version; those before it are kept."""

        async def work() -> V:
            await in_turn(self.session, self.caller)
            return await self._write(await self.find(rule_id, lock=True), document)

        return await once(self.session, self.caller.organization_id, request, work)

    async def switch(self, rule_id: UUID, document: ModeDocument, request: RequestId) -> Response:
        """Switch the rule on, into shadow or off; its version stays."""

        async def work() -> V:
            await in_turn(self.session, self.caller)
            row = await self.find(rule_id, lock=True)
            row.mode = document.mode
            await self.session.flush()
            await self._check_room()
            await rules_changed(self.session, self.caller.organization_id)
            return await self._shown(row, await self.session.get_one(RuleVersion, (rule_id, row.version)))

        return await once(self.session, self.caller.organization_id, request, work)

    async def reorder(self, document: RuleOrderDocument, request: RequestId) -> Response:
        """Put the rules into another order."""

        async def work() -> L:
            await in_turn(self.session, self.caller)
            in_order = select(RuleRow.id).where(*self._mine).order_by(RuleRow.position, RuleRow.id)
            before = list(await self.session.scalars(in_order))
            known = set(before)
            if known != set(document.ids) or len(document.ids) != len(known):
                raise Problem(
                    "invalid_reference",
                    f"Send the ids of all {self.noun.name}s, each once.",
                    ids=sorted(str(each) for each in known),
                )
            order = {"order": before}, {"order": document.ids}
            note_change(self.session, f"{self.noun.kind}s", self.caller.organization_id, *order)
            for position, rule_id in enumerate(document.ids, start=1):
                await self.session.execute(update(RuleRow).where(RuleRow.id == rule_id).values(position=position))
            await rules_changed(self.session, self.caller.organization_id)
            return await self.all()

        return await once(self.session, self.caller.organization_id, request, work)

    async def delete(self, rule_id: UUID, request: RequestId) -> Response:
        """Delete the rule with its versions; what it has decided is kept."""

        async def work() -> None:
            await in_turn(self.session, self.caller)
            await self.session.delete(await self.find(rule_id, lock=True))
            await rules_changed(self.session, self.caller.organization_id)

        return await once(self.session, self.caller.organization_id, request, work, status=204)

    async def versions(self, rule_id: UUID, place: Place) -> Page[O]:
        """The rule's versions, the first one first."""
        await self.find(rule_id)
        mine = select(RuleVersion).where(RuleVersion.rule_id == rule_id)
        rows = list(await self.session.scalars(after_number(mine, RuleVersion.version, place)))
        shown = rows[: place.limit]
        items = [self.noun.version.model_validate({**vars(kept), **_said(kept)}) for kept in shown]
        return Page(items=items, next_cursor=str(shown[-1].version) if len(rows) > place.limit else None)

    async def decisions(self, rule_id: UUID, place: Place, outcome: Outcome | None) -> Page[DecisionView]:
        """What the rule has decided, the newest first."""
        await self.find(rule_id)
        mine = select(Decision).where(
            Decision.organization_id == self.caller.organization_id, Decision.rule_id == rule_id
        )
        if outcome:
            mine = mine.where(Decision.outcome == outcome)
        rows = list(await self.session.scalars(after(mine, Decision.at, Decision.id, place, newest_first=True)))
        shown = rows[: place.limit]
        cursor = encode_cursor(shown[-1].at, shown[-1].id) if len(rows) > place.limit else None
        return Page(items=[DecisionView.model_validate(row) for row in shown], next_cursor=cursor)

    async def find(self, rule_id: UUID, *, lock: bool = False) -> RuleRow:
        """The rule's row, or ``not_found``; a rule of the other kind is not found either."""
        row = await find_own(self.session, self.caller, RuleRow, rule_id, self.noun.name, lock=lock)
        if row.kind != self.noun.kind:
            raise not_found(self.noun.name)
        return row

    async def check(self, rule: Rule[Any]) -> None:
        """Refuse a rule that names what the organization does not have, with the path at which it does.

        Teams and policies that it names cannot be deleted before the caller's transaction ends.
        """
        await self._check_channels(rule)
        mine = self.caller.organization_id
        for table, named, extra in (
            (Team, list(_teams(rule.actions)), ()),
            (SlaPolicyRow, list(_policies(rule.actions)), ()),
            (Member, list(_members(rule.actions)), (Member.status == "active",)),
        ):
            if not named:
                continue
            ids = sorted({each for _, each in named})
            wanted = select(table.id).where(table.id.in_(ids), table.organization_id == mine, *extra)
            found = await self.session.scalars(wanted.order_by(table.id).with_for_update(read=True, key_share=True))
            known = set(found)
            for path, each in named:
                if each not in known:
                    who = "no active member" if table is Member else "nothing"
                    raise Problem("invalid_reference", f"{path} names {who} in this organization.", at=path)

    async def _write(self, row: RuleRow, document: D) -> V:
        """Keep the checked document as the rule's next version; the caller owns the transaction."""
        row.version += 1
        row.name, row.mode = document.name, document.mode or row.mode
        rule = document.rule(row.id, row.version, RuleMode(row.mode))
        await self.check(rule)
        kept = RuleVersion(
            rule_id=row.id, version=row.version, definition=dump_definition(rule), created_at=datetime.now(UTC)
        )
        self.session.add(row)
        with unique_or(f"There is a {self.noun.name} with this name already."):
            await self.session.flush()
        self.session.add(kept)
        await self.session.flush()
        await self._check_room()
        await rules_changed(self.session, self.caller.organization_id)
        return await self._shown(row, kept)

    async def _check_room(self) -> None:
        """Refuse what would have each message held against too much."""
        rules, keywords = await size_in_force(self.session, self.caller.organization_id)
        if rules > MOST_IN_FORCE:
            raise Problem("limit_reached", f"At most {MOST_IN_FORCE} rules are in force at once; switch others off.")
        if keywords > MOST_KEYWORDS:
            raise Problem("limit_reached", f"All rules in force together look for at most {MOST_KEYWORDS} keywords.")

    async def _check_channels(self, rule: Rule[Any]) -> None:
        known: set[UUID] | None = None
        for path, leaf in placed_leaves(rule.conditions):
            for place, channel in enumerate(leaf.channel if isinstance(leaf, ChannelIs) else ()):
                at = f"{path}/channel/{place}"
                if channel in set(ChannelKind):
                    continue
                try:
                    channel_id = UUID(channel)
                except ValueError:
                    kinds = ", ".join(ChannelKind)
                    raise invalid([(at, f"is no channel's id and none of the kinds {kinds}")]) from None
                if known is None:
                    mine = Channel.organization_id == self.caller.organization_id
                    known = set(await self.session.scalars(select(Channel.id).where(mine)))
                if channel_id not in known or str(channel_id) != channel:
                    raise Problem("invalid_reference", f"{at} names no channel of this organization.", at=at)

    @property
    def _mine(self) -> tuple[Any, Any]:
        return RuleRow.organization_id == self.caller.organization_id, RuleRow.kind == self.noun.kind

    async def _counts(self, rule_ids: Sequence[UUID]) -> dict[UUID, Counts]:
        since = datetime.now(UTC) - COUNTED_OVER
        return await count_decisions(self.session, self.caller.organization_id, rule_ids, since)

    async def _shown(self, row: RuleRow, kept: RuleVersion) -> V:
        return self._view(row, kept, (await self._counts([row.id])).get(row.id, Counts()))

    def _view(self, row: RuleRow, kept: RuleVersion, counts: Counts) -> V:
        found = {**vars(row), **_said(kept), "changed_at": kept.created_at, "counts": counts._asdict()}
        return self.noun.view.model_validate(found)


def _said(kept: RuleVersion) -> dict[str, Any]:
    """A version's content as it is shown."""
    definition = kept.definition
    return {
        "conditions": definition["conditions"],
        "actions": definition["actions"],
        "cooldown": timedelta(seconds=definition["cooldown_seconds"]),
    }


def _teams(actions: EscalationActions | RoutingActions) -> Iterator[tuple[str, UUID]]:
    if actions.team_id:
        yield "actions/team_id", actions.team_id
    if isinstance(actions, EscalationActions):
        yield from _placed("actions/notify_team_ids", actions.notify_team_ids)


def _members(actions: EscalationActions | RoutingActions) -> Iterator[tuple[str, UUID]]:
    if actions.assignee_id:
        yield "actions/assignee_id", actions.assignee_id
    if isinstance(actions, EscalationActions):
        yield from _placed("actions/notify_member_ids", actions.notify_member_ids)


def _policies(actions: EscalationActions | RoutingActions) -> Iterator[tuple[str, UUID]]:
    if isinstance(actions, RoutingActions) and actions.sla_policy_id:
        yield "actions/sla_policy_id", actions.sla_policy_id


def _placed(path: str, ids: Iterable[UUID]) -> Iterator[tuple[str, UUID]]:
    return ((f"{path}/{place}", each) for place, each in enumerate(ids))
