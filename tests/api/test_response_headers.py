from collections.abc import Callable

import httpx
import pytest

from api.rate_limits import RateLimits
from tests.api.running import serving, settings_for
from tests.api.tenant import Tenant, new_tenant

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/tickets", "/nothing", "/docs", "/codec", "/openapi.json"])
async def test_every_answer_tells_browsers_what_not_to_do(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert len(headers.get_list("Content-Security-Policy")) == 1
    assert "Strict-Transport-Security" not in headers


async def test_page_of_the_description_may_load_what_it_names(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    allowed = page.headers["Content-Security-Policy"]
    for kind, directive in (("<script src=", "script-src"), ("stylesheet", "style-src"), ("icon", "img-src")):
        line = next(line for line in page.text.splitlines() if kind in line)
        host = "https://" + line.split("https://")[1].split("/")[0]
        assert host in next(part for part in allowed.split(";") if directive in part)


async def test_over_tls_browsers_come_by_it_again(new_database: Callable[[], str]) -> None:
    settings = settings_for(new_database(), NOWHERE, public_url="https://baton.example/")
    async with serving(settings) as http:
        assert (await http.get("/healthz")).headers["Strict-Transport-Security"] == "max-age=31536000"
        body = {"organization": "A", "name": "O", "email": "o@example.com", "password": "seven green umbrellas"}
        answer = await http.post("/api/v1/sign-up", json=body, headers={"Host": "baton.example"})
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-baton_session=")
        assert "Secure" in cookie
        value = cookie.split(";")[0]
        assert (await http.get("/api/v1/session", headers={"Cookie": value})).status_code == 200


async def test_key_that_asks_too_often_has_to_wait(new_database: Callable[[], str]) -> None:
    async with serving(settings_for(new_database(), NOWHERE, rate_limit=5)) as http:
        tenant, other = await new_tenant(http), await new_tenant(http)
        answers = [await tenant.call("GET", "/teams") for _ in range(6)]
        assert [each.status_code for each in answers] == [200] * 5 + [429]
        assert [each.headers["RateLimit-Remaining"] for each in answers] == ["4", "3", "2", "1", "0", "0"]
        assert answers[0].headers["RateLimit-Limit"] == "5"
        assert answers[-1].json()["code"] == "rate_limited"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 12
        assert (await other.call("GET", "/teams")).status_code == 200, "others have their own"


async def test_limit_may_be_off(new_database: Callable[[], str]) -> None:
    async with serving(settings_for(new_database(), NOWHERE, rate_limit=0)) as http:
        tenant: Tenant = await new_tenant(http)
        assert "RateLimit-Limit" not in (await tenant.call("GET", "/teams")).headers


def test_bucket_fills_up_again() -> None:
    from uuid import uuid4

    now = [100.0]
    limits, who = RateLimits(60, lambda: now[0]), uuid4()
    assert [limits.draw(who)[1] for _ in range(61)] == [None] * 60 + [1]
    now[0] += 1
    standing, wait = limits.draw(who)
    assert (wait, standing.remaining, standing.reset) == (None, 0, 60)
    now[0] += 3600
    assert limits.draw(who)[0].remaining == 59
