"""The settings of every Baton process, read once from the environment and handed in."""

import base64
import binascii
import os
import re
import ssl
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn
from urllib.parse import quote

from pydantic import (
    BeforeValidator,
    DirectoryPath,
    Field,
    FilePath,
    SecretBytes,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

PREFIX = "BATON_"
SECRETS_DIR_VARIABLE = "BATON_SECRETS_DIR"
SECRETS_DIR = "/run/secrets"
"""Where Docker, Swarm and most charts mount secrets."""

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]

_SHORTEST_SECRET = 32
_DRIVER = "postgresql+psycopg"
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY_BYTES = 32


class EncryptionKey(NamedTuple):
    """A key of AES-256, and the id that every payload encrypted with it names."""

    id: str
    key: SecretBytes


class DetectorMode(StrEnum):
    """Who decides whether a customer asks for a person."""

    BUILTIN = "builtin"
    CASCADE = "cascade"
    """The model where the built-in detector is unsure."""
    MODEL = "model"
    """The model about every message; the built-in where the model does not answer."""


class DetectorKind(StrEnum):
    """How the model is spoken to."""

    OPENAI = "openai"
    WEBHOOK = "webhook"


def parse_encryption_keys(value: object) -> object:
    """``id:key,id:key`` as keys; anything but text is left as it is.

    Raises ``ValueError`` with words that name the entry by its place or id, never by its key.
    """
    if not isinstance(value, str):
        return value
    keys: dict[str, EncryptionKey] = {}
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    for place, entry in enumerate(entries, 1):
        name, colon, encoded = entry.partition(":")
        if not colon or not _KEY_ID.fullmatch(name):
            raise ValueError(f"entry {place} must be id:key, its id made of letters, digits, '.', '_' and '-'")
        if name in keys:
            raise ValueError(f"the id {name!r} is used twice; each key needs its own")
        try:
            key = base64.b64decode(encoded.translate(str.maketrans("-_", "+/")), validate=True)
        except binascii.Error:
            raise ValueError(f"the key {name!r} is not base64; `openssl rand -base64 32` makes one") from None
        if len(key) != _KEY_BYTES:
            raise ValueError(
                f"the key {name!r} has {len(key)} bytes instead of {_KEY_BYTES}; `openssl rand -base64 32` makes one"
            )
        keys[name] = EncryptionKey(name, SecretBytes(key))
    return tuple(keys.values())


class DatabaseSettings(BaseSettings):
    """Where the read model is: all that a migration needs to know.

    Each setting comes from an environment variable ``BATON_<NAME>``, or else from a file of that name in the folder
    ``BATON_SECRETS_DIR`` (``/run/secrets``); an empty variable counts as none.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # what is refused may be a secret
    )

    database_url: str = Field(
        default=f"{_DRIVER}://baton@127.0.0.1:5432/baton",
        repr=False,  # may hold a password
        description="Address of the read model's Postgres. Options of libpq go with it: ?sslmode=verify-full",
    )
    database_password: SecretStr | None = Field(
        default=None, description="Put into the address if that has none, so that it alone can come from a file."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then files."""
        folder = os.environ.get(SECRETS_DIR_VARIABLE)
        if folder is None and not Path(SECRETS_DIR).is_dir():
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder or SECRETS_DIR)

    @model_validator(mode="before")
    @classmethod
    def _complete_address(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give the address its password and the driver's name; both are how people have it from their provider."""
        url, password = values.get("database_url"), values.get("database_password")
        url = cls.model_fields["database_url"].default if url is None else str(url)
        scheme, separator, rest = url.partition("://")
        scheme = _DRIVER if scheme in ("postgres", "postgresql") else scheme
        user, at, place = rest.rpartition("@")
        if password and at and ":" not in user:
            text = password.get_secret_value() if isinstance(password, SecretStr) else str(password)
            user = f"{user}:{quote(text, safe='')}"
        return {**values, "database_url": f"{scheme}{separator}{user}{at}{place}"}

    @field_validator("database_url")
    @classmethod
    def _of_postgres(cls, value: str) -> str:
        if not value.startswith(f"{_DRIVER}://"):
            raise ValueError("must be the address of a Postgres: postgresql://user@host:5432/database")
        return value


class Settings(DatabaseSettings):
    """All settings, frozen after construction.

    Lengths of time are ISO 8601 durations (``PT2S``). Nothing in the code reads the environment by itself:
    a process builds one ``Settings`` and passes it on.
    """

    database_pool_size: int = Field(
        default=10, ge=1, description="Connections a process keeps; the API keeps as many again for reading."
    )
    database_timeout: timedelta = Field(
        default=timedelta(seconds=5), description="To connect, to get a pooled connection, and per statement."
    )

    temporal_address: str = Field(default="127.0.0.1:7233", description="host:port of the Temporal frontend.")
    temporal_namespace: str = "default"
    temporal_task_queue: str = "tickets"
    temporal_ui_url: str = Field(
        default="http://127.0.0.1:8233",
        description="Where people open the Temporal UI: for links, and the one origin that may ask the codec endpoint.",
    )
    temporal_api_key: SecretStr | None = Field(default=None, description="For Temporal Cloud; implies TLS.")
    temporal_tls: bool = Field(default=False, description="Without files: certificates the system trusts.")
    temporal_tls_server_name: str | None = Field(
        default=None, description="The name in the server's certificate, if it is not that of the address; implies TLS."
    )
    temporal_tls_ca_file: FilePath | None = Field(
        default=None, description="PEM certificates of the authority that signed the server's; implies TLS."
    )
    temporal_tls_cert_file: FilePath | None = Field(
        default=None, description="PEM certificate this process shows the server (mTLS); implies TLS."
    )
    temporal_tls_key_file: FilePath | None = Field(
        default=None, validate_default=True, description="The key of that certificate, PEM without a passphrase."
    )

    secret_key: SecretStr = Field(
        description="Keys the hashes of API keys. At least 32 characters; changing it voids every API key."
    )
    operator_key: SecretStr | None = Field(
        default=None, description="Bearer token that may create organizations; without it nobody can."
    )
    encryption_keys: Annotated[tuple[EncryptionKey, ...], NoDecode, BeforeValidator(parse_encryption_keys)] = Field(
        default=(),
        description="id:key,id:key (32 bytes in base64): the first encrypts what Temporal stores, each decrypts.",
    )
    codec_token: SecretStr | None = Field(
        default=None,
        description="Lets people and tools read what is encrypted, through the codec endpoint; so does the operator's.",
    )

    public_url: str | None = Field(
        default=None, description="Where people reach Baton, https://baton.example; links in mails begin with it."
    )
    sign_up: Literal["open", "first", "closed"] = Field(
        default="first",
        description="Who may make an organization without the operator: everybody, the first one there, or nobody.",
    )
    session_idle: timedelta = Field(default=timedelta(days=3), description="A session unused for so long ends.")
    session_longest: timedelta = Field(default=timedelta(days=30), description="Every session ends after so long.")
    rate_limit: int = Field(
        default=100_000,
        ge=0,
        description="Requests a minute of one key or session, in each API process; 0 for no limit.",
    )
    visitor_rate_limit: int = Field(
        default=60, ge=0, description="Requests a minute of one visitor of a web chat, in each API process; 0 for none."
    )
    stranger_rate_limit: int = Field(
        default=600,
        ge=0,
        description="Of one network, a minute: web chats opened, and signatures that do not hold; 0 for no limit.",
    )
    oidc_issuer: str | None = Field(default=None, description="OpenID Connect provider; off if not set.")
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = Field(default=None, validate_default=True)
    oidc_scopes: str = "openid email profile"

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    read_model_wait: timedelta = Field(
        default=timedelta(seconds=2),
        description="How long an answer waits for its own write to show in the read model.",
    )
    command_timeout: timedelta = Field(
        default=timedelta(seconds=10), description="How long a command waits for Temporal before 504 (outcome unknown)."
    )
    shutdown_timeout: timedelta = Field(default=timedelta(seconds=10), description="To drain on SIGTERM.")

    worker_sandboxed: bool = Field(
        default=False,
        description="Run workflows in Temporal's import sandbox, as some tests do; costs a third more CPU.",
    )
    worker_max_cached_workflows: int = Field(default=10_000, ge=1, description="About 100 KiB each, sandboxed.")
    worker_max_concurrent_activities: int = Field(default=20, ge=1)
    worker_max_concurrent_workflow_tasks: int = Field(default=8, ge=2, description="4 to 8 on two cores.")
    worker_deployment: str = Field(default="baton", min_length=1, description="Name of the Worker Deployment.")
    worker_build_id: str | None = Field(
        default=None,
        description="Turns Worker Versioning on. The worker then gets nothing to do until this build is made current.",
    )
    history_limit: int = Field(default=500, ge=20, description="Events after which a ticket's run continues as new.")

    backtests_kept: timedelta = Field(
        default=timedelta(days=90), gt=timedelta(0), description="After so long what a back-test has found is deleted."
    )

    smtp_host: str | None = Field(default=None, description="The mail server; without one nothing is mailed.")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="tls: from the first byte, mostly on port 465."
    )
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_ca_file: FilePath | None = Field(
        default=None, description="PEM certificates of the authority that signed the mail server's."
    )
    smtp_timeout: timedelta = Field(default=timedelta(seconds=20), description="For each step of handing a mail over.")
    mail_from: str = Field(
        default="Baton <baton@localhost>", pattern=r"^[^@\r\n]+@[^@\r\n]+$", description="Whom mails come from."
    )
    mail_reply_to: str | None = Field(
        default=None,
        pattern=r"^[^@\r\n]+@[^@\r\n]+$",
        description="Where answers to mails about a ticket go: desk+{ticket}@example.com",
    )
    webhook_private_addresses: bool = Field(
        default=False,
        description="Whether channels may be answered at addresses of private networks, such as that of Baton itself.",
    )
    webhook_timeout: timedelta = Field(
        default=timedelta(seconds=10), le=timedelta(seconds=25), description="For each step of a delivery by webhook."
    )
    mail_gather: timedelta = Field(
        default=timedelta(seconds=30), description="How long a notification waits for others to share a mail with."
    )
    sweep_every: timedelta = Field(
        default=timedelta(minutes=1),
        ge=timedelta(seconds=1),
        description="How often it is looked for what was committed and not told; so old it is looked for.",
    )

    detector_tables: DirectoryPath | None = Field(
        default=None, description="Folder of language tables (*.toml) that add words or languages to the detector's."
    )
    detector_mode: DetectorMode = Field(
        default=DetectorMode.BUILTIN,
        description="cascade: a model is asked where the built-in is unsure; model: about every message.",
    )
    detector_kind: DetectorKind = Field(
        default=DetectorKind.OPENAI, description="openai: any endpoint that speaks its chat completions."
    )
    detector_url: str | None = Field(
        default=None,
        validate_default=True,
        description="Of the endpoint (http://host:11434/v1) or of the webhook; customers' messages are sent there.",
    )
    detector_key: SecretStr | None = Field(default=None, description="Sent there as a bearer token.")
    detector_model: str | None = Field(default=None, validate_default=True, description="The model's name.")
    detector_timeout: timedelta = Field(
        default=timedelta(seconds=2), gt=timedelta(0), description="For a model's answer; then the built-in decides."
    )
    detector_concurrency: int = Field(default=16, ge=1, description="Questions to the model at once, at most.")
    detector_failures: int = Field(default=5, ge=1, description="Failures in a row after which it is left alone.")
    detector_rest: timedelta = Field(default=timedelta(seconds=30), description="How long it is left alone.")

    log_level: LogLevel = "INFO"
    metrics_host: str = Field(default="127.0.0.1", description="Where Prometheus finds the ports below.")
    api_metrics_port: int | None = Field(default=None, ge=1, le=65535, description="HTTP and queues; off if not set.")
    worker_metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Temporal's SDK, lag of the read model, lateness; off if not set."
    )
    otlp_endpoint: str | None = Field(
        default=None, description="Base address of an OTLP/HTTP collector for traces, http://host:4318; off if not set."
    )

    @field_validator("secret_key", "codec_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SHORTEST_SECRET:
            raise ValueError(f"must have at least {_SHORTEST_SECRET} characters; `openssl rand -hex 32` makes one")
        return value

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
            raise ValueError("must be an address without ? and #: https://baton.example")
        return value.rstrip("/") if value else value

    @field_validator("oidc_client_secret")
    @classmethod
    def _client(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("oidc_issuer") and not (info.data.get("oidc_client_id") and value):
            raise ValueError("BATON_OIDC_ISSUER needs BATON_OIDC_CLIENT_ID and BATON_OIDC_CLIENT_SECRET")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be the base address of a collector: http://host:4318")
        return value

    @field_validator("detector_url")
    @classmethod
    def _detector_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("detector_mode", DetectorMode.BUILTIN) is not DetectorMode.BUILTIN:
            raise ValueError("is needed where BATON_DETECTOR_MODE is not builtin: the address of the model")
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be an address: http://host:11434/v1")
        if value is not None and "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("must not hold a name or a password; give the key in BATON_DETECTOR_KEY")
        return value

    @field_validator("detector_model")
    @classmethod
    def _named(cls, value: str | None, info: ValidationInfo) -> str | None:
        asked = info.data.get("detector_mode", DetectorMode.BUILTIN) is not DetectorMode.BUILTIN
        if value is None and asked and info.data.get("detector_kind") is DetectorKind.OPENAI:
            raise ValueError("is needed where BATON_DETECTOR_KIND is openai: the model's name")
        return value

    @field_validator("temporal_tls_ca_file")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
            except OSError as error:  # ssl's own errors are among them
                raise ValueError(f"{value} holds no PEM certificates that can be read ({_words(error)})") from None
        return value

    @field_validator("temporal_tls_key_file")
    @classmethod
    def _pair(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "temporal_tls_cert_file" not in info.data:  # that one was refused itself
            return value
        certificate = info.data["temporal_tls_cert_file"]
        if (certificate is None) != (value is None):
            raise ValueError("BATON_TEMPORAL_TLS_CERT_FILE and BATON_TEMPORAL_TLS_KEY_FILE go together")
        if value is not None:
            try:
                # An empty passphrase, for else OpenSSL would ask for one on the terminal.
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, value, password="")
            except OSError as error:
                raise ValueError(
                    f"{certificate} and {value} are no PEM certificate and its key ({_words(error)})"
                ) from None
        return value

    @cached_property
    def temporal_uses_tls(self) -> bool:
        """Whether anything says so."""
        implied = (
            self.temporal_api_key,
            self.temporal_tls_server_name,
            self.temporal_tls_ca_file,
            self.temporal_tls_cert_file,
        )
        return self.temporal_tls or any(implied)

    @cached_property
    def web_url(self) -> str:
        """Where people reach Baton, without a slash at the end."""
        return self.public_url or f"http://{self.api_host}:{self.api_port}"

    @cached_property
    def psycopg_url(self) -> str:
        """The database address as plain libpq takes it (for LISTEN connections)."""
        return self.database_url.replace("postgresql+psycopg://", "postgresql://", 1)


def read_settings() -> Settings:
    """The settings of this process; ends it with one line for each that cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        exit_unusable(error)


def exit_unusable(error: ValidationError) -> NoReturn:
    """End the process and say what is wrong with which variable; never its value, which may be a secret."""
    lines = [f"{PREFIX}{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors(include_input=False)]
    raise SystemExit("\n".join(["Some settings cannot be used.", *lines])) from None


def _words(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
