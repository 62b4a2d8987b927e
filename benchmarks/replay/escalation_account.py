"""Accounts for every escalation: why there is one, who was told, what became of it; pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from benchmarks.replay.journal import Done
from benchmarks.replay.readings import ConversationReading, EscalationReading, Json, TenantReading
from domain.clocks import ClockEventKind
from domain.delivery import DeliveryKind
from domain.escalation import LIVE, EscalationStatus
from domain.rules.rule import Outcome, RuleKind
from domain.ticket import Source

ENDED_AS = {
    "handed back": EscalationStatus.RESOLVED,
    "resolved": EscalationStatus.RESOLVED,
    "dismissed": EscalationStatus.DISMISSED,
}
"""What an escalation is once an agent has done this with it."""


class EscalationAccount(BaseModel):
    """What became of the escalations, and what of it must not be: from ``doubled`` on all are zero where all is well.

    ``acknowledged`` is what agents and bots were told that they have done.
    """

    raised: int
    conversations: int
    raised_by: dict[str, int] = Field(description="By the source of the first reason.")
    reasons: dict[str, int] = Field(description="All of them, by source.")
    statuses: dict[str, int]
    acknowledged: dict[str, int]
    ever_claimed: int
    came_back: int = Field(description="Claimed, and in the queue again after that.")
    ended_claimed: dict[str, int] = Field(description="By how it ended, as its platform was told.")
    with_ticket: int
    told: int = Field(description="Came into the queue, and somebody was told at once.")
    notices: int = Field(description="What members were told in all.")
    equal: int = Field(description="To their workflow.")
    replaced: int = Field(description="Not the last of their conversation, so that no workflow has them any more.")
    doubled: int = Field(description="Live beside another one of the same conversation.")
    lacking: int = Field(description="Reasons that somebody gave and no escalation has.")
    unasked: int = Field(description="Reasons that nobody gave.")
    undone: int = Field(description="What was acknowledged and does not show.")
    untold: int
    told_twice: int
    differing: int
    missing: int = Field(description="Temporal does not have their workflow.")


def unlike(escalation: EscalationReading) -> list[str]:
    """In what it differs from what its workflow holds."""
    if escalation.workflow is None:
        return [] if escalation.replaced else ["Temporal does not have its workflow"]
    shown = escalation.view
    return [f"{name} differs" for name in sorted(escalation.workflow) if shown.get(name) != escalation.workflow[name]]


def account_for_escalations(
    tenants: Sequence[TenantReading], done: Sequence[Done], problems: list[str]
) -> EscalationAccount:
    """Count them, and name what is wrong in ``problems``. ``done`` are all steps that were acknowledged."""
    wrong: Counter[str] = Counter()

    def found(what: str, problem: str) -> None:
        wrong[what] += 1
        problems.append(problem)

    everything = [each for tenant in tenants for each in tenant.escalations]
    for each in everything:
        for difference in unlike(each):
            found("missing" if each.workflow is None else "differing", f"escalation {each.id}: {difference}")
    requested = {step.key.rpartition(":")[0] for step in done if step.answered and step.answered.human_requested}
    for tenant in tenants:
        of_brand = [step for step in done if step.brand == tenant.brand]
        for problem in _doubled(tenant):
            found("doubled", problem)
        for what, problem in _reasons(tenant, of_brand, requested):
            found(what, problem)
        for what, problem in (*_breaches(tenant), *_takeovers(tenant, of_brand)):
            found(what, problem)
        for problem in _undone(tenant, of_brand):
            found("undone", problem)
        for what, problem in _telling(tenant):
            found(what, problem)
    views = [each.view for each in everything]
    handed = [
        each
        for tenant in tenants
        for each in tenant.deliveries
        if each["kind"] == DeliveryKind.HANDED_BACK or each["kind"] == DeliveryKind.HANDED_OVER
    ]
    taken = Counter(each["about"].get("escalation_id") for each in handed if each["kind"] == DeliveryKind.HANDED_OVER)
    ends = Counter(each["about"].get("reason", "") for each in handed if each["kind"] == DeliveryKind.HANDED_BACK)
    acts = Counter(step.did for step in done if step.did and not step.said)
    statuses = Counter(view["status"] for view in views)
    compared = [each for each in everything if each.workflow is not None]
    return EscalationAccount(
        raised=len(views),
        conversations=len({view["conversation_id"] for view in views}),
        raised_by=_counted(_raised_by(view) for view in views if view["reasons"]),
        reasons=_counted(reason["source"] for view in views for reason in view["reasons"]),
        statuses={status.value: statuses[status] for status in EscalationStatus},
        acknowledged=dict(sorted(acts.items())),
        ever_claimed=sum(view["first_claimed_at"] is not None for view in views),
        came_back=sum(_came_back(view, taken) for view in views),
        ended_claimed={reason.replace("_", " "): count for reason, count in sorted(ends.items())},
        with_ticket=sum(view["ticket"] is not None for view in views),
        told=sum(not _by_takeover(view) for view in views) - wrong["untold"],
        notices=sum(len(tenant.notices) for tenant in tenants),
        equal=sum(not unlike(each) for each in compared),
        replaced=sum(each.replaced for each in everything),
        differing=sum(bool(unlike(each)) for each in compared),
        **{
            name: wrong[name] for name in ("doubled", "lacking", "unasked", "undone", "untold", "told_twice", "missing")
        },
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _came_back(view: Json, taken: Mapping[str, int]) -> bool:
    waits_again = view["status"] == EscalationStatus.QUEUED and view["first_claimed_at"] is not None
    return waits_again or taken.get(view["id"], 0) > 1


def _by_takeover(view: Json) -> bool:
    """Whether it was made by who took the conversation, so that nobody had to be told.

    Reasons are in the order in which they were given: an earlier one may have come later, and was added.
    """
    sources = {reason["source"] for reason in view["reasons"]}
    return Source.TAKEOVER in sources and view["first_claimed_at"] == view["raised_at"]


def _raised_by(view: Json) -> str:
    return Source.TAKEOVER.value if _by_takeover(view) else str(view["reasons"][0]["source"])


def _doubled(tenant: TenantReading) -> list[str]:
    live: dict[str, list[str]] = defaultdict(list)
    for each in tenant.escalations:
        if each.view["status"] in LIVE:
            live[each.view["conversation_id"]].append(each.id)
    return [
        f"escalation {id_}: live beside {' and '.join(ids[:-1])}"
        for ids in live.values()
        if len(ids) > 1
        for id_ in ids[-1:]
    ]


def _reasons(tenant: TenantReading, done: Sequence[Done], requested: set[str]) -> list[tuple[str, str]]:
    """Whether what asked for a human is a reason of an escalation, once: rules, customers, and a bot's flow."""
    given: dict[str | None, Counter[str]] = defaultdict(Counter)
    for each in tenant.escalations:
        given[each.view["conversation_external_id"]].update(filter(None, map(_giver, each.view["reasons"])))
    found: list[tuple[str, str]] = []
    for conversation in tenant.conversations:
        mine = given.pop(conversation.external_id, Counter())
        owed = _owed(conversation, requested)
        by_flow = Counter({giver: count for giver, count in mine.items() if giver.startswith(_NODE)})
        where = f"conversation {conversation.external_id} ({tenant.brand})"
        lacking, unasked = (owed - mine).elements(), (mine - owed - by_flow).elements()
        found += [("lacking", f"{where}: no escalation has the reason that {giver} gave") for giver in lacking]
        found += [("unasked", f"{where}: an escalation has a reason that {giver} did not give") for giver in unasked]
        given[conversation.external_id] = by_flow
    nodes = sum((counts for counts in given.values()), Counter[str]())
    raised = Counter(f"{_NODE}{step.key}" for step in done if step.did == "raised")
    found += [
        ("lacking", f"{giver} ({tenant.brand}): no escalation has its reason") for giver in (raised - nodes).elements()
    ]
    found += [
        ("unasked", f"{giver} ({tenant.brand}): it did not come to that") for giver in (nodes - raised).elements()
    ]
    return found


_NODE = "the flow's node "


def _giver(reason: Json) -> str | None:
    """Who gave it; breaches and takeovers are held against what else tells of them (``_breaches``, ``_takeovers``)."""
    if reason["source"] == Source.RULE:
        return f"the rule {reason['rule_name']}"
    if reason["source"] == Source.ASSISTANT:
        return "the customer"
    return f"{_NODE}{reason['node_id']}" if reason["source"] == Source.FLOW else None


def _breaches(tenant: TenantReading) -> list[tuple[str, str]]:
    """Whether a ticket's story says of each promise that is a reason that it was broken.

    Not the other way: one that was kept, or given up, by the same record asked nobody. What came after the last event
    that was read of a conversation's tickets is not judged.
    """
    broken: dict[tuple[str, str], int] = defaultdict(int)
    read_until: dict[str, datetime] = {}
    for ticket in tenant.tickets:
        if ticket.view is None:
            continue
        conversation_id = ticket.view["conversation_id"]
        for event in ticket.events:
            at = datetime.fromisoformat(event["at"])
            read_until[conversation_id] = max(at, read_until.get(conversation_id, at))
            for change in event["clocks"]:
                broken[conversation_id, change["metric"]] += change["kind"] == ClockEventKind.BREACH
    given: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for each in tenant.escalations:
        for reason in each.view["reasons"]:
            if reason["source"] == Source.SLA:
                given[each.view["conversation_id"], reason["metric"]].append(datetime.fromisoformat(reason["at"]))
    found: list[tuple[str, str]] = []
    for where in sorted(given):
        conversation_id, metric = where
        until = read_until.get(conversation_id)
        known = sum(until is None or at <= until for at in given[where])
        name = f"conversation {conversation_id} ({tenant.brand})"
        unasked = known - broken[where]
        found += [("unasked", f"{name}: an escalation has a reason that no overdue {metric} gave")] * max(unasked, 0)
    return found


def _takeovers(tenant: TenantReading, done: Sequence[Done]) -> list[tuple[str, str]]:
    """Whether who took a conversation over is the reason of the escalation that this made, and of no other."""
    acts = Counter(step.escalation_id for step in done if step.did == "took over")
    found = []
    for each in tenant.escalations:
        given = sum(reason["source"] == Source.TAKEOVER for reason in each.view["reasons"])
        if given > acts[each.id]:
            found.append(("unasked", f"escalation {each.id}: a takeover is its reason, and there was none"))
        claimed_at = each.view["first_claimed_at"]
        # Another reason may come in the same instant; what was given later cannot have made it.
        others = [reason for reason in each.view["reasons"] if claimed_at and not _is_after(reason, claimed_at)]
        if acts[each.id] and claimed_at and not others:
            found.append(("lacking", f"escalation {each.id}: it was made by a takeover, which is not its reason"))
    return found


def _is_after(reason: Json, moment: str) -> bool:
    return datetime.fromisoformat(reason["at"]) > datetime.fromisoformat(moment)


def _owed(conversation: ConversationReading, requested: set[str]) -> Counter[str]:
    """The reasons that an escalation of the conversation must have, by who gives them."""
    owed = Counter(
        f"the rule {each['rule_name']}"
        for each in conversation.decisions
        if each["kind"] == RuleKind.ESCALATION_EVENT and each["outcome"] == Outcome.ACTED
    )
    for message in conversation.messages:
        asks = message["external_id"].partition(":")[2] in requested
        if message["author_kind"] == "customer" and asks and not message.get("automatic"):
            owed["the customer"] += 1
    return owed


def _undone(tenant: TenantReading, done: Sequence[Done]) -> list[str]:
    """What was acknowledged and does not show."""
    views = {each.id: each.view for each in tenant.escalations}
    filed = {step.escalation_id: step for step in done if step.did == "filed"}  # a follow-up takes the ticket's place
    found = []
    for step in done:
        if not step.did or not step.escalation_id:
            continue
        view = views.get(step.escalation_id)
        if view is None:
            found.append(f"escalation {step.escalation_id}: it is gone, though it was {step.did} by {step.key}")
            continue
        if step.did in ("claimed", "took over") and view["first_claimed_at"] is None:
            found.append(f"escalation {step.escalation_id}: nobody has had it, though {step.key} {step.did} it")
        if step.did in ENDED_AS and view["status"] != ENDED_AS[step.did]:
            found.append(
                f"escalation {step.escalation_id}: it is {view['status']}, though {step.key} ended it ({step.did})"
            )
        if step is filed.get(step.escalation_id) and (view["ticket"] or {}).get("id") != step.ticket_id:
            found.append(f"escalation {step.escalation_id}: it does not go with the ticket {step.ticket_id}")
    return found


def _telling(tenant: TenantReading) -> list[tuple[str, str]]:
    """Whether somebody was told of each escalation as it came into the queue, and nobody twice."""
    told = {(each["conversation_id"], datetime.fromisoformat(each["created_at"])) for each in tenant.notices}
    found = [
        ("untold", f"escalation {each.id}: nobody was told of it")
        for each in tenant.escalations
        if not _by_takeover(each.view)
        and (each.view["conversation_id"], datetime.fromisoformat(each.view["raised_at"])) not in told
    ]
    times = Counter(
        (each["member_id"], each["conversation_id"], each["created_at"], each["kind"]) for each in tenant.notices
    )
    found += [
        ("told_twice", f"member {member_id}: told {kind.replace('_', ' ')} of conversation {conversation_id} twice")
        for (member_id, conversation_id, _, kind), count in times.items()
        if count > 1
    ]
    return found
