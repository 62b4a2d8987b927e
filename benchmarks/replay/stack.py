"""What a replay runs against: a Baton that is up already, or one of its own for as long as it takes."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import httpx

from embedded.__main__ import CHECKOUT, settings_from
from embedded.home import EmbeddedSettings, Home
from embedded.parts import Program
from embedded.ports import LOOPBACK, free_port
from embedded.postgres_files import remove_data
from settings import Settings

OWN = "a stack of its own"


@dataclass(frozen=True)
class Target:
    """Where the API is, and the settings by which its Temporal and its operator's key are known."""

    url: str
    settings: Settings

    @property
    def operator_key(self) -> str | None:
        key = self.settings.operator_key
        return key.get_secret_value() if key else None


def default_url() -> str:
    """Where ``make run`` serves the API on this machine."""
    chosen = EmbeddedSettings()
    return f"http://{LOOPBACK}:{chosen.api_port}"


def answers(url: str) -> bool:
    """Whether an API that can work is there."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def running(url: str) -> Target:
    """A Baton that is up: its settings from the environment; for ``make run``, else those that it keeps."""
    chosen = EmbeddedSettings()
    home = Home(CHECKOUT / chosen.home.expanduser())
    if url != default_url() or not home.settings_file.exists():  # nobody else is shown its keys
        return Target(url, _settings(os.environ))
    temporal = {"BATON_TEMPORAL_ADDRESS": f"{LOOPBACK}:{chosen.embedded_temporal_port}"}
    return Target(url, _settings({**temporal, **home.settings(), **os.environ}))


@contextmanager
def own(root: Path) -> Iterator[Target]:
    """A stack on free ports with its data under ``root``, which stays; whatever happens, nothing is left running.

    ``EmbeddedError`` where it does not come up.
    """
    home = Home(root)
    home.make()
    api, temporal = free_port(), free_port()
    environment = {
        **os.environ,
        "BATON_HOME": str(home.root),
        "BATON_API_HOST": LOOPBACK,
        "BATON_API_PORT": str(api),
        "BATON_EMBEDDED_POSTGRES_PORT": str(free_port()),
        "BATON_EMBEDDED_TEMPORAL_PORT": str(temporal),
        "BATON_EMBEDDED_TEMPORAL_UI_PORT": str(free_port()),
        "BATON_EMBEDDED_MAIL_PORT": str(free_port()),
        "BATON_EMBEDDED_MAIL_PAGE_PORT": str(free_port()),
        "BATON_WEBHOOK_PRIVATE_ADDRESSES": "true",  # the replay receives what it delivers
    }
    url = f"http://{LOOPBACK}:{api}"
    program = Program(
        "The replay's stack",
        [sys.executable, "-m", "embedded"],
        home.log("stack"),
        environment=environment,
        directory=CHECKOUT,
        ready=lambda: answers(url),
        stop_within=60,
    )
    try:
        program.start()
        program.wait_ready()
        ours = {
            "BATON_TEMPORAL_ADDRESS": f"{LOOPBACK}:{temporal}",
            "BATON_TEMPORAL_NAMESPACE": "default",
            "BATON_TEMPORAL_TLS": "false",
            "BATON_TEMPORAL_API_KEY": "",
        }
        yield Target(url, _settings({**home.settings(), **os.environ, **ours}))
    finally:
        program.stop()


def forget(root: Path) -> None:
    """Remove the data of a stack that is down."""
    remove_data(Home(root).postgres)
    shutil.rmtree(root, ignore_errors=True)


def _settings(environment: Mapping[str, str]) -> Settings:
    # The secret key is for hashing API keys, which a replay never does; a Baton elsewhere keeps its own to itself.
    known = {"BATON_SECRET_KEY": token_hex(32), **environment}
    return settings_from({name: value for name, value in known.items() if value})
