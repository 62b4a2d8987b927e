"""``python -m embedded``: everything Baton needs on one machine, in one command. ``make run`` calls it."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from pydantic import ValidationError

from embedded.home import PASSWORD_NAME, EmbeddedSettings, Home
from embedded.parts import Part, Program, Task
from embedded.ports import LOOPBACK, require_free
from embedded.postgres import EmbeddedPostgres
from embedded.process import EmbeddedError
from embedded.progress import Progress
from embedded.stack import Interrupted, Stack
from embedded.temporal import EmbeddedTemporal
from settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Runs until told to stop, and returns the exit code."""
    progress = Progress(sys.stdout)
    try:
        chosen = EmbeddedSettings()
        home = Home(CHECKOUT / chosen.home.expanduser())
        home.make()
        with home.lock():
            require_free(chosen.ports)
            return _run(chosen, home, progress)
    except EmbeddedError as error:
        progress.say(str(error))
    except ValidationError as error:
        progress.say(f"A setting is not usable.\n{error}")
    except Interrupted:
        return 0
    return 1


def _run(chosen: EmbeddedSettings, home: Home, progress: Progress) -> int:
    kept = home.settings()
    postgres = EmbeddedPostgres(
        home.postgres, chosen.embedded_postgres_port, password=kept[PASSWORD_NAME], log=home.log("postgres")
    )
    temporal = EmbeddedTemporal(
        home.temporal,
        chosen.embedded_temporal_port,
        chosen.embedded_temporal_ui_port,
        log=home.log("temporal"),
        metrics_port=chosen.embedded_temporal_metrics_port,
    )
    environment = environment_for(chosen, kept, postgres, temporal)
    settings = settings_from(environment)
    stack = Stack(_stages(postgres, temporal, environment, settings, home), progress)
    return stack.run(lambda: progress.say(_addresses(chosen, home, temporal)))


def environment_for(
    chosen: EmbeddedSettings, kept: Mapping[str, str], postgres: EmbeddedPostgres, temporal: EmbeddedTemporal
) -> dict[str, str]:
    """The environment of worker and API: the caller's, over the kept settings; the addresses are always our own."""
    ours = {
        "BATON_DATABASE_URL": postgres.url,
        "BATON_TEMPORAL_ADDRESS": temporal.address,
        "BATON_TEMPORAL_NAMESPACE": "default",
        "BATON_TEMPORAL_TLS": "false",
        "BATON_TEMPORAL_UI_URL": temporal.ui_url or "",
        "BATON_API_HOST": chosen.api_host,
        "BATON_API_PORT": str(chosen.api_port),
        "PYTHONUNBUFFERED": "1",
    }
    environment = {**kept, **os.environ, **ours}
    for name in (PASSWORD_NAME, "BATON_TEMPORAL_API_KEY"):  # the parts have no use for them
        environment.pop(name, None)
    return environment


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The same settings the parts will read from that environment."""
    prefix = "BATON_"
    values = {
        name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)
    }
    return Settings.model_validate({name: value for name, value in values.items() if name in Settings.model_fields})


def _stages(
    postgres: EmbeddedPostgres,
    temporal: EmbeddedTemporal,
    environment: Mapping[str, str],
    settings: Settings,
    home: Home,
) -> Sequence[Sequence[Part]]:
    python = sys.executable
    ready_url = f"{_api_url(settings.api_host, settings.api_port)}/readyz"
    drain = settings.shutdown_timeout.total_seconds() + 5  # the part's own bound, and time to end
    worker = Program(
        "Worker",
        [python, "worker.py"],
        home.log("worker"),
        environment=environment,
        directory=CHECKOUT,
        stop_within=drain,
    )
    api = Program(
        "API",
        [python, "-m", "api"],
        home.log("api"),
        environment=environment,
        directory=CHECKOUT,
        ready=lambda: _is_ready(ready_url),
        stop_within=drain,
    )
    return [
        [postgres, temporal],
        [Task("Database schema", lambda: migrate(settings.database_url))],
        [worker, api],  # in this order, so that the API stops taking requests before the worker goes
        [Task("Demo organization", lambda: _ensure_demo(settings))],
    ]


def migrate(database_url: str) -> None:
    """Bring the database to the newest schema. Safe to repeat and to run twice at once."""
    from alembic import command  # noqa: PLC0415 - half a second that a refused start need not wait for
    from alembic.config import Config  # noqa: PLC0415

    config = Config(CHECKOUT / "alembic.ini")
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    command.upgrade(config, "head")


def _ensure_demo(settings: Settings) -> None:
    from embedded.demo import ensure_demo  # noqa: PLC0415 - needs most of Baton, and only once the parts run

    ensure_demo(settings)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _api_url(host: str, port: int) -> str:
    return f"http://{LOOPBACK if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound


def _addresses(chosen: EmbeddedSettings, home: Home, temporal: EmbeddedTemporal) -> str:
    api = _api_url(chosen.api_host, chosen.api_port)
    return (
        "\nBaton is running. Ctrl-C stops it; data stays.\n\n"
        f"  API documentation   {api}/docs\n"
        f"  Temporal UI         {temporal.ui_url}\n"
        f"  Logs                {home.root / 'logs'}\n"
        f"  Keys                {home.settings_file}\n\n"
        f"  curl -i {api}/readyz\n"
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything has been stopped above. A normal exit can crash in Temporal's client library after its last request
    # (temporalio/sdk-python#300), and demo data is made with that client.
    os._exit(code)
