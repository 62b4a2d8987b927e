"""What people are told: customers and members what the story says, once, and nobody what is another organization's."""

from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

from domain.events import NoticeKind, TicketEvent
from domain.ladders import Target
from domain.notices import DEFAULTS, Medium
from domain.wording import ON_BY_DEFAULT
from tests.chaos.evidence import Evidence
from tests.chaos.reading import Row
from tests.chaos.report import Finding, Wrong
from tests.chaos.rows import by


def broken(evidence: Evidence) -> Iterator[Finding]:
    """Every promise to customers and members that was broken."""
    said = by((row for row in evidence.tables.messages if row["author_kind"] == "system"), "ticket_id")
    notified = by(evidence.tables.notifications, "ticket_id")
    for ticket, row in evidence.rows.items():
        retold = evidence.retold[ticket]
        if not retold.problem:
            yield from _customer(ticket, retold.told, said[ticket])
            supervisor = UUID(evidence.history.organizations[str(row["organization_id"])].supervisor_id)
            yield from _members(ticket, retold.told, notified[ticket], supervisor)
        yield from _strange_acts(evidence, row)
    yield from _strange_rows(evidence)
    yield from _strange_conversations(evidence)
    yield from _api(evidence)


def _customer(ticket: UUID, told: Sequence[TicketEvent], rows: Sequence[Row]) -> Iterator[Finding]:
    # Nobody in a run has chosen what is said.
    messages = [message for event in told for message in event.customer_messages if ON_BY_DEFAULT[message.kind]]
    expected = Counter(f"baton:{ticket}:{message.key}" for message in messages)
    stored = Counter(row["external_id"] for row in rows)
    for key in expected - stored:
        yield Finding(Wrong.UNTOLD, f"the customer was not told {key}")
    for key in stored - expected:
        yield Finding(Wrong.TOLD_TWICE, f"the customer was told {key}, {stored[key]} times")


def _members(ticket: UUID, told: Sequence[TicketEvent], stored: Sequence[Row], supervisor: UUID) -> Iterator[Finding]:
    """Members named by a notice, and the supervisor where supervisors are meant, have it by each medium; nobody has one
    besides, and nobody one of them twice.

    Whom a notice to the assignee or the team reaches depends on what was recorded together with it. Nobody in a run
    has chosen anything, so that the defaults hold.
    """
    rows = {row["key"]: row for row in stored}
    known: dict[str, tuple[int, NoticeKind]] = {}
    for event in told:
        reached = {event.actor.member_id}
        for notice in event.notices:
            known[notice.key] = (event.version, notice.kind)
            certain = {*notice.member_ids} | ({supervisor} if Target.SUPERVISORS in notice.targets else set())
            for member in certain - reached:
                for medium in media(notice.kind):
                    if f"{ticket}:{notice.key}:{member}:{medium}" not in rows:
                        place = f"ticket {ticket} v{event.version}"
                        yield Finding(Wrong.UNTOLD, f"{place}: {notice.key} to member {member} by {medium}")
            reached |= certain
    for key, row in rows.items():
        notice_key = key.removeprefix(f"{ticket}:").removesuffix(f":{row['member_id']}:{row['medium']}")
        version, kind = known.get(notice_key, (None, None))
        if version != row["ticket_version"] or kind != row["kind"] or row["medium"] not in media(row["kind"]):
            yield Finding(Wrong.TOLD_TWICE, f"ticket {ticket} v{row['ticket_version']}: {key}")


def media(kind: NoticeKind) -> set[Medium]:
    """By which a member who has chosen nothing is told."""
    choice = DEFAULTS[NoticeKind(kind)]
    return {medium for medium, wanted in ((Medium.IN_APP, choice.in_app), (Medium.EMAIL, choice.email)) if wanted}


def _strange_acts(evidence: Evidence, row: Row) -> Iterator[Finding]:
    """Only its own organization's members, teams and clients have to do with a ticket."""
    ticket, own = row["id"], row["organization_id"]
    rules, commands = evidence.tables.rules[own], evidence.history.commands
    if row["assignee_id"] and row["assignee_id"] not in rules.members:
        yield Finding(Wrong.FOREIGN, f"ticket {ticket} is assigned to a stranger")
    if row["team_id"] and row["team_id"] not in rules.teams:
        yield Finding(Wrong.FOREIGN, f"ticket {ticket} is a strange team's")
    for event in evidence.events.get(ticket, []):
        place = f"ticket {ticket} v{event['version']}"
        if event["organization_id"] != own:
            yield Finding(Wrong.FOREIGN, f"{place} is of organization {event['organization_id']}")
        sender = commands.get(event["request_id"]) if event["request_id"] else None
        if sender and sender.sent.organization != str(own):
            yield Finding(Wrong.FOREIGN, f"{place} was asked for by organization {sender.sent.organization}")
        if event["actor_kind"] == "member" and event["actor_id"] not in rules.members:
            yield Finding(Wrong.FOREIGN, f"{place}: a stranger acted")


def _strange_rows(evidence: Evidence) -> Iterator[Finding]:
    tables = evidence.tables
    asked_for = {row["id"] for rows in evidence.facts.values() for row in rows}
    kinds = (("message", tables.messages), ("note", tables.notes), ("notification", tables.notifications))
    for kind, rows in kinds:
        for row in rows:
            if row["ticket_id"] is None and row["conversation_id"] in evidence.talks.conversations:
                continue  # of a conversation, of which others see to it
            ticket = evidence.rows.get(row["ticket_id"])
            if ticket is None:
                yield Finding(Wrong.UNASKED, f"{kind} {row['id']} of a ticket that is not there")
            elif ticket["organization_id"] != row["organization_id"]:
                yield Finding(Wrong.FOREIGN, f"{kind} {row['id']} of ticket {ticket['id']}")
            if kind != "notification" and row.get("author_kind") != "system" and row["id"] not in asked_for:
                yield Finding(Wrong.UNASKED, f"{kind} {row['id']}")
    members = {row["id"]: row["organization_id"] for row in tables.members}
    for row in tables.notifications:
        if members.get(row["member_id"]) != row["organization_id"]:
            yield Finding(Wrong.FOREIGN, f"notification {row['id']} to a stranger")


def _strange_conversations(evidence: Evidence) -> Iterator[Finding]:
    conversations = {row["id"]: row["organization_id"] for row in evidence.tables.conversations}
    requesters = {row["id"]: row["organization_id"] for row in evidence.tables.requesters}
    for row in evidence.rows.values():
        owners = {conversations.get(row["conversation_id"]), requesters.get(row["requester_id"])}
        if owners != {row["organization_id"]}:
            yield Finding(Wrong.FOREIGN, f"ticket {row['id']}: its conversation or requester")
    for row in evidence.tables.messages:
        if conversations.get(row["conversation_id"]) != row["organization_id"]:
            yield Finding(Wrong.FOREIGN, f"message {row['id']} in a strange conversation")


def _api(evidence: Evidence) -> Iterator[Finding]:
    for id_, listed in evidence.reading.api.items():
        own = {str(row["id"]): row["version"] for row in evidence.rows.values() if str(row["organization_id"]) == id_}
        if unlike := {ticket for ticket, _ in own.items() ^ listed.versions.items()}:
            yield Finding(Wrong.MISMATCH, f"the API lists {sorted(unlike)} otherwise than the tables")
        for ticket in listed.strangers:
            yield Finding(Wrong.FOREIGN, f"organization {id_} was let at ticket {ticket}")
