import os
import stat
from pathlib import Path

import pytest

from embedded.__main__ import environment_for, settings_from
from embedded.home import PASSWORD_NAME, EmbeddedSettings, Home
from embedded.ports import Port, free_port, require_free
from embedded.postgres import EmbeddedPostgres
from embedded.process import EmbeddedError
from embedded.progress import Progress
from embedded.temporal import EmbeddedTemporal


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "baton")
    home.make()
    return home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_kept_private(home: Home) -> None:
    first = home.settings()
    assert {"BATON_SECRET_KEY", "BATON_OPERATOR_KEY", PASSWORD_NAME} == first.keys()
    assert mode(home.settings_file) == 0o600
    home.settings_file.chmod(0o644)  # as an editor may leave it
    assert home.settings() == first
    assert mode(home.settings_file) == 0o600


def test_settings_added_by_hand_are_kept(home: Home) -> None:
    home.settings_file.write_text("# mine\nBATON_LOG_LEVEL = DEBUG\nBATON_API_HOST=a=b\n")
    assert home.settings() | {"BATON_LOG_LEVEL": "DEBUG", "BATON_API_HOST": "a=b"} == home.settings()
    assert len(home.settings()) == 5


@pytest.mark.parametrize("name", ["", "beneath"])
def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EmbeddedError, match=r"cannot hold Baton's data: .* BATON_HOME="):
        Home(tmp_path / "file" / name).make()


def test_the_parts_get_our_addresses_and_none_of_our_password(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATABASE_URL", "postgresql+psycopg://elsewhere/baton")
    monkeypatch.setenv("BATON_TEMPORAL_ADDRESS", "elsewhere:7233")
    monkeypatch.setenv("BATON_TEMPORAL_API_KEY", "of a cluster")
    monkeypatch.setenv("BATON_TEMPORAL_TLS", "true")
    monkeypatch.setenv("BATON_TEMPORAL_TLS_CA_FILE", "/nowhere")
    monkeypatch.setenv("BATON_READ_MODEL_WAIT", "PT7S")
    postgres = EmbeddedPostgres(home.postgres, 1, password="p", log=home.log("postgres"))
    temporal = EmbeddedTemporal(home.temporal, 2, 3, log=home.log("temporal"))
    environment = environment_for(EmbeddedSettings(), home.settings(), postgres, temporal)
    settings = settings_from(environment)
    assert settings.database_url == postgres.url
    assert (settings.temporal_address, settings.temporal_ui_url) == ("127.0.0.1:2", "http://127.0.0.1:3")
    assert (settings.temporal_tls, settings.temporal_api_key) == (False, None)
    assert settings.read_model_wait.total_seconds() == 7  # what is not about the stack itself is the caller's choice
    assert settings.secret_key.get_secret_value() == home.settings()["BATON_SECRET_KEY"]
    assert not {PASSWORD_NAME, "BATON_TEMPORAL_API_KEY", "BATON_TEMPORAL_TLS_CA_FILE"} & environment.keys()


def test_one_port_for_two_parts_is_refused() -> None:
    number = free_port()
    ports = [Port(number, "the API", "BATON_API_PORT"), Port(number, "Temporal", "BATON_EMBEDDED_TEMPORAL_PORT")]
    with pytest.raises(EmbeddedError, match=r"wanted by both the API and Temporal.*BATON_EMBEDDED_TEMPORAL_PORT"):
        require_free(ports)


def test_a_reader_who_has_gone_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    done = []
    with Progress(stream).step("starting", "ready"):
        done.append("the step")
    assert done == ["the step"]
    with pytest.raises(BrokenPipeError):  # nobody was there all the time
        stream.close()
