"""Catches all mail on this machine: ``python -m embedded.mail SMTP_PORT PAGE_PORT FOLDER``. Nothing leaves it."""

import asyncio
import signal
import sys
from email import message_from_bytes, policy
from html import escape
from itertools import count
from pathlib import Path
from time import time_ns
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse

from embedded.ports import LOOPBACK

KEPT = 200
"""Mails; the oldest go first."""

_LARGEST = 1_000_000


class Caught:
    """The last mails, each a file of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._numbers = count()

    def files(self) -> list[Path]:
        """The newest first."""
        return sorted(self._folder.glob("*.eml"), reverse=True)

    def keep(self, content: bytes) -> None:
        (self._folder / f"{time_ns():020}-{next(self._numbers)}.eml").write_bytes(content)
        for file in self.files()[KEPT:]:
            file.unlink(missing_ok=True)

    def list(self) -> list[dict[str, str]]:
        found = []
        for file in self.files():
            mail = message_from_bytes(file.read_bytes(), policy=policy.default)
            headers = {name.lower(): str(mail[name] or "") for name in ("Date", "To", "Subject")}
            found.append({"name": file.name, **headers})
        return found

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 - aiosmtpd's
        self.keep(envelope.content)
        return "250 OK"


def page_of(caught: Caught) -> FastAPI:
    """A list for people at ``/``, the same for programs at ``/mails``, and each mail as it was sent."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        rows = "".join(
            f"<tr><td>{escape(each['date'])}</td><td>{escape(each['to'])}</td>"
            f'<td><a href="/mails/{escape(each["name"])}">{escape(each["subject"])}</a></td></tr>'
            for each in caught.list()
        )
        return f"<!DOCTYPE html><title>Mail</title><h1>Caught mail</h1><table>{rows}</table>"

    @app.get("/mails")
    async def mails() -> list[dict[str, str]]:
        return caught.list()

    @app.get("/mails/{name}")
    async def mail(name: str) -> PlainTextResponse:
        [*found] = [file for file in caught.files() if file.name == name]
        if not found:
            return PlainTextResponse("There is no such mail.", 404)
        return PlainTextResponse(found[0].read_bytes())

    return app


async def serve(smtp_port: int, page_port: int, folder: Path) -> None:
    """Until SIGTERM."""
    caught = Caught(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(caught, hostname="localhost", data_size_limit=_LARGEST, loop=loop), LOOPBACK, smtp_port
    )
    async with server:
        config = uvicorn.Config(page_of(caught), host=LOOPBACK, port=page_port, access_log=False, server_header=False)
        await uvicorn.Server(config).serve()


def _leave(*_: object) -> None:
    """Exit well once uvicorn, which sends itself the signal again, has drained."""
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
