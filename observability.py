"""Structured logs: one JSON object a line, with ids and without anything that people wrote."""

import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psycopg
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from settings import Settings

_HERE = f"{Path(__file__).parent}/"
_WORKFLOW_PREFIX = "ticket-"
_DATA_EXCEPTION = "22"
"""Class of SQLSTATE whose messages quote the value."""

_HARMLESS = (OSError, RPCError, AttributeError, TypeError, NameError, ImportError, NotImplementedError)
"""Errors whose words come from programs and not from people."""

_TALKATIVE = ("temporalio", "urllib3")
"""Libraries whose debug lines quote whole payloads or tell of each connection."""


def configure_logging(settings: Settings) -> None:
    """Send our own and every library's log lines through one pipe; call once, at the start of a process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_ticket,
        _name_trace,
        _only_first_line,
        _describe_exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))
    logging.captureWarnings(True)
    sys.excepthook = _log_crash


def describe(error: BaseException) -> str:
    """An exception and what caused it, with the places in the code.

    Without the words of an exception whose words may be a customer's: a database names the row it refuses, a
    validation the value. Kinds, codes and places are enough to find a defect.
    """
    return "\ncaused by ".join("\n".join([_headline(one), *_places(one.__traceback__)]) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _headline(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    words = _words(error)
    return f"{name}: {words}" if words else name


def _words(error: BaseException) -> str | None:
    if isinstance(error, psycopg.Error):
        state = error.diag.sqlstate
        if state is None:  # no answer of a server: why there is no connection
            return str(error) if isinstance(error, psycopg.OperationalError) else None
        # Never the detail: it quotes whole rows.
        return state if state.startswith(_DATA_EXCEPTION) else f"{state} {error.diag.message_primary}"
    if isinstance(error, ApplicationError):
        return error.type
    if isinstance(error, _HARMLESS):
        return str(error)
    code = getattr(error, "code", None)  # the domain's refusals have one, and SQLAlchemy's errors
    return code if isinstance(code, str) else None


def _places(trace_of: TracebackType | None) -> Iterator[str]:
    """Where it went through our own code, and where it began."""
    frames = list(traceback.walk_tb(trace_of))
    for place, (frame, line) in enumerate(frames, 1):
        file = frame.f_code.co_filename
        ours = file.startswith(_HERE) and "site-packages" not in file
        if ours or place == len(frames):
            yield f"  {file.removeprefix(_HERE)}:{line} {frame.f_code.co_qualname}"


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    if isinstance(given, tuple):
        given = given[1]
    elif given is True:
        given = sys.exc_info()[1]
    if isinstance(given, BaseException):
        event["exception"] = describe(given)
    return event


def _name_ticket(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Whose workflow or activity Temporal's own lines are about."""
    record = event.get("_record")
    about = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None)
    if about is None and (of_core := getattr(record, "temporal_log", None)):
        about = of_core.fields
    workflow_id = str(about.get("workflow_id")) if about else ""
    if workflow_id.startswith(_WORKFLOW_PREFIX):
        event.setdefault("ticket_id", workflow_id.removeprefix(_WORKFLOW_PREFIX))
    return event


def _name_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
    return event


def _only_first_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What asyncio says of a task that nobody awaited goes on with the words of its exception."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _log_crash(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
    else:
        structlog.get_logger(__name__).critical("crashed", exc_info=error)
