import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.api.tenant import Json, Tenant, new_tenant


async def found(tenant: Tenant, **params: Any) -> list[str]:
    """Titles of the tickets that a filter finds, the oldest first."""
    return [ticket["title"] async for ticket in tenant.pages("/tickets", **params)][::-1]


async def test_pages_are_complete_while_tickets_are_being_made(tenant: Tenant) -> None:
    there = [(await tenant.ticket(title=f"Before {number}"))["id"] for number in range(12)]
    seen: list[str] = []

    async def read() -> None:
        async for ticket in tenant.pages("/tickets", limit=3):
            seen.append(ticket["id"])
            await tenant.ticket(title="Meanwhile")

    await read()
    assert len(seen) == len(set(seen))
    assert [each for each in seen if each in there] == there[::-1]
    everything = [ticket["created_at"] async for ticket in tenant.pages("/tickets", limit=5)]
    assert len(everything) == 24
    assert everything == sorted(everything, reverse=True)


async def test_every_list_is_read_in_pages_without_a_gap(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    for number in range(4):
        await tenant.member()
        await tenant.team()
        await tenant.post("/api-keys", {"name": f"Key {number}"})
        await tenant.post("/reminder-ladders", {"name": f"L{number}", "steps": [{"after": "P1D", "action": "remind"}]})
        await tenant.message(ticket, body=f"Line {number}")
        await tenant.post(f"/tickets/{ticket['id']}/notes", {"body": f"Note {number}"})
    own = f"/tickets/{ticket['id']}"
    lists = ["/members", "/teams", "/api-keys", "/reminder-ladders", f"{own}/messages", f"{own}/notes", f"{own}/events"]
    for path in lists:
        whole = (await tenant.get(path, limit=100))["items"]
        assert [row async for row in tenant.pages(path, limit=1)] == whole
        assert len(whole) >= 4


@pytest.fixture(scope="module")
async def shelf(http: httpx.AsyncClient) -> tuple[Tenant, dict[str, str]]:
    """Three tickets that differ in all that can be filtered by, and the ids of the people concerned."""
    tenant = await new_tenant(http)
    team, member = await tenant.team(), await tenant.member()
    await tenant.ticket(title="plain")
    await tenant.ticket(
        "waiting", title="busy", priority="urgent", channel="whatsapp", tags=["Refund", "vip"], assignee_id=member["id"]
    )
    await tenant.ticket("closed", title="done", priority="low", channel="email", tags=["refund"], team_id=team["id"])
    return tenant, {"team": team["id"], "member": member["id"]}


@pytest.mark.parametrize(
    ("params", "titles"),
    [
        ({}, ["plain", "busy", "done"]),
        ({"status": "open"}, ["plain"]),
        ({"status": ["waiting", "closed"]}, ["busy", "done"]),
        ({"status": "in_progress"}, []),
        ({"priority": ["low", "urgent"]}, ["busy", "done"]),
        ({"channel": "whatsapp"}, ["busy"]),
        ({"tag": "refund"}, ["busy", "done"]),
        ({"tag": " REFUND "}, ["busy", "done"]),
        ({"tag": ["refund", "vip"]}, ["busy"]),
        ({"tag": "none"}, []),
        ({"team_id": "team"}, ["done"]),
        ({"assignee_id": "member"}, ["busy"]),
        ({"unassigned": "true"}, ["plain", "done"]),
        ({"unassigned": "false"}, ["busy"]),
        ({"breached": "true"}, []),
        ({"status": "waiting", "tag": "vip", "priority": "urgent", "assignee_id": "member", "q": "busy"}, ["busy"]),
        ({"status": "waiting", "tag": "vip", "priority": "low"}, []),
    ],
    ids=str,
)
async def test_filters_find_what_they_name(
    shelf: tuple[Tenant, dict[str, str]], params: Json, titles: list[str]
) -> None:
    tenant, ids = shelf
    named = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in params.items()}
    assert await found(tenant, **named) == titles
    assert await found(tenant, **named, limit=1) == titles


TEXTS = {
    "refund": ("Refund for order 1001", "The shoes never arrived."),
    "order": ("Order 1002: refund refused", "Paid by card, order of the shoes."),
    "arabic": ("\u0646\u0639\u0645 \u0637\u0644\u0628", "\u041f\u0440\u0438\u0432\u0435\u0442 caf\u00e9"),
    "sign": ("100% 'quoted' & | ! <b>", "a:* b'c"),
}


@pytest.fixture(scope="module")
async def library(http: httpx.AsyncClient) -> Tenant:
    """Tickets to search."""
    tenant = await new_tenant(http)
    for title, description in TEXTS.values():
        await tenant.ticket(title=title, description=description)
    return tenant


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("refund", ["refund", "order"]),
        ("REFUND", ["refund", "order"]),
        ("shoes card", ["order"]),
        ('"order 1001"', ["refund"]),
        ('"refund order"', []),
        ("refund -card", ["refund"]),
        ("1001 or 1002", ["refund", "order"]),
        ("\u0637\u0644\u0628", ["arabic"]),
        ("\u041f\u0420\u0418\u0412\u0415\u0422", ["arabic"]),
        ("caf\u00e9", ["arabic"]),
        ("' & | ! ( :*", []),
        ('"unclosed', []),
        ("\\", []),
    ],
)
async def test_search_finds_words_phrases_and_not_what_is_excluded(
    library: Tenant, query: str, names: list[str]
) -> None:
    assert await found(library, q=query) == [TEXTS[name][0] for name in names]


async def test_lists_sort_by_the_last_change_when_asked_to(tenant: Tenant) -> None:
    tickets = [await tenant.ticket(title=f"Ticket {number}") for number in range(4)]
    for number in (2, 0):
        await tenant.message(tickets[number])
    assert await found(tenant, sort="updated_at", limit=2) == ["Ticket 1", "Ticket 3", "Ticket 2", "Ticket 0"]
    assert await found(tenant, sort="created_at", limit=2) == [f"Ticket {number}" for number in range(4)]


def cursor_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


NOBODY = "00000000-0000-0000-0000-000000000000"
BAD_CURSORS = [
    "x",
    "\u00e9",
    "\x00",
    "e30=",
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    cursor_of([]),
    cursor_of(["2026-11-22T10:00:00", NOBODY]),
    cursor_of(["yesterday", NOBODY]),
    cursor_of(["2026-11-22T10:00:00Z", "nobody"]),
    cursor_of(["2026-11-22T10:00:00Z", 7]),
    cursor_of([7, NOBODY]),
    cursor_of({"a": 1, "b": 2}),
    "-1",
    "9" * 30,
    "\u0667",
]


@pytest.mark.parametrize("path", ["/tickets", "/members", "/teams", "/tickets/{id}/events", "/notifications"])
async def test_cursor_that_is_not_ours_is_refused(tenant: Tenant, path: str) -> None:
    path = path.format(id=(await tenant.ticket())["id"])
    for cursor in BAD_CURSORS:
        answer = await tenant.call("GET", path, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), f"{cursor!r}: {answer.text}"


@pytest.mark.parametrize("path", ["/tickets/{id}/events", "/notifications"])
async def test_cursor_beyond_the_last_row_leads_to_an_empty_page(tenant: Tenant, path: str) -> None:
    path = path.format(id=(await tenant.ticket())["id"])
    for cursor in ("5", "999999999999999999"):
        assert await tenant.get(path, cursor=cursor) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_cursor_at_the_end_of_time_is_a_place_too(library: Tenant, moment: str) -> None:
    answer = await library.call("GET", "/tickets", params={"cursor": cursor_of([moment, NOBODY])})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"status": "new"},
        {"sort": "title"},
        {"q": "x" * 201},
        {"team_id": 1},
    ],
    ids=str,
)
async def test_filter_that_makes_no_sense_is_refused(library: Tenant, params: Json) -> None:
    answer = await library.call("GET", "/tickets", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("name", ["q", "tag"])
async def test_nul_character_in_a_filter_is_refused(library: Tenant, name: str) -> None:
    answer = await library.call("GET", "/tickets", params={name: "a\x00b"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


async def test_pages_stay_complete_when_many_write_at_once(tenant: Tenant) -> None:
    await asyncio.gather(*(tenant.ticket(title=f"Ticket {number}") for number in range(20)))
    numbers = [ticket["number"] async for ticket in tenant.pages("/tickets", limit=3)]
    assert sorted(numbers) == list(range(1, 21))
