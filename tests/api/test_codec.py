"""What the Temporal UI and command line do to show encrypted tickets to those who may read them."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client

from api.codec_access import COOKIE, SESSION_SECONDS, new_session
from domain.ids import workflow_id
from embedded.temporal import EmbeddedTemporal, temporal_program
from settings import Settings
from tests.api.running import OPERATOR_KEY, serving, settings_for
from tests.api.tenant import new_tenant
from workflows.encryption import EncryptionCodec

TOKEN = "codec-token-of-the-tests-0123456789"
UI = "https://temporal.example"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"title":"The invoice is wrong"}')
BEARER = {"Authorization": f"Bearer {TOKEN}"}
KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()


@pytest.fixture(scope="module")
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    return settings_for(
        new_database(),
        temporal_server.address,
        temporal_ui_url=f"{UI}/tickets/",
        encryption_keys=f"k:{KEY}",
        codec_token=TOKEN,
        read_model_wait=0.1,  # no worker works here
    )


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


@pytest.fixture(autouse=True)
def nobody_is_signed_in(api: httpx.AsyncClient) -> None:
    api.cookies.clear()


@pytest.fixture
async def sealed(settings: Settings) -> dict[str, Any]:
    """An encrypted payload as the UI sends it."""
    return as_json(*await EncryptionCodec(settings.encryption_keys).encode([PLAIN]))


def as_json(*payloads: Payload) -> dict[str, Any]:
    return MessageToDict(Payloads(payloads=payloads))


async def test_what_is_encrypted_is_shown_and_what_is_not_stays(api: httpx.AsyncClient, sealed: dict[str, Any]) -> None:
    both = {"payloads": sealed["payloads"] + as_json(PLAIN)["payloads"]}
    answer = await api.post("/codec/decode", json=both, headers={**BEARER, "X-Namespace": "default"})
    assert answer.json() == as_json(PLAIN, PLAIN)
    assert answer.headers["Cache-Control"] == "no-store"


async def test_what_is_encoded_here_is_decoded_here(api: httpx.AsyncClient) -> None:
    encoded = await api.post("/codec/encode", json=as_json(PLAIN), headers=BEARER)
    assert encoded.json() != as_json(PLAIN)
    assert (await api.post("/codec/decode", json=encoded.json(), headers=BEARER)).json() == as_json(PLAIN)


@pytest.mark.parametrize("path", ["/codec/decode", "/codec/encode"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer guessed"},
        {"Cookie": f"{COOKIE}=9999999999.{'0' * 64}"},
        {"Cookie": f"{COOKIE}=never.signed"},
    ],
)
async def test_others_are_shown_nothing(
    api: httpx.AsyncClient, sealed: dict[str, Any], path: str, headers: dict[str, str]
) -> None:
    answer = await api.post(path, json=sealed, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_an_organizations_key_is_not_enough(api: httpx.AsyncClient, sealed: dict[str, Any]) -> None:
    tenant = await new_tenant(api)
    answer = await api.post("/codec/decode", json=sealed, headers={"Authorization": f"Bearer {tenant.key}"})
    assert answer.status_code == 401


async def test_operator_may_read(api: httpx.AsyncClient, sealed: dict[str, Any]) -> None:
    answer = await api.post("/codec/decode", json=sealed, headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
    assert answer.json() == as_json(PLAIN)


async def test_browser_that_signed_in_may_read(api: httpx.AsyncClient, sealed: dict[str, Any]) -> None:
    page = await api.get("/codec")
    field = re.search(r'<form method="post" action="/codec">.*name="(\w+)"', page.text, re.DOTALL)
    assert field is not None
    refused = await api.post("/codec", data={field[1]: "guessed"})
    assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)

    accepted = await api.post("/codec", data={field[1]: TOKEN})
    assert accepted.status_code == 303
    cookie = accepted.headers["set-cookie"]
    assert TOKEN not in cookie
    for attribute in ("HttpOnly", "Path=/codec", "SameSite=strict", "Secure"):
        assert attribute in cookie
    assert (await api.get(accepted.headers["location"])).status_code == 200

    # As a browser does from a page of the UI; the cookie is for https, which the test's own client does not speak.
    session = {"Cookie": cookie.split(";")[0], "Origin": UI}
    answer = await api.post("/codec/decode", json=sealed, headers=session)
    assert answer.json() == as_json(PLAIN)
    assert answer.headers["Access-Control-Allow-Origin"] == UI
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_session_ends(api: httpx.AsyncClient, sealed: dict[str, Any], settings: Settings) -> None:
    other_token = settings.model_copy(update={"codec_token": SecretStr("x" * 32)})
    for value in (new_session(settings, now=-SESSION_SECONDS), new_session(other_token)):
        answer = await api.post("/codec/decode", json=sealed, headers={"Cookie": f"{COOKIE}={value}"})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("path", "origin", "allowed"),
    [
        ("/codec/decode", UI, True),
        ("/codec/decode", "https://elsewhere.example", False),
        ("/codec/decode", "http://temporal.example", False),
        ("/api/v1/tickets", UI, False),
    ],
)
async def test_only_the_uis_pages_may_ask(api: httpx.AsyncClient, path: str, origin: str, allowed: bool) -> None:
    preflight = await api.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-namespace,authorization",
        },
    )
    assert preflight.is_success is allowed
    assert (preflight.headers.get("Access-Control-Allow-Origin") == origin) is allowed


async def test_refusal_can_be_read_by_the_ui(api: httpx.AsyncClient, sealed: dict[str, Any]) -> None:
    answer = await api.post("/codec/decode", json=sealed, headers={"Origin": UI})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, UI)


@pytest.mark.parametrize("content", [b"", b"no json", b"[1]", b'{"payloads": 1}', b"\xff"])
async def test_what_is_no_payload_is_refused(api: httpx.AsyncClient, content: bytes) -> None:
    answer = await api.post("/codec/decode", content=content, headers=BEARER)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_missing_key_is_named(api: httpx.AsyncClient, settings: Settings) -> None:
    foreign = Settings.model_validate({"secret_key": "0" * 32, "encryption_keys": f"lost:{OTHER_KEY}"})
    sealed = as_json(*await EncryptionCodec(foreign.encryption_keys).encode([PLAIN]))
    answer = await api.post("/codec/decode", json=sealed, headers=BEARER)
    assert answer.status_code == 422
    assert "'lost'" in answer.json()["detail"]


async def test_nothing_of_it_is_logged(
    api: httpx.AsyncClient, sealed: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level("DEBUG"):
        assert (await api.post("/codec/decode", json=sealed, headers=BEARER)).is_success
        assert (await api.post("/codec", data={"token": TOKEN})).status_code == 303
    output = caplog.text + "".join(capfd.readouterr())
    for words in ("invoice", TOKEN, sealed["payloads"][0]["data"]):
        assert words not in output


async def test_temporals_command_line_shows_a_ticket(
    api: httpx.AsyncClient, temporal_client: Client, settings: Settings
) -> None:
    ticket = await (await new_tenant(api)).ticket()
    run = workflow_id(ticket["id"])

    async def show(*options: str) -> str:
        command = ["workflow", "show", "--workflow-id", run, "--output", "json", "--address", settings.temporal_address]
        process = await asyncio.create_subprocess_exec(
            temporal_program(), *command, *options, stdout=asyncio.subprocess.PIPE, env={}
        )
        return (await process.communicate())[0].decode()

    def title(shown: str) -> str | None:
        started = json.loads(shown)["events"][0]["workflowExecutionStartedEventAttributes"]
        data = base64.b64decode(started["input"]["payloads"][0]["data"])
        return str(json.loads(data)["ticket"]["title"]) if data.startswith(b"{") else None

    assert title(await show()) is None
    codec = ("--codec-endpoint", str(api.base_url.join("/codec")), "--codec-auth", f"Bearer {TOKEN}")
    assert title(await show(*codec)) == ticket["title"]
