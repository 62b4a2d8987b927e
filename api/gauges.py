"""What Prometheus is told of the queues."""

from collections.abc import Callable

from opentelemetry.metrics import CallbackOptions, Observation

from db.queues import Counting, Line, Queue, count_lines, count_queues
from settings import Settings
from telemetry import ApiMetrics, Gauge


def measure(metrics: ApiMetrics, settings: Settings) -> None:
    """Have the API say how long the queues are, read from Postgres when that is asked for."""
    _measure_tickets(metrics, settings)
    _measure_lines(metrics, settings)


def _measure_tickets(metrics: ApiMetrics, settings: Settings) -> None:
    """Tickets that are neither resolved nor closed."""
    queues = Counting(settings.psycopg_url, count_queues)

    def read(value: Callable[[Queue], float]) -> Gauge:
        def observe(_: CallbackOptions) -> list[Observation]:
            return [
                Observation(value(queue), {"status": queue.status, "unassigned": queue.unassigned})
                for queue in queues.read()
            ]

        return observe

    metrics.gauge(
        "baton_tickets", "{ticket}", "Tickets that are neither resolved nor closed", read(lambda queue: queue.length)
    )
    metrics.gauge("baton_oldest_ticket", "s", "Age of the oldest one", read(lambda queue: queue.oldest_seconds))
    overdue = "Past an SLA deadline without a breach on record"
    metrics.gauge("baton_overdue_tickets", "{ticket}", overdue, read(lambda queue: queue.overdue))


def _measure_lines(metrics: ApiMetrics, settings: Settings) -> None:
    """Escalations that nobody has claimed, and what is to be delivered."""
    lines = Counting(settings.psycopg_url, count_lines)

    def read(wanted: str, label: str, value: Callable[[Line], float]) -> Gauge:
        def observe(_: CallbackOptions) -> list[Observation]:
            return [Observation(value(each), {label: each.of}) for each in lines.read() if each.line == wanted]

        return observe

    def length(line: Line) -> float:
        return line.length

    def oldest(line: Line) -> float:
        return line.oldest_seconds

    queued, waits = "Escalations that nobody has claimed", "How long the first one's customer has waited"
    metrics.gauge("baton_queued_escalations", "{escalation}", queued, read("queued", "priority", length))
    metrics.gauge("baton_oldest_escalation", "s", waits, read("queued", "priority", oldest))
    pending, since = "Deliveries that have not arrived yet", "Age of the oldest one"
    metrics.gauge("baton_pending_deliveries", "{delivery}", pending, read("pending", "connector", length))
    metrics.gauge("baton_oldest_delivery", "s", since, read("pending", "connector", oldest))
    failed = "Deliveries that have failed within a day"
    metrics.gauge("baton_failed_deliveries", "{delivery}", failed, read("failed", "connector", length))
