"""Domain decides, workflow waits, activity acts, API asks, worker wires: who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What each part may import of ours besides itself; a dotted name admits that one module. A part that is
# missing here fails the test: say what it may know.
ALLOWED: dict[str, set[str]] = {
    "domain": set(),
    "settings": set(),
    "garbage_collection": set(),
    "observability": {"settings"},
    "telemetry": {"settings", "tracing"},
    "tracing": {"settings"},
    "db": {"domain", "settings"},
    "activities": {"domain", "db"},
    "workflows": {"domain", "activities.signatures"},
    "api": {"domain", "db", "settings", "observability", "telemetry", "tracing", "workflows.messages"},
    "migrations": {"db", "settings"},
    # These put parts together, each for one kind of process; nobody imports them.
    "worker": {
        "domain",
        "db",
        "settings",
        "garbage_collection",
        "observability",
        "telemetry",
        "tracing",
        "activities",
        "workflows",
    },
    "repair": {"domain", "db", "settings", "observability", "activities", "workflows"},
    "embedded": {"domain", "db", "settings", "observability", "workflows", "api"},
    "benchmarks": {"domain", "db", "settings", "observability", "workflows", "api", "embedded"},
}

# What single modules may import beyond their part.
EXCEPTIONS: dict[str, set[str]] = {
    "workflows/connection.py": {"settings"},  # clients' side: never loaded into a workflow
    "workflows/encryption.py": {"settings"},
    "workflows/bell.py": {"settings", "db.bell"},
    "api/__main__.py": {"garbage_collection"},
    "api/server.py": {"garbage_collection"},
    "api/app.py": {"workflows.connection", "workflows.bell"},
    "api/ticket_gateway.py": {
        "workflows.ticket",
        "workflows.handles",
        "workflows.attributes",
        "workflows.details",
        "workflows.search_attributes",
    },
    "api/escalation_gateway.py": {"workflows.bell", "workflows.escalation"},
    "api/rollouts.py": {"workflows.rollout"},
    "api/backtests.py": {"workflows.backtest"},
    "api/hand_outs.py": {"workflows.hand_out", "workflows.removal", "activities.signatures"},
    "api/bulk.py": {"workflows.bulk"},
    "api/privacy.py": {"workflows.erasure", "workflows.export", "workflows.search_attributes", "activities.signatures"},
    "api/routers/codec.py": {"workflows.encryption"},  # shows payloads to supervisors in the Temporal UI
}

# What some modules may not know although their part does: workflows are loaded with them.
NARROWER: dict[str, set[str]] = {"activities/signatures.py": {"domain"}}

# Packages of others that would be a way round the rule.
FOREIGN: dict[str, set[str]] = {
    "domain": {"sqlalchemy", "psycopg", "temporalio", "fastapi", "starlette", "httpx", "asyncio", "socket"},
    "db": {"temporalio", "fastapi", "starlette", "httpx"},
    "activities": {"fastapi", "starlette"},
    "workflows": {"sqlalchemy", "psycopg", "fastapi", "starlette", "httpx"},
}


def imported(source: str, file: str) -> Iterator[str]:
    """The dotted names a module imports, wherever in it; ``from a import b`` is ``a.b``."""
    package = Path(file).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)


def violations(source: str, file: str) -> list[str]:
    """What the module in ``file`` imports and must not."""
    part = Path(file).parts[0].removesuffix(".py")
    own = {part} if file not in NARROWER else set()
    allowed = own | NARROWER.get(file, ALLOWED[part]) | EXCEPTIONS.get(file, set())
    names = list(imported(source, file))
    inward = [name for name in names if name.split(".")[0] in ALLOWED and not _is_in(name, allowed)]
    outward = [name for name in names if name.split(".")[0] in FOREIGN.get(part, set())]
    return inward + outward


def _is_in(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def modules() -> list[str]:
    """Every module of the product, by its path."""
    parts = [path for path in ROOT.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    files = [file for path in parts for file in ([path] if path.is_file() else path.rglob("*.py"))]
    return sorted(str(file.relative_to(ROOT)) for file in files if file.relative_to(ROOT).parts[0] != "tests")


def test_imports_point_one_way() -> None:
    wrong = {file: found for file in modules() if (found := violations((ROOT / file).read_text(), file))}
    assert wrong == {}


def test_every_part_has_its_rule() -> None:
    assert {Path(file).parts[0].removesuffix(".py") for file in modules()} <= set(ALLOWED)


def test_exceptions_are_still_needed() -> None:
    for file, names in EXCEPTIONS.items():
        found = list(imported((ROOT / file).read_text(), file))
        unused = {name for name in names if not any(_is_in(each, {name}) for each in found)}
        assert not unused, f"{file} no longer imports {unused}"


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("domain/x.py", "from db.engine import Sessions"),
        ("domain/x.py", "import temporalio.workflow"),
        ("domain/x.py", "def late():\n    from settings import Settings"),  # hidden in a function
        ("domain/x.py", "from ..db import engine"),  # relative
        ("db/x.py", "from activities.signatures import TicketBatch"),
        ("activities/x.py", "from workflows.messages import Outcome"),
        ("activities/signatures.py", "from db.engine import Sessions"),
        ("activities/signatures.py", "from activities.roster import Roster"),
        ("workflows/x.py", "from activities.ticket_record import TicketRecord"),
        ("workflows/x.py", "from activities import roster"),
        ("workflows/x.py", "from settings import Settings"),
        ("workflows/x.py", "import sqlalchemy"),
        ("api/x.py", "from workflows.ticket import TicketWorkflow"),
        ("api/x.py", "from activities.signatures import TicketBatch"),
        ("api/app.py", "from worker import make_worker"),
        ("worker.py", "from api.app import make_app"),
        ("embedded/x.py", "import worker"),
    ],
)
def test_import_against_the_rule_is_noticed(file: str, source: str) -> None:
    assert violations(source, file)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("domain/x.py", "from domain.ticket import Ticket\nfrom pydantic import Field\nfrom . import story"),
        ("workflows/x.py", "from activities.signatures import TicketBatch\nfrom temporalio import workflow"),
        ("workflows/x.py", "from activities import signatures"),
        ("activities/signatures.py", "from domain.ticket import Ticket"),
        ("api/x.py", "from workflows.messages import Outcome\nfrom db.engine import Sessions"),
        ("api/ticket_gateway.py", "from workflows.ticket import TicketWorkflow"),
    ],
)
def test_import_within_the_rule_passes(file: str, source: str) -> None:
    assert violations(source, file) == []


@pytest.mark.parametrize("package", ["domain", "workflows", "activities", "db", "api", "embedded"])
def test_package_runs_no_code_by_being_imported(package: str) -> None:
    # workflows/__init__.py above all: it is executed again for every workflow instance.
    assert (ROOT / package / "__init__.py").read_text() == ""
