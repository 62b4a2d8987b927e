"""What docs/operations.md tells people to type is there and does what it says."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from api.security import hash_api_key
from embedded.demo import ORGANIZATION_ID
from embedded.schema import CHECKOUT
from repair.__main__ import _options
from repair.findings import Finding
from settings import Settings

PAGE = (CHECKOUT / "docs" / "operations.md").read_text()
SECRET = "s" * 40


def typed(program: str) -> list[str]:
    """The arguments of every command of that name."""
    return re.findall(rf"^\s*(?:\d\. `)?{re.escape(program)} ([^#`\n]+)", PAGE, re.MULTILINE)


@pytest.mark.parametrize("arguments", typed("python -m repair"))
def test_repair_takes_the_commands_that_are_written_down(arguments: str) -> None:
    assert _options(shlex.split(arguments)).command


def test_every_finding_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("| finding |")[2].partition("\n\n")[0], re.MULTILINE)
    assert sorted(rows) == sorted(Finding)


def test_settings_are_called_what_they_are_called() -> None:
    named = {name.removeprefix("BATON_").lower() for name in re.findall(r"BATON_[A-Z_]+", PAGE)}
    assert named
    assert named <= set(Settings.model_fields)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, heading = target.partition("#")
        found = CHECKOUT / "docs" / file
        assert found.exists(), target
        headings = (
            {re.sub(r"[^\w]+", "-", line.lower()) for line in re.findall(r"^#+ (.+)$", found.read_text(), re.M)}
            if heading
            else {""}
        )
        assert heading in headings, target


def test_demo_organization_is_named_by_its_id() -> None:
    assert str(ORGANIZATION_ID) in PAGE


def test_organization_whose_keys_are_void_gets_a_new_one(new_database: Callable[[], str]) -> None:
    database_url, organization_id = new_database(), uuid4()
    settings = Settings(database_url=database_url, secret_key=SecretStr(SECRET))
    with psycopg.connect(settings.psycopg_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO organizations (id, name, auto_close_after, reopen_window) VALUES (%s, 'Org', '3 d', '30 d')",
            [organization_id],
        )
        (script,) = re.findall(r"python - <<'PY'\n(.*?)\nPY\n", PAGE, re.DOTALL)
        done = subprocess.run(
            [sys.executable, "-c", script.replace("<organization id>", str(organization_id))],
            cwd=CHECKOUT,
            env={**os.environ, "BATON_DATABASE_URL": database_url, "BATON_SECRET_KEY": SECRET},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        kept = database.execute("SELECT hash FROM api_keys WHERE organization_id = %s", [organization_id]).fetchone()
    assert kept == (hash_api_key(done.stdout.strip(), settings.secret_key),)
