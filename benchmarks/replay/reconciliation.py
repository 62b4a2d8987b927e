"""Compares what was sent, what is stored and what the workflows hold: pure, so that its failures can be tested."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from pydantic import BaseModel, Field

from benchmarks.replay.delivery_account import DeliveryAccount, account_for_deliveries
from benchmarks.replay.desk import external_id
from benchmarks.replay.escalation_account import EscalationAccount, account_for_escalations
from benchmarks.replay.journal import Done, Received
from benchmarks.replay.readings import Json, TenantReading, TicketReading
from benchmarks.replay.stream import Stream, StreamMessage
from domain.events import EventKind
from domain.ticket import Status


class MessageAccount(BaseModel):
    """Where the messages of the stream are.

    All is well when ``sent`` were stored once, and each either told to a ticket once or one for which neither a rule
    nor an agent had asked for a ticket yet.
    """

    sent: int
    stored_once: int
    told_once: int
    without_ticket: int = Field(description="Stored, and nobody had asked for a ticket by then.")
    lost: int = Field(description="Not stored.")
    stored_twice: int
    altered: int = Field(description="Stored with another text.")
    not_told: int = Field(description="Somebody had asked for a ticket, and no ticket's story has it.")
    told_twice: int
    told_unasked: int = Field(description="Told to a ticket that nobody had asked for.")
    unknown: int = Field(description="Customers' messages that nobody sent.")


class ReadModelAccount(BaseModel):
    """How the read models compare with their workflows; ``gaps`` counts stories that are not whole."""

    tickets: int
    equal: int
    differing: int
    missing: int = Field(description="No row, or no workflow.")
    running: int = Field(description="Compared with the workflow's live state.")
    ended: int = Field(description="Compared with the workflow's result.")
    gaps: int


class ConversationAccount(BaseModel):
    """What became of the conversations."""

    stored: int
    with_ticket: int
    without_ticket: int


class Reconciliation(BaseModel):
    """The verdict; ``problems`` names each of them, by ids and without text."""

    messages: MessageAccount
    conversations: ConversationAccount
    read_models: ReadModelAccount
    escalations: EscalationAccount
    deliveries: DeliveryAccount
    problems: list[str]


def reconcile(
    stream: Stream, tenants: Sequence[TenantReading], done: Sequence[Done] = (), received: Sequence[Received] = ()
) -> Reconciliation:
    """Account for every message, escalation and delivery, and compare every ticket.

    ``done`` are the steps that were acknowledged, those of a conversation in their order; ``received`` what came to
    the receiver.
    """
    problems: list[str] = []
    messages = _account_for_messages(stream, tenants, _filed(stream, done), problems)
    tickets = [ticket for tenant in tenants for ticket in tenant.tickets]
    found = {ticket.id: differences(ticket) for ticket in tickets}
    gaps = {ticket.id: gap for ticket in tickets if (gap := story_gap(ticket))}
    missing = [ticket for ticket in tickets if ticket.view is None or ticket.workflow is None]
    differing = sum(bool(found[ticket.id]) for ticket in tickets) - len(missing)
    problems += [f"ticket {id_}: {difference}" for id_, each in found.items() for difference in each]
    problems += [f"ticket {id_}: {gap}" for id_, gap in gaps.items()]
    escalations = account_for_escalations(tenants, done, problems)
    deliveries = account_for_deliveries(tenants, done, received, problems)
    conversations = [each for tenant in tenants for each in tenant.conversations]
    with_ticket = sum(any(message["ticket_id"] for message in each.messages) for each in conversations)
    ended = sum(ticket.workflow is not None and ticket.workflow.get("status") == Status.CLOSED for ticket in tickets)
    return Reconciliation(
        messages=messages,
        conversations=ConversationAccount(
            stored=len(conversations), with_ticket=with_ticket, without_ticket=len(conversations) - with_ticket
        ),
        read_models=ReadModelAccount(
            tickets=len(tickets),
            equal=len(tickets) - len(missing) - differing,
            differing=differing,
            missing=len(missing),
            running=sum(ticket.workflow is not None for ticket in tickets) - ended,
            ended=ended,
            gaps=len(gaps),
        ),
        escalations=escalations,
        deliveries=deliveries,
        problems=problems,
    )


def differences(ticket: TicketReading) -> list[str]:
    """In what the row differs from what the workflow holds."""
    view, workflow = ticket.view, ticket.workflow
    if view is None:
        return ["the read model does not have it"]
    if workflow is None:
        return ["Temporal does not have its workflow"]
    found = [f"{name} differs" for name in sorted(workflow) if view.get(name) != workflow[name]]
    if ticket.listed_as != view["status"]:
        found.append(f"it is listed as {ticket.listed_as} and shown as {view['status']}")
    return found


def story_gap(ticket: TicketReading) -> str | None:
    """What is missing in its story: versions count from 1 to that of the row, and each is there once."""
    versions = [event["version"] for event in ticket.events]
    expected = range(1, (ticket.view["version"] if ticket.view else len(versions)) + 1)
    if versions == list(expected):
        return None
    lacking = sorted(set(expected) - set(versions))
    return f"its story lacks the versions {lacking}" if lacking else "its story has versions of its own"


def _filed(stream: Stream, done: Sequence[Done]) -> set[str]:
    """The external ids of messages that came when an agent had given their conversation a ticket already."""
    by_id = {message.message: message for message in stream.messages}
    with_ticket: set[str] = set()
    found: set[str] = set()
    for step in done:
        message = by_id.get(step.key.rpartition(":")[0])
        if message and step.did == "filed":
            with_ticket.add(message.conversation)
        elif message and step.answered and message.conversation in with_ticket:
            found.add(external_id(message))
    return found


def _account_for_messages(
    stream: Stream, tenants: Sequence[TenantReading], filed: Collection[str], problems: list[str]
) -> MessageAccount:
    counts: Counter[str] = Counter()
    sent = 0
    by_brand = {tenant.brand: tenant for tenant in tenants}
    for brand in stream.brands:
        messages = {external_id(each): each for each in stream.messages if each.brand == brand}
        sent += len(messages)
        tenant = by_brand.get(brand, TenantReading(brand, (), ()))
        stored = _by(tenant.messages, "external_id", author="customer")
        told = _told(tenant.tickets)
        asked = {each["id"] for conversation in tenant.conversations for each in conversation.concerns_ticket()}
        asked |= {each["id"] for known in filed for each in stored.get(known, ())}
        for known, message in messages.items():
            for verdict in _verdicts(message, stored.get(known, []), told, asked):
                counts[verdict] += 1
                if verdict not in _GOOD:
                    problems.append(f"message {message.message} ({brand}): {verdict.replace('_', ' ')}")
        unknown = sorted(set(stored) - set(messages))
        counts["unknown"] += len(unknown)
        problems += [f"message {external} ({brand}): stored, but not of the stream" for external in unknown]
    return MessageAccount(sent=sent, **{name: counts[name] for name in MessageAccount.model_fields if name != "sent"})


_GOOD = ("stored_once", "told_once", "without_ticket")


def _verdicts(
    message: StreamMessage, stored: Sequence[Json], told: Mapping[str, Sequence[str]], asked: Collection[str]
) -> Iterable[str]:
    if not stored:
        yield "lost"
        return
    yield "stored_once" if len(stored) == 1 else "stored_twice"
    if any(each["body"] != message.text for each in stored):
        yield "altered"
    tickets = [ticket for each in stored for ticket in told.get(each["id"], ())]
    if not any(each["id"] in asked for each in stored):
        yield "told_unasked" if tickets or any(each["ticket_id"] for each in stored) else "without_ticket"
    elif not tickets or any(ticket not in {each["ticket_id"] for each in stored} for ticket in tickets):
        yield "not_told"  # told to another ticket than the one that has it counts as not told
    else:
        yield "told_once" if len(tickets) == 1 else "told_twice"


def _by(messages: Iterable[Json], name: str, author: str) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = defaultdict(list)
    for message in messages:
        if message["author_kind"] == author:
            found[message[name]].append(message)
    return found


def _told(tickets: Iterable[TicketReading]) -> dict[str, list[str]]:
    """By message id, the tickets whose story says that the customer wrote it, once for each time it says so."""
    told: dict[str, list[str]] = defaultdict(list)
    for ticket in tickets:
        for event in ticket.events:
            if event["kind"] == EventKind.CUSTOMER_REPLIED:
                told[event["about"]["message_id"]].append(ticket.id)
    return told
