"""What tickets owe: a story without gaps that follows, a read model equal to the workflow, every timer fired once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

from domain.events import EventKind
from domain.ids import follow_up_id, ticket_id
from domain.ticket import Status, Ticket
from domain.timers import timers
from tests.chaos.evidence import Evidence
from tests.chaos.reading import Row
from tests.chaos.report import Finding, Wrong
from tests.chaos.retelling import Fate, undated


def broken(evidence: Evidence) -> Iterator[Finding]:
    """Every promise about a ticket that was broken."""
    for ticket, row in evidence.rows.items():
        events, state = evidence.events.get(ticket, []), Ticket.model_validate(row["state"])
        yield from _gaps(row, events)
        yield from _origin(evidence, row, events)
        yield from _other_columns(row, state)
        yield from _other_workflow(evidence, ticket, state)
        yield from _other_story(evidence, ticket, state)
    for ticket in set(evidence.events) - set(evidence.rows):
        yield Finding(Wrong.MISMATCH, f"events of ticket {ticket}, which is not there")
    for ticket in set(evidence.reading.workflows) - set(evidence.rows):
        yield Finding(Wrong.MISMATCH, f"the read model lacks ticket {ticket}, whose workflow exists")
    yield from _timers(evidence)


def _gaps(row: Row, events: Sequence[Row]) -> Iterator[Finding]:
    versions, expected = [event["version"] for event in events], range(1, row["version"] + 1)
    if versions != list(expected):
        lacking, extra = sorted(set(expected) - set(versions)), sorted(set(versions) - set(expected))
        yield Finding(Wrong.GAP, f"ticket {row['id']} at v{row['version']} lacks {lacking}, has {extra} besides")


def _origin(evidence: Evidence, row: Row, events: Sequence[Row]) -> Iterator[Finding]:
    """A ticket was created by a client, as asked, or follows up another for a customer's message."""
    ticket, organization = row["id"], row["organization_id"]
    if row["follow_up_of"]:
        old = evidence.rows.get(row["follow_up_of"])
        if old is None or old["organization_id"] != organization or follow_up_id(old["id"]) != ticket:
            yield Finding(Wrong.UNASKED, f"ticket {ticket} follows up what it cannot")
        if not any(event["kind"] == EventKind.CUSTOMER_REPLIED for event in events):
            yield Finding(Wrong.UNASKED, f"ticket {ticket} follows up without a message")
        return
    key = events[0]["request_id"] if events else None
    created = evidence.history.commands.get(key) if key else None
    if created is None or ticket_id(organization, created.key) != ticket:
        yield Finding(Wrong.UNASKED, f"ticket {ticket} was created by nobody")
        return
    body, made = created.sent.body, {**(events[0]["answer"] or {}), "description": row["description"]}
    fields = ("title", "description", "priority", "tags", "team_id", "assignee_id")
    if differing := [name for name in fields if name in body and made.get(name) != body[name]]:
        yield Finding(Wrong.STORY, f"ticket {ticket} was created with another {', '.join(differing)}")


def _other_columns(row: Row, state: Ticket) -> Iterator[Finding]:
    """The columns that lists filter and sort by repeat what the whole state says."""
    waits = timers(state)
    expected = {
        "version": state.version,
        "title": state.title,
        "status": state.status.value,
        "priority": state.priority.value,
        "priority_rank": state.priority.rank,
        "tags": list(state.tags),
        "team_id": state.team_id,
        "assignee_id": state.assignee_id,
        "updated_at": state.updated_at,
        "number": state.number,
        "organization_id": state.organization_id,
        "breached": state.breached,
        "next_timer_at": waits[0].due_at if waits else None,
    }
    if differing := [name for name, value in expected.items() if row[name] != value]:
        yield Finding(Wrong.MISMATCH, f"ticket {row['id']}: the row's {', '.join(differing)} differ from its state")


def _other_workflow(evidence: Evidence, ticket: UUID, state: Ticket) -> Iterator[Finding]:
    found = evidence.reading.workflows.get(ticket)
    if found is None or found.ticket is None:
        why = found.problem if found else "it has no workflow"
        yield Finding(Wrong.MISMATCH, f"ticket {ticket} ({state.status}): {why}")
        return
    if found.ended != (state.status is Status.CLOSED):
        how = "has ended" if found.ended else "runs"
        yield Finding(Wrong.MISMATCH, f"ticket {ticket} is {state.status}, its workflow {how}")
    if found.ticket != state:
        yield Finding(Wrong.MISMATCH, f"ticket {ticket}: {_differing(state, found.ticket)} differ from its workflow's")


def _other_story(evidence: Evidence, ticket: UUID, state: Ticket) -> Iterator[Finding]:
    retold = evidence.retold[ticket]
    if retold.problem:
        yield Finding(Wrong.STORY, f"ticket {ticket}: {retold.problem}")
    elif undated(state) not in retold.ends:
        differing = _differing(undated(state), retold.ends[0])
        yield Finding(Wrong.STORY, f"ticket {ticket}: {differing} do not follow from its story")


def _timers(evidence: Evidence) -> Iterator[Finding]:
    for ticket, retold in evidence.retold.items():
        for fate in retold.fates:
            if fate.fate is Fate.UNFIRED:
                yield Finding(Wrong.UNFIRED, f"ticket {ticket}: {fate.kind} due at {fate.due_at.isoformat()}")
    fired = Counter(
        (row["ticket_id"], row["kind"], about.get("metric", ""), about.get("step", ""), about["due_at"])
        for row in evidence.tables.events
        if "due_at" in (about := row["about"])
    )
    for (ticket, kind, metric, step, due_at), times in fired.items():
        if times > 1:
            what = " ".join(str(word) for word in (kind, metric, step) if word)
            yield Finding(Wrong.FIRED_TWICE, f"ticket {ticket}: {what} due at {due_at}, {times} times")


def _differing(one: Ticket, other: Ticket) -> str:
    return ", ".join(_places(one.model_dump(mode="json"), other.model_dump(mode="json"))) or "nothing visible"


def _places(one: object, other: object, at: str = "") -> Iterator[str]:
    """Where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            yield from _places(one.get(name), other.get(name), f"{at}.{name}" if at else name)
    elif one != other:
        yield f"{at} ({one!r}, {other!r})" if not isinstance(one, list | dict) else at
