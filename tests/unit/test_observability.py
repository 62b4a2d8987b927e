import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO

import psycopg
import pytest
import structlog
from pydantic import SecretStr, TypeAdapter, ValidationError
from temporalio.exceptions import ApplicationError

from domain.errors import TicketClosed
from observability import configure_logging, describe
from settings import Settings

WORDS = "Quentin Mirabelle wants his money"


def failing(error: Exception) -> Exception:
    """The error as it is caught: with a place, and with what it was caused by."""
    try:
        try:
            raise KeyError(WORDS)
        except KeyError as cause:
            raise error from cause
    except Exception as caught:
        return caught


def refused_value() -> Exception:
    try:
        TypeAdapter(int).validate_python(WORDS)
    except ValidationError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "headline"),
    [
        # What programs say helps, and quotes nobody.
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (AttributeError("no attribute 'x'"), "AttributeError: no attribute 'x'"),
        (psycopg.OperationalError("connection refused"), "psycopg.OperationalError: connection refused"),
        # Anybody's words may be in these; a code says what it was.
        (ValueError(WORDS), "ValueError"),
        (ApplicationError(WORDS, type="ticket_not_found"), "temporalio.exceptions.ApplicationError: ticket_not_found"),
        (TicketClosed(WORDS), "domain.errors.TicketClosed: ticket_closed"),
        (psycopg.ProgrammingError(f"invalid dsn: {WORDS}"), "psycopg.ProgrammingError"),
        (refused_value(), "pydantic_core._pydantic_core.ValidationError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failure_is_described_by_kind_and_place_and_not_by_what_it_quotes(error: Exception, headline: str) -> None:
    described = describe(failing(error))
    assert described.splitlines()[0] == headline
    assert "tests/unit/test_observability.py:" in described
    assert "caused by KeyError\n" in described
    assert "Mirabelle" not in described


@pytest.fixture
def said() -> Iterator[StringIO]:
    """What is logged, with everything as it was afterwards."""
    root = logging.getLogger()
    handlers, level, hook, out = root.handlers, root.level, sys.excepthook, StringIO()
    configure_logging(Settings(secret_key=SecretStr("0" * 32)))
    root.handlers[0].setStream(out)  # type: ignore[attr-defined]
    yield out
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook = hook
    structlog.reset_defaults()


async def test_failure_of_a_task_that_nobody_awaited_is_logged_without_its_words(said: StringIO) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": ValueError(WORDS), "future": WORDS}
    )
    line = json.loads(said.getvalue())
    assert (line["event"], line["exception"]) == ("Task exception was never retrieved", "ValueError")
    assert "Mirabelle" not in said.getvalue()
