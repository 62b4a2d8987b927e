"""What changed rules would make of running tickets, before anything is done."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.sla import ApplyTo, ApplyView, ChangedTicketView, DeadlineChangeView
from db.sla import ALWAYS, load_sla_book
from db.tickets import running_tickets
from domain.sla_book import SlaBook

PAGE = 500
SHOWN = 100
"""Tickets listed one by one; all are counted."""


async def dry_run(
    session: AsyncSession, organization_id: UUID, policy_id: UUID, *, to: ApplyTo, seconds: float
) -> ApplyView:
    """Count and list the running tickets whose deadlines would change; gives up, and says so, after ``seconds``."""
    view = ApplyView(dry_run=True, to=to)
    if to is ApplyTo.NEW:
        return view
    book = _as_if_applied(await load_sla_book(session, organization_id), policy_id)
    now, until = datetime.now(UTC), time.monotonic() + seconds
    last: UUID | None = None
    while True:
        tickets = await running_tickets(session, organization_id, last, PAGE)
        for ticket in tickets:
            changes = book.changes(ticket, now)
            if not changes:
                continue
            view.changed += 1
            view.breaching_at_once += any(change.breaches_at_once for change in changes)
            if len(view.tickets) < SHOWN:
                shown = [DeadlineChangeView.of(change) for change in changes]
                view.tickets.append(
                    ChangedTicketView(id=ticket.id, number=ticket.number, title=ticket.title, changes=shown)
                )
        view.examined += len(tickets)
        if len(tickets) < PAGE:
            return view
        if time.monotonic() > until:
            view.complete = False
            return view
        last = tickets[-1].id


def _as_if_applied(book: SlaBook, policy_id: UUID) -> SlaBook:
    """The book in which the policy's newest version has always been effective."""
    policies = [
        [versions[0].model_copy(update={"effective_from": ALWAYS})] if versions[0].policy.id == policy_id else versions
        for versions in book.policies
    ]
    return replace(book, policies=policies)
