"""Every escalation and every delivery is accounted for: what is lost, doubled or contradicted is counted and named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from benchmarks.replay.delivery_account import account_for_deliveries, known_as
from benchmarks.replay.escalation_account import account_for_escalations
from benchmarks.replay.journal import Answered, Does, Done, Received
from benchmarks.replay.readings import ConversationReading, EscalationReading, Json, TenantReading, TicketReading

RAISED_AT, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
ANSWER, REMINDER, TAKEN, BACK = (str(UUID(int=number)) for number in range(1, 5))
"""Ids of deliveries."""
_ORDER = (ANSWER, REMINDER, TAKEN, BACK)
"""As they were made, a second apart."""


@dataclass
class World:
    """A conversation that a rule, its customer and a flow escalate, and that is claimed, answered and handed back.

    Tests spoil it.
    """

    view: Json = field(
        default_factory=lambda: {
            "id": "e1",
            "conversation_id": "c",
            "conversation_external_id": "c2",
            "status": "resolved",
            "reasons": [
                {"source": "rule", "rule_name": "Bags", "at": RAISED_AT},
                {"source": "assistant", "at": RAISED_AT},
                {"source": "flow", "node_id": "m1:raise", "at": RAISED_AT},
                {"source": "sla", "metric": "first_response", "at": RAISED_AT},
            ],
            "raised_at": RAISED_AT,
            "first_claimed_at": LATER,
            "ticket": {"id": "t1"},
        }
    )
    workflow: Json | None = field(default_factory=lambda: {"status": "resolved", "first_claimed_at": LATER})
    others: list[EscalationReading] = field(default_factory=list)
    decisions: list[Json] = field(default_factory=lambda: [_decision("Bags"), _decision("Money", "shadow")])
    messages: list[Json] = field(
        default_factory=lambda: [
            {"id": "s1", "external_id": "twitter:m1", "author_kind": "customer", "automatic": False},
            {"id": "s2", "external_id": "answer:m1", "author_kind": "agent"},
            {"id": "s3", "external_id": "baton:t1:reminder:1:1", "author_kind": "system"},
        ]
    )
    events: list[Json] = field(
        default_factory=lambda: [
            _event("created"),
            _event("sla_breached", clocks=[_change("breach")]),
            _event("reminder_sent", at=LATER),
        ]
    )
    notices: list[Json] = field(default_factory=lambda: [_notice("a"), _notice("b"), _notice("a", LATER)])
    deliveries: list[Json] = field(
        default_factory=lambda: [
            _delivery(ANSWER, message_id="s2"),
            _delivery(REMINDER, message_id="s3"),
            _delivery(TAKEN, "handed_over", about={"escalation_id": "e1"}),
            _delivery(BACK, "handed_back", about={"escalation_id": "e1", "reason": "handed_back"}),
        ]
    )
    received: list[Received] = field(
        default_factory=lambda: [
            _received(ANSWER, "s2", does=Does.FAILED),
            _received(ANSWER, "s2", does=Does.CUT_AFTER),
            _received(ANSWER, "s2"),
            _received(REMINDER, "s3"),
            _received(TAKEN, "e1", type="conversation.handed_over"),
            _received(BACK, "e1", type="conversation.handed_back"),
        ]
    )
    done: list[Done] = field(
        default_factory=lambda: [
            _done("tell", answered=Answered(sentiment=None, human_requested=True, decided_by="builtin")),
            _done("raise", did="raised", escalation_id="e1"),
            _done("claim", did="claimed", escalation_id="e1"),
            _done("answer", did="answered", said="answer:m1"),
            _done("file", did="filed", escalation_id="e1", ticket_id="t1"),
            _done("hand_back", did="handed back", escalation_id="e1"),
        ]
    )

    def read(self) -> TenantReading:
        """All of it."""
        return TenantReading(
            "North",
            [TicketReading("t1", {"conversation_id": "c"}, None, self.events, None)],
            [ConversationReading("c2", self.messages, self.decisions)],
            [EscalationReading("e1", self.view, self.workflow), *self.others],
            self.deliveries,
            self.notices,
            deliveries_at=1000,
        )

    def account(self) -> tuple[Json, list[str]]:
        """Both accounts in one document, and the problems."""
        problems: list[str] = []
        escalations = account_for_escalations([self.read()], self.done, problems)
        deliveries = account_for_deliveries([self.read()], self.done, self.received, problems)
        return {**escalations.model_dump(), **deliveries.model_dump()}, problems


def _decision(rule: str, outcome: str = "acted") -> Json:
    return {"kind": "escalation_event", "outcome": outcome, "rule_name": rule, "actions": {}, "message_id": "s1"}


def _event(kind: str, *, at: str = RAISED_AT, clocks: Sequence[Json] = ()) -> Json:
    return {"kind": kind, "at": at, "about": {}, "clocks": clocks}


def _change(kind: str, metric: str = "first_response") -> Json:
    return {"metric": metric, "episode": 1, "kind": kind}


def _notice(member: str, at: str = RAISED_AT) -> Json:
    return {"member_id": member, "conversation_id": "c", "created_at": at, "kind": "escalation_raised"}


def _delivery(id_: str, kind: str = "message", **others: Any) -> Json:
    known: Json = {
        "id": id_,
        "kind": kind,
        "message_id": None,
        "about": {},
        "state": "sent",
        "tried": 1,
        "reason": None,
        "conversation_id": "c",
        "created_at": f"2026-01-01T00:00:{_ORDER.index(id_):02}Z" if id_ in _ORDER else LATER,
    }
    return {**known, **others}


def _received(id_: str, about: str, **others: Any) -> Received:
    known = {"brand": "North", "does": Does.TOOK, "conversation": "c2", "type": "message.created", "digest": about}
    return Received.model_validate({**known, "at": 1, "delivery_id": known_as(id_), "about": about, **others})


def _done(kind: str, **others: Any) -> Done:
    return Done.model_validate({"key": f"m1:{kind}", "brand": "North", "ticket_id": "", **others})


def test_what_is_whole_is_counted_and_has_no_problems() -> None:
    found, problems = World().account()
    assert problems == []
    assert (found["raised_by"], found["statuses"]["resolved"], found["ever_claimed"]) == ({"rule": 1}, 1, 1)
    assert found["reasons"] == {"rule": 1, "assistant": 1, "flow": 1, "sla": 1}
    assert found["acknowledged"] == {"claimed": 1, "filed": 1, "handed back": 1, "raised": 1}
    assert (found["ended_claimed"], found["came_back"], found["told"], found["equal"]) == ({"handed back": 1}, 0, 1, 1)
    assert found["contents"] == {"answer": 1, "reminder": 1, "handed over": 1, "handed back": 1}
    assert (found["states"]["sent"], found["received"], found["attempts"]) == (4, 4, 6)
    assert (found["repeated"], found["retried"], found["answers"]) == (1, 1, 1)


def _set(name: str, **values: Any) -> Callable[[World], None]:
    return lambda world: getattr(world, name).update(values)


def _of(name: str, place: int, **values: Any) -> Callable[[World], None]:
    """Change one of a list; without values it is taken away."""

    def change(world: World) -> None:
        rows = getattr(world, name)
        row = rows.pop(place)
        if values:
            changed = row.model_copy(update=values) if isinstance(row, Done | Received) else {**row, **values}
            rows.insert(place, changed)

    return change


def _more(name: str, row: Any) -> Callable[[World], None]:
    return lambda world: getattr(world, name).append(row)


def _all(*changes: Callable[[World], None]) -> Callable[[World], None]:
    def change(world: World) -> None:
        for each in changes:
            each(world)

    return change


def _lose_workflow(world: World) -> None:
    world.workflow = None


def _in_another_ticket(world: World) -> None:
    """A later act than the one that attached it first."""
    world.done.append(_done("file", ticket_id="t2", did="filed", escalation_id="e1"))


def _made_by_a_takeover(world: World) -> None:
    """What an agent took over without having been asked."""
    for reason in world.view["reasons"]:
        reason["at"] = "2026-01-01T00:01:01Z"
    world.events[1] = _event("sla_breached", at="2026-01-01T00:01:01Z", clocks=[_change("breach")])
    world.done.append(_done("take_over", did="took over", escalation_id="e1"))


def _second_live(world: World) -> None:
    """Another one beside it; both are live, and nobody has had either."""
    live = {"status": "queued", "first_claimed_at": None}
    world.view.update(live)
    world.workflow = live
    world.others.append(EscalationReading("e2", {**world.view, "id": "e2", "reasons": []}, None, replaced=True))
    del world.done[1:], world.deliveries[2:], world.received[4:], world.view["reasons"][2]


WHERE = "conversation c2 (North)"
SPOILT: dict[str, tuple[Callable[[World], None], str, list[str]]] = {
    "two live in a conversation": (_second_live, "doubled", ["escalation e2: live beside e1"]),
    "a rule that acted escalated nothing": (
        _more("decisions", _decision("Wants to leave")),
        "lacking",
        [f"{WHERE}: no escalation has the reason that the rule Wants to leave gave"],
    ),
    "a rule that rested escalated": (
        _of("decisions", 0, outcome="cooldown"),
        "unasked",
        [f"{WHERE}: an escalation has a reason that the rule Bags did not give"],
    ),
    "a customer who asks for a human is not heard": (
        lambda world: world.view["reasons"].pop(1),
        "lacking",
        [f"{WHERE}: no escalation has the reason that the customer gave"],
    ),
    "a flow's reason is lost": (
        lambda world: world.view["reasons"].pop(2),
        "lacking",
        ["the flow's node m1:raise (North): no escalation has its reason"],
    ),
    "a promise that was kept escalated": (
        _of("events", 1, clocks=[_change("fulfil")]),
        "unasked",
        ["conversation c (North): an escalation has a reason that no overdue first_response gave"],
    ),
    "another promise than the broken one escalated": (
        lambda world: world.view["reasons"][3].update(metric="resolution"),
        "unasked",
        [
            "conversation c (North): an escalation has a reason that no overdue resolution gave",
        ],
    ),
    "a takeover that nobody did is a reason": (
        lambda world: world.view["reasons"].append({"source": "takeover", "at": LATER}),
        "unasked",
        ["escalation e1: a takeover is its reason, and there was none"],
    ),
    "a takeover is not the reason of what it made": (
        _made_by_a_takeover,
        "lacking",
        ["escalation e1: it was made by a takeover, which is not its reason"],
    ),
    "a row says other than its workflow": (
        _set("view", status="dismissed"),
        "differing",
        [
            "escalation e1: status differs",
            "escalation e1: it is dismissed, though m1:hand_back ended it (handed back)",
        ],
    ),
    "its workflow is gone": (_lose_workflow, "missing", ["escalation e1: Temporal does not have its workflow"]),
    "an acknowledged act is not there": (
        _in_another_ticket,
        "undone",
        ["escalation e1: it does not go with the ticket t2"],
    ),
    "an escalation that was claimed is gone": (
        _of("done", 2, escalation_id="e0"),
        "undone",
        ["escalation e0: it is gone, though it was claimed by m1:claim"],
    ),
    "nobody was told": (
        lambda world: world.notices.__delitem__(slice(0, 2)),
        "untold",
        ["escalation e1: nobody was told of it"],
    ),
    "somebody was told twice": (
        _more("notices", _notice("b")),
        "told_twice",
        ["member b: told escalation raised of conversation c twice"],
    ),
    "a delivery never came": (
        _of("received", 3),
        "unreceived",
        [f"delivery {REMINDER}: sent, as Baton says, and never received"],
    ),
    "a delivery came, and failed as Baton says": (
        _of("deliveries", 1, state="failed", reason="No."),
        "given_up",
        [f"delivery {REMINDER}: failed, but it was received (No.)"],
    ),
    "a delivery is still on its way": (
        _all(_of("deliveries", 1, state="pending", tried=3), _of("received", 3, does=Does.CUT)),
        "unsettled",
        [f"delivery {REMINDER}: still on its way after 3 attempts"],
    ),
    "something came that Baton does not know": (
        _more("received", _received(str(UUID(int=9)), "s9")),
        "unknown",
        [f"delivery dlv_{UUID(int=9).hex} (North): received, and Baton does not know of it"],
    ),
    "a repetition has another content": (
        _of("received", 2, digest="other"),
        "altered",
        [f"delivery {ANSWER}: what came is not always what it holds"],
    ),
    "a message comes under another key": (
        _all(
            _more("deliveries", _delivery(str(UUID(int=9)), message_id="s2")),
            _more("received", _received(str(UUID(int=9)), "s2")),
        ),
        "said_twice",
        ["message s2 (North): came under 2 keys", "message answer:m1 (North): 2 deliveries were made"],
    ),
    "a delivery overtakes an earlier one": (
        lambda world: world.received.insert(0, world.received.pop(5)),
        "disordered",
        [f"delivery {BACK}: came before {ANSWER}, which was made before it"],
    ),
    "an answer is not delivered": (
        _all(_of("deliveries", 0), lambda world: world.received.__delitem__(slice(0, 3))),
        "unsaid",
        ["message answer:m1 (North): 0 deliveries were made"],
    ),
    "an acknowledged answer is not kept": (
        _of("done", 3, said="answer:m2"),
        "unsaid",
        ["answer answer:m2 (North): acknowledged, and kept 0 times"],
    ),
    "a reminder is in the story, and nobody was reminded": (
        _more("events", _event("reminder_sent")),
        "unsaid",
        ["ticket t1: 1 of 2 reminder messages were not said"],
    ),
    "the platform is not told that it is over": (
        _all(_of("deliveries", 3), _of("received", 5)),
        "unsaid",
        ["escalation e1: told 1 times that it was taken, 0 times that it is over"],
    ),
    "a signature does not verify": (
        _more("received", _received(str(UUID(int=9)), "", does=Does.FORGED)),
        "forged",
        [f"delivery dlv_{UUID(int=9).hex} (North): its signature does not verify"],
    ),
}


@pytest.mark.parametrize(("spoil", "counted", "problems"), SPOILT.values(), ids=SPOILT)
def test_what_is_wrong_is_counted_and_named(spoil: Callable[[World], None], counted: str, problems: list[str]) -> None:
    world = World()
    spoil(world)
    found, named = world.account()
    assert named == problems
    assert found[counted] == 1


def test_what_came_after_the_deliveries_were_read_is_not_unknown() -> None:
    world = World()
    world.received.append(_received(str(UUID(int=9)), "s9", at=2000))
    assert world.account()[1] == []


def test_a_takeover_in_the_instant_of_another_reason_need_not_be_one() -> None:
    world = World()
    world.view["first_claimed_at"] = RAISED_AT
    world.workflow = {"status": "resolved", "first_claimed_at": RAISED_AT}
    world.done.append(_done("take_over", did="took over", escalation_id="e1"))
    assert world.account()[1] == []


def test_a_promise_that_was_kept_late_may_have_asked_nobody() -> None:
    world = World()
    world.events.append(_event("agent_replied", at=LATER, clocks=[_change("fulfil")]))
    assert world.account()[1] == []
    del world.view["reasons"][3]
    assert world.account()[1] == []


def test_a_promise_that_was_broken_after_the_story_was_read_is_not_judged() -> None:
    world = World()
    late = {"source": "sla", "metric": "resolution", "at": "2026-01-01T00:02:00Z"}
    world.view["reasons"].append(late)
    assert world.account()[1] == []


def test_what_was_made_in_the_same_instant_may_come_in_either_order() -> None:
    world = World()
    world.received.insert(0, world.received.pop(3))
    assert world.account()[0]["disordered"] == 1
    for row in world.deliveries:
        row["created_at"] = RAISED_AT
    assert world.account()[1] == []
