"""The verdict of a run: what was counted, and every promise that was broken."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tests.chaos.retelling import Fate, TimerFate


class Wrong(StrEnum):
    """Ways in which a promise is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    DISORDERED = "out of order"
    TRACE = "refused, but left a trace"
    ANSWER = "answered otherwise"
    UNASKED = "asked for by nobody"
    GAP = "gap in a story"
    STORY = "story that does not follow"
    MISMATCH = "read model unlike its workflow"
    UNFIRED = "timer unfired"
    FIRED_TWICE = "timer fired twice"
    UNTOLD = "told to nobody"
    TOLD_TWICE = "told twice, or in vain"
    FOREIGN = "of another organization"
    TWO_LIVE = "two live escalations at once"
    TWO_OWNERS = "two owners at once"
    UNDELIVERED = "never delivered"
    DELIVERED_IN_VAIN = "delivered, but not to be"
    RECORDED = "delivery recorded otherwise"
    FORGED = "signature that does not hold"


@dataclass(frozen=True)
class Finding:
    """One broken promise; ``text`` names ids and versions, and quotes nobody."""

    wrong: Wrong
    text: str


@dataclass(frozen=True)
class TalkCounts:
    """What came to pass in conversations.

    ``contested`` claims were refused since somebody else had the conversation. ``requests`` are those that reached the
    receiver: some came ``again`` under a key it had taken already.
    """

    conversations: int
    escalations: int
    raised: int
    taken: int
    contested: int
    returned: int
    steps: int
    notices: int
    replies: int
    deliveries: int
    requests: int
    again: int


@dataclass(frozen=True)
class Report:
    """What a run came to.

    ``resolved`` commands were unknown for a while, and their outcome was learned in the end; ``without_effect`` were
    acknowledged because what they asked for was so already; ``ended`` counts processes that ended by themselves.
    """

    findings: list[Finding]
    sent: int
    acknowledged: int
    without_effect: int
    resolved: int
    refused: int
    given_up: int
    given_up_effective: int
    repeated: int
    tickets: int
    events: int
    talks: TalkCounts
    fates: list[TimerFate]
    outages: list[tuple[datetime, datetime]]
    blows: Counter[tuple[str, str]]
    ended: Counter[str] = field(default_factory=Counter)

    def count(self, wrong: Wrong) -> int:
        return sum(finding.wrong is wrong for finding in self.findings)

    def timers(self, fate: Fate) -> list[TimerFate]:
        return [each for each in self.fates if each.fate is fate]

    def due_while_away(self) -> list[TimerFate]:
        """Timers that fell due during an outage."""
        return [each for each in self.fates if any(began <= each.due_at <= ended for began, ended in self.outages)]

    def late_once_up(self) -> list[timedelta]:
        """How late timers fired, not counting the outages: from when they were due, or all was up again after that.

        Without those that fired while something else was down.
        """
        return [
            fate.at - max([fate.due_at, *(ended for _, ended in self.outages if fate.due_at < ended <= fate.at)])
            for fate in self.timers(Fate.FIRED)
            if not any(began <= fate.at <= ended for began, ended in self.outages)
        ]
