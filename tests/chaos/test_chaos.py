from pathlib import Path

import pytest

from tests.chaos.run import Plan
from tests.chaos.system import PARTS
from tests.chaos.table import table
from tests.chaos.trial import attempt


@pytest.mark.timeout(900)  # two minutes on a machine that has nothing else to do
async def test_nothing_is_lost_or_doubled_while_every_part_is_killed_and_stopped(tmp_path: Path, refuge: Path) -> None:
    plan = Plan(commands=500, timers=60, kills=8, stops=4, seconds=80, seed=1)
    report = await attempt(plan, tmp_path / "system", refuge=refuge)
    assert not report.findings, f"{table(report)}\nJournal, logs and tables: {tmp_path}"
    assert report.acknowledged >= plan.commands
    assert report.resolved > 0
    assert len(report.due_while_away()) > 0
    assert {blow: report.blows[blow] for blow in report.blows} == {
        **{(part, "kill"): plan.kills // len(PARTS) for part in PARTS},
        **{(part, "stop"): plan.stops // len(PARTS) for part in PARTS},
    }
