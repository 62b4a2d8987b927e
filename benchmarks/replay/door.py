"""Where an organization's messages go in: one alone by itself, several that wait together as a batch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from api.schemas.intake import RowStatus
from benchmarks.replay.api_client import ApiAway, Caller, Refused
from benchmarks.replay.journal import Request

Json = dict[str, Any]

MOST = 100
"""Messages in one batch."""


@dataclass(frozen=True)
class Taken:
    """What the API answered about a message, and the requests that took, told with one message of each batch."""

    view: Json
    requests: tuple[Request, ...]


@dataclass
class Door:
    """Sends what waits whenever the request before is answered, as a chat platform does that has a queue.

    Messages of one conversation must be handed in one after another; those of several may come at once.
    """

    caller: Caller
    _waiting: list[tuple[Json, asyncio.Future[Taken]]] = field(default_factory=list)
    _sending: asyncio.Task[None] | None = None

    async def take(self, row: Json) -> Taken:
        """Hand in a message, written as a batch's row; ``Refused`` or ``ApiAway`` as of requests. Safe to repeat."""
        taken: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, taken))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await taken

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            rows = [row for row, _ in batch]
            for (_, taken), outcome in zip(batch, await self._outcomes(rows), strict=True):
                if taken.done():  # whoever waited has been told to stop
                    continue
                if isinstance(outcome, Taken):
                    taken.set_result(outcome)
                else:
                    taken.set_exception(outcome)

    async def _outcomes(self, rows: Sequence[Json]) -> Sequence[Taken | Exception]:
        if len(rows) == 1:
            return [await self._one(rows[0])]
        try:
            return await self._together(rows)
        except ApiAway:
            # Trouble with one conversation is not to hold up the others.
            return await asyncio.gather(*map(self._one, rows))
        except Exception as problem:
            return [problem] * len(rows)

    async def _one(self, row: Json) -> Taken | Exception:
        message = {name: value for name, value in row.items() if name != "conversation"}
        caller = self.caller.api.caller(self.caller.key)
        try:
            view = await caller.post(
                f"/conversations/{quote(row['conversation'], safe='')}/messages", message, row["external_id"], "message"
            )
        except Exception as problem:
            return problem
        return Taken(view, tuple(caller.requests))

    async def _together(self, rows: Sequence[Json]) -> list[Taken | Exception]:
        caller = self.caller.api.caller(self.caller.key)
        answer = await caller.post("/messages/batch", {"messages": list(rows)}, rows[0]["external_id"], "batch")
        outcomes: list[Taken | Exception] = []
        for place, (row, each) in enumerate(zip(rows, answer["rows"], strict=True)):
            requests = () if place else tuple(caller.requests)
            if each["status"] == RowStatus.REFUSED:
                outcomes.append(Refused(422, each["problem"]))
            elif each["status"] == RowStatus.UNTOLD:  # kept, but its ticket was away
                outcomes.append(await self._one(row))
            else:
                outcomes.append(Taken(each["message"], requests))
        return outcomes
