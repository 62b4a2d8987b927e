"""The settings of every Baton process, read once from the environment and handed in."""

from datetime import timedelta
from functools import cached_property

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings, each from an environment variable ``BATON_<NAME>``; frozen after construction.

    Lengths of time are ISO 8601 durations (``PT2S``) or seconds. Nothing in the code reads the
    environment by itself: a process builds one ``Settings`` and passes it on.
    """

    model_config = SettingsConfigDict(env_prefix="BATON_", frozen=True, extra="ignore")

    database_url: str = Field(
        default="postgresql+psycopg://baton@127.0.0.1:5432/baton",
        description="SQLAlchemy URL of the read model's Postgres, psycopg 3 driver.",
    )
    database_pool_size: int = Field(default=10, ge=1, description="Connections a process keeps.")
    database_timeout: timedelta = Field(
        default=timedelta(seconds=5), description="To connect, to get a pooled connection, and per statement."
    )

    temporal_address: str = Field(default="127.0.0.1:7233", description="host:port of the Temporal frontend.")
    temporal_namespace: str = "default"
    temporal_task_queue: str = "tickets"
    temporal_ui_url: str = Field(
        default="http://127.0.0.1:8233", description="Where people open the Temporal UI; used in links only."
    )
    temporal_tls: bool = False
    temporal_api_key: SecretStr | None = Field(default=None, description="For Temporal Cloud; implies TLS.")

    secret_key: SecretStr = Field(
        description="Keys the hashes of API keys. At least 32 characters; changing it voids every API key."
    )
    operator_key: SecretStr | None = Field(
        default=None, description="Bearer token that may create organizations; without it nobody can."
    )

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

    worker_sandboxed: bool = Field(default=True, description="Run workflows in Temporal's import sandbox.")
    worker_max_cached_workflows: int = Field(default=10_000, ge=1, description="About 100 KiB each, sandboxed.")
    worker_max_concurrent_activities: int = Field(default=20, ge=1)
    worker_max_concurrent_workflow_tasks: int = Field(default=8, ge=2, description="4 to 8 on two cores.")
    history_limit: int = Field(default=500, ge=20, description="Events after which a ticket's run continues as new.")

    log_level: str = "INFO"

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; `openssl rand -hex 32` makes one")
        return value

    @cached_property
    def psycopg_url(self) -> str:
        """The database address as plain libpq takes it (for LISTEN connections)."""
        return self.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
