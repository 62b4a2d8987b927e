"""Whatever is lost, doubled or different is found, named and counted; nothing else is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from benchmarks.replay.journal import Does, Received
from benchmarks.replay.readings import ConversationReading, EscalationReading, TenantReading, TicketReading
from benchmarks.replay.reconciliation import reconcile
from benchmarks.replay.stream import Stream, read_stream
from tests.benchmarks.streams import line, write

Json = dict[str, Any]


@dataclass
class System:
    """What is read back of three messages of one conversation, the last two on a ticket; tests spoil it."""

    messages: list[Json] = field(
        default_factory=lambda: [
            _message("m0", ticket_id=None),
            _message("m1"),
            _message("m2"),
            _message("answer", author_kind="agent"),
        ]
    )
    decisions: list[Json] = field(default_factory=lambda: [_decision("m0", "shadow"), _decision("m1")])
    ticket: TicketReading = field(
        default_factory=lambda: TicketReading(
            "t1",
            {
                "id": "t1",
                "conversation_id": "c",
                "status": "open",
                "version": 3,
                "description": "kept in Postgres alone",
            },
            "open",
            [_event(1, "created"), _event(2, "customer_replied", "m1"), _event(3, "customer_replied", "m2")],
            {"id": "t1", "status": "open", "version": 3},
        )
    )
    more: list[TicketReading] = field(default_factory=list)

    def read(self) -> TenantReading:
        """All of it."""
        conversation = ConversationReading("c2", self.messages, self.decisions)
        return TenantReading(
            "North", [self.ticket, *self.more], [conversation], [self._escalation()], [DELIVERY], [NOTICE]
        )

    def _escalation(self) -> EscalationReading:
        """With the reason that each rule gives which acts."""
        acted = [each for each in self.decisions if (each["kind"], each["outcome"]) == ("escalation_event", "acted")]
        reasons = [{"source": "rule", "rule_name": each["rule_name"]} for each in acted]
        view = {
            "id": "e1",
            "conversation_id": "c",
            "conversation_external_id": "c2",
            "status": "queued",
            "reasons": reasons,
            "raised_at": NOTICE["created_at"],
            "first_claimed_at": None,
            "ticket": None,
        }
        return EscalationReading("e1", view, {"status": "queued"})

    def tell(self, *events: Json) -> None:
        """Replace the ticket's story, and make its row and workflow as old as that is."""
        version = {"version": len(events)}
        ticket = self.ticket
        assert ticket.view
        assert ticket.workflow
        self.ticket = replace(
            ticket, events=events, view={**ticket.view, **version}, workflow={**ticket.workflow, **version}
        )


NOTICE = {
    "member_id": "a",
    "conversation_id": "c",
    "created_at": "2026-01-01T00:00:00Z",
    "kind": "escalation_raised",
}
DELIVERY = {
    "id": str(UUID(int=1)),
    "kind": "message",
    "message_id": "stored-answer",
    "about": {},
    "state": "sent",
    "tried": 1,
    "reason": None,
    "conversation_id": "c",
    "created_at": "2026-01-01T00:00:00Z",
}
RECEIVED = Received(
    brand="North",
    does=Does.TOOK,
    delivery_id=f"dlv_{UUID(int=1).hex}",
    type="message.created",
    conversation="c2",
    about="stored-answer",
    digest="d",
)


def _message(name: str, **others: Any) -> Json:
    number = name.removeprefix("m")
    text = f"Where is my bag? This is question {number}."
    known = {"id": f"stored-{name}", "ticket_id": "t1", "external_id": f"twitter:{name}", "body": text}
    return {**known, "author_kind": "customer", **others}


def _decision(message: str, outcome: str = "acted", kind: str = "escalation_event", **actions: Any) -> Json:
    known = {"kind": kind, "outcome": outcome, "actions": actions}
    return {**known, "rule_name": "Bags", "message_id": f"stored-{message}", "evidence": [{"kind": "keyword"}]}


def _event(version: int, kind: str, message: str = "") -> Json:
    about = {"message_id": f"stored-{message}"} if message else {}
    return {"version": version, "kind": kind, "about": about, "at": "2026-01-01T00:00:00Z", "clocks": []}


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    content = [line(0, "c2", 0), line(1, "c2", 1), line(2, "c2", 2)]
    return read_stream(write(tmp_path_factory.mktemp("reconciliation") / "stream", content))


def test_what_is_whole_has_no_problems(stream: Stream) -> None:
    system = System()
    found = reconcile(stream, [system.read()], received=[RECEIVED])
    assert found.problems == []
    messages, conversations = found.messages, found.conversations
    assert (messages.sent, messages.stored_once, messages.told_once, messages.without_ticket) == (3, 3, 2, 1)
    assert (conversations.stored, conversations.with_ticket, conversations.without_ticket) == (1, 1, 0)
    assert (found.read_models.equal, found.read_models.running, found.read_models.ended) == (1, 1, 0)


def _is_gone(system: System) -> None:
    del system.messages[2]
    system.tell(_event(1, "created"), _event(2, "customer_replied", "m1"))


def _is_told_to_another(system: System) -> None:
    system.tell(_event(1, "created"), _event(2, "customer_replied", "m2"))
    other = {"id": "t2", "conversation_id": "c", "status": "closed", "version": 1}
    system.more.append(TicketReading("t2", other, "closed", [_event(1, "customer_replied", "m1")], other))


def _changed(**values: Any) -> Callable[[System], None]:
    def change(system: System) -> None:
        system.ticket = replace(system.ticket, **values)

    return change


def _with_message(message: Json) -> Callable[[System], None]:
    return lambda system: system.messages.append(message)


SPOILT: dict[str, tuple[Callable[[System], None], Json, list[str]]] = {
    "a message is not stored": (_is_gone, {"lost": 1}, ["message m2 (North): lost"]),
    "a message is stored twice": (
        _with_message(_message("m1", id="stored-again")),
        {"stored_twice": 1},
        ["message m1 (North): stored twice"],
    ),
    "a message nobody sent": (
        _with_message(_message("m9")),
        {"unknown": 1},
        ["message twitter:m9 (North): stored, but not of the stream"],
    ),
    "another text": (
        lambda system: system.messages[0].update(body="other"),
        {"altered": 1},
        ["message m0 (North): altered"],
    ),
    "a message told twice": (
        lambda system: system.tell(*system.ticket.events, _event(4, "customer_replied", "m1")),
        {"told_twice": 1},
        ["message m1 (North): told twice"],
    ),
    "a message told to nobody": (
        lambda system: system.tell(_event(1, "created"), _event(2, "customer_replied", "m2")),
        {"not_told": 1},
        ["message m1 (North): not told"],
    ),
    "a message told to a ticket that does not have it": (
        _is_told_to_another,
        {"not_told": 1},
        ["message m1 (North): not told"],
    ),
    "a message before any rule asked for a ticket is told to one": (
        lambda system: system.tell(*system.ticket.events, _event(4, "customer_replied", "m0")),
        {"told_unasked": 1, "without_ticket": 0},
        ["message m0 (North): told unasked"],
    ),
    "a message belongs to a ticket that no rule has asked for": (
        lambda system: system.messages[0].update(ticket_id="t1"),
        {"told_unasked": 1, "without_ticket": 0},
        ["message m0 (North): told unasked"],
    ),
    "a rule asked for a ticket and there is none": (
        lambda system: system.decisions.append(_decision("m0")),
        {"not_told": 1, "without_ticket": 0},
        ["message m0 (North): not told"],
    ),
    "a row is missing": (
        _changed(view=None),
        {"missing": 1, "equal": 0},
        ["ticket t1: the read model does not have it"],
    ),
    "a workflow is missing": (
        _changed(workflow=None),
        {"missing": 1, "equal": 0},
        ["ticket t1: Temporal does not have its workflow"],
    ),
    "a row is behind": (
        _changed(workflow={"id": "t1", "status": "waiting", "version": 3}),
        {"differing": 1, "equal": 0},
        ["ticket t1: status differs"],
    ),
    "a row is in the wrong list": (
        _changed(listed_as="closed"),
        {"differing": 1, "equal": 0},
        ["ticket t1: it is listed as closed and shown as open"],
    ),
    "a row is in no list": (
        _changed(listed_as=None),
        {"differing": 1, "equal": 0},
        ["ticket t1: it is listed as None and shown as open"],
    ),
    "a story lacks its end": (
        _changed(
            workflow={"id": "t1", "version": 4},
            view={"id": "t1", "conversation_id": "c", "status": "open", "version": 4},
        ),
        {"gaps": 1, "equal": 1},
        ["ticket t1: its story lacks the versions [4]"],
    ),
    "a story goes on after the row": (
        _changed(
            workflow={"id": "t1", "version": 2},
            view={"id": "t1", "conversation_id": "c", "status": "open", "version": 2},
        ),
        {"gaps": 1},
        ["ticket t1: its story has versions of its own"],
    ),
}


@pytest.mark.parametrize(("spoil", "counts", "problems"), SPOILT.values(), ids=SPOILT)
def test_what_is_wrong_is_counted_once_and_named(
    spoil: Callable[[System], None], counts: Json, problems: list[str], stream: Stream
) -> None:
    system = System()
    spoil(system)
    found = reconcile(stream, [system.read()], received=[RECEIVED])
    assert found.problems == problems
    numbers = {**found.messages.model_dump(), **found.read_models.model_dump()}
    assert {name: numbers[name] for name in counts} == counts


NO_TICKET = {
    "in its cooldown": _decision("m0", "cooldown"),
    "that only tells people": _decision("m0", create_ticket=False),
    "that routes": _decision("m0", kind="routing_rule"),
}


@pytest.mark.parametrize("decision", NO_TICKET.values(), ids=NO_TICKET)
def test_a_rule_that_asks_for_no_ticket_escalates_nothing(decision: Json, stream: Stream) -> None:
    system = System()
    system.decisions.append(decision)
    assert reconcile(stream, [system.read()], received=[RECEIVED]).problems == []


def test_an_organization_that_is_gone_has_lost_every_message(stream: Stream) -> None:
    found = reconcile(stream, [])
    assert (found.messages.sent, found.messages.lost) == (3, 3)
