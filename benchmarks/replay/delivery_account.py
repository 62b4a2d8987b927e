"""Accounts for every delivery: what Baton says of it against what its receiver got, by its key; pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, Field

from benchmarks.replay.journal import Does, Done, Received
from benchmarks.replay.readings import Json, TenantReading
from domain.delivery import DeliveryKind, DeliveryState
from domain.escalation import LIVE
from domain.events import CustomerMessageKind, EventKind
from domain.ticket import Move

TAKEN = frozenset({Does.TOOK, Does.CUT_AFTER})
"""What the receiver does with an attempt after which it has the delivery."""


class DeliveryAccount(BaseModel):
    """What was delivered, and what of it must not be: from ``unreceived`` on all are zero where all is well."""

    made: int
    states: dict[str, int] = Field(description="As Baton says.")
    contents: dict[str, int] = Field(description="What they hold.")
    received: int = Field(description="Which the receiver has, each key once.")
    attempts: int = Field(description="As they came to the receiver.")
    did: dict[str, int] = Field(description="What it did with them.")
    repeated: int = Field(description="Attempts at what it had already; it knows them by their key.")
    retried: int = Field(description="Deliveries that came more than once.")
    answers: int = Field(description="Of agents, as they were acknowledged.")
    unreceived: int = Field(description="Sent, as Baton says, and the receiver has never had it.")
    unsettled: int = Field(description="Neither sent nor given up.")
    given_up: int = Field(description="Failed, suppressed or uncertain.")
    unknown: int = Field(description="Received, and Baton does not know of it.")
    altered: int = Field(description="Came with another content, or about another thing, than it should.")
    said_twice: int = Field(description="Messages that came under two keys.")
    disordered: int = Field(description="Came before an earlier one of the same conversation had been taken.")
    unsaid: int = Field(description="Messages and changes of hands for which no delivery was made, or a wrong number.")
    forged: int = Field(description="Came without a signature that verifies.")


def account_for_deliveries(
    tenants: Sequence[TenantReading], done: Sequence[Done], received: Sequence[Received], problems: list[str]
) -> DeliveryAccount:
    """Count them, and name what is wrong in ``problems``."""
    wrong: Counter[str] = Counter()
    answers = [step for step in done if step.said]
    for tenant in tenants:
        came: dict[str, list[Received]] = defaultdict(list)
        for line in received:
            if line.brand == tenant.brand and line.does is not Does.FORGED:
                came[line.delivery_id].append(line)
        said = [step for step in answers if step.brand == tenant.brand]
        for what, problem in (
            *_as_it_came(tenant, came),
            *_in_turn(tenant, received),
            *_messages(tenant, said),
            *_by_the_story(tenant),
            *_hands(tenant),
        ):
            wrong[what] += 1
            problems.append(problem)
    forged = [line for line in received if line.does is Does.FORGED]
    problems += [f"delivery {line.delivery_id} ({line.brand}): its signature does not verify" for line in forged]
    wrong["forged"] = len(forged)
    authors = _authors(tenants)
    made = [each for tenant in tenants for each in tenant.deliveries]
    true = [line for line in received if line.does is not Does.FORGED]
    taken = Counter(line.delivery_id for line in true if line.does in TAKEN)
    states = Counter(each["state"] for each in made)
    names = list(DeliveryAccount.model_fields)
    return DeliveryAccount(
        made=len(made),
        states={state.value: states[state] for state in DeliveryState},
        contents=dict(Counter(_content(each, authors) for each in made).most_common()),
        received=len(taken),
        attempts=len(true),
        did={does.value: sum(line.does is does for line in received) for does in Does},
        repeated=sum(taken.values()) - len(taken),
        retried=sum(count > 1 for count in Counter(line.delivery_id for line in true).values()),
        answers=len(answers),
        **{name: wrong[name] for name in names[names.index("unreceived") :]},
    )


def known_as(delivery_id: str) -> str:
    """The ``webhook-id`` of a delivery."""
    return f"dlv_{UUID(delivery_id).hex}"


def _as_it_came(tenant: TenantReading, came: Mapping[str, Sequence[Received]]) -> Iterator[tuple[str, str]]:
    """What Baton says of each delivery against what the receiver got."""
    made = {known_as(each["id"]): each for each in tenant.deliveries}
    for key, each in made.items():
        lines = came.get(key, ())
        has_it = any(line.does in TAKEN for line in lines)
        state = each["state"]
        if state == DeliveryState.SENT:
            if not has_it:
                yield "unreceived", f"delivery {each['id']}: sent, as Baton says, and never received"
        elif state == DeliveryState.PENDING:
            yield "unsettled", f"delivery {each['id']}: still on its way after {each['tried']} attempts"
        else:
            got = ", but it was received" if has_it else ""
            yield "given_up", f"delivery {each['id']}: {state}{got} ({each['reason']})"
        about = each["message_id"] or each["about"].get("escalation_id")
        if len({line.digest for line in lines}) > 1 or any(line.about != about for line in lines):
            yield "altered", f"delivery {each['id']}: what came is not always what it holds"
    for key, lines in came.items():
        if key not in made and lines[0].at < tenant.deliveries_at:
            yield "unknown", f"delivery {key} ({tenant.brand}): received, and Baton does not know of it"
    messages = Counter(lines[0].about for lines in came.values() if lines[0].type == "message.created")
    for message_id, count in messages.items():
        if count > 1:
            yield "said_twice", f"message {message_id} ({tenant.brand}): came under {count} keys"


def _in_turn(tenant: TenantReading, received: Sequence[Received]) -> Iterator[tuple[str, str]]:
    """Whether the deliveries of a conversation came one after the other, in the order in which they were made."""
    first, taken = dict[str, int](), dict[str, int]()
    for place, line in enumerate(received):
        if line.brand == tenant.brand and line.does is not Does.FORGED:
            first.setdefault(line.delivery_id, place)
            if line.does in TAKEN:
                taken.setdefault(line.delivery_id, place)
    of_conversation: dict[str, list[Json]] = defaultdict(list)
    for each in sorted(tenant.deliveries, key=_made_at):
        of_conversation[each["conversation_id"]].append(each)
    for deliveries in of_conversation.values():
        for place, later in enumerate(deliveries):
            began = first.get(known_as(later["id"]))
            overtaken = [
                each["id"]
                for each in deliveries[:place]
                if began is not None
                and _made_at(later) - _made_at(each) >= _TOLD_APART
                and taken.get(known_as(each["id"]), -1) > began
            ]
            if overtaken:
                yield "disordered", f"delivery {later['id']}: came before {overtaken[0]}, which was made before it"


_TOLD_APART = timedelta(seconds=1)
"""What is made at nearly the same time, by transactions that overlap, goes in the order in which these wrote it."""


def _made_at(delivery: Json) -> datetime:
    return datetime.fromisoformat(delivery["created_at"])


def _messages(tenant: TenantReading, answers: Sequence[Done]) -> Iterator[tuple[str, str]]:
    """Whether what is said to customers is kept once, and to be delivered."""
    made = Counter(each["message_id"] for each in tenant.deliveries if each["message_id"])
    outgoing = [message for message in tenant.messages if message["author_kind"] in ("agent", "system")]
    for message in outgoing:
        if made[message["id"]] != 1:
            problem = f"message {message['external_id']} ({tenant.brand}): {made[message['id']]} deliveries were made"
            yield "unsaid", problem
    kept = Counter(message["external_id"] for message in outgoing if message["author_kind"] == "agent")
    for step in answers:
        if kept[step.said] != 1:
            yield "unsaid", f"answer {step.said} ({tenant.brand}): acknowledged, and kept {kept[step.said]} times"


def _by_the_story(tenant: TenantReading) -> Iterator[tuple[str, str]]:
    """Whether reminders and confirmations that are in tickets' stories were said."""
    said = Counter(_by_baton(message) for message in tenant.messages if message["author_kind"] == "system")
    for ticket in tenant.tickets:
        told = Counter(
            CustomerMessageKind.REMINDER if event["kind"] == EventKind.REMINDER_SENT else CustomerMessageKind.RESOLVED
            for event in ticket.events
            if event["kind"] == EventKind.REMINDER_SENT or event["about"].get("move") == Move.RESOLVE
        )
        for kind, count in told.items():
            # More may have been said since the story was read.
            if (lacking := count - said[ticket.id, kind]) > 0:
                yield "unsaid", f"ticket {ticket.id}: {lacking} of {count} {kind} messages were not said"


def _hands(tenant: TenantReading) -> Iterator[tuple[str, str]]:
    """Whether the platform is told who has each conversation: as it is claimed, and once as that ends."""
    told: dict[DeliveryKind, Counter[str]] = defaultdict(Counter)
    for delivery in tenant.deliveries:
        told[DeliveryKind(delivery["kind"])][delivery["about"].get("escalation_id", "")] += 1
    for each in tenant.escalations:
        claimed, over = each.view["first_claimed_at"] is not None, each.view["status"] not in LIVE
        taken, back = told[DeliveryKind.HANDED_OVER][each.id], told[DeliveryKind.HANDED_BACK][each.id]
        if claimed != bool(taken) or back != int(claimed and over):
            yield "unsaid", f"escalation {each.id}: told {taken} times that it was taken, {back} times that it is over"


def _by_baton(message: Json) -> tuple[str, str]:
    """The ticket of which Baton says something by itself, and the kind: ``baton:{ticket}:{kind}:…``."""
    _, ticket_id, kind, *_ = message["external_id"].split(":")
    return ticket_id, kind


def _authors(tenants: Sequence[TenantReading]) -> dict[str, Json]:
    return {message["id"]: message for tenant in tenants for message in tenant.messages}


def _content(delivery: Json, messages: Mapping[str, Json]) -> str:
    """What a delivery holds, in a word."""
    if delivery["kind"] != DeliveryKind.MESSAGE:
        return str(delivery["kind"]).replace("_", " ")
    message = messages.get(delivery["message_id"], {})
    if message.get("author_kind") == "system":
        return _by_baton(message)[1]
    return "answer"
