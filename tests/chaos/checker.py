"""Compares what the clients were told with what the system has: pure, so that its own failures can be tested."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.events import EventKind, TicketEvent
from domain.ids import follow_up_id, ticket_id
from domain.ladders import Target
from domain.ticket import Status, Ticket
from domain.timers import timers
from tests.chaos.journal import Command, History, Verdict, What
from tests.chaos.reading import Reading, Row
from tests.chaos.retelling import Asked, Fate, Retold, Teller, TimerFate, beginning, undated

AFTERMATH = timedelta(seconds=15)
"""How long after an outage its effects may be felt: a workflow task and a retried activity wait up to ten seconds."""


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


@dataclass(frozen=True)
class Finding:
    """One broken promise; ``text`` names ids and versions, and quotes nobody."""

    wrong: Wrong
    text: str


@dataclass
class Report:
    """The verdict of a run."""

    findings: list[Finding] = field(default_factory=list)
    sent: int = 0
    acknowledged: int = 0
    resolved: int = 0
    """Commands that were unknown for a while, and whose outcome was learned in the end."""
    refused: int = 0
    given_up: int = 0
    given_up_effective: int = 0
    without_effect: int = 0
    """Acknowledged because what they asked for was so already."""
    repeated: int = 0
    tickets: int = 0
    events: int = 0
    fates: list[TimerFate] = field(default_factory=list)
    outages: list[tuple[datetime, datetime]] = field(default_factory=list)
    blows: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """Processes that ended by themselves."""

    def count(self, *wrong: Wrong) -> int:
        return sum(finding.wrong in wrong for finding in self.findings)

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


def check(history: History, reading: Reading) -> Report:
    """Everything that was promised, against everything that is there."""
    return _Check(history, reading).report()


class _Check:
    def __init__(self, history: History, reading: Reading) -> None:
        self._history = history
        self._tables = reading.tables
        self._reading = reading
        self._report = Report()
        self._rows = {row["id"]: row for row in self._tables.tickets}
        self._events = _by(self._tables.events, "ticket_id")
        self._facts = self._stored_facts()
        self._effects = self._found_effects()
        self._asked = self._requests()
        self._notifications = _by(self._tables.notifications, "ticket_id")
        self._retold = {id_: self._retell(id_) for id_ in self._rows}

    def report(self) -> Report:
        history, report = self._history, self._report
        commands = list(history.commands.values())
        report.sent = len(commands)
        report.acknowledged = len(history.of(Verdict.ACKNOWLEDGED))
        report.refused = len(history.of(Verdict.REFUSED))
        report.given_up = len(history.of(Verdict.GIVEN_UP))
        report.given_up_effective = sum(bool(self._effects[each.key]) for each in history.of(Verdict.GIVEN_UP))
        report.resolved = sum(bool(each.unknown) and each.verdict is not Verdict.GIVEN_UP for each in commands)
        report.repeated = sum(len(each.repeated) for each in commands)
        report.tickets, report.events = len(self._rows), len(self._tables.events)
        report.blows = Counter((outage.part, outage.blow) for outage in history.outages)
        report.ended = Counter(ended.part for ended in history.ended)
        for command in commands:
            self._check_command(command)
        self._check_order()
        for ticket in self._rows:
            self._check_ticket(ticket)
        self._check_timers()
        self._check_strangers()
        return report

    # Commands

    def _check_command(self, command: Command) -> None:
        effects, facts = self._effects[command.key], self._facts.get(command.key, [])
        what = f"{command.sent.what} {command.key} ({command.verdict})"
        if len(effects) > 1:
            places = ", ".join(f"ticket {row['ticket_id']} v{row['version']}" for row in effects)
            self._found(Wrong.DOUBLED, f"{what}: {places}")
        if len(facts) > 1:
            self._found(Wrong.DOUBLED, f"{what}: stored {len(facts)} times")
        if command.verdict is Verdict.REFUSED and (effects or facts):
            place = f"ticket {effects[0]['ticket_id']} v{effects[0]['version']}" if effects else "stored, but not told"
            unknown = f" after {len(command.unknown)} unknown attempts" if command.unknown else ""
            assert command.answered
            self._found(Wrong.TRACE, f"{what}, {command.answered.code}{unknown}: {place}")
        if command.verdict is Verdict.ACKNOWLEDGED:
            self._check_acknowledged(command, what, effects, facts)

    def _check_acknowledged(self, command: Command, what: str, effects: Sequence[Row], facts: Sequence[Row]) -> None:
        assert command.answered
        assert command.ticket
        ticket = UUID(command.ticket)
        if not effects and self._was_so_already(command):
            self._report.without_effect += 1
            return
        if not effects:
            self._found(Wrong.LOST, f"{what} on ticket {ticket}: no event")
            return
        if command.sent.what.is_fact and not facts:
            self._found(Wrong.LOST, f"{what} on ticket {ticket}: not stored")
        effect = effects[0]
        if effect["ticket_id"] != ticket:
            self._found(Wrong.ANSWER, f"{what}: answered for ticket {ticket}, is on {effect['ticket_id']}")
        answers = [(command.answered.version, command.answered.pending)]
        answers += [(again.version, again.pending) for again in command.repeated]
        for version, pending in answers:
            # A pending answer to a repetition shows the ticket as it is now.
            if version is not None and version != effect["version"] and not (pending and version > effect["version"]):
                self._found(Wrong.ANSWER, f"{what}: answered with v{version}, is v{effect['version']}")
        for again in command.repeated:
            if not 200 <= again.status < 300:
                self._found(Wrong.ANSWER, f"{what}: sent again, answered {again.status}")
            elif again.fact != command.answered.fact:
                self._found(Wrong.ANSWER, f"{what}: sent again, is another message")

    def _was_so_already(self, command: Command) -> bool:
        """An assignment to whom it is assigned already is acknowledged and leaves no event.

        Where attempts came before the one that was answered, any of them may have found it so.
        """
        answered, body = command.answered, command.sent.body
        if command.sent.what is not What.ASSIGN or answered is None or answered.version is None or not command.ticket:
            return False
        events = self._events.get(UUID(command.ticket), [])
        before = [event["version"] for event in events if event["at"] <= command.sent.at]
        first = before[-1] if before and command.unknown else answered.version
        return any(
            all(held.get(name) == body[name] for name in ("team_id", "assignee_id") if name in body)
            for held in (_held(events, version) for version in range(first, answered.version + 1))
        )

    def _check_order(self) -> None:
        """What one client had acknowledged on one ticket took effect in the same order."""
        last: dict[tuple[str, str], tuple[int, Command]] = {}
        for command in self._history.of(Verdict.ACKNOWLEDGED):
            effects = self._effects[command.key]
            if not effects:
                continue
            place = command.sent.client, str(effects[0]["ticket_id"])
            version = effects[0]["version"]
            before, earlier = last.get(place, (0, command))
            if version <= before:
                self._found(
                    Wrong.DISORDERED,
                    f"ticket {place[1]}: {command.key} (v{version}) was sent after {earlier.key} (v{before})",
                )
            last[place] = max(before, version), command

    def _stored_facts(self) -> dict[str, list[Row]]:
        """Messages and notes by the key of the command that brought them, which every text ends in."""
        stored = _by((*self._tables.messages, *self._tables.notes), "body")
        facts = [command for command in self._history.commands.values() if command.sent.what.is_fact]
        return {command.key: stored.get(command.sent.body["body"], []) for command in facts}

    def _found_effects(self) -> dict[str, list[Row]]:
        """By command, the events that say that it was done, or refused without its sender waiting."""
        keys = {str(row["id"]): key for key, rows in self._facts.items() for row in rows}
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self._tables.events:
            fact = row["about"].get("message_id") or row["about"].get("note_id")
            key = keys.get(fact) if fact else row["request_id"]
            if key in self._history.commands:
                found[key].append(row)
        return found

    # Tickets

    def _retell(self, ticket: UUID) -> Retold:
        events, row = self._events.get(ticket, []), self._rows[ticket]
        if not events or events[0]["version"] != 1 or not events[0]["answer"]:
            return Retold((), problem="its story has no beginning")
        start = beginning(Ticket.model_validate(events[0]["answer"]))
        teller = Teller(self._tables.rules[row["organization_id"]], self._disturbed)
        return teller.tell(start, events, self._asked, self._tables.at)

    def _requests(self) -> dict[str, Asked]:
        """What was asked for, by the id under which a story names it."""
        found: dict[str, Asked] = {}
        for command in self._history.commands.values():
            found[command.key] = Asked(command.sent)
            for row in self._facts.get(command.key, []):
                at = row.get("sent_at") or row["created_at"]
                found[str(row["id"])] = Asked(command.sent, at, row.get("automatic", False))
        return found

    def _disturbed(self, since: datetime, until: datetime) -> bool:
        return any(outage.began <= until and since <= outage.ended + AFTERMATH for outage in self._history.outages)

    def _check_ticket(self, ticket: UUID) -> None:
        row, events = self._rows[ticket], self._events.get(ticket, [])
        versions = [event["version"] for event in events]
        if versions != list(range(1, row["version"] + 1)):
            lacking = sorted(set(range(1, row["version"] + 1)) - set(versions))
            extra = sorted(set(versions) - set(range(1, row["version"] + 1)))
            self._found(Wrong.GAP, f"ticket {ticket} at v{row['version']} lacks {lacking}, has {extra} too many")
        self._check_creation(row, events)
        state = Ticket.model_validate(row["state"])
        self._check_columns(row, state)
        self._check_workflow(ticket, state)
        self._check_story(ticket, state)
        self._check_organization(row, events)

    def _check_creation(self, row: Row, events: Sequence[Row]) -> None:
        ticket, organization = row["id"], row["organization_id"]
        if row["follow_up_of"]:
            old = self._rows.get(row["follow_up_of"])
            if old is None or old["organization_id"] != organization or follow_up_id(old["id"]) != ticket:
                self._found(Wrong.UNASKED, f"ticket {ticket} follows up what it cannot")
            if not any(event["kind"] == EventKind.CUSTOMER_REPLIED for event in events):
                self._found(Wrong.UNASKED, f"ticket {ticket} follows up without a message")
            return
        created = self._history.commands.get(events[0]["request_id"]) if events and events[0]["request_id"] else None
        if created is None or ticket_id(organization, created.key) != ticket:
            self._found(Wrong.UNASKED, f"ticket {ticket} was created by nobody")
            return
        body = created.sent.body
        made = events[0]["answer"] or {}
        differing = [
            name
            for name in ("title", "priority", "tags", "team_id", "assignee_id")
            if name in body and made.get(name) != body[name]
        ]
        if differing or row["description"] != body.get("description", ""):
            self._found(
                Wrong.STORY, f"ticket {ticket} was created with another {', '.join(differing) or 'description'}"
            )

    def _check_columns(self, row: Row, state: Ticket) -> None:
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
        differing = [name for name, value in expected.items() if row[name] != value]
        if differing:
            self._found(Wrong.MISMATCH, f"ticket {row['id']}: the row's {', '.join(differing)} differ from its state")

    def _check_workflow(self, ticket: UUID, state: Ticket) -> None:
        found = self._reading.workflows.get(ticket)
        if found is None or found.ticket is None:
            self._found(
                Wrong.MISMATCH, f"ticket {ticket} ({state.status}): {found.problem if found else 'no workflow'}"
            )
            return
        if found.ended != (state.status is Status.CLOSED):
            self._found(
                Wrong.MISMATCH, f"ticket {ticket} is {state.status}, its workflow {'ended' if found.ended else 'runs'}"
            )
        if found.ticket != state:
            self._found(
                Wrong.MISMATCH, f"ticket {ticket}: {_differing(state, found.ticket)} differ from its workflow's"
            )

    def _check_story(self, ticket: UUID, state: Ticket) -> None:
        retold = self._retold[ticket]
        if retold.problem:
            self._found(Wrong.STORY, f"ticket {ticket}: {retold.problem}")
            return
        if undated(state) not in retold.ends:
            self._found(
                Wrong.STORY,
                f"ticket {ticket}: {_differing(undated(state), retold.ends[0])} do not follow from its story",
            )
        self._check_customer_messages(ticket, retold.told)
        self._check_notifications(ticket, state, retold.told)

    def _check_customer_messages(self, ticket: UUID, told: Sequence[TicketEvent]) -> None:
        expected = Counter(f"baton:{ticket}:{message.key}" for event in told for message in event.customer_messages)
        stored = Counter(
            row["external_id"]
            for row in self._tables.messages
            if row["author_kind"] == "system" and row["ticket_id"] == ticket
        )
        for key in expected - stored:
            self._found(Wrong.UNTOLD, f"the customer was not told {key}")
        for key in stored - expected:
            self._found(Wrong.TOLD_TWICE, f"the customer was told {key}, {stored[key]} times")

    def _check_notifications(self, ticket: UUID, state: Ticket, told: Sequence[TicketEvent]) -> None:
        supervisor = UUID(self._history.organizations[str(state.organization_id)].supervisor_id)
        rows = {row["key"]: row for row in self._notifications.get(ticket, ())}
        known: dict[str, int] = {}
        for event in told:
            reached = {event.actor.member_id}
            for notice in event.notices:
                known[notice.key] = event.version
                # Whom the others are depends on what else was recorded at the same time.
                certain = {*notice.member_ids} | ({supervisor} if Target.SUPERVISORS in notice.targets else set())
                for member in certain - reached:
                    if f"{ticket}:{notice.key}:{member}:in_app" not in rows:
                        self._found(Wrong.UNTOLD, f"ticket {ticket} v{event.version}: {notice.key} to member {member}")
                reached |= certain
        for key, row in rows.items():
            notice_key = key.removeprefix(f"{ticket}:").removesuffix(f":{row['member_id']}:in_app")
            if known.get(notice_key) != row["ticket_version"]:
                self._found(Wrong.TOLD_TWICE, f"ticket {ticket} v{row['ticket_version']}: {key}")

    # Timers

    def _check_timers(self) -> None:
        for ticket, retold in self._retold.items():
            self._report.fates += retold.fates
            for fate in retold.fates:
                if fate.fate is Fate.UNFIRED:
                    self._found(Wrong.UNFIRED, f"ticket {ticket}: {fate.kind} due at {fate.due_at.isoformat()}")
        fired = Counter(
            (row["ticket_id"], row["kind"], about.get("metric", ""), about["due_at"])
            for row in self._tables.events
            if "due_at" in (about := row["about"])
        )
        for (ticket, kind, metric, due_at), times in fired.items():
            if times > 1:
                self._found(Wrong.FIRED_TWICE, f"ticket {ticket}: {kind} {metric} due at {due_at}, {times} times")
        self._report.outages = [(outage.began, outage.ended) for outage in self._history.outages]

    # Organizations

    def _check_organization(self, row: Row, events: Sequence[Row]) -> None:
        own, ticket = row["organization_id"], row["id"]
        rules = self._tables.rules[own]
        strangers = {event["organization_id"] for event in events} - {own}
        if strangers:
            self._found(Wrong.FOREIGN, f"ticket {ticket}: events of {strangers}")
        if row["assignee_id"] and row["assignee_id"] not in rules.members:
            self._found(Wrong.FOREIGN, f"ticket {ticket} is assigned to a stranger")
        if row["team_id"] and row["team_id"] not in rules.teams:
            self._found(Wrong.FOREIGN, f"ticket {ticket} is a strange team's")
        for event in events:
            key = event["request_id"]
            sender = self._history.commands.get(key) if key else None
            if sender and sender.sent.organization != str(own):
                self._found(Wrong.FOREIGN, f"ticket {ticket} v{event['version']} obeyed {sender.sent.organization}")
            if event["actor_kind"] == "member" and event["actor_id"] not in rules.members:
                self._found(Wrong.FOREIGN, f"ticket {ticket} v{event['version']}: a stranger acted")

    def _check_strangers(self) -> None:
        """Rows beside the tickets, the API's answers, and events without a ticket."""
        for kind, rows in (
            ("message", self._tables.messages),
            ("note", self._tables.notes),
            ("notification", self._tables.notifications),
        ):
            for row in rows:
                ticket = self._rows.get(row["ticket_id"])
                if ticket is None:
                    self._found(Wrong.UNASKED, f"{kind} {row['id']} of a ticket that is not there")
                elif ticket["organization_id"] != row["organization_id"]:
                    self._found(Wrong.FOREIGN, f"{kind} {row['id']} of ticket {ticket['id']}")
        members = {row["id"]: row["organization_id"] for row in self._tables.members}
        for row in self._tables.notifications:
            if members.get(row["member_id"]) != row["organization_id"]:
                self._found(Wrong.FOREIGN, f"notification {row['id']} to a stranger")
        self._check_conversations()
        for id_ in set(self._events) - set(self._rows):
            self._found(Wrong.MISMATCH, f"events of ticket {id_}, which is not there")
        for id_ in set(self._reading.workflows) - set(self._rows):
            self._found(Wrong.MISMATCH, f"the read model lacks ticket {id_}, whose workflow exists")
        asked_for = {row["id"] for rows in self._facts.values() for row in rows}
        for note in self._tables.notes:
            if note["id"] not in asked_for:
                self._found(Wrong.UNASKED, f"note {note['id']}")
        self._check_api()

    def _check_conversations(self) -> None:
        conversations = {row["id"]: row for row in self._tables.conversations}
        requesters = {row["id"]: row for row in self._tables.requesters}
        for row in self._rows.values():
            conversation, requester = conversations.get(row["conversation_id"]), requesters.get(row["requester_id"])
            owners = {each["organization_id"] for each in (conversation, requester) if each}
            if owners != {row["organization_id"]} or conversation is None or requester is None:
                self._found(Wrong.FOREIGN, f"ticket {row['id']}: its conversation or requester")
        for row in self._tables.messages:
            its_own = conversations.get(row["conversation_id"])
            if its_own is None or its_own["organization_id"] != row["organization_id"]:
                self._found(Wrong.FOREIGN, f"message {row['id']} in a strange conversation")
            if row["author_kind"] != "system" and row["external_id"] not in self._history.commands:
                self._found(Wrong.UNASKED, f"message {row['id']}")

    def _check_api(self) -> None:
        for id_, listed in self._reading.api.items():
            own = {str(row["id"]): row["version"] for row in self._rows.values() if str(row["organization_id"]) == id_}
            if unlike := {ticket for ticket, _ in set(own.items()) ^ set(listed.versions.items())}:
                self._found(Wrong.MISMATCH, f"the API lists {sorted(unlike)} otherwise than the tables")
            for ticket in listed.strangers:
                self._found(Wrong.FOREIGN, f"organization {id_} was let at ticket {ticket}")

    def _found(self, wrong: Wrong, text: str) -> None:
        self._report.findings.append(Finding(wrong, text))


def _by(rows: Iterable[Row], name: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def _held(events: Sequence[Row], version: int) -> Mapping[str, object]:
    """Team and assignee at a version."""
    made = events[0]["answer"] if events else None
    held = {name: (made or {}).get(name) for name in ("team_id", "assignee_id")}
    for event in events:
        if event["version"] <= version:
            held |= {name: change["after"] for name, change in event["changes"].items() if name in held}
    return held


def _differing(one: Ticket, other: Ticket) -> str:
    return ", ".join(_paths(one.model_dump(mode="json"), other.model_dump(mode="json"))) or "nothing visible"


def _paths(one: object, other: object, at: str = "") -> Iterator[str]:
    """Where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            yield from _paths(one.get(name), other.get(name), f"{at}.{name}" if at else name)
    elif one != other:
        yield f"{at} ({one!r}, {other!r})" if not isinstance(one, list | dict) else at
