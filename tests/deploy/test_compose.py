"""What the compose file says agrees with the code that it starts."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client

from api.app import create_app
from api.codec_access import PATH as CODEC_PATH
from embedded.temporal import DYNAMIC_CONFIG
from settings import PREFIX, DatabaseSettings, Settings
from tests.deploy.compose import CHECKOUT, Compose, read

JOBS = {"temporal-schema", "temporal-namespace", "migrations"}


@pytest.fixture(scope="module")
def compose() -> Compose:
    return read()


def settings_of(compose: Compose, service: str) -> Settings:
    """What the service's process is built with; secrets, which files hold, are made up."""
    environment = compose.services[service]["environment"]
    values = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if value != ""}
    return Settings.model_validate({"secret_key": "0" * 32} | values)


def test_every_setting_and_secret_is_one_the_code_knows(compose: Compose) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name, service in compose.own.items():
        assert {key for key in service["environment"] if key.startswith(PREFIX)} <= known
        assert {target.upper() for target in compose.targets(name)} <= known
        settings_of(compose, name)


def test_each_process_finds_the_secrets_it_cannot_do_without(compose: Compose) -> None:
    for name in ("worker", "api"):
        assert {"baton_secret_key", "baton_database_password", "baton_encryption_keys"} <= set(compose.targets(name))
    assert compose.targets("migrations") == ["baton_database_password"]
    assert set(DatabaseSettings.model_fields) == {"database_url", "database_password"}


def test_no_secret_is_written_down_anywhere(compose: Compose) -> None:
    for service in compose.services.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"PASSWORD|PWD|SECRET|TOKEN|_KEYS?$", name) or str(value).startswith("/run/secrets/")
    assert {secret["file"].rpartition("/")[0] for secret in compose.document["secrets"].values()} == {
        str(CHECKOUT / "deploy/secrets")
    }
    assert "deploy/secrets/" in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_commands_start_what_is_there(compose: Compose) -> None:
    for service in compose.own.values():
        python, *words = service["command"]
        assert python == "python"
        if words[0] == "-m":
            assert importlib.util.find_spec(words[1])
        else:
            assert (CHECKOUT / words[0]).is_file()


def test_health_checks_ask_where_the_processes_answer(compose: Compose) -> None:
    api, worker = settings_of(compose, "api"), settings_of(compose, "worker")
    assert api.api_host == "0.0.0.0"
    asked = " ".join(compose.services["api"]["healthcheck"]["test"])
    [port, path] = re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", asked)[0]
    assert int(port) == api.api_port
    assert path in create_app(api).openapi()["paths"]
    assert f"127.0.0.1:{worker.worker_metrics_port}/metrics" in " ".join(
        compose.services["worker"]["healthcheck"]["test"]
    )


def test_gateway_finds_every_api_process_and_asks_whether_it_is_ready(compose: Compose) -> None:
    api = settings_of(compose, "api")
    rules = compose.mounted("gateway", "/usr/local/etc/haproxy/haproxy.cfg").read_text()
    [name, port] = re.findall(r"server-template \S+ \d+ ([\w-]+):(\d+)", rules)[0]
    assert (name in compose.services, int(port)) == (True, api.api_port)
    assert "option httpchk GET /readyz" in rules
    [published] = compose.services["gateway"]["ports"]
    assert f"bind :{published['target']}" in rules
    assert set(compose.services["gateway"]["networks"]) <= set(compose.services["api"]["networks"])


def test_everything_starts_after_what_it_needs(compose: Compose) -> None:
    order = {
        name: {needed: rule["condition"] for needed, rule in service.get("depends_on", {}).items()}
        for name, service in compose.services.items()
    }
    ready, done = "service_healthy", "service_completed_successfully"
    application = {"migrations": done, "temporal-namespace": done}
    assert order == {
        "postgres": {},
        "temporal-schema": {"postgres": ready},
        "temporal": {"temporal-schema": done},
        "temporal-namespace": {"temporal": ready},
        "temporal-ui": {"temporal-namespace": done},
        "migrations": {"postgres": ready},
        "worker": application,
        "api": application,
        "gateway": {"api": ready},
    }
    for name, needs in order.items():
        for needed, condition in needs.items():
            assert condition == (done if needed in JOBS else ready), name
            assert condition == done or "healthcheck" in compose.services[needed]


def test_addresses_name_services_that_can_be_reached(compose: Compose) -> None:
    for name in ("worker", "api", "migrations"):
        settings = settings_of(compose, name)
        hosts = [re.findall(r"@([\w-]+):5432/baton$", settings.database_url)[0]]
        hosts += [] if name == "migrations" else [settings.temporal_address.removesuffix(":7233")]
        for host in hosts:
            assert set(compose.services[host]["networks"]) & set(compose.services[name]["networks"])


def test_neither_postgres_nor_temporal_can_be_reached_from_outside(compose: Compose) -> None:
    assert compose.document["networks"]["inside"]["internal"]
    for name in ("postgres", "temporal"):
        assert set(compose.services[name]["networks"]) == {"inside"}
        assert "ports" not in compose.services[name]
    [published] = compose.services["temporal-ui"]["ports"]
    assert published["host_ip"] == "127.0.0.1"


def test_ui_changes_nothing_and_asks_the_codec_endpoint(compose: Compose) -> None:
    environment = compose.services["temporal-ui"]["environment"]
    assert environment["TEMPORAL_DISABLE_WRITE_ACTIONS"] == "true"
    assert environment["TEMPORAL_CODEC_INCLUDE_CREDENTIALS"] == "true"
    assert environment["TEMPORAL_DEFAULT_NAMESPACE"] == settings_of(compose, "api").temporal_namespace
    [published] = compose.services["gateway"]["ports"]
    assert environment["TEMPORAL_CODEC_ENDPOINT"] == f"http://localhost:{published['published']}{CODEC_PATH}"
    [own] = compose.services["temporal-ui"]["ports"]
    assert settings_of(compose, "api").temporal_ui_url == f"http://localhost:{own['published']}"


def test_processes_are_as_many_as_asked_for() -> None:
    compose = read(BATON_WORKERS="5", BATON_APIS="3", BATON_WORKER_BUILD_ID="build-7")
    assert [compose.services[name]["deploy"]["replicas"] for name in ("worker", "api")] == [5, 3]
    assert settings_of(compose, "worker").worker_build_id == "build-7"


def test_processes_have_no_more_rights_than_they_use_and_time_to_drain(compose: Compose) -> None:
    for name, service in compose.own.items():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert (
            int(service["stop_grace_period"].removesuffix("s"))
            > settings_of(compose, name).shutdown_timeout.total_seconds()
        )


def test_every_image_is_pinned_to_one_release(compose: Compose) -> None:
    for name, service in compose.services.items():
        if name not in compose.own:
            assert re.fullmatch(r"[\w/-]+:\d+\.\d+(\.\d+)?(-\w+)?", service["image"]), service["image"]


async def test_server_is_of_the_release_that_tests_run_on(compose: Compose, temporal_client: Client) -> None:
    info = await temporal_client.workflow_service.get_system_info(GetSystemInfoRequest())
    tags = {compose.services[name]["image"].partition(":")[2] for name in ("temporal", "temporal-schema")}
    assert [tag.rsplit(".", 1)[0] for tag in tags] == [info.server_version.rsplit(".", 1)[0]]


def test_temporal_is_given_the_settings_that_won(compose: Compose) -> None:
    path = compose.services["temporal"]["environment"]["DYNAMIC_CONFIG_FILE_PATH"]
    given = compose.mounted("temporal", path).read_text()
    assert dict(re.findall(r"^([\w.]+):\n  - value: (\S+)$", given, re.MULTILINE)) == DYNAMIC_CONFIG


def test_scripts_of_jobs_are_mounted_where_they_are_called(compose: Compose) -> None:
    for name in ("temporal-schema", "temporal-namespace"):
        shell, script = compose.services[name]["entrypoint"]
        assert (shell, compose.mounted(name, script).stat().st_mode & 0o111 != 0) == ("/bin/sh", True)
    start = compose.mounted("postgres", "/docker-entrypoint-initdb.d/databases.sh")
    assert start.stat().st_mode & 0o111, "Postgres' image would source it instead of running it"


def test_temporal_gets_its_password_from_the_file(compose: Compose, tmp_path: Path) -> None:
    [*shell, line] = compose.services["temporal"]["entrypoint"]
    [secret] = compose.targets("temporal")
    (tmp_path / secret).write_text("the password\n")
    line = line.replace("$$", "$").replace("/run/secrets", str(tmp_path))
    assert line.endswith("/etc/temporal/entrypoint.sh")
    line = line.replace("/etc/temporal/entrypoint.sh", "printenv POSTGRES_PWD")
    assert subprocess.check_output([*shell, line], text=True) == "the password\n"
