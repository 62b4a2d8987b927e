import base64
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from settings import DatabaseSettings, Settings, parse_encryption_keys, read_settings
from tests.certificates import Authority

SECRET = "0" * 32
KEY = base64.b64encode(bytes(range(224, 256))).decode()  # has characters that URL-safe base64 spells differently


def make(**values: object) -> Settings:
    return Settings.model_validate({"secret_key": SECRET, **values})


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as Docker mounts it, and an environment that says nothing else."""
    monkeypatch.setenv("BATON_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_secrets_come_from_files(secrets: Path) -> None:
    (secrets / "baton_secret_key").write_text("x" * 40 + "\n")
    (secrets / "BATON_ENCRYPTION_KEYS").write_text(f"2026:{KEY}\n")
    settings = read_settings()
    assert settings.secret_key.get_secret_value() == "x" * 40
    assert [key.id for key in settings.encryption_keys] == ["2026"]


def test_environment_comes_before_files_and_counts_only_if_it_is_not_empty(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "baton_secret_key").write_text("f" * 40)
    (secrets / "baton_operator_key").write_text("from the file")
    monkeypatch.setenv("BATON_SECRET_KEY", "e" * 40)
    monkeypatch.setenv("BATON_OPERATOR_KEY", "")
    settings = read_settings()
    assert settings.secret_key.get_secret_value() == "e" * 40
    assert settings.operator_key is not None
    assert settings.operator_key.get_secret_value() == "from the file"


@pytest.mark.parametrize(
    ("given", "password", "address"),
    [
        # As hosting providers hand it out.
        ("postgres://u:p@h:5432/d", None, "postgresql+psycopg://u:p@h:5432/d"),
        ("postgresql://u@h/d?sslmode=verify-full", None, "postgresql+psycopg://u@h/d?sslmode=verify-full"),
        # Nothing that a password may hold is taken for a part of the address.
        ("postgresql://u@h/d", "p@s/s:%", "postgresql+psycopg://u:p%40s%2Fs%3A%25@h/d"),
        # An address that has one keeps it.
        ("postgresql+psycopg://u:own@h/d", "other", "postgresql+psycopg://u:own@h/d"),
    ],
)
def test_database_address(given: str, password: str | None, address: str) -> None:
    settings = make(database_url=given, database_password=password)
    assert settings.database_url == address
    assert settings.psycopg_url == address.replace("+psycopg", "")


def test_migrations_need_nothing_but_the_database(secrets: Path) -> None:
    (secrets / "baton_database_password").write_text("secret")
    assert DatabaseSettings().database_url == "postgresql+psycopg://baton:secret@127.0.0.1:5432/baton"


def test_keys_are_read_in_their_order_and_in_both_alphabets_of_base64() -> None:
    url_safe = KEY.translate(str.maketrans("+/", "-_"))
    assert url_safe != KEY
    first, second = make(encryption_keys=f" b:{url_safe}, a:{KEY} ").encryption_keys
    assert (first.id, second.id) == ("b", "a")
    assert first.key == second.key
    assert make(encryption_keys="").encryption_keys == ()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (KEY, "entry 1 must be id:key"),
        (f"a:{KEY},:{KEY}", "entry 2 must be id:key"),
        (f"a b:{KEY}", "entry 1 must be id:key"),
        (f"a:{KEY},a:{KEY}", "'a' is used twice"),
        ("a:not base64!", "'a' is not base64"),
        (f"a:{KEY[:24]}", "'a' has 18 bytes instead of 32"),
    ],
)
def test_unusable_keys_are_explained_without_showing_them(given: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make(encryption_keys=given)
    assert complaint in str(caught.value)
    assert KEY[:20] not in str(caught.value)
    assert KEY[:20] not in repr(parse_encryption_keys(f"a:{KEY}"))


def test_process_with_unusable_settings_ends_with_a_line_for_each(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_SECRET_KEY", "too short")
    monkeypatch.setenv("BATON_DATABASE_URL", "mysql://user:password@host/d")
    monkeypatch.setenv("BATON_API_PORT", "0")
    with pytest.raises(SystemExit) as caught:
        read_settings()
    message = str(caught.value)
    assert "BATON_SECRET_KEY: Value error, must have at least 32 characters" in message
    assert "BATON_DATABASE_URL: Value error, must be the address of a Postgres" in message
    assert "BATON_API_PORT: Input should be greater than or equal to 1" in message
    assert "too short" not in message
    assert "password" not in message


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good and bad certificates, by name."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = Authority(folder / "ca"), Authority(folder / "other")
    cert, key = authority.issue("worker")
    _, other_key = other.issue("worker")
    no_certificate = folder / "empty.pem"
    no_certificate.write_text("nothing\n")
    locked = authority.lock(key)
    return {
        "ca": authority.file,
        "cert": cert,
        "key": key,
        "other_key": other_key,
        "locked": locked,
        "empty": no_certificate,
        "absent": folder / "absent.pem",
    }


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ({"ca": "absent"}, "temporal_tls_ca_file"),
        ({"ca": "empty"}, "empty.pem holds no PEM certificates"),
        ({"cert": "cert"}, "go together"),
        ({"key": "key"}, "go together"),
        ({"cert": "cert", "key": "empty"}, "are no PEM certificate and its key"),
        ({"cert": "cert", "key": "other_key"}, "KEY_VALUES_MISMATCH"),
        ({"cert": "cert", "key": "locked"}, "are no PEM certificate and its key"),
    ],
)
def test_unusable_certificates_are_refused_at_once(
    files: dict[str, Path], names: dict[str, str], complaint: str
) -> None:
    given = {f"temporal_tls_{kind}_file": files[name] for kind, name in names.items()}
    with pytest.raises(ValidationError, match=complaint):
        make(**given)


@pytest.mark.parametrize(
    ("given", "tls"),
    [
        ({}, False),
        ({"temporal_tls": True}, True),
        ({"temporal_api_key": SecretStr("key")}, True),
        ({"temporal_tls_server_name": "temporal.internal"}, True),
    ],
)
def test_tls_is_implied_by_what_makes_no_sense_without(given: dict[str, object], tls: bool) -> None:
    assert make(**given).temporal_uses_tls is tls


def test_tls_is_implied_by_files(files: dict[str, Path]) -> None:
    assert make(temporal_tls_ca_file=files["ca"]).temporal_uses_tls
    assert make(temporal_tls_cert_file=files["cert"], temporal_tls_key_file=files["key"]).temporal_uses_tls


def test_log_level_is_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make(log_level="warning").log_level == "WARNING"
    monkeypatch.setenv("BATON_SECRET_KEY", SECRET)
    monkeypatch.setenv("BATON_LOG_LEVEL", "chatty")
    with pytest.raises(SystemExit, match="BATON_LOG_LEVEL: Input should be 'DEBUG', 'INFO'"):
        read_settings()


def test_collector_is_named_by_its_address() -> None:
    assert make(otlp_endpoint="http://collector:4318").otlp_endpoint == "http://collector:4318"
    with pytest.raises(ValidationError, match="must be the base address of a collector"):
        make(otlp_endpoint="collector:4317")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"detector_mode": "cascade"}, "detector_url"),
        ({"detector_mode": "model", "detector_url": "http://h/v1"}, "detector_model"),
        ({"detector_mode": "model", "detector_url": "h/v1", "detector_model": "m"}, "must be an address"),
        ({"detector_mode": "sometimes"}, "detector_mode"),
        ({"detector_url": "https://user:pass@h/v1"}, "BATON_DETECTOR_KEY"),
        ({"detector_tables": "/nonexistent"}, "detector_tables"),
        ({"detector_timeout": "PT0S"}, "detector_timeout"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused_at_the_start(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make(**given)


def test_a_webhook_needs_no_model_and_the_built_in_needs_nothing() -> None:
    make()
    make(detector_mode="cascade", detector_kind="webhook", detector_url="http://h/opinions")
