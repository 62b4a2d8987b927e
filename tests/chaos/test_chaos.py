from pathlib import Path

import pytest

from tests.chaos.run import Plan
from tests.chaos.system import PARTS
from tests.chaos.table import table
from tests.chaos.trial import attempt


@pytest.mark.timeout(900)  # a minute and a half on a machine that has nothing else to do
async def test_nothing_is_lost_or_doubled_while_every_part_is_killed_and_stopped(tmp_path: Path, refuge: Path) -> None:
    plan = Plan(commands=120, timers=60, kills=4, stops=4, seconds=60, seed=1, clients=4, talkers=3, pause=3)
    report = await attempt(plan, tmp_path / "system", refuge=refuge)
    assert not report.findings, f"{table(report)}\nJournal, logs and tables: {tmp_path}"
    assert report.acknowledged >= plan.commands
    assert report.resolved > 0
    assert len(report.due_while_away()) > 0
    talks = report.talks
    assert min(talks.raised, talks.taken, talks.contested, talks.returned, talks.steps, talks.replies) > 0, talks
    assert talks.requests >= talks.deliveries > talks.replies
    assert {blow: report.blows[blow] for blow in report.blows} == {
        **{(part, "kill"): plan.kills // len(PARTS) for part in PARTS},
        **{(part, "stop"): plan.stops // len(PARTS) for part in PARTS},
    }
