"""Documents of SLA settings that tests send, and one ticket's clocks as they see them."""

from typing import Any

from tests.api.tenant import Json, Tenant

WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
OFFICE: Json = {
    "name": "Office",
    "time_zone": "Europe/Berlin",
    "hours": [{"day": day, "opens": "09:00", "closes": "17:00"} for day in WEEK[:5]],
}
LADDER: Json = {
    "name": "Overdue",
    "steps": [
        {"wait": "PT0S", "actions": [{"kind": "notify", "targets": ["supervisors"]}]},
        {"wait": "PT30M", "actions": [{"kind": "raise_priority"}]},
    ],
}
PRIORITIES = ("low", "normal", "high", "urgent")


def policy(name: str = "Standard", counts: str = "calendar", **fields: Any) -> Json:
    """A policy's document; a metric named with one target, such as ``resolution="PT4H"``, has it for each priority."""
    metrics = {name: fields.pop(name) for name in ("first_response", "next_response", "resolution") if name in fields}
    targets = {
        metric: target if isinstance(target, dict) else dict.fromkeys(PRIORITIES, target)
        for metric, target in metrics.items()
    }
    return {"name": name, "counts": counts, "targets": targets, **fields}


async def clock(tenant: Tenant, ticket: Json, metric: str) -> Json:
    """One clock of a ticket as it is now."""
    found = await tenant.get(f"/tickets/{ticket['id']}")
    [mine] = [each for each in found["clocks"] if each["metric"] == metric]
    return dict(mine)
