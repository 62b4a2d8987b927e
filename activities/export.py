"""Gathers what belongs to an organization, a page at a time."""

import zlib

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from temporalio import activity

from activities.signatures import (
    EXPIRE_EXPORT,
    EXPORT_PAGE,
    FINISH_EXPORT,
    LIST_FILES,
    ExportedPage,
    ExportFiles,
    ExportPageRequest,
    ExportRequest,
)
from db.engine import Sessions
from db.exporting import exported, read_rows
from db.models import Export, ExportPage


class Exporting:
    """Writes an export's pages into Postgres, where every API process finds them; each step is safe to repeat."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn(name=LIST_FILES)
    async def files(self, _: ExportRequest) -> ExportFiles:
        """Which files an export has."""
        return ExportFiles(names=tuple(exported()))

    @activity.defn(name=EXPORT_PAGE)
    async def page(self, request: ExportPageRequest) -> ExportedPage:
        """Write one page of a file, over what an earlier try has written."""
        wanted = select(Export.id).where(Export.id == request.export_id, Export.status == "running")
        async with self._sessions.begin() as session:
            # Locked, so that an erasure comes before the page, which is then not written, or after it.
            if await session.scalar(wanted.with_for_update(read=True)) is None:
                return ExportedPage(rows=0, last=None, given_up=True)
            found = await read_rows(session, request.organization_id, request.file, request.after)
            if found.documents:
                lines = "".join(f"{document}\n" for document in found.documents)
                page = insert(ExportPage).values(
                    export_id=request.export_id,
                    file=request.file,
                    number=request.number,
                    organization_id=request.organization_id,
                    rows=len(found.documents),
                    content=zlib.compress(lines.encode()),
                )
                news = {"rows": page.excluded.rows, "content": page.excluded.content}
                await session.execute(
                    page.on_conflict_do_update(index_elements=ExportPage.__table__.primary_key, set_=news)
                )
        return ExportedPage(rows=len(found.documents), last=found.last)

    @activity.defn(name=FINISH_EXPORT)
    async def finish(self, request: ExportRequest) -> None:
        """Count what was gathered, and let it be downloaded."""
        file = ExportPage.file
        counted = (
            select(file, func.sum(ExportPage.rows), func.sum(func.octet_length(ExportPage.content)))
            .where(ExportPage.export_id == request.export_id)
            .group_by(file)
        )
        async with self._sessions.begin() as session:
            found = {row[0]: (int(row[1]), int(row[2])) for row in await session.execute(counted)}
            await session.execute(
                update(Export)
                .where(Export.id == request.export_id, Export.status == "running")
                .values(
                    status="done",
                    rows={name: found.get(name, (0, 0))[0] for name in exported()},
                    size=sum(size for _, size in found.values()),
                    finished_at=func.now(),
                )
            )

    @activity.defn(name=EXPIRE_EXPORT)
    async def expire(self, request: ExportRequest) -> None:
        """Let go of its pages; that there was an export stays on record."""
        async with self._sessions.begin() as session:
            await session.execute(update(Export).where(Export.id == request.export_id).values(status="expired"))
            await session.execute(delete(ExportPage).where(ExportPage.export_id == request.export_id))
