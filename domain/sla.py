"""SLA policies: which tickets one is for, and the targets it sets."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from domain.clocks import Metric
from domain.errors import InvalidPolicy
from domain.ladders import Frozen
from domain.priority import Priority
from domain.ticket import ChannelKind, Source

WARN_AT = 0.8
"""Share of the target after which a policy warns unless it says otherwise."""

LONGEST_TARGET = timedelta(days=5 * 366)


class SlaTime(StrEnum):
    """Which time a target counts: the calendar's working time, or all of it."""

    BUSINESS = "business"
    CALENDAR = "calendar"


class TicketFacts(Frozen):
    """What a policy's conditions look at."""

    team_id: UUID | None = None
    tags: frozenset[str] = frozenset()
    channel: ChannelKind
    priority: Priority
    source: Source


class SlaConditions(Frozen):
    """Which tickets a policy is for: all conditions hold, each by any of its values; an empty one always holds."""

    team_ids: tuple[UUID, ...] = ()
    tags: tuple[str, ...] = ()
    channels: tuple[ChannelKind, ...] = ()
    priorities: tuple[Priority, ...] = ()
    sources: tuple[Source, ...] = ()

    def match(self, facts: TicketFacts) -> bool:
        """Whether a ticket with these facts is meant."""
        return (
            (not self.team_ids or facts.team_id in self.team_ids)
            and (not self.tags or not facts.tags.isdisjoint(self.tags))
            and (not self.channels or facts.channel in self.channels)
            and (not self.priorities or facts.priority in self.priorities)
            and (not self.sources or facts.source in self.sources)
        )


class SlaPolicy(Frozen):
    """A promise about tickets of a kind. A plain value: ``checked`` says whether it can be kept.

    ``targets`` may leave out metrics and priorities: nothing is promised there. ``warn_at`` is a share of the target.
    ``calendar_id`` is the calendar business time is counted by, ``None`` the organization's default; where there is
    none either, business time is calendar time. ``escalation_ladder_id`` is climbed on a breach.
    """

    id: UUID
    name: str
    version: int = 1
    enabled: bool = True
    conditions: SlaConditions = SlaConditions()
    targets: Mapping[Metric, Mapping[Priority, timedelta]] = Field(default_factory=dict)
    counts: SlaTime = SlaTime.BUSINESS
    calendar_id: UUID | None = None
    warn_at: float = WARN_AT
    escalation_ladder_id: UUID | None = None

    def target(self, metric: Metric, priority: Priority) -> timedelta | None:
        """How long a ticket of this priority may take; ``None`` when nothing is promised."""
        return self.targets.get(metric, {}).get(priority)

    def checked(self) -> "SlaPolicy":
        """This policy, or ``InvalidPolicy`` with the first thing that is wrong and the path to it, ``at``."""
        if not self.name.strip():
            raise InvalidPolicy("A policy needs a name.", at="name")
        if not 0 < self.warn_at < 1:
            raise InvalidPolicy(
                "The warning comes at a share of the target between 0 and 1, such as 0.8.", at="warn_at"
            )
        if not any(self.targets.values()):
            raise InvalidPolicy("A policy needs a target for at least one metric and priority.", at="targets")
        for metric, targets in self.targets.items():
            for priority, target in targets.items():
                at = f"targets/{metric}/{priority}"
                if target <= timedelta(0):
                    raise InvalidPolicy(f"The {metric} target for {priority} must be longer than nothing.", at=at)
                if target > LONGEST_TARGET:
                    raise InvalidPolicy(f"The {metric} target for {priority} is longer than five years.", at=at)
        return self


def match_policy(policies: Iterable[SlaPolicy], facts: TicketFacts) -> SlaPolicy | None:
    """The first policy, in the order given, that is enabled and meant for the ticket."""
    return next((policy for policy in policies if policy.enabled and policy.conditions.match(facts)), None)
