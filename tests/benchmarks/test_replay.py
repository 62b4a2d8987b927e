"""Replays through the real parts: whole, killed and continued, and after somebody has meddled with the rows."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from rich.console import Console
from temporalio.client import Client

from benchmarks.replay.journal import Header, open_journal
from benchmarks.replay.pace import Pace
from benchmarks.replay.plan import plan
from benchmarks.replay.session import Session
from benchmarks.replay.stack import Target
from benchmarks.replay.stream import read_stream
from benchmarks.replay.tenants import MEMBERS, CannotPrepare
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import OPERATOR_KEY, serving, settings_for, working
from tests.benchmarks.streams import lines, write
from tests.support import eventually

SPEED_UP = 25_000
"""Five days in seventeen seconds: a first reminder after half a second, closed after four, followed up after seven."""
MESSAGES = 30

Json = dict[str, Any]


@dataclass
class Baton:
    """A running Baton, and where it keeps its rows."""

    settings: Settings
    http: httpx.AsyncClient

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BATON_OPERATOR_KEY": OPERATOR_KEY,
            "BATON_TEMPORAL_ADDRESS": self.settings.temporal_address,
            "BATON_HOME": "/nonexistent",  # whatever a developer runs beside the tests is not looked at
        }

    def execute(self, statement: str, **values: Any) -> list[Any]:
        """Change the rows behind everybody's back; returns what the statement returns."""
        with psycopg.connect(self.settings.psycopg_url, autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()


@pytest.fixture(scope="module")
async def baton(
    new_database: Callable[[], str], temporal_server: EmbeddedTemporal, temporal_client: Client
) -> AsyncIterator[Baton]:
    settings = settings_for(new_database(), temporal_server.address, webhook_private_addresses=True)
    async with working(temporal_client, settings), serving(settings) as http:
        yield Baton(settings, http)


@dataclass
class Replay:
    """One replay, which may take several runs."""

    baton: Baton
    folder: Path
    messages: int = MESSAGES
    seed: int = 1
    speed_up: float = SPEED_UP
    output: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state.jsonl"

    async def start(self, *where: str) -> asyncio.subprocess.Process:
        stream = write(self.folder / "stream.jsonl", lines(self.messages))
        options = {"--state": self.state, "--json": self.folder / "report.json", "--seed": self.seed}
        return await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "benchmarks.replay",
                str(stream),
                *(where or ("--url", str(self.baton.http.base_url))),
            ),
            *(
                "--speed-up",
                str(self.speed_up),
                "--trouble",
                "0.1",
                *(str(word) for option in options.items() for word in option),
            ),
            env=self.baton.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *where: str) -> int:
        """Until it ends by itself; the exit code."""
        return await self.end(await self.start(*where))

    async def end(self, process: asyncio.subprocess.Process) -> int:
        output, _ = await process.communicate()
        self.output.append(output.decode())
        assert process.returncode is not None
        return process.returncode

    async def reaches(self, steps: int, process: asyncio.subprocess.Process) -> None:
        """Wait until so many steps are acknowledged."""

        def reached() -> bool:
            if process.returncode is not None:
                pytest.fail("it ended before")  # no assertion: waiting longer would not help
            return self.acknowledged() >= steps

        await eventually(reached, timeout=180)

    def organizations(self) -> dict[str, str]:
        """Their ids by brand."""
        kept = [json.loads(line) for line in self.state.read_text().splitlines()]
        return {line["brand"]: line["id"] for line in kept if line["kind"] == "organization"}

    def folders(self) -> list[str]:
        """What is kept beside the state file."""
        return [each.name for each in self.folder.iterdir() if each.is_dir()]

    def acknowledged(self) -> int:
        """Steps that the state file knows as done by now."""
        return self.state.read_bytes().count(b'{"kind":"done"') if self.state.exists() else 0

    def report(self) -> Json:
        report: Json = json.loads((self.folder / "report.json").read_text())
        return report


@pytest.fixture(scope="module")
async def finished(baton: Baton, tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """A replay from beginning to end."""
    replay = Replay(baton, tmp_path_factory.mktemp("finished"))
    code = await replay.run()
    assert code == 0, replay.output
    return replay


async def test_every_message_is_stored_and_told_once_and_every_read_model_equals_its_workflow(finished: Replay) -> None:
    report = finished.report()
    messages, read_models = report["reconciliation"]["messages"], report["reconciliation"]["read_models"]
    assert report["reconciliation"]["problems"] == []
    assert messages.pop("sent") == messages.pop("stored_once") == MESSAGES
    told, without_ticket = messages.pop("told_once"), messages.pop("without_ticket")
    assert told + without_ticket == MESSAGES
    assert without_ticket > 0
    assert set(messages.values()) == {0}
    assert read_models["equal"] == read_models["tickets"] == read_models["running"] + read_models["ended"]


async def test_every_escalation_and_delivery_is_accounted_for(finished: Replay) -> None:
    ours = list(finished.organizations().values())

    def counted(what: str) -> dict[str, int]:
        return dict(finished.baton.execute(f"SELECT {what} AND organization_id = ANY(%(ours)s) GROUP BY 1", ours=ours))

    found = finished.report()["reconciliation"]
    escalations, deliveries = found["escalations"], found["deliveries"]
    assert {name: count for name, count in escalations["statuses"].items() if count} == counted(
        "status, count(*) FROM escalations WHERE true"
    )
    assert escalations["reasons"] == counted("source, count(*) FROM escalation_reasons WHERE true")
    assert escalations["equal"] + escalations["replaced"] == escalations["raised"]
    assert {"raised", "claimed", "took over", "filed"} <= set(escalations["acknowledged"])
    assert {name.replace(" ", "_"): count for name, count in escalations["ended_claimed"].items()} == counted(
        "kind, count(*) FROM escalation_changes WHERE kind IN ('handed_back', 'resolved', 'dismissed') AND"
        " escalation_id IN (SELECT id FROM escalations WHERE first_claimed_at IS NOT NULL)"
    )
    assert counted("state, count(*) FROM deliveries WHERE true") == {"sent": deliveries["received"]}
    assert {"answer", "reminder", "resolved", "handed over", "handed back"} == set(deliveries["contents"])
    assert deliveries["retried"] > 0
    assert deliveries["attempts"] == deliveries["received"] + deliveries["repeated"] + sum(
        deliveries["did"][trouble] for trouble in ("failed", "cut")
    )


async def test_the_report_counts_what_the_rows_say(finished: Replay) -> None:
    report, ours = finished.report(), list(finished.organizations().values())

    def counted(what: str) -> dict[str, int]:
        return dict(finished.baton.execute(f"SELECT {what} AND organization_id = ANY(%(ours)s) GROUP BY 1", ours=ours))

    assert report["events"] == counted("kind, count(*) FROM ticket_events WHERE true")
    transitions = {move: count for move, count in report["transitions"].items() if count}
    assert transitions == counted("about->>'move', count(*) FROM ticket_events WHERE about ? 'move'")
    follow_ups = counted("organization_id, count(*) FROM tickets WHERE follow_up_of IS NOT NULL")
    assert sum(brand["follow_ups"] for brand in report["brands"]) == sum(follow_ups.values())
    assert sum(brand["messages"] for brand in report["brands"]) == MESSAGES


async def test_the_report_says_what_escalated_by_what_and_agrees_with_the_rows(finished: Replay) -> None:
    judgement, ours = finished.report()["judgement"], list(finished.organizations().values())
    [(escalated,)] = finished.baton.execute(
        "SELECT count(DISTINCT conversation_id) FROM decisions WHERE kind = 'escalation_event' AND outcome = 'acted'"
        " AND organization_id = ANY(%(ours)s)",
        ours=ours,
    )
    assert 0 < judgement["escalated"] == escalated < judgement["conversations"]
    outcomes = finished.baton.execute(
        "SELECT rule_name, count(*) FILTER (WHERE outcome = 'acted'), count(*) FILTER (WHERE outcome = 'cooldown')"
        " FROM decisions WHERE organization_id = ANY(%(ours)s) GROUP BY 1",
        ours=ours,
    )
    assert {(rule["rule"], rule["acted"], rule["rested"]) for rule in judgement["rules"]} == set(outcomes)
    teams = finished.baton.execute(
        "SELECT DISTINCT t.state->>'team_name' FROM tickets t"
        " WHERE t.state->>'source' = 'rule' AND organization_id = ANY(%(ours)s)",
        ours=ours,
    )
    assert teams == [("Baggage",)]
    assert judgement["sentiment"]["messages"] == MESSAGES
    [lost] = [each for each in judgement["subjects"]["labels"] if each["label"] == "Lost Luggage"]
    assert lost["said"] == lost["both"] == judgement["subjects"]["tickets"] > 0
    assert {each["brand"] for each in finished.report()["service"] if each["met"] + each["breached"]} == set(
        finished.organizations()
    )


async def test_clocks_run_by_themselves_on_the_streams_time(finished: Replay) -> None:
    brands = finished.report()["brands"]
    for what in ("reminders", "reassignments", "auto_resolved", "auto_closed"):
        assert sum(brand[what] for brand in brands) > 0, what


@pytest.mark.parametrize("sent", [10, pytest.param(20, marks=pytest.mark.slow)])
async def test_a_replay_killed_and_stopped_half_way_accounts_for_every_message_once(
    baton: Baton, tmp_path: Path, sent: int
) -> None:
    replay = Replay(baton, tmp_path, messages=sent, seed=2, speed_up=200_000)
    process = await replay.start()
    await replay.reaches(sent // 3, process)
    process.kill()
    await replay.end(process)
    killed_at = replay.acknowledged()

    process = await replay.start()
    await replay.reaches(killed_at + sent // 3, process)
    process.send_signal(signal.SIGINT)
    assert await replay.end(process) == 130
    assert "Run the same command to go on" in replay.output[-1]
    stopped_at = replay.acknowledged()

    assert await replay.run() == 0, replay.output
    assert f"Going on: {stopped_at} of " in replay.output[-1]
    messages = replay.report()["reconciliation"]["messages"]
    assert (messages["stored_once"], messages["told_once"] + messages["without_ticket"]) == (sent, sent)
    assert messages["unknown"] == 0


async def test_a_finished_replay_says_so_and_finds_what_was_meddled_with_since(finished: Replay) -> None:
    execute, ours = finished.baton.execute, finished.organizations()
    told = execute(
        "SELECT e.ticket_id, e.version, m.external_id FROM ticket_events e"
        " JOIN messages m ON m.id = (e.about->>'message_id')::uuid"
        " WHERE e.kind = 'customer_replied' AND e.organization_id = %(id)s AND EXISTS (SELECT FROM messages b"
        " WHERE b.conversation_id = m.conversation_id AND b.ticket_id IS NOT NULL AND b.created_at < m.created_at)"
        " ORDER BY m.external_id LIMIT 3",
        id=ours["North"],
    )
    (silenced, version, silenced_message), (_, _, lost_message), (_, _, altered_message) = told
    south = execute("SELECT id FROM tickets WHERE organization_id = %(id)s LIMIT 2", id=ours["South Line"])
    (urgent,), (hidden,) = south
    execute(
        "DELETE FROM ticket_events WHERE ticket_id = %(id)s AND version = %(v)s RETURNING 1", id=silenced, v=version
    )
    execute(
        "DELETE FROM messages WHERE external_id = %(id)s AND organization_id = %(ours)s RETURNING 1",
        id=lost_message,
        ours=ours["North"],
    )
    execute(
        "UPDATE messages SET body = 'other' WHERE external_id = %(id)s AND organization_id = %(ours)s RETURNING 1",
        id=altered_message,
        ours=ours["North"],
    )
    execute("""UPDATE tickets SET state = state || '{"priority": "urgent"}' WHERE id = %(id)s RETURNING 1""", id=urgent)
    execute("UPDATE tickets SET status = 'waiting' WHERE id = %(id)s RETURNING 1", id=hidden)
    [(raised,)] = execute(
        "SELECT id FROM escalations WHERE organization_id = %(id)s ORDER BY raised_at DESC LIMIT 1",
        id=ours["South Line"],
    )
    execute(
        """UPDATE escalations SET state = state || '{"priority": "low"}' WHERE id = %(id)s RETURNING 1""", id=raised
    )
    (unknown, unsaid), (failed, _) = execute(
        "SELECT d.id, m.external_id FROM deliveries d JOIN messages m ON m.id = d.message_id"
        " WHERE d.organization_id = %(id)s AND m.author_kind = 'agent' LIMIT 2",
        id=ours["South Line"],
    )
    execute("DELETE FROM deliveries WHERE id = %(id)s RETURNING 1", id=unknown)
    execute("UPDATE deliveries SET state = 'failed', reason = 'No.' WHERE id = %(id)s RETURNING 1", id=failed)

    assert await finished.run() == 1

    assert "This replay is finished" in finished.output[-1]
    assert set(finished.report()["reconciliation"]["problems"]) == {
        f"message {_id(silenced_message)} (North): not told",
        f"ticket {silenced}: its story lacks the versions [{version}]",
        f"message {_id(lost_message)} (North): lost",
        f"message {_id(altered_message)} (North): altered",
        f"ticket {urgent}: priority differs",
        f"ticket {hidden}: it is listed as waiting and shown as {_status(finished, hidden)}",
        f"escalation {raised}: priority differs",
        f"delivery dlv_{unknown.hex} (South Line): received, and Baton does not know of it",
        f"message {unsaid} (South Line): 0 deliveries were made",
        f"delivery {failed}: failed, but it was received (No.)",
    }


def _id(external: str) -> str:
    return external.removeprefix("twitter:")


def _status(replay: Replay, ticket: object) -> str:
    return str(replay.baton.execute("SELECT state->>'status' FROM tickets WHERE id = %(id)s", id=ticket)[0][0])


AWAY = "127.0.0.1:9"
UNUSABLE_PLACES: dict[str, tuple[dict[str, object], str]] = {
    "Temporal is away": ({"temporal_address": AWAY}, f"Temporal does not answer at {AWAY}"),
    "another operator's key": ({"operator_key": SecretStr("x")}, "does not take this operator key"),
    "no operator's key": ({"operator_key": None}, "Give the API's operator key in BATON_OPERATOR_KEY"),
}


@pytest.mark.parametrize(("settings", "said"), UNUSABLE_PLACES.values(), ids=UNUSABLE_PLACES)
async def test_a_place_that_cannot_be_used_is_refused_with_what_to_do(
    settings: dict[str, object], said: str, baton: Baton, tmp_path: Path
) -> None:
    stream = read_stream(write(tmp_path / "stream.jsonl", lines(4)))
    header = Header(digest=stream.digest, seed=1, speed_up=SPEED_UP, target="a place", run="r")
    with open_journal(tmp_path / "state.jsonl", header) as journal:
        session = Session(
            stream=stream,
            plans=plan(stream, header.seed, MEMBERS),
            pace=Pace(SPEED_UP),
            journal=journal,
            target=Target(str(baton.http.base_url), baton.settings.model_copy(update=settings)),
            concurrency=1,
            console=Console(file=StringIO()),
            stop=asyncio.Event(),
        )
        with pytest.raises(CannotPrepare, match=said):
            await session.run()
        assert not journal.done


async def test_a_command_whose_api_is_away_says_what_to_do_and_fails(baton: Baton, tmp_path: Path) -> None:
    replay = Replay(baton, tmp_path)
    assert await replay.run("--url", f"http://{AWAY}") == 2
    assert f"No API that can work answers at http://{AWAY}. Start it" in " ".join(replay.output[-1].split())
    assert replay.acknowledged() == 0


@pytest.mark.slow
async def test_a_stack_of_its_own_is_there_for_the_replay_and_gone_with_all_its_data_after(
    baton: Baton, tmp_path: Path
) -> None:
    replay = Replay(baton, tmp_path, messages=4, speed_up=1_000_000)
    assert await replay.run("--own-stack") == 0, replay.output
    assert replay.folders() == []
    first = replay.report()
    assert first["reconciliation"]["messages"]["stored_once"] == 4

    assert await replay.run("--own-stack") == 0
    assert "is finished and its stack is removed" in replay.output[-1]
    assert replay.report() == first
