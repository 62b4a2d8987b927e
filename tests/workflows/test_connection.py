"""Temporal behind TLS, as on other clusters and on Temporal Cloud; and a Postgres that is asked for TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from db.engine import make_engine
from embedded.ports import LOOPBACK
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.certificates import Authority
from workflows.connection import connect

NAME = "temporal.internal"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Certificates:
    """Who trusts whom: one authority for servers and clients, and one that nobody here knows."""

    authority: Authority
    stranger: Authority


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    return Certificates(Authority(folder / "ours"), Authority(folder / "theirs"))


@asynccontextmanager
async def behind_tls(server: EmbeddedTemporal, certificates: Certificates, *, mutual: bool) -> AsyncIterator[str]:
    """The server's address behind an endpoint that ends TLS for it; ``mutual`` asks clients for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.authority.issue(NAME))
    context.set_alpn_protocols(["h2"])  # without it, gRPC does not speak to a server
    if mutual:
        context.load_verify_locations(certificates.authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    passing: set[asyncio.Task[None]] = set()

    async def serve(*client: *Streams) -> None:
        task = asyncio.current_task()
        assert task is not None
        passing.add(task)
        temporal = await asyncio.open_connection(LOOPBACK, server.port)
        try:
            await asyncio.gather(pass_on(client, temporal), pass_on(temporal, client))
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            temporal[1].close()
            client[1].close()
            passing.discard(task)

    listener = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
    try:
        yield f"{LOOPBACK}:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing)


async def pass_on(source: Streams, target: Streams) -> None:
    while data := await source[0].read(65536):
        target[1].write(data)
        await target[1].drain()


def settings(address: str, **others: object) -> Settings:
    return Settings.model_validate({"temporal_address": address, "secret_key": "0" * 32, **others})


async def answers(given: Settings) -> bool:
    client = await connect(given)
    return bool((await client.workflow_service.get_system_info(GetSystemInfoRequest())).server_version)


async def test_server_with_a_certificate_of_ones_own_authority(
    temporal_server: EmbeddedTemporal, certificates: Certificates
) -> None:
    async with behind_tls(temporal_server, certificates, mutual=False) as address:
        trusted = {"temporal_tls_ca_file": certificates.authority.file, "temporal_tls_server_name": NAME}
        assert await answers(settings(address, **trusted))


@pytest.mark.parametrize(
    "others",
    [
        {},  # without TLS
        {"temporal_tls": True},  # the system does not know the authority
        {"ca": "ours"},  # the address is not the name in the certificate
        {"ca": "theirs", "temporal_tls_server_name": NAME},
    ],
)
async def test_server_that_cannot_be_trusted_is_not_spoken_to(
    temporal_server: EmbeddedTemporal, certificates: Certificates, others: dict[str, object]
) -> None:
    authorities = {"ours": certificates.authority.file, "theirs": certificates.stranger.file}
    given = {name: value for name, value in others.items() if name != "ca"}
    if "ca" in others:
        given["temporal_tls_ca_file"] = authorities[str(others["ca"])]
    async with behind_tls(temporal_server, certificates, mutual=False) as address:
        with pytest.raises(RuntimeError, match="Failed client connect"):
            await connect(settings(address, **given))


async def test_server_that_asks_for_a_certificate_gets_ours(
    temporal_server: EmbeddedTemporal, certificates: Certificates
) -> None:
    trusted = {"temporal_tls_ca_file": certificates.authority.file, "temporal_tls_server_name": NAME}

    def shown(pair: tuple[Path, Path]) -> dict[str, Path]:
        return {"temporal_tls_cert_file": pair[0], "temporal_tls_key_file": pair[1]}

    async with behind_tls(temporal_server, certificates, mutual=True) as address:
        assert await answers(settings(address, **trusted, **shown(certificates.authority.issue("worker"))))
        for pair in ({}, shown(certificates.stranger.issue("worker"))):
            with pytest.raises(RuntimeError, match="Failed client connect"):
                await connect(settings(address, **trusted, **pair))


async def test_postgres_that_cannot_encrypt_is_refused_where_the_address_asks_for_it(database_url: str) -> None:
    given = settings("", database_url=f"{database_url}?sslmode=require")
    engine = make_engine(given)
    try:
        with pytest.raises(Exception, match="server does not support SSL, but SSL was required"):
            await engine.connect()
    finally:
        await engine.dispose()
    with pytest.raises(psycopg.OperationalError, match="SSL was required"):
        await psycopg.AsyncConnection.connect(given.psycopg_url)
