import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from api.guessing import FAILURES_OF_ADDRESS, FAILURES_OF_CLIENT, RESETS_OF_ADDRESS
from settings import Settings
from tests.api.browser import PASSWORD, Browser, browsing, joined, mails_to, token_to
from tests.api.description import OPERATIONS as DESCRIBED
from tests.api.running import serving, settings_for
from tests.api.tenant import Tenant, new_tenant
from tests.support import eventually

NOWHERE = "127.0.0.1:1"  # no Temporal: nothing here asks for it


def execute(settings: Settings, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.psycopg_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def browser(http: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browsing(http.base_url) as made:
        yield made


@pytest.fixture
async def other_browser(http: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browsing(http.base_url) as made:
        yield made


@pytest.fixture
def address(tenant: Tenant) -> str:
    return f"ada-{tenant.id}@example.com"


def own(new_database: Callable[[], str], **others: object) -> Settings:
    """Of an installation of its own, where nobody's guesses count but the test's."""
    return settings_for(new_database(), NOWHERE, **others)


@pytest.fixture(scope="module")
def open_settings(new_database: Callable[[], str]) -> Settings:
    """Of an installation whose doors are open to everybody; with short sessions."""
    return own(new_database, sign_up="open", session_idle=timedelta(hours=1), session_longest=timedelta(hours=3))


@pytest.fixture(scope="module")
async def open_api(open_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(open_settings) as client:
        yield client


@pytest.fixture
async def newcomer(open_api: httpx.AsyncClient, open_settings: Settings) -> AsyncIterator[Browser]:
    """A browser at open doors, where nobody has been yet."""
    for table in ("accounts", "organizations", "attempts"):
        execute(open_settings, f"DELETE FROM {table}")
    async with browsing(open_api.base_url) as made:
        yield made


async def test_person_signs_in_works_and_signs_out(
    browser: Browser, other_browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    joining = await joined(browser, settings, tenant, address)
    assert joining["account"]["email"] == address
    signed_in = await other_browser.sign_in(address.upper())
    assert signed_in.status_code == 200
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # plain HTTP, on this very machine
    assert signed_in.json() == await other_browser.session()
    assert signed_in.json()["current"]["organization_id"] == tenant.id

    made = await other_browser.call("POST", "/tickets/", {"title": "A"}, follow_redirects=True)
    assert made.status_code in (201, 404, 504)
    assert (await other_browser.call("GET", "/tickets")).status_code == 200
    assert (await other_browser.call("DELETE", "/session")).status_code == 204
    assert (await other_browser.call("GET", "/tickets")).status_code == 401
    assert (await browser.call("GET", "/tickets")).status_code == 200


async def test_cookie_of_a_signed_out_session_is_worth_nothing(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    await joined(browser, settings, tenant, address)
    kept = dict(browser.client.cookies)
    await browser.call("DELETE", "/session")
    browser.client.cookies.update(kept)
    assert (await browser.call("GET", "/session")).status_code == 401
    [(stored,)] = execute(settings, "SELECT count(*) FROM account_sessions WHERE token_hash = %s", b"")
    assert stored == 0


async def test_signing_out_everywhere_ends_every_session_of_this_person_alone(
    browser: Browser, other_browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    async with browsing(browser.client.base_url) as somebody_else:
        await joined(somebody_else, settings, tenant, f"ben-{address}")
        await joined(browser, settings, tenant, address)
        await other_browser.sign_in(address)
        listed = (await browser.call("GET", "/sessions")).json()
        assert [each["current"] for each in listed].count(True) == 1
        assert len(listed) == 2
        theirs = (await somebody_else.call("GET", "/sessions")).json()[0]["id"]
        assert (await browser.call("DELETE", f"/sessions/{theirs}")).status_code == 404
        elsewhere = next(each["id"] for each in listed if not each["current"])
        assert (await browser.call("DELETE", f"/sessions/{elsewhere}")).status_code == 204
        assert (await other_browser.call("GET", "/session")).status_code == 401
        await other_browser.sign_in(address)
        assert (await browser.call("DELETE", "/sessions")).status_code == 204
        for each, status in ((browser, 401), (other_browser, 401), (somebody_else, 200)):
            assert (await each.call("GET", "/session")).status_code == status


async def test_session_ends_unused_and_in_the_end_used_or_not(newcomer: Browser, open_settings: Settings) -> None:
    settings, browser = open_settings, newcomer
    await browser.call("POST", "/sign-up", SIGN_UP)
    ago = "UPDATE account_sessions SET seen_at = seen_at - %s::interval, created_at = created_at - %s::interval"
    [(before,)] = execute(settings, "SELECT expires_at FROM account_sessions")
    await browser.session()
    assert execute(settings, "SELECT expires_at FROM account_sessions") == [(before,)], "within the minute"
    execute(settings, ago, "2 minutes", "2 minutes")
    await browser.session()
    [(prolonged,)] = execute(settings, "SELECT expires_at FROM account_sessions")
    assert prolonged > before
    execute(settings, ago, "2 hours 30 minutes", "2 hours 30 minutes")
    await browser.session()
    [(left,)] = execute(settings, "SELECT expires_at - now() FROM account_sessions")
    assert left < timedelta(minutes=30), "the longest time holds, however much it is used"
    execute(settings, "UPDATE account_sessions SET expires_at = now()")
    assert (await browser.call("GET", "/session")).status_code == 401


async def test_person_works_in_the_organization_they_choose(
    http: httpx.AsyncClient, browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    second, foreign = await new_tenant(http), await new_tenant(http)
    await joined(browser, settings, tenant, address)
    await second.post("/invitations", {"invitations": [{"email": address, "role": "admin"}]})
    accepted = await browser.call("POST", "/invitations/accept", {"token": token_to(settings, address)})
    assert {each["organization_id"] for each in accepted.json()["memberships"]} == {tenant.id, second.id}

    async def works_in(**headers: str) -> str:
        answer = await browser.call("GET", "/organization", headers=headers)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["id"]
        return found

    assert await works_in() == second.id
    chosen = await browser.call("PUT", "/session/organization", {"organization_id": tenant.id})
    assert chosen.json()["current"]["role"] == "agent"
    assert await works_in() == tenant.id
    assert await works_in(**{"Baton-Organization": second.id}) == second.id
    assert (await browser.call("POST", "/teams", {"name": "T"})).status_code == 403
    assert (
        await browser.call("POST", "/teams", {"name": "T"}, headers={"Baton-Organization": second.id})
    ).status_code == 201
    refusal = await browser.call("GET", "/tickets", headers={"Baton-Organization": foreign.id})
    assert (refusal.status_code, refusal.json()["code"]) == (403, "organization_required")
    refusal = await browser.call("PUT", "/session/organization", {"organization_id": foreign.id})
    assert refusal.json()["code"] == "invalid_reference"


async def test_removed_member_loses_this_organization_at_once_and_no_other(
    http: httpx.AsyncClient, browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    second = await new_tenant(http)
    member = (await joined(browser, settings, tenant, address))["current"]["member_id"]
    await second.post("/invitations", {"invitations": [{"email": address}]})
    await browser.call("POST", "/invitations/accept", {"token": token_to(settings, address)})
    await browser.call("PUT", "/session/organization", {"organization_id": tenant.id})
    assert (await browser.call("GET", "/tickets")).status_code == 200
    assert (await tenant.call("DELETE", f"/members/{member}")).status_code == 204
    assert (await browser.call("GET", "/tickets")).json()["code"] == "organization_required"
    session = await browser.session()
    assert session["current"] is None
    assert [each["organization_id"] for each in session["memberships"]] == [second.id]
    assert (await browser.sign_in(address)).json()["current"]["organization_id"] == second.id


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Origin": None}, False),  # says nothing, as a form of an old browser's
        ({"Origin": None, "Baton-Request": "1"}, True),
        ({}, True),  # the browser's own Origin
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Baton-Request": "1"}, False),
    ],
    ids=str,
)
async def test_page_of_another_site_writes_nothing(
    browser: Browser,
    settings: Settings,
    tenant: Tenant,
    address: str,
    *,
    headers: dict[str, str | None],
    passes: bool,
) -> None:
    await joined(browser, settings, tenant, address, "admin")
    if headers.get("Origin", "") is None:
        del browser.client.headers["Origin"]
    sent = {name: value for name, value in headers.items() if value is not None}
    answer = await browser.call("POST", "/teams", {"name": "T"}, headers=sent)
    assert answer.status_code == (201 if passes else 403), answer.text
    assert passes or answer.json()["code"] == "cross_site_request"
    assert (await browser.call("GET", "/teams", headers=sent)).status_code == 200
    signing_in = await browser.call("POST", "/sign-in", {"email": address, "password": PASSWORD}, headers=sent)
    refused = signing_in.status_code == 403
    assert refused == (not passes and bool(sent)), "nobody is signed in from elsewhere either"


SIGN_UP = {"organization": "Blue Airline", "name": "Olive", "email": "olive@example.com", "password": PASSWORD}


@pytest.mark.parametrize(("state", "statuses"), [("first", (201, 403)), ("closed", (403, 403))])
async def test_operator_says_who_may_sign_up(
    new_database: Callable[[], str], state: str, statuses: tuple[int, int]
) -> None:
    async with serving(own(new_database, sign_up=state)) as http, browsing(http.base_url) as browser:
        for status in statuses:
            answer = await browser.call("POST", "/sign-up", SIGN_UP)
            assert answer.status_code == status, answer.text
        assert answer.json()["code"] == "sign_up_closed"


async def test_person_who_signs_up_again_has_one_more_organization(newcomer: Browser) -> None:
    first, second = [await newcomer.call("POST", "/sign-up", SIGN_UP) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert [each["role"] for each in second.json()["memberships"]] == ["owner", "owner"]
    assert first.json()["account"] == second.json()["account"]
    wrong = await newcomer.call("POST", "/sign-up", SIGN_UP | {"password": "not the right one"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_credentials")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short one", "invalid_request"),
        ("x" * 201, "invalid_request"),
        ("OLIVE@example.com", "weak_password"),
        ("aaaaaaaaaaaa", "weak_password"),
    ],
)
async def test_password_that_is_guessed_first_is_refused(newcomer: Browser, password: str, code: str) -> None:
    refusal = await newcomer.call("POST", "/sign-up", SIGN_UP | {"password": password})
    assert (refusal.status_code, refusal.json()["code"]) == (422, code)
    assert password not in refusal.text


async def test_guessing_is_stopped_for_an_address_whether_it_exists_or_not(
    newcomer: Browser, open_settings: Settings
) -> None:
    settings, browser = open_settings, newcomer
    async with serving(settings) as second:  # another process, and they count together
        await browser.call("POST", "/sign-up", SIGN_UP)
        async with browsing(second.base_url) as elsewhere:
            for email in (SIGN_UP["email"], "nobody@example.com"):
                tries = [
                    (browser, elsewhere)[number % 2].sign_in(email, "a wrong password")
                    for number in range(FAILURES_OF_ADDRESS)
                ]
                wrong = await asyncio.gather(*tries)
                assert {(each.status_code, each.json()["code"]) for each in wrong} == {(401, "wrong_credentials")}
                assert len({each.text for each in wrong}) == 1
                refusal = await elsewhere.sign_in(email)
                assert (refusal.status_code, refusal.json()["code"]) == (429, "too_many_attempts")
                assert 0 < int(refusal.headers["Retry-After"]) <= 900
        assert (await browser.call("GET", "/session")).status_code == 200, "who is signed in stays so"
        execute(settings, "UPDATE attempts SET since = since - interval '15 minutes'")
        assert (await browser.sign_in(SIGN_UP["email"])).status_code == 200
        assert (await browser.sign_in(SIGN_UP["email"], "a wrong password")).status_code == 401


async def test_guessing_is_stopped_for_a_client_and_signing_in_costs_nothing(
    newcomer: Browser, open_settings: Settings
) -> None:
    settings, browser = open_settings, newcomer
    await browser.call("POST", "/sign-up", SIGN_UP)
    for number in range(FAILURES_OF_CLIENT):
        execute(settings, "DELETE FROM attempts WHERE tries = 0")
        if number % 10 == 0:
            assert (await browser.sign_in(SIGN_UP["email"])).status_code == 200
        document = {"token": f"guess {number}", "password": PASSWORD}
        answer = await browser.call("POST", "/invitations/preview", {"token": document["token"]})
        assert answer.json()["code"] == "invalid_token"
    refusal = await browser.call("POST", "/invitations/preview", {"token": "x"})
    assert refusal.status_code == 429
    assert (await browser.sign_in(SIGN_UP["email"])).status_code == 200
    tries = dict(execute(settings, "SELECT bucket, tries FROM attempts"))
    assert sorted(tries.values()) == [0, FAILURES_OF_CLIENT + 1], "successes are not counted"
    assert not any(b"olive" in bucket or b"127.0" in bucket for bucket in tries)


async def test_forgotten_password_is_set_anew_by_mail_once(
    browser: Browser, other_browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    await joined(browser, settings, tenant, address)
    for email in (address, f"nobody-{address}"):
        asked = await other_browser.call("POST", "/password-resets", {"email": email})
        assert (asked.status_code, asked.json()["detail"][:5]) == (202, "If th")
    assert mails_to(settings, f"nobody-{address}") == []
    older = token_to(settings, address)
    await other_browser.call("POST", "/password-resets", {"email": address})
    token = token_to(settings, address)
    assert token != older
    assert not any(each in str(mails_to(settings, address)) for each in (token, older))
    assert execute(settings, "SELECT 1 FROM password_resets WHERE token_hash = %s", token.encode()) == []

    new = "nine grey umbrellas"
    confirmed = await other_browser.call("POST", "/password-resets/confirm", {"token": token, "password": new})
    assert confirmed.status_code == 204
    assert (await browser.call("GET", "/session")).status_code == 401, "sessions of before have ended"
    assert (await browser.sign_in(address)).status_code == 401
    assert (await browser.sign_in(address, new)).status_code == 200
    for used in (token, older):
        again = await other_browser.call("POST", "/password-resets/confirm", {"token": used, "password": new})
        assert (again.status_code, again.json()["code"]) == (422, "invalid_token")


async def test_reset_is_too_old_after_an_hour_and_mailed_only_so_often(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    await joined(browser, settings, tenant, address)
    before = len(mails_to(settings, address))
    asked = [await browser.call("POST", "/password-resets", {"email": address}) for _ in range(RESETS_OF_ADDRESS + 1)]
    assert [each.status_code for each in asked] == [202] * RESETS_OF_ADDRESS + [429]
    assert len(mails_to(settings, address)) == before + RESETS_OF_ADDRESS
    execute(
        settings,
        "UPDATE password_resets SET expires_at = now() FROM accounts a WHERE a.id = account_id AND a.email = %s",
        address,
    )
    document = {"token": token_to(settings, address), "password": "nine grey umbrellas"}
    assert (await browser.call("POST", "/password-resets/confirm", document)).json()["code"] == "invalid_token"
    assert (await browser.sign_in(address)).status_code == 200


async def test_changing_the_password_takes_the_old_one_and_ends_other_sessions(
    browser: Browser, other_browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    await joined(browser, settings, tenant, address)
    await other_browser.sign_in(address)
    wrong = {"current_password": "nine grey umbrellas", "password": "eleven red umbrellas"}
    assert (await browser.call("PUT", "/password", wrong)).status_code == 401
    assert (await browser.call("PUT", "/password", wrong | {"current_password": PASSWORD})).status_code == 204
    assert (await browser.call("GET", "/session")).status_code == 200
    assert (await other_browser.call("GET", "/session")).status_code == 401
    assert (await other_browser.sign_in(address, "eleven red umbrellas")).status_code == 200


async def test_outdated_hash_is_renewed_by_signing_in(
    browser: Browser, settings: Settings, tenant: Tenant, address: str
) -> None:
    await joined(browser, settings, tenant, address)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    execute(settings, "UPDATE accounts SET password_hash = %s WHERE email = %s", weak, address)
    assert (await browser.sign_in(address)).status_code == 200
    [(kept,)] = execute(settings, "SELECT password_hash FROM accounts WHERE email = %s", address)
    assert kept != weak
    assert kept.startswith("$argon2id$")
    assert (await browser.sign_in(address)).status_code == 200
    assert execute(settings, "SELECT password_hash FROM accounts WHERE email = %s", address) == [(kept,)]


async def test_api_answers_others_while_it_works_out_passwords(
    http: httpx.AsyncClient, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, answered, verify = threading.Event(), threading.Event(), PasswordHasher.verify

    def until_others_are_answered(*given: Any) -> bool:
        works.set()
        assert answered.wait(20)
        return verify(*given)

    monkeypatch.setattr(PasswordHasher, "verify", until_others_are_answered)
    guesses = [asyncio.create_task(browser.sign_in(f"{n}@nowhere.example", "guess it")) for n in range(6)]
    await eventually(works.is_set)
    assert (await http.get("/healthz")).status_code == 200
    answered.set()
    assert {(await guess).status_code for guess in guesses} <= {401, 429}
    await eventually(lambda: all(guess.done() for guess in guesses))


at_the_doors = [each for each in DESCRIBED if each.access in ("public", "signed_in") and each.examples]


@pytest.mark.parametrize("operation", at_the_doors, ids=str)
async def test_examples_are_understood(newcomer: Browser, operation: Any) -> None:
    browser = newcomer
    if operation.access == "signed_in":
        await browser.call("POST", "/sign-up", SIGN_UP)
    answer = await browser.call(operation.method, operation.below_prefix, operation.examples[0])
    expected = ("wrong_credentials", "invalid_token", "invalid_reference", "origin_not_allowed")
    assert answer.is_success or answer.json()["code"] in expected, answer.text


async def test_without_a_provider_there_is_no_such_door(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/sign-in/oidc")).status_code == 404
