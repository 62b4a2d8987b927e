"""The connection every process has to Temporal."""

from collections.abc import Sequence
from pathlib import Path

from temporalio.client import Client, Plugin
from temporalio.runtime import Runtime
from temporalio.service import TLSConfig

from settings import Settings
from workflows.encryption import encrypted_data_converter


async def connect(
    settings: Settings, *, lazy: bool = False, runtime: Runtime | None = None, plugins: Sequence[Plugin] = ()
) -> Client:
    """Connect to the cluster the settings name: a local one, any other, or Temporal Cloud.

    With ``lazy`` the connection is made by the first call; files of certificates are read at once in any case.
    """
    api_key = settings.temporal_api_key
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=api_key.get_secret_value() if api_key else None,
        tls=_tls(settings),
        data_converter=encrypted_data_converter(settings.encryption_keys),
        lazy=lazy,
        runtime=runtime,
        plugins=plugins,
    )


def _tls(settings: Settings) -> TLSConfig | bool:
    if not settings.temporal_uses_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_bytes(settings.temporal_tls_ca_file),
        domain=settings.temporal_tls_server_name,
        client_cert=_bytes(settings.temporal_tls_cert_file),
        client_private_key=_bytes(settings.temporal_tls_key_file),
    )


def _bytes(file: Path | None) -> bytes | None:
    return file.read_bytes() if file else None
