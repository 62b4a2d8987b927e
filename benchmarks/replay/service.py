"""Whether what was promised was kept: SLA compliance by organization and metric, counted from tickets' stories."""

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, Field

from benchmarks.replay.readings import TenantReading, TicketReading
from domain.clocks import ClockEventKind, Metric


class ServiceNumbers(BaseModel):
    """One metric of one organization's tickets; an episode is one thing promised, such as one answer."""

    brand: str
    metric: str
    met: int
    breached: int
    unsettled: int = Field(description="Neither in time nor late: it was still running, or nothing more was asked.")
    compliance: float | None = Field(description="The share that was met of those met or breached.")


def service(tenants: Sequence[TenantReading]) -> list[ServiceNumbers]:
    """The numbers of each organization and metric, in their order."""
    return [_numbers(tenant.brand, metric, tenant.tickets) for tenant in tenants for metric in Metric]


def _numbers(brand: str, metric: Metric, tickets: Sequence[TicketReading]) -> ServiceNumbers:
    verdicts = Counter(verdict for ticket in tickets for verdict in _verdicts(ticket, metric))
    met, breached = verdicts["met"], verdicts["breached"]
    return ServiceNumbers(
        brand=brand,
        metric=metric.value,
        met=met,
        breached=breached,
        unsettled=verdicts["unsettled"],
        compliance=round(met / (met + breached), 3) if met + breached else None,
    )


def _verdicts(ticket: TicketReading, metric: Metric) -> list[str]:
    """What became of each of the metric's episodes; once breached it stays so, however it ends."""
    kinds: dict[int, set[str]] = {}
    for event in ticket.events:
        for change in event["clocks"]:
            if change["metric"] == metric:
                kinds.setdefault(change["episode"], set()).add(change["kind"])
    return [
        "breached" if ClockEventKind.BREACH in seen else "met" if ClockEventKind.FULFIL in seen else "unsettled"
        for seen in kinds.values()
    ]
