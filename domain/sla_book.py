"""All SLA policies and calendars of an organization, and what they make of a ticket; for activities and the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime

from domain import deadlines
from domain.calendar import BusinessCalendar
from domain.clocks import AppliedPolicy, Clock, ClockState, Metric
from domain.deadlines import ClockPlan
from domain.ladders import Frozen
from domain.sla import SlaPolicy, TicketFacts, match_policy
from domain.sla_planning import explain, plan
from domain.ticket import Ticket


class PolicyVersion(Frozen):
    """A policy as it is promised to tickets created from ``effective_from`` on."""

    policy: SlaPolicy
    effective_from: AwareDatetime


class DeadlineChange(Frozen):
    """What other rules would make of one of a ticket's clocks."""

    metric: Metric
    before: AwareDatetime | None
    after: AwareDatetime | None
    policy_before: AppliedPolicy | None
    policy_after: AppliedPolicy | None
    breaches_at_once: bool


@dataclass(frozen=True)
class SlaBook:
    """``policies`` in their order, each with its versions, the newest first."""

    policies: Sequence[Sequence[PolicyVersion]]
    calendars: Mapping[UUID, BusinessCalendar]
    default_calendar_id: UUID | None

    def policy_for(self, ticket: Ticket) -> SlaPolicy | None:
        """The first policy that is in use and meant for the ticket, in the version promised when it was created.

        One that a routing rule has chosen goes before all others for as long as it is in use.
        """
        promised = [
            next((each.policy for each in versions if each.effective_from <= ticket.created_at), None)
            for versions in self.policies
        ]
        known = [policy for policy in promised if policy]
        chosen = next((policy for policy in known if policy.enabled and policy.id == ticket.sla_policy_id), None)
        return chosen or match_policy(known, facts_of(ticket))

    def calendar_for(self, policy: SlaPolicy | None) -> BusinessCalendar | None:
        """The policy's calendar, else the organization's default; ``None`` where all time is working time."""
        wanted = policy.calendar_id if policy and policy.calendar_id else self.default_calendar_id
        return self.calendars.get(wanted) if wanted else None

    def plan(self, ticket: Ticket, now: datetime) -> ClockPlan:
        """The deadlines the ticket should have."""
        policy = self.policy_for(ticket)
        return plan(ticket.clocks, policy, self.calendar_for(policy), ticket.priority, now)

    def explanations(self, ticket: Ticket, now: datetime) -> dict[Metric, str]:
        """The arithmetic of each clock that has run, in words, by the policy and the target it is held to."""
        found = {}
        for clock in ticket.clocks.all():
            if clock.episode:
                policy = self._applied(clock.policy)
                planned = plan(ticket.clocks, policy, self.calendar_for(policy), ticket.priority, now).of(clock.metric)
                found[clock.metric] = explain(planned.model_copy(update={"target": clock.target}))
        return found

    def _applied(self, applied: AppliedPolicy | None) -> SlaPolicy | None:
        """The version that a clock is under, be it switched off since; ``None`` where it was deleted."""
        named = (applied.id, applied.version) if applied else None
        versions = (each.policy for kept in self.policies for each in kept)
        found = next((each for each in versions if (each.id, each.version) == named), None)
        return found and found.model_copy(update={"enabled": True})

    def changes(self, ticket: Ticket, now: datetime) -> list[DeadlineChange]:
        """What the ticket's clocks would be with these rules, where that differs from what they are."""
        planned = deadlines.adopt(ticket.clocks, self.plan(ticket, now))
        pairs = zip(ticket.clocks.all(), planned.all(), strict=True)
        return [_change(old, new, now) for old, new in pairs if _promise(old) != _promise(new)]


def facts_of(ticket: Ticket) -> TicketFacts:
    """What policies look at."""
    return TicketFacts(
        team_id=ticket.team_id,
        tags=frozenset(ticket.tags),
        channel=ticket.channel,
        priority=ticket.priority,
        source=ticket.source,
    )


def _promise(clock: Clock) -> tuple[object, ...]:
    return clock.policy, clock.target, clock.due_at, clock.warn_at, clock.missed_at


def _change(old: Clock, new: Clock, now: datetime) -> DeadlineChange:
    overdue = new.due_at is not None and new.due_at <= now
    return DeadlineChange(
        metric=new.metric,
        before=old.due_at,
        after=new.due_at,
        policy_before=old.policy,
        policy_after=new.policy,
        breaches_at_once=overdue and new.state is ClockState.RUNNING and new.breached_at is None,
    )
