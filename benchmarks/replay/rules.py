"""What the replayed organizations have set up: teams, escalation events, routing rules, and a service level.

The keywords are what anybody who has waited at a gate would write down. They were not taken from the stream's labels,
with which the report compares what comes of them.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from benchmarks.replay.pace import Pace

Json = dict[str, Any]

CARE, BAGGAGE, FLIGHTS, BOOKINGS = "Care", "Baggage", "Flights", "Bookings"
TEAMS = (CARE, BAGGAGE, FLIGHTS, BOOKINGS)

SUBJECTS: Mapping[str, str] = {
    "lost luggage": "Lost Luggage",
    "damaged luggage": "Damaged Luggage",
    "late flight": "Late Flight",
    "cancelled flight": "Cancelled Flight",
    "booking": "Flight Booking Problems",
    "cabin": "Bad Flight",
    "crew": "Flight Attendant Complaints",
    "queue": "longlines",
    "service": "Customer Service Issue",
}
"""The tag a routing rule gives, and the label with which a human says the same."""

_COOLDOWN = timedelta(hours=1)
_BAGS = ("bag", "bags", "luggage", "baggage", "suitcase", "suitcases", "stroller", "car seat")
_GONE = (
    "lost",
    "lose",
    "missing",
    "never arrived",
    "didn't arrive",
    "did not arrive",
    "left behind",
    "no bag",
    "no bags",
    "no luggage",
    "where is",
    "where's",
    "locate",
    "find my",
    "still waiting",
    "still don't have",
    "delayed",
    "tracer",
    "claim",
)
_BROKEN = ("damaged", "damage", "broken", "broke", "ruined", "destroyed", "cracked", "ripped", "torn")
_CANCELLED = ("cancelled", "canceled", "cancel", "cancellation", "cancellations", "cancelling", "canceling")
_LATE = (
    "delay",
    "delays",
    "delayed",
    "late",
    "hours late",
    "sitting on the tarmac",
    "on the tarmac",
    "tarmac",
    "runway",
    "waiting for a gate",
    "no gate",
    "missed my connection",
    "missed connection",
    "miss my connection",
    "missed our connection",
    "missed my flight",
)
_BOOKING = (
    "book",
    "booking",
    "booked",
    "rebook",
    "reservation",
    "reservations",
    "website",
    "online",
    "app",
    "confirmation",
    "upgrade",
    "miles",
    "fare",
    "check in",
    "change my flight",
)
_CABIN = (
    "seat",
    "seats",
    "legroom",
    "wifi",
    "wi-fi",
    "movie",
    "tv",
    "dirty",
    "old plane",
    "food",
    "meal",
    "power outlet",
)
_CREW = (
    "flight attendant",
    "flight attendants",
    "stewardess",
    "steward",
    "crew",
    "gate agent",
    "gate agents",
    "gate staff",
    "rude",
)
_QUEUE = ("line", "lines", "queue", "long line", "long lines")
_SERVICE = (
    "customer service",
    "on hold",
    "hung up",
    "hang up",
    "phone",
    "call",
    "calling",
    "called",
    "answer",
    "response",
    "respond",
    "reply",
    "agent",
    "agents",
    "representative",
    "refund",
    "help",
)
_STRANDED = (
    "stranded",
    "stuck in",
    "stuck at",
    "sleep in the airport",
    "sleeping in the airport",
    "sleep on the floor",
    "overnight",
    "hotel",
    "missed my connection",
    "missed our connection",
    "miss my connection",
)
_LEAVING = (
    "never again",
    "never fly",
    "never flying",
    "last time",
    "never use",
    "not flying",
    "switching to",
    "lost a customer",
    "losing a customer",
    "taking my business",
)
_MONEY = ("refund", "refunded", "reimburse", "reimbursed", "reimbursement", "compensation", "compensate", "voucher")


def escalation_events(teams: Mapping[str, str], pace: Pace) -> list[Json]:
    """The documents of the rules that decide which conversations escalate, in their order; ``teams`` by name."""
    bags_gone = {"all": [_keyword(_BAGS), _keyword((*_GONE, *_BROKEN))]}
    unhappy = {"sentiment": {"at_most": -0.25}}
    return [
        _event("Asks for a person", {"human_requested": True}, pace, priority="high", notify_team_ids=[teams[CARE]]),
        _event("Stranded", {"all": [_keyword(_STRANDED), {"not": _pleased()}]}, pace, priority="urgent"),
        _event("Flight cancelled", {"all": [_keyword(_CANCELLED), {"not": _pleased()}]}, pace, priority="high"),
        _event("Baggage is gone or broken", bags_gone, pace, notify_team_ids=[teams[BAGGAGE]]),
        _event("Late, and says so unhappily", {"all": [_keyword(_LATE), unhappy]}, pace),
        _event("Wants to leave", _keyword(_LEAVING), pace, priority="high", tags=["may leave"]),
        _event("Very unhappy", {"sentiment": {"at_most": -0.6}}, pace),
        _event("Unhappy twice in three messages", {"sentiment": {"at_most": -0.25, "messages": 2, "of_last": 3}}, pace),
        _event("Wants money back", _keyword(_MONEY), pace, mode="shadow"),
    ]


def routing_rules(teams: Mapping[str, str]) -> list[Json]:
    """The documents of the rules that give new tickets tags and a team, in their order: the first team counts."""
    return [
        _route("Damaged luggage", {"all": [_keyword(_BAGS), _keyword(_BROKEN)]}, teams[BAGGAGE], "damaged luggage"),
        _route("Lost luggage", {"all": [_keyword(_BAGS), _keyword(_GONE)]}, teams[BAGGAGE], "lost luggage"),
        _route("Cancelled flights", _keyword(_CANCELLED), teams[FLIGHTS], "cancelled flight"),
        _route("Late flights", _keyword(_LATE), teams[FLIGHTS], "late flight"),
        _route("Bookings", _keyword(_BOOKING), teams[BOOKINGS], "booking"),
        _route("Crew", _keyword(_CREW), teams[CARE], "crew"),
        _route("Cabin", _keyword(_CABIN), teams[CARE], "cabin"),
        _route("Queues", _keyword(_QUEUE), teams[CARE], "queue"),
        _route("Service", _keyword(_SERVICE), teams[CARE], "service"),
        {"name": "All others", "conditions": {"not": {"tag": "no team"}}, "actions": {"team_id": teams[CARE]}},
    ]


def sla_policy(pace: Pace) -> Json:
    """The document of what is promised to every ticket, in the stream's time."""
    return {
        "name": "Replay",
        "counts": "calendar",
        "targets": {
            metric: {priority: pace.document(target / _HASTE[priority]) for priority in _HASTE}
            for metric, target in pace.targets.items()
        },
    }


_HASTE = {"low": 1, "normal": 1, "high": 2, "urgent": 2}
"""How many times sooner than normal."""


def _keyword(words: tuple[str, ...]) -> Json:
    return {"keyword": list(dict.fromkeys(words))}


def _pleased() -> Json:
    return _keyword(("thanks", "thank you", "great", "awesome", "appreciate"))


def _event(name: str, conditions: Json, pace: Pace, mode: str = "on", **actions: Any) -> Json:
    return {
        "name": name,
        "mode": mode,
        "conditions": conditions,
        "actions": {"create_ticket": True, **actions},
        "cooldown": pace.document(_COOLDOWN),
    }


def _route(name: str, conditions: Json, team: str, tag: str) -> Json:
    return {"name": name, "conditions": conditions, "actions": {"team_id": team, "tags": [tag]}}
