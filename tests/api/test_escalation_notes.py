"""What members note when they end an escalation is kept with what took effect, and with nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from temporalio.client import Client

from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.chat import Chat
from tests.api.running import serving, settings_for, working
from tests.api.tenant import Json, new_tenant
from tests.support import eventually


@pytest.fixture(scope="module")
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    return settings_for(new_database(), temporal_server.address, command_timeout="PT1S")


@pytest.fixture(scope="module")
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


@pytest.fixture
async def chat(http: httpx.AsyncClient) -> Chat:
    return Chat(await new_tenant(http))


async def raised(chat: Chat) -> str:
    """The path of the conversation's escalation."""
    await chat.say()
    answer = await chat.tenant.post(f"{chat.path}/escalations", {"reason": "The bot gave up."})
    return f"/escalations/{answer['escalation']['id']}"


async def test_note_of_a_command_whose_outcome_was_unknown_at_first_is_kept(
    settings: Settings, chat: Chat, temporal_client: Client
) -> None:
    tenant, document = chat.tenant, {"note": "Explained the fare."}
    async with working(temporal_client, settings):
        path = await raised(chat)
    unknown = await tenant.call("POST", f"{path}/resolve", document, key="once")
    assert (unknown.status_code, unknown.json()["code"]) == (504, "outcome_unknown")
    async with working(temporal_client, settings):

        async def is_resolved() -> Json:
            again = await tenant.call("POST", f"{path}/resolve", document, key="once")
            assert again.status_code == 200
            found: Json = again.json()
            return found

        assert (await eventually(is_resolved, 20))["status"] == "resolved"
    assert (await tenant.get(path))["notes"] == ["Explained the fare."]


async def test_of_several_who_end_it_in_the_same_instant_only_the_winners_note_is_kept(
    settings: Settings, chat: Chat, temporal_client: Client
) -> None:
    tenant, moves = chat.tenant, ("resolve", "dismiss") * 4
    async with working(temporal_client, settings):
        path = await raised(chat)
        answers = await asyncio.gather(
            *(
                tenant.call("POST", f"{path}/{move}", {"note": f"Note {number}"}, key=f"end-{number}")
                for number, move in enumerate(moves)
            )
        )
        [won] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
        assert {answer.json().get("code") for answer in answers} == {None, "escalation_over"}
        again = await tenant.call("POST", f"{path}/resolve", {"note": "Too late"}, key="end-late")
        assert again.status_code == 409
    assert (await tenant.get(path))["notes"] == [f"Note {won}"]
