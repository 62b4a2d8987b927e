"""Starting what is done about data as such, and handing an export out without ever holding all of it."""

import asyncio
import json
import zipfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Any, cast
from uuid import UUID, uuid5

from sqlalchemy import func, select
from temporalio.client import RPCError
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.signatures import EraseRequester, ExportRequest
from api.dependencies import Principal, Services
from api.idempotency import RequestId
from api.problems import Problem
from db.engine import Sessions
from db.models import Export, ExportPage
from domain.ids import erasure_workflow_id, export_workflow_id
from workflows.erasure import ErasureWorkflow
from workflows.export import ExportWorkflow, StartExport
from workflows.search_attributes import TICKET_ORGANIZATION

FORMAT = 1
"""Of an export's files; a change that readers would notice raises it."""


@dataclass(frozen=True)
class Privacy:
    """Starts the caller's erasures and exports."""

    services: Services
    caller: Principal

    def id_of(self, kind: str, request: RequestId) -> UUID:
        """What a request starts, however often it is sent."""
        return uuid5(self.caller.organization_id, f"{kind}:{request.key}")

    async def erase(self, erasure_id: UUID, requester_id: UUID) -> None:
        """Begin to erase; once for an erasure, however often it is asked."""
        start = EraseRequester(
            organization_id=self.caller.organization_id,
            requester_id=requester_id,
            erasure_id=erasure_id,
            actor=self.caller.actor,
        )
        await self._start(
            ErasureWorkflow.run,
            start,
            erasure_workflow_id(self.caller.organization_id, erasure_id),
            "Erase a requester",
        )

    async def export(self, export: Export) -> None:
        """Begin to gather; once for an export, however often it is asked."""
        request = ExportRequest(organization_id=export.organization_id, export_id=export.id)
        await self._start(
            ExportWorkflow.run,
            StartExport(request=request, expires_at=export.expires_at),
            export_workflow_id(export.organization_id, export.id),
            "Export an organization",
        )

    async def _start(self, run: Any, start: Any, workflow_id: str, summary: str) -> None:
        timeout = self.services.settings.command_timeout
        owner = SearchAttributePair(TICKET_ORGANIZATION, str(self.caller.organization_id))
        try:
            # The client's own timeout is for one attempt; while Temporal is away it makes several.
            async with asyncio.timeout(timeout.total_seconds()):
                await self.services.temporal.start_workflow(
                    run,
                    start,
                    id=workflow_id,
                    task_queue=self.services.settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=TypedSearchAttributes([owner]),
                    static_summary=summary,
                    rpc_timeout=timeout,
                )
        except WorkflowAlreadyStartedError:
            pass
        except (RPCError, TimeoutError):
            raise Problem(
                "temporal_unavailable",
                "It is written down but could not be started: Temporal does not answer. "
                "Send the request again with the same Idempotency-Key.",
            ) from None


def erasure_row(caller: Principal, erasure_id: UUID, requester_id: UUID) -> dict[str, Any]:
    """What is written down before anything is erased."""
    return {**_asked(caller), "id": erasure_id, "requester_id": requester_id}


def export_row(caller: Principal, export_id: UUID) -> dict[str, Any]:
    """What is written down before anything is gathered, but for when it expires."""
    return {**_asked(caller), "id": export_id, "rows": {}}


def _asked(caller: Principal) -> dict[str, Any]:
    actor = caller.actor
    return {
        "organization_id": caller.organization_id,
        "actor_kind": actor.kind.value,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "status": "running",
    }


class _Sink:
    """Where a zip is written to and taken from, a piece at a time; it cannot seek, and holds only what is not taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


async def zipped(reads: Sessions, export: Export) -> AsyncIterator[bytes]:
    """The export as a zip: ``export.json`` says what it is, then one file of JSON Lines for each table.

    Holds a page at a time. The rows it has are those of its pages; one that expires meanwhile breaks off.
    """
    sink = _Sink()
    facts = {
        "format": FORMAT,
        "organization_id": str(export.organization_id),
        "created_at": export.created_at.isoformat(),
        "rows": export.rows,
    }
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export.json", json.dumps(facts, indent=2))
        for name, expected in export.rows.items():
            rows = 0
            with archive.open(name, "w", force_zip64=True) as file:
                async for page in _pages(reads, export.id, name):
                    rows += page.rows
                    # In a thread: compressing a megabyte takes as long as ten requests.
                    await asyncio.to_thread(file.write, zlib.decompress(page.content))
                    yield sink.take()
            if rows != expected:
                raise RuntimeError(f"the export {export.id} has lost pages of {name}")
        yield sink.take()
    yield sink.take()


async def _pages(reads: Sessions, export_id: UUID, file: str) -> AsyncIterator[ExportPage]:
    number = 0
    while True:
        async with reads() as session:
            page = await session.get(ExportPage, (export_id, file, number))
        if page is None:
            return
        yield page
        number += 1


def progress_of(export_id: UUID) -> Any:
    """The statement for rows by file that have been gathered so far."""
    return (
        select(ExportPage.file, func.sum(ExportPage.rows), func.sum(func.octet_length(ExportPage.content)))
        .where(ExportPage.export_id == export_id)
        .group_by(ExportPage.file)
        .order_by(ExportPage.file)
    )
