import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import httpx
import pytest

from settings import Settings
from tests.api.browser import PASSWORD, Browser, browsing, joined, mails_to, token_to
from tests.api.tenant import Json, Tenant, new_tenant
from tests.api.test_doors import execute


@pytest.fixture
async def browser(http: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browsing(http.base_url) as made:
        yield made


@pytest.fixture
def address(tenant: Tenant) -> str:
    return f"ada-{tenant.id}@example.com"


async def invite(tenant: Tenant, *emails: str, **more: object) -> list[Json]:
    answer = await tenant.post("/invitations", {"invitations": [{"email": email, **more} for email in emails]})
    found: list[Json] = answer["items"]
    return found


def accepting(settings: Settings, address: str, token: str | None = None) -> Json:
    return {"token": token or token_to(settings, address), "name": "Ada Agent", "password": PASSWORD}


async def member(tenant: Tenant, member_id: str) -> Json:
    found: Json = await tenant.get(f"/members/{member_id}")
    return found


async def test_invited_person_joins_with_role_and_teams(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    teams = [await tenant.team(), await tenant.team()]
    [invitation] = await invite(
        tenant, address.upper(), role="supervisor", team_ids=[each["id"] for each in teams], name="Ada"
    )
    assert (invitation["email"], invitation["status"]) == (address, "open")
    lasts = datetime.fromisoformat(invitation["expires_at"]) - datetime.fromisoformat(invitation["sent_at"])
    assert lasts == timedelta(days=7)
    waiting = await member(tenant, invitation["member_id"])
    assert (waiting["status"], waiting["role"], waiting["name"]) == ("invited", "supervisor", "Ada")
    for team in teams:
        assert invitation["member_id"] in (await tenant.get(f"/teams/{team['id']}"))["member_ids"]

    token = token_to(settings, address)
    assert token not in str(await tenant.get("/invitations"))
    assert token not in str(mails_to(settings, address))
    assert execute(settings, "SELECT 1 FROM invitations WHERE token_hash = %s", token.encode()) == []
    preview = await browser.call("POST", "/invitations/preview", {"token": token})
    assert preview.json()["has_account"] is False
    assert preview.json()["email"] == address
    accepted = await browser.call("POST", "/invitations/accept", accepting(settings, address))
    assert accepted.status_code == 200, accepted.text
    assert accepted.json()["current"] == {
        "organization_id": tenant.id,
        "organization": preview.json()["organization"],
        "member_id": invitation["member_id"],
        "role": "supervisor",
    }
    now = await member(tenant, invitation["member_id"])
    assert (now["status"], now["name"]) == ("active", "Ada Agent")
    [listed] = (await tenant.get("/invitations"))["items"]
    assert listed["status"] == "accepted"


async def test_token_works_once_even_at_the_same_moment(
    http: httpx.AsyncClient, settings: Settings, tenant: Tenant, address: str
) -> None:
    await invite(tenant, address)
    document = accepting(settings, address)
    async with browsing(http.base_url) as first, browsing(http.base_url) as second:
        answers = await asyncio.gather(
            *(each.call("POST", "/invitations/accept", document) for each in (first, second))
        )
    assert sorted(each.status_code for each in answers) == [200, 422]
    assert sorted(each.json().get("code", "") for each in answers) == ["", "invalid_token"]


async def test_token_ends_after_seven_days_by_revoking_and_by_sending_again(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    [invitation] = await invite(tenant, address)
    path = f"/invitations/{invitation['id']}"
    first = token_to(settings, address)
    execute(settings, "UPDATE invitations SET expires_at = now() WHERE id = %s", invitation["id"])
    assert (await browser.call("POST", "/invitations/accept", accepting(settings, address))).status_code == 422
    assert (await tenant.post(f"{path}/resend"))["status"] == "open"
    second = token_to(settings, address)
    assert second != first
    old = await browser.call("POST", "/invitations/accept", accepting(settings, address, first))
    assert old.json()["code"] == "invalid_token"
    assert (await tenant.call("DELETE", path)).status_code == 204
    revoked = await browser.call("POST", "/invitations/accept", accepting(settings, address, second))
    assert revoked.json()["code"] == "invalid_token"
    assert (await member(tenant, invitation["member_id"]))["status"] == "disabled"
    assert (await tenant.call("POST", f"{path}/resend")).status_code == 422
    [anew] = await invite(tenant, address)
    assert anew["member_id"] == invitation["member_id"]
    assert (await browser.call("POST", "/invitations/accept", accepting(settings, address))).status_code == 200


async def test_many_are_invited_or_none(settings: Settings, tenant: Tenant, browser: Browser, address: str) -> None:
    await joined(browser, settings, tenant, address)
    others = [f"{number}-{address}" for number in range(20)]
    refusal = await tenant.call(
        "POST", "/invitations", {"invitations": [{"email": each} for each in [*others, address]]}
    )
    assert (refusal.status_code, refusal.json()["addresses"]) == (409, [address])
    assert mails_to(settings, others[0]) == []
    document = {"invitations": [{"email": each} for each in others]}
    made = [await tenant.post("/invitations", document, key="many") for _ in range(2)]
    assert made[0] == made[1]
    assert [len(mails_to(settings, each)) for each in others] == [1] * 20, "sent again, nobody is mailed twice"
    twice = await tenant.call("POST", "/invitations", {"invitations": [{"email": "a@b.c"}, {"email": "A@b.c"}]})
    assert twice.status_code == 422


async def test_removed_member_is_invited_again_with_another_role(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    team = await tenant.team()
    session = await joined(browser, settings, tenant, address, "admin", team_ids=[team["id"]])
    member_id = session["current"]["member_id"]
    assert (await tenant.call("DELETE", f"/members/{member_id}")).status_code == 204
    assert (await browser.call("GET", "/tickets")).status_code == 403
    [again] = await invite(tenant, address)
    assert again["member_id"] == member_id
    assert (await member(tenant, member_id))["status"] == "invited"
    assert (await browser.call("GET", "/tickets")).status_code == 403, "not before it is accepted"
    assert (await tenant.get(f"/teams/{team['id']}"))["member_ids"] == []
    accepted = await browser.call("POST", "/invitations/accept", {"token": token_to(settings, address)})
    assert accepted.json()["current"]["role"] == "agent"


async def test_who_has_an_account_signs_in_first(
    http: httpx.AsyncClient, browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    await joined(browser, settings, tenant, address)
    second = await new_tenant(http)
    await invite(second, address)
    async with browsing(http.base_url) as stranger:
        refusal = await stranger.call("POST", "/invitations/accept", accepting(settings, address))
        assert (refusal.status_code, refusal.json()["code"]) == (409, "account_exists")
        await joined(stranger, settings, tenant, f"ben-{address}")
        other = await stranger.call("POST", "/invitations/accept", {"token": token_to(settings, address)})
        assert (other.status_code, other.json()["code"]) == (403, "other_account")
    accepted = await browser.call("POST", "/invitations/accept", {"token": token_to(settings, address)})
    assert len(accepted.json()["memberships"]) == 2


async def test_member_without_a_sign_in_gets_one_and_stays_active(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    made = await tenant.member(email=address)
    [invitation] = await invite(tenant, address)
    assert invitation["member_id"] == made["id"]
    assert (await member(tenant, made["id"]))["status"] == "active"
    await browser.call("POST", "/invitations/accept", accepting(settings, address))
    assert (await browser.session())["current"]["member_id"] == made["id"]


async def test_teams_of_others_are_refused(http: httpx.AsyncClient, tenant: Tenant) -> None:
    foreign = await (await new_tenant(http)).team()
    invitation = {"email": "a@example.com", "team_ids": [foreign["id"]]}
    refusal = await tenant.call("POST", "/invitations", {"invitations": [invitation]})
    assert (refusal.status_code, refusal.json()["unknown"]) == (422, [foreign["id"]])
