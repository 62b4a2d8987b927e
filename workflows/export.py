"""Gathering all that belongs to an organization, and letting go of it in time."""

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
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
    from domain.ladders import Frozen
    from workflows.calling import UNHURRIED, Result, call

PAGES_A_RUN = 500
"""Pages in one run's history."""


class StartExport(Frozen):
    """Whose export it is and until when it is kept.

    ``files`` are those still to write, ``number`` and ``after`` the place in the first.
    """

    request: ExportRequest
    expires_at: datetime
    files: tuple[str, ...] | None = None
    number: int = 0
    after: tuple[str, ...] | None = None


@workflow.defn(name="Export")
class ExportWorkflow:
    """Writes file after file page by page, waits until nobody wants them any more, and deletes them."""

    @workflow.init
    def __init__(self, start: StartExport) -> None:
        self._at = start

    @workflow.run
    async def run(self, _: StartExport) -> None:
        request = self._at.request
        if self._at.files is None:
            found = await self._do(LIST_FILES, request, ExportFiles, "List the files")
            self._at = self._at.model_copy(update={"files": found.names})
        for written in range(PAGES_A_RUN + 1):
            if not self._at.files:
                break
            if written == PAGES_A_RUN:
                workflow.continue_as_new(self._at)
            if not await self._write_page(request, self._at.files):
                return
        await self._do(FINISH_EXPORT, request, type(None), "Finish")
        await workflow.sleep(max(timedelta(), self._at.expires_at - workflow.now()), summary="Kept until then")
        await self._do(EXPIRE_EXPORT, request, type(None), "Delete the pages")

    async def _write_page(self, request: ExportRequest, files: tuple[str, ...]) -> bool:
        """Write the next page; false when the export has been given up."""
        at = self._at
        wanted = ExportPageRequest(**dict(request), file=files[0], number=at.number, after=at.after)
        page = await self._do(EXPORT_PAGE, wanted, ExportedPage, f"{files[0]}, page {at.number + 1}")
        following = (
            {"files": files[1:], "number": 0, "after": None}
            if page.last is None
            else {"number": at.number + 1, "after": page.last}
        )
        self._at = at.model_copy(update=following)
        return not page.given_up

    async def _do(self, activity: str, request: ExportRequest, result: type[Result], summary: str) -> Result:
        return await call(activity, request, result, summary, attempt=timedelta(seconds=60), retry=UNHURRIED)
