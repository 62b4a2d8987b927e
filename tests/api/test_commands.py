import asyncio
from collections import Counter

import pytest

from tests.api.tenant import Json, Tenant
from tests.support import eventually

ASYNC = {"Prefer": "respond-async"}


async def has_event(tenant: Tenant, ticket: Json, request_id: str) -> Json:
    """The event of a request, once the story has it."""

    async def found() -> Json | None:
        return next((event for event in await tenant.events(ticket) if event["request_id"] == request_id), None)

    event = await eventually(found)
    assert event is not None
    return event


async def test_ten_commands_at_once_are_all_answered_without_a_gap(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}"
    answers = await asyncio.gather(
        *(tenant.call("POST", f"{path}/escalate", {"reason": f"Reason {number}"}) for number in range(5)),
        *(tenant.call("PATCH", path, {"title": f"Title {number}"}) for number in range(5)),
    )
    assert [answer.status_code for answer in answers] == [200] * 10
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 12))
    events = await tenant.events(ticket)
    assert [event["version"] for event in events] == list(range(1, 12))
    reasons = {event["version"]: event["reason"] for event in events if event["kind"] == "escalated"}
    for number, answer in enumerate(answers[:5]):
        assert reasons[answer.json()["version"]] == f"Reason {number}"
    for number, answer in enumerate(answers[5:]):
        assert answer.json()["title"] == f"Title {number}"
    assert (await tenant.reload(ticket))["version"] == 11


async def test_command_that_asks_for_what_already_is_changes_nothing(tenant: Tenant) -> None:
    member = await tenant.member()
    ticket = await tenant.ticket(assignee_id=member["id"], tags=["invoice"])
    path = f"/tickets/{ticket['id']}"
    requests = [
        ("POST", f"{path}/assignment", {"assignee_id": member["id"]}),
        ("PATCH", path, {"title": ticket["title"], "tags": ["Invoice"]}),
        ("PATCH", path, {}),
    ]
    for method, url, document in requests:
        for _ in range(2):
            answer = await tenant.call(method, url, document, key=f"{method} {document}".replace(" ", ""))
            assert (answer.status_code, answer.headers.get("Baton-Read-Model")) == (200, None)
            assert answer.json() == ticket
    assert len(await tenant.events(ticket)) == 1


async def test_of_ten_equal_moves_at_once_one_is_made_and_nine_are_refused(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}/status"
    answers = await asyncio.gather(*(tenant.call("POST", path, {"to": "waiting"}) for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 9}
    assert [event["kind"] for event in await tenant.events(ticket)] == ["created", "status_changed"]


async def test_command_for_a_version_holds_only_for_it(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    seen = (await tenant.call("GET", f"/tickets/{ticket['id']}")).headers["ETag"]
    path = f"/tickets/{ticket['id']}"
    first = await tenant.call("PATCH", path, {"title": "One"}, headers={"If-Match": seen})
    assert (first.status_code, first.headers["ETag"]) == (200, '"2"')
    second = await tenant.call("PATCH", path, {"title": "Two"}, headers={"If-Match": seen})
    assert (second.status_code, second.json()["code"], second.json()["version"]) == (412, "version_mismatch", 2)
    assert await tenant.reload(ticket) == first.json()
    third = await tenant.call("PATCH", path, {"title": "Two"}, headers={"If-Match": 'W/"2"'})
    assert (third.status_code, third.json()["title"]) == (200, "Two")


async def test_member_cannot_start_what_another_owns_and_is_told_who(tenant: Tenant) -> None:
    owner, other = await tenant.member(), await tenant.member()
    ticket = await tenant.ticket(assignee_id=owner["id"])
    path = f"/tickets/{ticket['id']}/status"
    refusal = await tenant.acting_for(other).call("POST", path, {"to": "in_progress"})
    assert (refusal.status_code, refusal.json()["code"]) == (409, "assigned_to_another")
    assert refusal.json()["assignee_id"] == owner["id"]
    started = await tenant.acting_for(owner).call("POST", path, {"to": "in_progress"})
    assert started.status_code == 200
    event = (await tenant.events(ticket))[-1]
    assert event["actor"] == {"kind": "member", "id": owner["id"], "name": owner["name"]}


@pytest.mark.parametrize(
    ("method", "path", "document", "kind"),
    [
        ("POST", "/status", {"to": "waiting"}, "status_changed"),
        ("POST", "/assignment", {"team_id": "{team}"}, "assigned"),
        ("PATCH", "", {"title": "Another"}, "edited"),
        ("POST", "/escalate", {"reason": "Angry"}, "escalated"),
    ],
)
async def test_command_nobody_waits_for_takes_effect_once(
    tenant: Tenant, method: str, path: str, document: Json, kind: str
) -> None:
    ticket, team = await tenant.ticket(), await tenant.team()
    document = {name: value.format(team=team["id"]) for name, value in document.items()}
    url = f"/tickets/{ticket['id']}{path}"
    for _ in range(2):
        accepted = await tenant.call(method, url, document, key="k", headers=ASYNC)
        assert (accepted.status_code, accepted.headers["Preference-Applied"]) == (202, "respond-async")
        assert accepted.json() == {"ticket_id": ticket["id"], "request_id": "k", "status": "accepted"}
        events = (await tenant.client.get(accepted.headers["Location"], headers=tenant.authorization)).json()
        assert events["items"][0]["kind"] == "created"
    assert (await has_event(tenant, ticket, "k"))["kind"] == kind

    waited = await tenant.call(method, url, document, key="k")
    assert (waited.status_code, waited.headers["Idempotency-Replayed"]) == (200, "true")
    assert waited.json()["version"] == 2
    assert [event["kind"] for event in await tenant.events(ticket)] == ["created", kind]


async def test_reopening_nobody_waits_for_begins_the_next_run(tenant: Tenant) -> None:
    ticket = await tenant.ticket("closed")
    path = f"/tickets/{ticket['id']}/status"
    assert (await tenant.call("POST", path, {"to": "open"}, key="k", headers=ASYNC)).status_code == 202
    assert (await tenant.becomes(ticket, "open"))["reopened"] == 1
    refusal = await tenant.call(
        "POST", f"/tickets/{(await tenant.ticket('closed'))['id']}/status", {"to": "waiting"}, headers=ASYNC
    )
    assert (refusal.status_code, refusal.json()["code"]) == (409, "illegal_transition")


@pytest.mark.parametrize("told_first", [True, False], ids=["once it is told", "at once"])
async def test_refused_command_nobody_waited_for_is_told_and_refused_again(tenant: Tenant, told_first: bool) -> None:
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}/status"
    document = {"to": "closed"}
    assert (await tenant.call("POST", path, document, key="k", headers=ASYNC)).status_code == 202
    if told_first:
        event = await has_event(tenant, ticket, "k")
        assert (event["kind"], event["about"]["code"]) == ("command_refused", "illegal_transition")
        assert "it can become" in event["reason"]
    for headers in ({}, ASYNC):
        refusal = await tenant.call("POST", path, document, key="k", headers=headers)
        assert (refusal.status_code, refusal.json().get("code")) == (409, "illegal_transition"), refusal.text
        assert refusal.json()["legal"] == ["in_progress", "waiting", "resolved"]
    reused = await tenant.call("POST", path, {"to": "open"}, key="k")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert (await tenant.reload(ticket))["status"] == "open"


async def test_team_and_assignee_are_set_and_emptied_apart(tenant: Tenant) -> None:
    team, member = await tenant.team(), await tenant.member()
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}/assignment"
    steps: list[tuple[Json, str | None, str | None]] = [
        ({"assignee_id": member["id"]}, None, member["id"]),
        ({"team_id": team["id"]}, team["id"], None),  # another team's ticket is nobody's
        ({"assignee_id": member["id"]}, team["id"], member["id"]),
        ({"team_id": None, "assignee_id": member["id"]}, None, member["id"]),
        ({"assignee_id": None}, None, None),
    ]
    for document, team_id, assignee_id in steps:
        ticket = await tenant.post(path, document)
        assert ((ticket["team"] or {}).get("id"), (ticket["assignee"] or {}).get("id")) == (team_id, assignee_id)
        assert await tenant.reload(ticket) == ticket
    assert (await tenant.call("POST", path, {"reason": "Nothing"})).json()["code"] == "invalid_request"
