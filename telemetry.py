"""Metrics for Prometheus and traces for OpenTelemetry: put together once a process, and handed in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fastapi.telemetry import TelemetryConfig as ApiTelemetry
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server
from temporalio.client import Plugin
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, create_tracer_provider
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from settings import Settings

Gauge = Callable[[CallbackOptions], Iterable[Observation]]


@dataclass(frozen=True)
class Tracing:
    """Traces from HTTP through workflow to activity; ``stop`` sends what is left."""

    plugins: tuple[Plugin, ...] = ()
    stop: Callable[[], None] = lambda: None

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        return bool(self.plugins)


def start_tracing(settings: Settings, service: str) -> Tracing:
    """Send traces to the OTLP endpoint the settings name, if they name one; call once a process."""
    if settings.otlp_endpoint is None:
        return Tracing()
    provider = create_tracer_provider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return Tracing(plugins=(OpenTelemetryPlugin(add_temporal_spans=True),), stop=provider.shutdown)


def worker_runtime(settings: Settings) -> Runtime | None:
    """Serve the Temporal SDK's metrics, and those workflows and activities record through it; ``None`` if not asked."""
    if settings.worker_metrics_port is None:
        return None
    address = f"{settings.metrics_host}:{settings.worker_metrics_port}"
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address, durations_as_seconds=True)))


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
    if settings.api_metrics_port is None:
        return ApiMetrics()
    provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
    server, thread = start_http_server(settings.api_metrics_port, addr=settings.metrics_host)

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
