from itertools import product

import pytest

from domain.ticket import Status, legal_targets
from tests.api.tenant import PATHS, Tenant

LEGAL = {
    "open": ["in_progress", "waiting", "resolved"],
    "in_progress": ["open", "waiting", "resolved"],
    "waiting": ["open", "in_progress", "resolved"],
    "resolved": ["open", "in_progress", "closed"],
    "closed": ["open", "in_progress"],
}


def test_table_is_the_domains() -> None:
    assert {status.value: legal_targets(status) for status in Status} == LEGAL
    assert set(PATHS) == set(LEGAL)


@pytest.mark.parametrize(("current", "target"), list(product(LEGAL, LEGAL)))
async def test_every_move_is_made_or_refused_as_the_table_says(tenant: Tenant, current: str, target: str) -> None:
    ticket = await tenant.ticket(current)
    assert ticket["legal_statuses"] == LEGAL[current]
    before = await tenant.events(ticket)

    answer = await tenant.call("POST", f"/tickets/{ticket['id']}/status", {"to": target, "reason": "Because."})

    after = await tenant.events(ticket)
    if target in LEGAL[current]:
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["version"]) == (target, ticket["version"] + 1)
        assert after[:-1] == before
        told = after[-1]
        assert (told["kind"], told["reason"]) == ("status_changed", "Because.")
        assert told["changes"]["status"] == {"before": current, "after": target}
        assert await tenant.reload(ticket) == answer.json()
    else:
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"]) == (409, 409, "illegal_transition")
        assert (problem["current"], problem["requested"]) == (current, target)
        assert problem["legal"] == LEGAL[current]
        assert after == before
        assert await tenant.reload(ticket) == ticket
