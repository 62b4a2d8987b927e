"""``python -m benchmarks.replay FILE``: real messages through a real Baton, and an account of all that came of it."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError
from rich.console import Console

from benchmarks.replay import stack
from benchmarks.replay.api_client import ApiAway, Refused
from benchmarks.replay.driver import StepFailed
from benchmarks.replay.journal import Finished, Header, Journal, JournalError, open_journal, read_header
from benchmarks.replay.pace import Pace
from benchmarks.replay.plan import plan
from benchmarks.replay.receiver import CannotReceive
from benchmarks.replay.report import Report
from benchmarks.replay.session import Session
from benchmarks.replay.stack import OWN, Target
from benchmarks.replay.stream import Stream, StreamError, read_stream
from benchmarks.replay.tables import markdown, show
from benchmarks.replay.tenants import MEMBERS, CannotPrepare
from embedded.ports import LOOPBACK
from embedded.process import EmbeddedError

LOST_OR_DIFFERENT, UNUSABLE, STOPPED = 1, 2, 130
STATE = Path(".baton/replay.jsonl")
_WIDTH_OF_A_LOG = 140

_WRONG_INPUT = (StreamError, JournalError, CannotPrepare, CannotReceive, ApiAway, StepFailed, EmbeddedError)


@dataclass(frozen=True)
class Options:
    """The command line."""

    file: Path
    url: str | None
    own_stack: bool
    speed_up: float
    limit: int | None
    seed: int
    concurrency: int
    trouble: float
    receive_at: str
    state: Path
    json: Path | None
    markdown: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 if all is accounted for, 1 if not, 2 if it could not be done, 130 if stopped."""
    options = _parse(arguments)
    # No markup and no highlighting: ids and paths are shown as they are.
    wide = None if sys.stdout.isatty() else _WIDTH_OF_A_LOG
    console = Console(markup=False, highlight=False, emoji=False, width=wide)
    try:
        return _replay(options, console)
    except _WRONG_INPUT as problem:
        console.print(str(problem))
    except Refused as refused:
        console.print(f"The API refused what a replay needs: {refused}")
    except ValidationError as error:
        console.print(f"A setting is not usable.\n{error}")
    except KeyboardInterrupt:
        console.print("Stopped. Run the same command to go on.")
        return STOPPED
    return UNUSABLE


def _replay(options: Options, console: Console) -> int:
    stream = read_stream(options.file, options.limit)  # before anything else: a bad file sends nothing
    target = _target_name(options)
    header = Header(digest=stream.digest, seed=options.seed, speed_up=options.speed_up, target=target, run=uuid4().hex)
    with open_journal(options.state, header) as journal:
        home = options.state.absolute().with_suffix(".stack")
        gone = target == OWN and bool(journal.tenants) and not home.exists()
        if gone and journal.finished:
            return _again(journal.finished, options, console)
        if gone:
            raise JournalError(
                f"The data of this replay, {home}, is gone. Delete {options.state} to begin anew, or choose another "
                "--state."
            )
        with _target(target, home, console) as place:
            report = asyncio.run(_session(options, stream, journal, place, console))
        if report is None:
            return STOPPED
        journal.write(Finished(report=report.model_dump(mode="json")))
        if target == OWN and report.whole:
            stack.forget(home)
    return _conclude(report, options, console)


async def _session(
    options: Options, stream: Stream, journal: Journal, target: Target, console: Console
) -> Report | None:
    """The report; ``None`` when the person stopped it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)  # a second one ends it at once
        console.print("Stopping: requests that have begun are finished.")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop, number)
    session = Session(
        stream=stream,
        plans=plan(stream, options.seed, MEMBERS),
        pace=Pace(options.speed_up),
        journal=journal,
        target=target,
        concurrency=options.concurrency,
        console=console,
        stop=stop,
        trouble=options.trouble,
        receive_at=options.receive_at,
    )
    return await session.run()


def _target_name(options: Options) -> str:
    """What was asked for, else what the replay was begun against, else a running Baton, else one of its own."""
    if options.own_stack:
        return OWN
    if options.url:
        return options.url.rstrip("/")
    kept = read_header(options.state)
    if kept is not None:
        return kept.target
    return stack.default_url() if stack.answers(stack.default_url()) else OWN


@contextmanager
def _target(name: str, home: Path, console: Console) -> Iterator[Target]:
    if name != OWN:
        if not stack.answers(name):
            raise CannotPrepare(
                f"No API that can work answers at {name}. Start it (`make run`), or replay with --own-stack."
            )
        console.print(f"Replaying against {name}")
        yield stack.running(name)
        return
    console.print("Starting a stack for this replay")
    with stack.own(home) as target:
        console.print(f"It is up at {target.url}")
        yield target
        console.print("Stopping the replay's stack")


def _again(finished: Finished, options: Options, console: Console) -> int:
    console.print(f"This replay is finished and its stack is removed. Delete {options.state} to begin anew.")
    return _conclude(Report.model_validate(finished.report), options, console)


def _conclude(report: Report, options: Options, console: Console) -> int:
    show(report, console)
    if options.json:
        options.json.write_text(report.model_dump_json(indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(report))
    if report.whole:
        console.print(
            "Every message, escalation and delivery is accounted for, and every read model equals its workflow."
        )
        return 0
    console.print("Something is lost or differs: see above.")
    return LOST_OR_DIFFERENT


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument(
        "file", type=Path, help="JSON lines: conversation, message, at, brand, channel, text; sentiment, reason"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="an API that is up; its operator key is BATON_OPERATOR_KEY or that of `make run`")
    where.add_argument("--own-stack", action="store_true", help="start a stack for this replay and remove it after")
    parser.add_argument(
        "--speed-up", type=_positive, default=300.0, help="how much faster than the stream (%(default)g)"
    )
    parser.add_argument("--limit", type=_count, help="replay the first LIMIT messages only")
    parser.add_argument("--seed", type=int, default=1, help="of what the agents do (%(default)s)")
    parser.add_argument("--concurrency", type=_count, default=16, help="requests at once, at most (%(default)s)")
    parser.add_argument(
        "--trouble", type=_share, default=0.05, help="share of attempts that the receiver fails or cuts (%(default)g)"
    )
    parser.add_argument(
        "--receive-at", default=LOOPBACK, help="this machine's address at which the Baton reaches it (%(default)s)"
    )
    parser.add_argument("--state", type=Path, default=STATE, help="what was acknowledged, to go on with (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the report there, as JSON")
    parser.add_argument("--markdown", type=Path, help="write the report there, as Markdown")
    return Options(**vars(parser.parse_args(arguments)))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above zero")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
