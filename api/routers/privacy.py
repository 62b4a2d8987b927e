"""Erasing a requester, and the export of an organization."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from api.dependencies import AppServices, Caller, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.privacy import Privacy, erasure_row, export_row, progress_of, zipped
from api.problems import Problem
from api.schemas.privacy import CreateExport, ErasureView, ExportView
from db.audit import write_act
from db.models import Erasure, Export, Requester

router = APIRouter(tags=["privacy"])


@router.delete(
    "/requesters/{requester_id}", status_code=202, response_model=ErasureView, summary="Erase all of a requester"
)
async def erase_requester(
    requester_id: UUID, caller: Caller, session: Session, services: AppServices, request: Idempotency
) -> Response:
    """Name, address, messages, notes, titles and descriptions go, also from histories; counts and times stay.

    The answer comes at once; `GET /erasures/{erasure_id}` says when it is done. What they write later is kept anew.
    """
    privacy = Privacy(services, caller)
    erasure_id = privacy.id_of("erasure", request)

    async def work() -> ErasureView:
        await find_own(session, caller, Requester, requester_id, "requester")
        erasure = Erasure(**erasure_row(caller, erasure_id, requester_id), created_at=datetime.now(UTC))
        session.add(erasure)
        await session.flush()
        return ErasureView.model_validate(erasure)

    response = await once(session, caller.organization_id, request, work, status=202)
    await privacy.erase(erasure_id, requester_id)
    return response


@router.get("/erasures", summary="List erasures")
async def list_erasures(caller: Caller, session: ReadSession, place: Paging) -> Page[ErasureView]:
    mine = select(Erasure).where(Erasure.organization_id == caller.organization_id)
    return await page_by_time(session, mine, Erasure, ErasureView, place)


@router.get("/erasures/{erasure_id}", summary="How far an erasure has come")
async def read_erasure(erasure_id: UUID, caller: Caller, session: ReadSession) -> ErasureView:
    return ErasureView.model_validate(await find_own(session, caller, Erasure, erasure_id, "erasure"))


@router.post("/exports", status_code=202, response_model=ExportView, summary="Export all that is your organization's")
async def create_export(
    document: CreateExport, caller: Caller, session: Session, services: AppServices, request: Idempotency
) -> Response:
    """The answer comes at once; `GET /exports/{export_id}` says when it can be downloaded, and until when."""
    privacy = Privacy(services, caller)
    export_id = privacy.id_of("export", request)

    async def work() -> ExportView:
        now = datetime.now(UTC)
        export = Export(**export_row(caller, export_id), size=0, created_at=now, expires_at=now + document.keep_for)
        session.add(export)
        await session.flush()
        return ExportView.model_validate(export)

    response = await once(session, caller.organization_id, request, work, status=202)
    await privacy.export(await find_own(session, caller, Export, export_id, "export"))
    return response


@router.get("/exports", summary="List exports")
async def list_exports(caller: Caller, session: ReadSession, place: Paging) -> Page[ExportView]:
    mine = select(Export).where(Export.organization_id == caller.organization_id)
    return await page_by_time(session, mine, Export, ExportView, place)


@router.get("/exports/{export_id}", summary="How far an export has come")
async def read_export(export_id: UUID, caller: Caller, session: ReadSession) -> ExportView:
    export = await find_own(session, caller, Export, export_id, "export")
    view = ExportView.model_validate(export)
    if export.status != "running":
        return view
    gathered = (await session.execute(progress_of(export_id))).all()
    return view.model_copy(
        update={"rows": {row[0]: int(row[1]) for row in gathered}, "size": sum(int(row[2]) for row in gathered)}
    )


@router.get(
    "/exports/{export_id}/download",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "A zip of JSON Lines (docs/privacy.md)"}},
    summary="Download an export",
)
async def download_export(export_id: UUID, caller: Caller, session: Session, services: AppServices) -> Response:
    """A zip with one file of JSON Lines a table; `export_not_ready` until it is done, and after it has expired."""
    async with session.begin():  # ended before anything is sent, so that no connection is held until all is
        export = await find_own(session, caller, Export, export_id, "export")
        if export.status != "done":
            raise Problem("export_not_ready", f"The export is {export.status}.", current=export.status)
        await write_act(session, "export.downloaded", "export", export_id)
    name = f"baton-{export.created_at:%Y-%m-%d}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(zipped(services.reads, export), media_type="application/zip", headers=headers)
