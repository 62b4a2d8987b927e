"""The folder where the one-command stack keeps everything of its own: data, logs, generated secrets, its lock."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from embedded.ports import LOOPBACK, Port
from embedded.postgres import PORT_VARIABLE, new_password
from embedded.postgres_files import REFUGE
from embedded.process import EmbeddedError
from embedded.temporal import METRICS_PORT_VARIABLE, UI_PORT_VARIABLE
from embedded.temporal import PORT_VARIABLE as TEMPORAL_PORT_VARIABLE

API_PORT_VARIABLE = "BATON_API_PORT"
MAIL_PORT_VARIABLE = "BATON_EMBEDDED_MAIL_PORT"
MAIL_PAGE_PORT_VARIABLE = "BATON_EMBEDDED_MAIL_PAGE_PORT"
PASSWORD_NAME = "BATON_EMBEDDED_POSTGRES_PASSWORD"  # noqa: S105 - the name, not the password
HEADING = "# Generated. Secrets: keep this file private, and keep it with the data it belongs to.\n"


class EmbeddedSettings(BaseSettings):
    """What can be chosen about the one-command stack, each from an environment variable ``BATON_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="BATON_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".baton"), description="Folder of data, logs and secrets.")
    api_host: str = LOOPBACK
    api_port: int = Field(default=8000, ge=1, le=65535)
    embedded_postgres_port: int = Field(default=54329, ge=1, le=65535)
    embedded_temporal_port: int = Field(default=7233, ge=1, le=65535)
    embedded_temporal_ui_port: int = Field(default=8233, ge=1, le=65535)
    embedded_mail_port: int = Field(default=1025, ge=1, le=65535, description="Where mail is caught.")
    embedded_mail_page_port: int = Field(default=8025, ge=1, le=65535, description="Where caught mail is read.")
    embedded_refuge: Path = Field(
        default=REFUGE, description="Where root's Postgres keeps data whose own place its user cannot reach."
    )
    embedded_temporal_metrics_port: int | None = Field(default=None, description="Prometheus metrics of the server.")

    @property
    def ports(self) -> list[Port]:
        ports = [
            Port(self.api_port, "the API", API_PORT_VARIABLE),
            Port(self.embedded_postgres_port, "Postgres", PORT_VARIABLE),
            Port(self.embedded_temporal_port, "Temporal", TEMPORAL_PORT_VARIABLE),
            Port(self.embedded_temporal_ui_port, "the Temporal UI", UI_PORT_VARIABLE),
            Port(self.embedded_mail_port, "caught mail", MAIL_PORT_VARIABLE),
            Port(self.embedded_mail_page_port, "the page of caught mail", MAIL_PAGE_PORT_VARIABLE),
        ]
        if self.embedded_temporal_metrics_port:
            ports.append(Port(self.embedded_temporal_metrics_port, "Temporal's metrics", METRICS_PORT_VARIABLE))
        return ports


class Home:
    """The folder and the names in it. Everything in it is private to its owner."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.postgres = self.root / "postgres"
        self.temporal = self.root / "temporal"
        self.settings_file = self.root / "settings.env"
        self.mail = self.root / "mail"
        self.demo_key_file = self.root / "demo-api-key"

    def make(self) -> None:
        """Create the folder if there is none; one that exists keeps its mode. Safe to repeat.

        Raises :class:`EmbeddedError` where this cannot be a folder of ours.
        """
        # Root's own Postgres runs as another user, who has to pass through; what is inside stays closed to all others.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.root.mkdir(mode, parents=True, exist_ok=True)
            (self.root / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(
                f"{self.root} cannot hold Baton's data: {error.strerror} ({error.filename}). "
                "Put that right, or choose another folder: BATON_HOME=/path/to/folder make run"
            ) from error

    def log(self, part: str) -> Path:
        return self.root / "logs" / f"{part}.log"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; :class:`EmbeddedError` if another holds it. Freed even by SIGKILL."""
        file = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(file, 32).decode().strip() or "unknown"
                raise EmbeddedError(
                    f"Baton is already running on {self.root} (process {holder}). Use that one, stop it with "
                    f"kill {holder}, or start a second one elsewhere: set BATON_HOME and the ports."
                ) from None
            os.truncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(file)

    def settings(self) -> dict[str, str]:
        """The kept settings by variable name, secrets included; made and kept (mode 0600) on first use.

        Lines ``NAME=value`` added by hand are kept and passed on to the worker and the API.
        """
        kept = self._read()
        made = {
            "BATON_SECRET_KEY": secrets.token_hex(32),
            "BATON_OPERATOR_KEY": secrets.token_urlsafe(32),
            PASSWORD_NAME: new_password(),
        }
        if lacking := {name: value for name, value in made.items() if name not in kept}:
            kept |= lacking
            self._write(kept)
        return kept

    def _read(self) -> dict[str, str]:
        try:
            lines = self.settings_file.read_text().splitlines()
        except FileNotFoundError:
            return {}
        self.settings_file.chmod(0o600)  # an editor may have written it anew
        pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
        return {name.strip(): value.strip() for name, value in pairs}

    def _write(self, values: dict[str, str]) -> None:
        lines = (f"{name}={value}\n" for name, value in values.items())
        write_private(self.settings_file, HEADING + "".join(lines))


def write_private(file: Path, text: str) -> None:
    """Replace ``file`` as a whole, readable for its owner only; after a crash it holds the old text or the new."""
    half = file.with_name(f"{file.name}.unfinished")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    half.replace(file)
