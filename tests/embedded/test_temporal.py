import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from temporalio import workflow
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from embedded.ports import LOOPBACK, free_port
from embedded.process import EmbeddedError
from embedded.temporal import RETENTION, SQLITE, UNFINISHED, EmbeddedTemporal
from tests.support import eventually_sync
from workflows import search_attributes

WANTED = {key.name: int(key.indexed_value_type) for key in search_attributes.ALL}


@workflow.defn
class NeverTouched:
    """Started only, to have something to keep."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedTemporal]:
    server = EmbeddedTemporal(tmp_path / "temporal", free_port(), free_port(), log=tmp_path / "temporal.log")
    yield server
    server.kill()


def up(server: EmbeddedTemporal) -> None:
    server.start()
    server.wait_ready()


async def known_attributes(client: Client) -> dict[str, int]:
    listing = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return {name: int(kind) for name, kind in listing.custom_attributes.items() if name in WANTED}


async def test_search_attributes_and_retention_are_set(temporal_client: Client) -> None:
    assert await known_attributes(temporal_client) == WANTED
    namespace = await temporal_client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert namespace.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION


async def test_workflows_survive_a_killed_server(server: EmbeddedTemporal) -> None:
    up(server)
    client = await Client.connect(server.address)
    await client.start_workflow(NeverTouched.run, id="kept", task_queue="nobody-listens")
    server.kill()
    up(server)
    again = await Client.connect(server.address)
    assert (await again.get_workflow_handle("kept").describe()).workflow_type == "NeverTouched"


def test_its_data_is_private(server: EmbeddedTemporal) -> None:
    up(server)
    assert server.folder is not None
    assert server.folder.stat().st_mode & 0o077 == 0


def test_its_ui_asks_the_codec_endpoint(tmp_path: Path) -> None:
    endpoint = "http://127.0.0.1:8000/codec"
    server = EmbeddedTemporal(None, free_port(), free_port(), log=tmp_path / "temporal.log", codec_endpoint=endpoint)
    try:
        up(server)
        shown = httpx.get(f"{server.ui_url}/api/v1/settings", trust_env=False).json()
    finally:
        server.kill()
    assert shown["Codec"]["Endpoint"] == endpoint


@pytest.mark.parametrize(
    "files",
    [
        {"temporal.db": b"this is no database " * 500},
        {"temporal.db": b""},
        {"temporal.db": b"", "temporal.db-wal": b"all there is"},  # which the server would delete
        {"temporal.db-wal": b"all there is"},
    ],
)
def test_what_is_no_database_is_explained_and_left_alone(server: EmbeddedTemporal, files: dict[str, bytes]) -> None:
    folder = put(server, files)
    with pytest.raises(EmbeddedError, match="gone or no database") as caught:
        server.start()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    assert f"mv {folder} {folder}.damaged" in str(caught.value)


def test_a_database_the_server_cannot_read_is_explained_with_a_way_out(server: EmbeddedTemporal) -> None:
    folder = put(server, {"temporal.db": SQLITE + b"damaged " * 500})
    with pytest.raises(EmbeddedError, match=r"file is not a database|malformed") as caught:
        up(server)
    assert f"mv {folder} {folder}.damaged" in str(caught.value)


def test_what_a_killed_first_start_left_is_made_anew(server: EmbeddedTemporal) -> None:
    server.start()
    folder = server.folder
    assert folder is not None
    eventually_sync((folder / "temporal.db").exists)
    server.kill()
    (folder / "temporal.db").write_bytes(b"")  # as a kill a moment earlier leaves it
    up(server)
    assert (folder / "temporal.db").stat().st_size
    assert not (folder / UNFINISHED).exists()  # from now on it is never deleted


def put(server: EmbeddedTemporal, files: dict[str, bytes]) -> Path:
    assert server.folder is not None
    server.folder.mkdir(mode=0o700)
    for name, content in files.items():
        (server.folder / name).write_bytes(content)
    return server.folder


def test_taken_ports_are_all_named_with_their_variables(server: EmbeddedTemporal) -> None:
    with socket.create_server((LOOPBACK, 0)) as one, socket.create_server((LOOPBACK, 0)) as other:
        server.port, server.ui_port = one.getsockname()[1], other.getsockname()[1]
        with pytest.raises(EmbeddedError) as caught:
            server.start()
    message = str(caught.value)
    assert f"Port {server.port}, which Temporal needs, is taken by" in message
    assert f"Port {server.ui_port}, which the Temporal UI needs" in message
    assert f"process {os.getpid()}" in message
    assert "BATON_EMBEDDED_TEMPORAL_PORT=" in message
    assert "BATON_EMBEDDED_TEMPORAL_UI_PORT=" in message
