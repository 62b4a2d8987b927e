"""Back-tests look at everything once, whatever happens to the worker, until they are stopped."""

import gc
import time
import warnings
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from temporalio.client import Client

from activities.signatures import TriedRule
from db.backtests import conversation_page, messages_of
from db.engine import Sessions
from db.models import Backtest
from domain.rules.backtest import BacktestStatus, Findings, FoundBy
from settings import Settings
from tests.support import eventually
from tests.workflows.acts import is_blocked
from tests.workflows.office import Office
from tests.workflows.past import Past, escalation_event
from worker import make_worker

REFUND = escalation_event({"keyword": "refund"})
CANCEL = escalation_event({"keyword": ["cancel", "refund"]})

# Three kinds of conversations: for both rules, for one of them, for none.
TALKS = [["Hello", "I want a refund"], ["Please cancel it", "cancel it!"], ["Hello", "Thanks"]]


@pytest.fixture
def alone(settings: Settings) -> Settings:
    """With a task queue of its own, on which a test's own workers come and go; outside the sandbox, to be patched."""
    assert not settings.worker_sandboxed
    return settings.model_copy(update={"temporal_task_queue": str(uuid4())})


@pytest.fixture
async def past(temporal_client: Client, alone: Settings, sessions: Sessions) -> Past:
    return Past(await Office(temporal_client, alone, sessions).open())


async def reaches(past: Past, backtest_id: UUID, pages: int) -> Findings:
    async def has_reached() -> Findings:
        _, findings = await past.found(backtest_id)
        assert findings.pages >= pages
        return findings

    return await eventually(has_reached, 20)


def summary(findings: Findings) -> tuple[int, int, int, int, dict[FoundBy, int]]:
    return findings.examined, findings.cases, findings.messages, findings.new.acted, findings.counts


EVERYTHING = (60, 60, 120, 60, {FoundBy.ONLY_NEW: 20, FoundBy.ONLY_OLD: 0, FoundBy.BOTH: 20})


async def test_worker_that_is_replaced_in_the_middle_loses_and_doubles_nothing(
    past: Past, temporal_client: Client, alone: Settings, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.backtest.PAGE", 7)
    monkeypatch.setattr("workflows.backtest.TRIED_A_RUN", 4)
    ids = await past.happened(TALKS * 20)
    backtest_id = await past.backtest(CANCEL, REFUND)
    # Whoever holds the row keeps the worker in the middle of a page, read but not counted yet.
    async with await psycopg.AsyncConnection.connect(alone.psycopg_url) as blocker:
        async with make_worker(temporal_client, alone.model_copy(update={"shutdown_timeout": timedelta(0)}), sessions):
            handle = await past.begin(backtest_id)
            await reaches(past, backtest_id, 2)
            await blocker.execute("SELECT 1 FROM backtests WHERE id = %s FOR UPDATE", [backtest_id])
            await eventually(lambda: is_blocked(alone), 10)
        status, halfway = await past.found(backtest_id)
        assert (status, 0 < halfway.examined < 60) == (BacktestStatus.RUNNING, True)
    async with make_worker(temporal_client, alone, sessions):
        tried = await handle.result()
        assert (tried.over, tried.pages, tried.messages) == (True, 9, 120)
        status, findings = await past.found(backtest_id)
        assert (status, summary(findings)) == (BacktestStatus.DONE, EVERYTHING)
        assert sorted(hit.conversation_id for hit in findings.hits) == sorted(
            each for number, each in enumerate(ids) if number % 3 != 2
        )
        runs = [run async for run in temporal_client.list_workflows(f"WorkflowId = '{handle.id}'")]
        assert len(runs) >= 2  # it has continued as new on the way


async def test_a_stopped_back_test_ends_and_keeps_what_it_has_found(
    past: Past, temporal_client: Client, alone: Settings, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.backtest.PAGE", 1)
    await past.happened(TALKS * 100)
    backtest_id = await past.backtest(REFUND)
    async with make_worker(temporal_client, alone, sessions):
        handle = await past.begin(backtest_id)
        await reaches(past, backtest_id, 3)
        await past.stop(backtest_id)
        _, stopped = await past.found(backtest_id)
        tried = await handle.result()
        assert tried == TriedRule(pages=stopped.pages, examined=stopped.examined, messages=stopped.messages, over=True)
    status, findings = await past.found(backtest_id)
    assert (status, findings) == (BacktestStatus.STOPPED, stopped)
    assert 3 <= findings.examined < 300


async def test_a_rule_that_cannot_be_read_any_more_fails_the_back_test(
    past: Past, temporal_client: Client, alone: Settings, sessions: Sessions
) -> None:
    backtest_id = await past.backtest(escalation_event({"moon": "full"}))
    async with make_worker(temporal_client, alone, sessions):
        assert (await (await past.begin(backtest_id)).result()).over
    assert (await past.found(backtest_id))[0] is BacktestStatus.FAILED


async def test_at_least_fifty_thousand_messages_a_minute_are_looked_at(
    past: Past, temporal_client: Client, alone: Settings, sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    hello = "The order of mine has not come yet, and nobody tells me anything about where it may be"
    await past.happened([[hello, "I ask again", "Still nothing", "Please help"]] * 1250, [{"sentiment": -0.3}])
    sad = {"all": [{"sentiment": {"at_most": -0.2, "messages": 2, "of_last": 3}}, {"not": {"keyword": "thanks"}}]}
    backtest_id = await past.backtest(escalation_event(sad), REFUND)
    began = time.process_time()  # of this process, the worker's, whatever else the machine does
    async with make_worker(temporal_client, alone, sessions):
        tried = await (await past.begin(backtest_id)).result()
    seconds = time.process_time() - began
    with capsys.disabled():
        print(f"\n{tried.messages / seconds * 60:,.0f} messages a minute of processor time")
    assert tried.messages == 5_000
    assert tried.messages / seconds * 60 > 50_000
    _, findings = await past.found(backtest_id)
    assert (findings.new.cases, findings.new.acted) == (1250, 3750)
    assert len(findings.hits) == 100


async def test_messages_whose_connection_is_lost_on_the_way_leave_nothing_open(
    past: Past, settings: Settings, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.backtests.FETCHED", 2)
    await past.happened([["Hello"] * 6])
    backtest_id = await past.backtest(REFUND)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(DBAPIError):
            await _read_and_lose(sessions, settings, backtest_id)
        gc.collect()
    assert [str(each.message) for each in seen] == []


async def _read_and_lose(sessions: Sessions, settings: Settings, backtest_id: UUID) -> None:
    async with sessions() as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        backtest = await session.get_one(Backtest, backtest_id)
        conversations = await conversation_page(session, backtest, None, 10)
        async with aclosing(messages_of(session, backtest, conversations)) as pages:
            async for page in pages:
                assert len(page) == 2
                with psycopg.connect(settings.psycopg_url, autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", [pid])
