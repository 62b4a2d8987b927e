"""Metrics for Prometheus: put together once a process, and handed in."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastapi.telemetry import TelemetryConfig as ApiTelemetry
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from settings import PREFIX, Settings
from tracing import Tracing

Gauge = Callable[[CallbackOptions], Iterable[Observation]]

_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BUCKETS: Mapping[str, Sequence[float]] = {
    "baton_read_model_lag": _WAITS,
    "baton_timer_lateness": (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400),
    "workflow_task_schedule_to_start_latency": _WAITS,
    "activity_schedule_to_start_latency": _WAITS,
}
"""Seconds. The defaults begin at 100 ms or end at ten seconds: too coarse for a good day or too short for a bad one."""


def worker_runtime(settings: Settings) -> Runtime:
    """The Temporal SDK of a worker: its metrics are served if the settings say where."""
    return _runtime(settings, settings.worker_metrics_port, "WORKER_METRICS_PORT")


def api_runtime(settings: Settings) -> Runtime:
    """The Temporal SDK of an API process; without metrics, since those of HTTP say more."""
    return _runtime(settings, None, "")


def _runtime(settings: Settings, port: int | None, variable: str) -> Runtime:
    metrics = port and PrometheusConfig(
        bind_address=f"{settings.metrics_host}:{port}", durations_as_seconds=True, histogram_bucket_overrides=_BUCKETS
    )
    # Its lines go where all lines go, and without their fields, which quote failures word for word.
    forwarding = LogForwardingConfig(logging.getLogger("temporalio.core"), append_log_fields_to_message=False)
    telemetry = TelemetryConfig(
        metrics=metrics or None,
        logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding),
    )
    try:
        return Runtime(telemetry=telemetry)
    except ValueError as error:
        raise _unusable(settings, port, variable, str(error)) from None


@dataclass(frozen=True)
class ApiMetrics:
    """The API's metrics; ``gauge`` adds one that is read at each scrape."""

    provider: MeterProvider | None = None
    stop: Callable[[], None] = lambda: None

    def gauge(self, name: str, unit: str, description: str, read: Gauge) -> None:
        """Add a gauge; nothing happens where no metrics are served."""
        if self.provider:
            meter = self.provider.get_meter("baton")
            meter.create_observable_gauge(name, callbacks=[read], unit=unit, description=description)


def start_api_metrics(settings: Settings) -> ApiMetrics:
    """Serve the API's metrics on a port of their own, so that they are not open to its clients."""
    port = settings.api_metrics_port
    if port is None:
        return ApiMetrics()
    provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
    try:
        server, thread = start_http_server(port, addr=settings.metrics_host)
    except OSError as error:
        raise _unusable(settings, port, "API_METRICS_PORT", error.strerror or str(error)) from None

    def stop() -> None:
        provider.shutdown()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    return ApiMetrics(provider, stop)


def api_telemetry(tracing: Tracing, metrics: ApiMetrics) -> ApiTelemetry:
    """What FastAPI measures by itself. Not logs: those would hold what clients sent."""
    return ApiTelemetry(
        tracing=tracing.is_on,
        metrics=metrics.provider is not None,
        meter_provider=metrics.provider,
        logs=False,
        operation_spans=False,
        auto_configure=False,
    )


def _unusable(settings: Settings, port: int | None, variable: str, why: str) -> SystemExit:
    return SystemExit(
        f"Metrics cannot be served on {settings.metrics_host}:{port}: {why}\n"
        f"Choose another port with {PREFIX}{variable} or another address with {PREFIX}METRICS_HOST, "
        "or leave the port unset to serve none."
    )
