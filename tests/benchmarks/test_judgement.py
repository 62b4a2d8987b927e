"""What escalated by what, what people said of the same messages, and whether promises were kept: counted by hand."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api.schemas.rule import EscalationEventDocument, RoutingRuleDocument
from api.schemas.sla import SlaPolicyDocument
from benchmarks.replay.journal import Answered
from benchmarks.replay.judgement import judge
from benchmarks.replay.pace import Pace
from benchmarks.replay.readings import ConversationReading, TenantReading, TicketReading
from benchmarks.replay.rules import SUBJECTS, TEAMS, escalation_events, routing_rules, sla_policy
from benchmarks.replay.service import service
from benchmarks.replay.stream import Stream, read_stream
from tests.benchmarks.streams import line, write

Json = dict[str, Any]

MESSAGES = [
    line(1, "c2", 1, sentiment="negative", reason="Lost Luggage"),
    line(2, "c2", 2, sentiment="neutral", reason=None),
    line(3, "c4", 3, sentiment="negative", reason="Late Flight"),
    line(4, "c6", 4, sentiment="positive", reason=None),
]
ANSWERED = {
    "m1": Answered(sentiment=-0.8, human_requested=True, decided_by="builtin"),
    "m2": Answered(sentiment=-0.5, human_requested=False, decided_by="builtin"),
    "m3": Answered(sentiment=None, human_requested=False, decided_by="webhook"),
    "m4": Answered(sentiment=0.9, human_requested=False, decided_by="builtin"),
}


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return read_stream(write(tmp_path_factory.mktemp("judgement") / "stream", MESSAGES))


def _message(name: str) -> Json:
    return {"id": name, "external_id": f"twitter:{name}", "author_kind": "customer", "ticket_id": None}


def _decision(rule: str, message: str | None, *kinds: str, outcome: str = "acted", **actions: Any) -> Json:
    return {
        "kind": "escalation_event" if message else "routing_rule",
        "rule_name": rule,
        "message_id": message,
        "outcome": outcome,
        "evidence": [{"kind": kind} for kind in kinds],
        "actions": actions,
    }


def _tenant(*decisions: Json, tickets: tuple[TicketReading, ...] = ()) -> TenantReading:
    """c2 has what was decided; nothing was in c4 and c6."""
    return TenantReading(
        "North",
        tickets,
        [
            ConversationReading("c2", [_message("m1"), _message("m2")], decisions),
            ConversationReading("c4", [_message("m3")], ()),
            ConversationReading("c6", [_message("m4")], ()),
        ],
    )


def test_the_rules_that_opened_a_ticket_are_told_from_those_that_matched_later(stream: Stream) -> None:
    found = judge(
        stream,
        [
            _tenant(
                _decision("Bags", "m1", "keyword", "not"),
                _decision("Asks", "m1", "human_requested"),
                _decision("Money", "m1", "keyword", outcome="shadow"),
                _decision("Bags", "m2", "keyword", outcome="cooldown"),
                _decision("Upset", "m2", "sentiment"),
                _decision("Lost luggage", None, "keyword", tags=["lost luggage"]),
            )
        ],
        ANSWERED,
    )
    assert (found.conversations, found.escalated) == (3, 1)
    assert found.because == {"human requested and keyword": 1}
    numbers = {each.rule: (each.opened, each.alone, each.acted, each.rested, each.shadow) for each in found.rules}
    assert numbers == {
        "Bags": (1, 0, 1, 1, 0),
        "Asks": (1, 0, 1, 0, 0),
        "Money": (0, 0, 0, 0, 1),
        "Upset": (0, 0, 1, 0, 0),
        "Lost luggage": (1, 1, 1, 0, 0),
    }
    assert found.human_requests == 1
    assert found.decided_by == {"builtin": 3, "webhook": 1}


def test_sentiment_is_compared_with_every_label_and_no_score_counts_as_neutral(stream: Stream) -> None:
    found = judge(stream, [_tenant()], ANSWERED).sentiment
    assert found is not None
    assert (found.messages, found.unscored, found.agreement) == (4, 1, 0.5)
    assert found.confusion == {
        "negative": {"negative": 1, "neutral": 1, "positive": 0},
        "neutral": {"negative": 1, "neutral": 0, "positive": 0},
        "positive": {"negative": 0, "neutral": 0, "positive": 1},
    }
    negative = next(each for each in found.labels if each.label == "negative")
    assert (negative.labelled, negative.said, negative.both) == (2, 2, 1)
    assert (negative.precision, negative.recall) == (0.5, 0.5)


def test_tags_are_compared_with_the_reason_of_the_message_that_opened_the_ticket(stream: Stream) -> None:
    decided = (
        _decision("Bags", "m1", "keyword"),
        _decision("Lost luggage", None, "keyword", tags=["lost luggage"]),
        _decision("Late flights", None, "keyword", tags=["late flight"]),
        _decision("All others", None, "tag", team_id=str(uuid4())),
    )
    found = judge(stream, [_tenant(*decided)], ANSWERED).subjects
    assert found is not None
    assert (found.tickets, found.tagged) == (1, 1)
    counts = {each.label: (each.labelled, each.said, each.both) for each in found.labels if each.said or each.labelled}
    assert counts == {"Lost Luggage": (1, 1, 1), "Late Flight": (0, 1, 0)}
    late = next(each for each in found.labels if each.label == "Late Flight")
    assert (late.precision, late.recall) == (0.0, None)


def test_a_stream_without_labels_is_compared_with_nothing(tmp_path: Path) -> None:
    plain = read_stream(write(tmp_path / "stream", [line(1, "c2", 1, sentiment=None, reason=None)]))
    found = judge(plain, [_tenant()], {"m1": ANSWERED["m1"]})
    assert (found.sentiment, found.subjects) == (None, None)


def _story(*changes: tuple[str, str, int]) -> TicketReading:
    clocks = [{"metric": metric, "kind": kind, "episode": episode} for metric, kind, episode in changes]
    return TicketReading("t", None, None, [{"clocks": [clock]} for clock in clocks], None)


def test_a_promise_is_kept_once_an_episode_and_a_breach_stays_one(stream: Stream) -> None:
    tickets = (
        _story(
            ("first_response", "activate", 1),
            ("first_response", "fulfil", 1),
            ("next_response", "activate", 1),
            ("next_response", "fulfil", 1),
            ("next_response", "activate", 2),
            ("next_response", "breach", 2),
            ("next_response", "fulfil", 2),
            ("resolution", "activate", 1),
        ),
        _story(("first_response", "activate", 1), ("first_response", "breach", 1)),
    )
    found = {each.metric: each for each in service([_tenant(tickets=tickets)])}
    assert [(each.met, each.breached, each.unsettled) for each in found.values()] == [(1, 1, 0), (1, 1, 0), (0, 0, 1)]
    assert (found["first_response"].compliance, found["resolution"].compliance) == (0.5, None)


def test_the_rules_of_a_replay_are_such_as_the_api_takes() -> None:
    pace, teams = Pace(300), {name: str(uuid4()) for name in TEAMS}
    for document in escalation_events(teams, pace):
        EscalationEventDocument.model_validate(document).rule(uuid4())
    tags = set()
    for document in routing_rules(teams):
        RoutingRuleDocument.model_validate(document).rule(uuid4())
        tags.update(document["actions"].get("tags", ()))
    assert tags == set(SUBJECTS)
    SlaPolicyDocument.model_validate(sla_policy(pace))
