"""The connection every process has to Temporal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temporalio.client import (
    Client,
    DescribeWorkflowInput,
    Interceptor,
    OutboundInterceptor,
    Plugin,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowExecutionDescription,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from settings import Settings
from workflows.encryption import encrypted_data_converter


async def connect(
    settings: Settings, *, lazy: bool = False, runtime: Runtime | None = None, plugins: Sequence[Plugin] = ()
) -> Client:
    """Connect to the cluster the settings name: a local one, any other, or Temporal Cloud.

    With ``lazy`` the connection is made by the first call, and a call that cannot make it raises ``RPCError`` like any
    other; files of certificates are read at once in any case.
    """
    api_key = settings.temporal_api_key
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=api_key.get_secret_value() if api_key else None,
        tls=_tls(settings),
        data_converter=encrypted_data_converter(settings.encryption_keys),
        lazy=lazy,
        interceptors=[_LateConnection()] if lazy else [],
        runtime=runtime,
        plugins=plugins,
    )


class _LateConnection(Interceptor):
    """Gives a server that is not there yet the name a server that has gone has; the client raises ``RuntimeError``."""

    def intercept_client(self, following: OutboundInterceptor) -> OutboundInterceptor:
        return _Calls(following)


class _Calls(OutboundInterceptor):
    async def start_workflow(self, wanted: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        with _connecting():
            return await super().start_workflow(wanted)

    async def describe_workflow(self, wanted: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        with _connecting():
            return await super().describe_workflow(wanted)

    async def query_workflow(self, wanted: QueryWorkflowInput) -> Any:
        with _connecting():
            return await super().query_workflow(wanted)

    async def signal_workflow(self, wanted: SignalWorkflowInput) -> None:
        with _connecting():
            await super().signal_workflow(wanted)

    async def start_workflow_update(self, wanted: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
        with _connecting():
            return await super().start_workflow_update(wanted)

    async def start_update_with_start_workflow(
        self, wanted: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        with _connecting():
            return await super().start_update_with_start_workflow(wanted)


@contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed client connect"):
            raise
        raise RPCError(str(error), RPCStatusCode.UNAVAILABLE, b"") from error


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
