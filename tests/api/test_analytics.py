"""Reports agree with the tickets' own events, in every zone and group, and as CSV."""

import csv
import io
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest

from settings import Settings
from tests.api.sla import policy
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

MONTH = timedelta(days=31)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def percentile(values: list[float], part: float) -> float:
    """Between the two values it lies between, as ``percentile_cont`` has it."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Told:
    """What a ticket's events tell, with nothing but arithmetic."""

    def __init__(self, ticket: Json, events: list[Json]) -> None:
        self.ticket = ticket
        self.created_at = moment(ticket["created_at"])
        replies = [event for event in events if event["kind"] == "agent_replied"]
        self.replied_at = min((self._answered(event) for event in replies), default=None)
        self.resolved_at: datetime | None = None
        for event in events:
            status = event["changes"].get("status", {}).get("after")
            if status == "resolved":
                self.resolved_at = moment(event["at"])
            elif status and status != "closed":
                self.resolved_at = None
        clocks = [each for event in events for each in event["clocks"]]
        self.verdicts = {
            metric: self._verdict([each for each in clocks if each["metric"] == metric])
            for metric in ("first_response", "resolution")
        }
        following = [each for each in clocks if each["metric"] == "next_response"]
        breached = {each["episode"] for each in following if each["kind"] == "breach"}
        fulfilled = {each["episode"] for each in following if each["kind"] == "fulfil"}
        self.next_met, self.next_breached = len(fulfilled - breached), len(breached)

    def _answered(self, event: Json) -> datetime:
        found = [e for e in event["clocks"] if (e["metric"], e["kind"]) == ("first_response", "fulfil")]
        return moment(found[0]["at"] if found else event["at"])

    def _verdict(self, clocks: list[Json]) -> str:
        told = [each["kind"] for each in clocks]
        if "breach" in told:
            return "breached"
        return "met" if told[-1] == "fulfil" else "running"


@pytest.fixture(scope="module")
async def lived(http: httpx.AsyncClient) -> tuple[Tenant, list[Told]]:
    """Tickets whose lives a seeded chance made, and what their events tell."""
    tenant, chance = await new_tenant(http), random.Random(8)
    await tenant.post("/sla-policies", policy(first_response="PT0.4S", next_response="PT1H", resolution="PT2H"))
    team = await tenant.team(name="=Team")
    members = [await tenant.member(), await tenant.member()]
    made: list[Json] = []
    for number in range(14):
        ticket = await tenant.ticket(
            tags=chance.sample(["refund", "vip", "login"], chance.randint(0, 2)),
            channel=chance.choice(["email", "webchat"]),
            priority=chance.choice(["low", "urgent"]),
            source=chance.choice(["api", "assistant"]),
            team_id=chance.choice([team["id"], None]),
            assignee_id=chance.choice([*(each["id"] for each in members), None]),
        )
        made.append(ticket)
        if number % 5 == 0:
            await _breached(tenant, ticket)
        for _ in range(chance.randint(0, 5)):
            act = chance.choice(["customer", "agent", "resolve", "open", "edit"])
            if act in ("customer", "agent"):
                sender = tenant.acting_for(members[0]) if act == "agent" else tenant
                await sender.message(ticket, author=act, body="Hello")
            elif act == "edit":
                await tenant.call("PATCH", f"/tickets/{ticket['id']}", {"tags": ["edited"], "priority": "high"})
            else:
                await tenant.call(
                    "POST", f"/tickets/{ticket['id']}/status", {"to": f"{act}d" if act == "resolve" else act}
                )
    for ticket in made:
        await _comes_to_rest(tenant, ticket)
    told = [Told(ticket, await tenant.events(ticket)) async for ticket in tenant.pages("/tickets")]
    assert len(told) == 14
    return tenant, told


async def _breached(tenant: Tenant, ticket: Json) -> None:
    async def breached() -> bool:
        return bool((await tenant.reload(ticket))["breached"])

    await eventually(breached, 20)


async def _comes_to_rest(tenant: Tenant, ticket: Json) -> None:
    """Wait until nothing more happens to the ticket while the reports are read."""

    async def rests() -> bool:
        live = await tenant.get(f"/tickets/{ticket['id']}/timers")
        soon = datetime.now(UTC) + timedelta(minutes=30)
        due = [each for each in live["timers"] if moment(each["due_at"]) < soon]
        return not due and (await tenant.reload(ticket))["version"] == live["version"]

    await eventually(rests, 20)


GROUPS: dict[str, Callable[[Json], list[str | None]]] = {
    "team": lambda ticket: [ticket["team"] and ticket["team"]["id"]],
    "member": lambda ticket: [ticket["assignee"] and ticket["assignee"]["id"]],
    "tag": lambda ticket: list(ticket["tags"]) or [None],
    "channel": lambda ticket: [ticket["channel"]],
    "source": lambda ticket: [ticket["source"]],
    "priority": lambda ticket: [ticket["priority"]],
}


def grouped(told: list[Told], by: str) -> dict[str | None, list[Told]]:
    found: dict[str | None, list[Told]] = defaultdict(list)
    for each in told:
        for key in GROUPS[by](each.ticket):
            found[key].append(each)
    return found


def check_durations(row: Json, tickets: int, seconds: list[float]) -> None:
    assert (row["tickets"], row["measured"]) == (tickets, len(seconds))
    if not seconds:
        assert (row["average"], row["median"], row["p90"]) == (None, None, None)
        return
    by_hand = [fmean(seconds), percentile(seconds, 0.5), percentile(seconds, 0.9)]
    assert [row["average"], row["median"], row["p90"]] == pytest.approx(by_hand, abs=0.002)


@pytest.mark.parametrize("by", GROUPS)
async def test_numbers_are_those_of_the_events(lived: tuple[Tenant, list[Told]], by: str) -> None:
    tenant, told = lived
    groups = grouped(told, by)

    async def report(name: str) -> tuple[dict[str | None, Json], Json]:
        found = await tenant.get(f"/analytics/{name}", group_by=by)
        return {row["key"]: row for row in found["rows"]}, found["total"]

    volumes, _ = await report("volumes")
    for key, row in volumes.items():
        resolved = sum(each.resolved_at is not None for each in groups[key])
        assert (row["created"], row["resolved"]) == (len(groups[key]), resolved)
    responses, all_responses = await report("first-response")
    for key, row in responses.items():
        seconds = [(each.replied_at - each.created_at).total_seconds() for each in groups[key] if each.replied_at]
        check_durations(row, len(groups[key]), seconds)
    resolutions, _ = await report("resolution")
    for key, tickets in groups.items():
        seconds = [(each.resolved_at - each.created_at).total_seconds() for each in tickets if each.resolved_at]
        assert (key in resolutions) is bool(seconds)
        if seconds:
            check_durations(resolutions[key], len(seconds), seconds)
    sla, all_sla = await report("sla")
    for key, row in sla.items():
        for metric in ("first_response", "resolution"):
            for verdict in ("met", "breached"):
                by_hand = sum(each.verdicts[metric] == verdict for each in groups[key])
                assert row[f"{metric}_{verdict}"] == by_hand
        assert row["next_response_met"] == sum(each.next_met for each in groups[key])
        assert row["next_response_breached"] == sum(each.next_breached for each in groups[key])
    raised = [each for each in told if each.ticket["source"] != "api"]
    escalations, all_raised = await report("escalation-to-human")
    for key, row in escalations.items():
        mine = [each for each in groups[key] if each in raised]
        seconds = [(each.replied_at - each.created_at).total_seconds() for each in mine if each.replied_at]
        check_durations(row, len(mine), seconds)
    assert set(volumes) == set(responses) == set(sla) == set(groups)
    assert (all_responses["tickets"], all_sla["tickets"], all_raised["tickets"]) == (14, 14, len(raised))
    assert all_sla["first_response_breached"] >= 3
    assert all_sla["first_response_met"] >= 1


async def test_facts_written_by_the_migration_are_those_written_by_records(
    lived: tuple[Tenant, list[Told]], settings: Settings
) -> None:
    from importlib import import_module

    tenant, _ = lived
    backfill = import_module("migrations.versions.2026_11_26_working_together").BACKFILL
    mine = "SELECT * FROM ticket_facts WHERE organization_id = %s ORDER BY ticket_id"
    with psycopg.connect(settings.psycopg_url) as connection:
        recorded = connection.execute(mine, [tenant.id]).fetchall()
        connection.execute("DELETE FROM ticket_facts")
        connection.execute(backfill)
        columns = [each.name for each in connection.execute(mine, [tenant.id]).description or []]
        worked_out = connection.execute(mine, [tenant.id]).fetchall()
        connection.rollback()
    assert len(recorded) == 14
    for left, right in zip(recorded, worked_out, strict=True):
        assert dict(zip(columns, left, strict=True)) == dict(zip(columns, right, strict=True))


# Stretches of time


def at(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.fixture
async def dated(tenant: Tenant, settings: Settings) -> Callable[[list[datetime]], Any]:
    """Gives the tenant tickets that came at these moments."""

    async def date(moments: list[datetime]) -> None:
        ids = [(await tenant.ticket())["id"] for _ in moments]
        with psycopg.connect(settings.psycopg_url) as connection:
            for ticket_id, came_at in zip(ids, moments, strict=True):
                connection.execute("UPDATE ticket_facts SET created_at = %s WHERE ticket_id = %s", [came_at, ticket_id])

    return date


@pytest.mark.parametrize(
    ("bucket", "zone", "begins"),
    [
        (
            "day",
            "Europe/Berlin",
            {"2026-03-28T00:00:00+01:00": 1, "2026-03-29T00:00:00+01:00": 2, "2026-03-30T00:00:00+02:00": 1},
        ),
        ("day", "UTC", {"2026-03-28T00:00:00Z": 2, "2026-03-29T00:00:00Z": 2}),
        (
            "hour",
            "Europe/Berlin",
            {
                "2026-03-28T23:00:00+01:00": 1,
                "2026-03-29T00:00:00+01:00": 1,
                "2026-03-29T23:00:00+02:00": 1,
                "2026-03-30T00:00:00+02:00": 1,
            },
        ),
        ("week", "Europe/Berlin", {"2026-03-23T00:00:00+01:00": 3, "2026-03-30T00:00:00+02:00": 1}),
        ("month", "Europe/Berlin", {"2026-03-01T00:00:00+01:00": 4}),
    ],
)
async def test_days_begin_where_the_zones_clocks_say_so(
    tenant: Tenant, dated: Any, bucket: str, zone: str, begins: dict[str, int]
) -> None:
    texts = ["2026-03-28T23:59:59", "2026-03-29T00:30:00", "2026-03-29T23:59:59", "2026-03-30T00:00:00"]
    await dated([at(text, "Europe/Berlin") for text in texts])
    span = {"since": "2026-03-01T00:00:00Z", "until": "2026-04-15T00:00:00Z"}
    found = await tenant.get("/analytics/volumes", bucket=bucket, time_zone=zone, **span)
    assert {row["bucket"]: row["created"] for row in found["rows"]} == begins
    assert found["total"]["created"] == 4


async def test_the_hour_that_comes_twice_is_two_hours(tenant: Tenant, dated: Any) -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in Berlin, summer time
    await dated([first, first + timedelta(hours=1), first + timedelta(hours=1, minutes=10)])
    span = {"since": "2026-10-24T00:00:00Z", "until": "2026-10-27T00:00:00Z"}
    found = await tenant.get("/analytics/volumes", bucket="hour", time_zone="Europe/Berlin", **span)
    assert [(row["bucket"], row["created"]) for row in found["rows"]] == [
        ("2026-10-25T02:00:00+02:00", 1),
        ("2026-10-25T02:00:00+01:00", 2),
    ]


# Filters, refusals, CSV


async def test_filters_narrow_what_is_counted(lived: tuple[Tenant, list[Told]]) -> None:
    tenant, told = lived
    found = await tenant.get("/analytics/volumes", channel="email", priority=["low", "high"], tag="edited")
    wanted = [
        each.ticket
        for each in told
        if each.ticket["channel"] == "email" and each.ticket["priority"] != "urgent" and "edited" in each.ticket["tags"]
    ]
    assert (found["total"] or {"created": 0})["created"] == len(wanted)
    nothing = await tenant.get("/analytics/first-response", since="2020-01-01T00:00:00Z", until="2020-02-01T00:00:00Z")
    assert nothing["rows"] == []


@pytest.mark.parametrize(
    "params",
    [
        {"time_zone": "Mars/Olympus"},
        {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2020-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "bucket": "hour"},
        {"group_by": "shoe size"},
    ],
)
async def test_what_cannot_be_counted_is_refused(tenant: Tenant, params: Json) -> None:
    answer = await tenant.call("GET", "/analytics/volumes", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_csv_is_the_same_rows_and_starts_no_formula(lived: tuple[Tenant, list[Told]]) -> None:
    tenant, _ = lived
    found = await tenant.get("/analytics/volumes", group_by="team")
    by_format = await tenant.call("GET", "/analytics/volumes", params={"group_by": "team", "format": "csv"})
    by_header = await tenant.call(
        "GET", "/analytics/volumes", params={"group_by": "team"}, headers={"Accept": "text/csv"}
    )
    assert by_format.text == by_header.text
    assert by_format.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(by_format.text)))
    assert [int(row["created"]) for row in rows] == [row["created"] for row in found["rows"]]
    assert [row["name"] for row in rows] == ["'=Team", ""]


async def test_false_alarms_are_counted_by_rule(tenant: Tenant, settings: Settings) -> None:
    needless, needed, running = await tenant.ticket("resolved"), await tenant.ticket(), await tenant.ticket()
    agent = tenant.acting_for(await tenant.member())
    await agent.message(needed, author="agent", body="Here.")
    await tenant.post(f"/tickets/{needed['id']}/status", {"to": "resolved"})
    with psycopg.connect(settings.psycopg_url) as connection:
        for rule, ticket, outcome in (
            ("Angry", needless, "acted"),
            ("Angry", needless, "shadow"),
            ("Angry", needed, "acted"),
            ("Angry", running, "acted"),
            ("Refund", needless, "acted"),  # the same ticket by another rule, and twice
            ("Refund", needless, "acted"),
            ("Refund", {"id": None, "conversation_id": running["conversation_id"]}, "acted"),
        ):
            connection.execute(
                """INSERT INTO decisions (id, organization_id, kind, rule_id, rule_name, rule_version, conversation_id,
                    ticket_id, outcome, evidence, actions, at)
                VALUES (gen_random_uuid(), %s, 'escalation_event', md5(%s)::uuid, %s, 1, %s, %s, %s, '[]',
                    '{}', now() - interval '1 hour')""",
                [tenant.id, rule, rule, ticket["conversation_id"], ticket["id"], outcome],
            )
    found = await tenant.get("/analytics/false-alarms")
    assert found["group_by"] == "rule"
    figures = ("decisions", "tickets", "resolved", "without_human", "share")
    assert [(row["name"], [row[name] for name in figures]) for row in found["rows"]] == [
        ("Angry", [3, 3, 2, 1, 0.5]),
        ("Refund", [3, 1, 1, 1, 1.0]),
    ]
    assert [found["total"][name] for name in figures] == [6, 3, 2, 1, 0.5]  # each ticket once
    waits = await tenant.get("/analytics/escalation-to-human")
    assert (waits["total"]["tickets"], waits["total"]["measured"]) == (3, 1)
    assert 3590 < waits["total"]["average"] < 3700  # from the decision on, which is older than the ticket
