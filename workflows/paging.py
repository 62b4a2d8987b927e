"""Going through very many tickets, a page at a time and in as many runs as it takes."""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import workflow

PAGES_A_RUN = 500
"""Pages of tickets in one run's history."""


async def page_by_page(next_page: Callable[[], Awaitable[bool]], state: Callable[[], Any]) -> None:
    """Do page after page until ``next_page`` says that there is no other.

    A run that has had its share continues as new with the state as it is by then.
    """
    for _ in range(PAGES_A_RUN):
        if not await next_page():
            return
    workflow.continue_as_new(state())
