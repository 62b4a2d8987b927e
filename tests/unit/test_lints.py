"""The lints that keep decisions repeatable are in force, and only where decisions are made."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CLOCKS_AND_CHANCE = [
    "from datetime import UTC, datetime\n\nnow = datetime.now(UTC)\n",
    "import datetime as dt\n\nnow = dt.datetime.now(dt.UTC)\n",
    "from datetime import datetime\n\nnow = datetime.utcnow()\n",
    "from datetime import date\n\ntoday = date.today()\n",
    "import time\n\nnow = time.time()\n",
    "from time import monotonic\n\nnow = monotonic()\n",
    "from uuid import uuid4\n\nid_ = uuid4()\n",
    "import uuid\n\nid_ = uuid.uuid4()\n",
    "import random\n\nchance = random.random()\n",
    "from random import choice\n\nchance = choice([1, 2])\n",
    "import secrets\n\nkey = secrets.token_hex()\n",
    "import os\n\nkey = os.urandom(8)\n",
]


def banned(code: str, file: str) -> bool:
    """Whether the ban speaks up about ``code`` in ``file``."""
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", file, "-"],
        input=code,
        text=True,
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert found.returncode in (0, 1), found.stderr
    return "TID251" in found.stdout


@pytest.mark.parametrize("file", ["domain/x.py", "domain/detection/x.py", "workflows/x.py"])
def test_clocks_and_chance_are_banned_where_decisions_are_made(file: str) -> None:
    missed = [code for code in CLOCKS_AND_CHANCE if not banned(code, file)]
    assert missed == []


@pytest.mark.parametrize("file", ["api/x.py", "activities/x.py", "tests/unit/x.py", "worker.py", "benchmarks/x.py"])
def test_clocks_and_chance_are_allowed_elsewhere(file: str) -> None:
    assert not banned("".join(CLOCKS_AND_CHANCE), file)


def test_times_and_ids_as_values_are_allowed_everywhere() -> None:
    code = (
        "from datetime import datetime, time, timedelta\nfrom uuid import UUID, uuid5\n\n"
        "from temporalio import workflow\n\n\n"
        "def decide(now: datetime) -> tuple[datetime, time, UUID]:\n"
        '    return workflow.now() + timedelta(days=1), now.time(), uuid5(workflow.uuid4(), "x")\n'
    )
    assert not banned(code, "domain/x.py")
    assert not banned(code, "workflows/x.py")
