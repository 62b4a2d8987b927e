from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from settings import Settings
from tests.api.browser import Browser, browsing, joined, token_to
from tests.api.oidc_provider import CLIENT, SECRET, Provider, providing
from tests.api.running import NO_TLS, serving, settings_for
from tests.api.tenant import Tenant, new_tenant
from tests.api.test_doors import NOWHERE, SIGN_UP, execute

EMAIL = "ada@example.com"


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with providing() as running:
        yield running


@pytest.fixture(autouse=True)
def honest(provider: Provider, settings: Settings) -> None:
    """Nobody has been here before."""
    for table in ("accounts", "organizations", "attempts"):
        execute(settings, f"DELETE FROM {table}")
    provider.signs_with = None
    provider.claims = {"email": EMAIL, "name": "Ada"}


@pytest.fixture(scope="module")
def settings(new_database: Callable[[], str], provider: Provider) -> Settings:
    return settings_for(
        new_database(),
        NOWHERE,
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        sign_up="open",
        public_url="http://baton.test",
    )


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


@pytest.fixture
async def office(api: httpx.AsyncClient) -> Tenant:
    return await new_tenant(api)


async def come_in(browser: Browser, provider: Provider, **changed: str) -> httpx.Response:
    """Go to the provider and back, as a browser does."""
    began = await browser.call("GET", "/sign-in/oidc", params={"return_to": "/tickets"})
    assert began.status_code == 302, began.text
    assert began.headers["Location"].startswith(f"{provider.issuer}/authorize?")
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as there:
        back = httpx.URL((await there.get(began.headers["Location"])).headers["Location"])
    assert back.copy_with(query=None) == httpx.URL("http://baton.test/api/v1/sign-in/oidc/callback")
    return await browser.client.get(back.path, params=dict(back.params) | changed)


async def test_invited_person_joins_and_comes_again(
    api: httpx.AsyncClient, office: Tenant, provider: Provider, settings: Settings
) -> None:
    [invitation] = (await office.post("/invitations", {"invitations": [{"email": EMAIL}]}))["items"]
    for _ in range(2):
        async with browsing(api.base_url) as browser:
            back = await come_in(browser, provider)
            assert (back.status_code, back.headers["Location"]) == (303, "/tickets")
            session = await browser.session()
            assert session["current"]["member_id"] == invitation["member_id"]
            assert session["account"]["email"] == EMAIL
            assert (await browser.sign_in(EMAIL, "no password at all")).status_code == 401
        provider.claims = {"email": "moved@example.com"}  # known by what the provider calls them, not by the address
    assert (await office.get("/invitations"))["items"][0]["status"] == "accepted"
    async with browsing(api.base_url) as browser:
        used = await browser.call("POST", "/invitations/preview", {"token": token_to(settings, EMAIL)})
        assert used.json()["code"] == "invalid_token"


async def test_member_is_known_by_the_verified_address(
    api: httpx.AsyncClient, office: Tenant, provider: Provider
) -> None:
    member = await office.member(email=EMAIL)
    async with browsing(api.base_url) as browser:
        assert (await come_in(browser, provider)).status_code == 303
        assert (await browser.session())["current"]["member_id"] == member["id"]


async def test_person_with_a_password_may_come_either_way(
    api: httpx.AsyncClient, office: Tenant, provider: Provider, settings: Settings
) -> None:
    async with browsing(api.base_url) as browser, browsing(api.base_url) as other:
        await joined(browser, settings, office, EMAIL)
        assert (await come_in(other, provider)).status_code == 303
        assert (await browser.call("GET", "/session")).status_code == 200
        assert (await browser.sign_in(EMAIL)).status_code == 200


async def test_account_made_in_somebody_elses_name_ends_when_they_come(
    api: httpx.AsyncClient, office: Tenant, provider: Provider
) -> None:
    async with browsing(api.base_url) as thief, browsing(api.base_url) as owner:
        assert (await thief.call("POST", "/sign-up", SIGN_UP | {"email": EMAIL})).status_code == 201
        await office.post("/invitations", {"invitations": [{"email": EMAIL}]})
        assert (await come_in(owner, provider)).status_code == 303
        assert (await thief.call("GET", "/session")).status_code == 401
        assert (await thief.sign_in(EMAIL)).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "nobody@example.com"},
        {"email_verified": False},
        {"email": None},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"nonce": "another"},
        {"exp": 1},
        {"at_hash": "another"},
    ],
    ids=str,
)
async def test_whom_the_provider_does_not_vouch_for_is_refused(
    api: httpx.AsyncClient, office: Tenant, provider: Provider, claims: dict[str, Any]
) -> None:
    await office.member(email=EMAIL)
    provider.claims |= claims
    async with browsing(api.base_url) as browser:
        refusal = await come_in(browser, provider)
        assert (refusal.status_code, refusal.json()["code"]) == (403, "sign_in_refused")
        assert (await browser.call("GET", "/session")).status_code == 401


async def test_token_signed_by_another_key_is_refused(
    api: httpx.AsyncClient, office: Tenant, provider: Provider
) -> None:
    await office.member(email=EMAIL)
    provider.signs_with = RSAKey.generate_key(2048, {"kid": str(provider.key.kid)})
    async with browsing(api.base_url) as browser:
        assert (await come_in(browser, provider)).json()["code"] == "sign_in_refused"


async def test_provider_may_change_its_keys(api: httpx.AsyncClient, office: Tenant, provider: Provider) -> None:
    await office.member(email=EMAIL)
    for _ in range(2):
        async with browsing(api.base_url) as browser:
            assert (await come_in(browser, provider)).status_code == 303
        provider.key = RSAKey.generate_key(2048, {"kid": "new"})


async def test_what_another_browser_began_is_refused(
    api: httpx.AsyncClient, office: Tenant, provider: Provider
) -> None:
    await office.member(email=EMAIL)
    async with browsing(api.base_url) as browser:
        assert (await come_in(browser, provider, state="another")).json()["code"] == "sign_in_refused"
        assert (await come_in(browser, provider, code="another")).json()["code"] == "sign_in_refused"
        browser.client.cookies.clear()
        alone = await browser.call("GET", "/sign-in/oidc/callback", params={"code": "a", "state": "b"})
        assert alone.json()["code"] == "sign_in_refused"


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "tickets"])
async def test_nobody_is_sent_to_another_site(api: httpx.AsyncClient, elsewhere: str) -> None:
    answer = await api.get("/api/v1/sign-in/oidc", params={"return_to": elsewhere})
    assert answer.status_code == 422
