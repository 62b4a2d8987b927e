"""What is done to a ticket by its own clock, what its SLA metrics show, and what its database waits for."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg

from domain.clocks import Clock
from domain.commands import AgentReplied, CustomerReplied, Edit, NoteAdded
from domain.ticket import Ticket
from settings import Settings
from tests.workflows.life import API, CUSTOMER, Life

MINUTE = timedelta(minutes=1)


async def reply(life: Life, by: str = "Ana", at: datetime | None = None) -> Ticket:
    """A member answers the customer, at this moment unless told otherwise."""
    actor = life.office.members[by]
    await life.tell(AgentReplied(message_id=uuid4(), at=at or await life.now(), actor=actor))
    return await life.settled()


async def ask(life: Life) -> Ticket:
    """The customer writes."""
    await life.tell(CustomerReplied(message_id=uuid4(), at=await life.now(), actor=CUSTOMER))
    return await life.settled()


async def note(life: Life) -> None:
    await life.tell(NoteAdded(note_id=uuid4(), at=await life.now(), actor=life.office.members["Ana"]))


async def edit(life: Life, **fields: object) -> Ticket:
    await life.obey(
        Edit.model_validate({"request_id": str(uuid4()), "fingerprint": str(fields), "actor": API, **fields})
    )
    return await life.settled()


async def of_the_sla(life: Life) -> list[tuple[str, Any]]:
    """What the ticket's timers did for its metrics: the kind of each event, and the metric."""
    await life.settled()
    return [(event.kind, event.about["metric"]) for event in await life.events() if "metric" in event.about]


def left(clock: Clock, now: datetime) -> timedelta:
    """How long until it is due, to the minute."""
    assert clock.due_at is not None
    return MINUTE * round((clock.due_at - now) / MINUTE)


async def is_blocked(settings: Settings, statements: int = 1) -> bool:
    """Whether so many statements, or more, wait for a lock."""
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as connection:
        found = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        [count] = await found.fetchone() or [0]
        return bool(count >= statements)
