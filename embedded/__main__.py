"""``python -m embedded``: everything Baton needs on one machine, in one command. ``make run`` calls it."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from embedded.home import PASSWORD_NAME, EmbeddedSettings, Home
from embedded.parts import Part, Program, Task
from embedded.ports import LOOPBACK, require_free
from embedded.postgres import EmbeddedPostgres
from embedded.process import EmbeddedError
from embedded.progress import Progress
from embedded.stack import Interrupted, Stack
from embedded.temporal import EmbeddedTemporal
from settings import Settings

if TYPE_CHECKING:
    from embedded.first_owner import Credentials

CHECKOUT = Path(__file__).resolve().parent.parent
# Our Postgres' password is in its address; the rest would have the parts talk to it, and to Temporal, as to a cluster.
NOT_FOR_PARTS = (
    PASSWORD_NAME,
    "BATON_DATABASE_PASSWORD",
    "BATON_TEMPORAL_API_KEY",
    "BATON_TEMPORAL_TLS_",
    "BATON_WORKER_BUILD_ID",  # whose worker would wait for somebody to make it current
)


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
        progress.say(_unusable(error))
    except Interrupted:
        return 0
    return 1


def _run(chosen: EmbeddedSettings, home: Home, progress: Progress) -> int:
    kept = home.settings()
    postgres = EmbeddedPostgres(
        home.postgres,
        chosen.embedded_postgres_port,
        password=kept[PASSWORD_NAME],
        log=home.log("postgres"),
        refuge=chosen.embedded_refuge.absolute(),
    )
    temporal = EmbeddedTemporal(
        home.temporal,
        chosen.embedded_temporal_port,
        chosen.embedded_temporal_ui_port,
        log=home.log("temporal"),
        metrics_port=chosen.embedded_temporal_metrics_port,
        codec_endpoint=_codec_endpoint(chosen, {**kept, **os.environ}),
    )
    environment = environment_for(chosen, kept, postgres, temporal)
    settings = settings_from(environment)
    database = Task("Database", lambda: _prepare(settings, home))
    programs = _programs(environment, settings, home, temporal)
    stack = Stack([[postgres, temporal], [database, _mail(chosen, home)], programs], progress)
    return stack.run(lambda: progress.say(_welcome(chosen, home, temporal, database.result or _First())))


def environment_for(
    chosen: EmbeddedSettings, kept: Mapping[str, str], postgres: EmbeddedPostgres, temporal: EmbeddedTemporal
) -> dict[str, str]:
    """The environment of worker and API: the caller's, over the kept settings; where to connect is always our own."""
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
    # Caught here, unless somebody names a mail server of their own.
    mail = {
        "BATON_SMTP_HOST": LOOPBACK,
        "BATON_SMTP_PORT": str(chosen.embedded_mail_port),
        "BATON_SMTP_SECURITY": "none",
        "BATON_PUBLIC_URL": _api_url(chosen.api_host, chosen.api_port),
    }
    given = {**kept, **os.environ}
    environment = {**({} if given.get("BATON_SMTP_HOST") else mail), **given, **ours}
    return {name: value for name, value in environment.items() if not name.startswith(NOT_FOR_PARTS)}


def _codec_endpoint(chosen: EmbeddedSettings, environment: Mapping[str, str]) -> str | None:
    """Where the Temporal UI has encrypted payloads decoded; ``None`` while nothing is encrypted."""
    if not environment.get("BATON_ENCRYPTION_KEYS"):
        return None
    return f"{_api_url(chosen.api_host, chosen.api_port)}/codec"


class _Given(Settings):
    """Settings of what is handed in alone: this process' own environment may name another database or cluster."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - this and all below: the framework's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The same settings the parts will read from that environment."""
    prefix = "BATON_"
    values = {
        name.removeprefix(prefix).lower(): value for name, value in environment.items() if name.startswith(prefix)
    }
    return _Given.model_validate({name: value for name, value in values.items() if name in Settings.model_fields})


def _programs(
    environment: Mapping[str, str], settings: Settings, home: Home, temporal: EmbeddedTemporal
) -> Sequence[Part]:
    python = sys.executable
    ready_url = f"{_api_url(settings.api_host, settings.api_port)}/readyz"
    drain = settings.shutdown_timeout.total_seconds() + 5  # the part's own bound, and time to end
    worker = Program(
        "Worker",
        [python, "worker.py"],
        home.log("worker"),
        environment=environment,
        directory=CHECKOUT,
        ready=lambda: temporal.has_worker(settings.temporal_task_queue),
        stop_within=drain,
    )
    api = Program(
        "API",
        [python, "-m", "api"],
        home.log("api"),
        environment=environment,
        directory=CHECKOUT,
        ready=_answers(ready_url),
        stop_within=drain,
    )
    return [worker, api]  # in this order, so that the API stops taking requests before the worker goes


def _mail(chosen: EmbeddedSettings, home: Home) -> Part:
    page = f"http://{LOOPBACK}:{chosen.embedded_mail_page_port}/mails"
    ports = [str(chosen.embedded_mail_port), str(chosen.embedded_mail_page_port)]
    return Program(
        "Mail",
        [sys.executable, "-m", "embedded.mail", *ports, home.mail],
        home.log("mail"),
        directory=CHECKOUT,
        ready=_answers(page),
    )


class _First(NamedTuple):
    """What a first visitor is told: a key that works, and once the owner's sign-in; ``None`` where there is none."""

    key: str | None = None
    owner: "Credentials | None" = None


def _prepare(settings: Settings, home: Home) -> _First:
    """Tables and first rows."""
    # Half a second of imports that a refused start need not wait for.
    from embedded.demo import ensure_demo  # noqa: PLC0415
    from embedded.first_owner import ensure_owner  # noqa: PLC0415
    from embedded.schema import migrate, refusals  # noqa: PLC0415

    with refusals():
        migrate(settings.database_url)
        return _First(ensure_demo(settings, home.demo_key_file), ensure_owner(settings))


def _answers(url: str) -> Callable[[], bool]:
    """Whether the address answers with success by now; one client for all questions, since making one costs 30 ms."""
    client = httpx.Client(timeout=2, trust_env=False)

    def answers() -> bool:
        try:
            return client.get(url).is_success
        except httpx.TransportError:
            return False

    return answers


def _api_url(host: str, port: int) -> str:
    return f"http://{LOOPBACK if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound


def _unusable(error: ValidationError) -> str:
    """What is wrong with which variable; never its value, which may be a secret."""
    problems = (f"BATON_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors(include_input=False))
    return "\n".join(["Some settings cannot be used.", *problems])


def _welcome(chosen: EmbeddedSettings, home: Home, temporal: EmbeddedTemporal, first: _First) -> str:
    api = _api_url(chosen.api_host, chosen.api_port)
    addresses = (
        "\nBaton is running. Ctrl-C stops it; data stays.\n\n"
        f"  API documentation   {api}/docs\n"
        f"  Temporal UI         {temporal.ui_url}\n"
        f"  Mail, caught here   http://{LOOPBACK}:{chosen.embedded_mail_page_port}\n"
        f"  Logs                {home.root / 'logs'}\n"
        f"  Secrets             {home.settings_file}\n"
    )
    if first.owner:
        addresses += _sign_in(api, first.owner)
    return addresses + _first_ticket(api, first.key) if first.key else addresses


def _sign_in(api: str, owner: "Credentials") -> str:
    return (
        "\nThe demo organization's owner signs in with these; they are shown this once:\n\n"
        f"  Sign in             {api}/api/v1/sign-in\n"
        f"  E-mail              {owner.email}\n"
        f"  Password            {owner.password}\n"
    )


def _first_ticket(api: str, key: str) -> str:
    body = '{"title": "The invoice shows the wrong amount", "description": "It says 120 instead of 100."}'
    return (
        "\nA first ticket, with the API key of the demo organization (sent twice, it is still one ticket):\n\n"
        f"curl {api}/api/v1/tickets \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        "  -H 'Idempotency-Key: first-ticket' \\\n"
        f"  -d '{body}'\n"
    )


if __name__ == "__main__":
    sys.exit(main())
