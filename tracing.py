"""Traces for OpenTelemetry: from a request through the ticket's workflow to the read model, without people's words."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import workflow
from temporalio.client import Plugin
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, create_tracer_provider
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from settings import Settings

_WITHHELD = {"url.query", "url.path"}
"""A query holds words somebody searches for; a path may hold a channel's name for a customer. The route is sent."""

_PATIENCE_SECONDS = 3
"""For a collector, tries included; a process that ends waits as long at most, and its spans are then lost."""

_EXCEPTION_TYPE = "exception.type"
_FRESH = timedelta(minutes=1)


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
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=_PATIENCE_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(Reticent(exporter)))
    # It takes a workflow that leaves the worker's cache for an error, since its trace is let go of by another thread.
    logging.getLogger("opentelemetry.context").setLevel(logging.CRITICAL)
    trace.set_tracer_provider(provider)
    # Not baggage, which is the default: whatever a client puts there would go on into histories, unencrypted.
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    plugins = (OpenTelemetryPlugin(add_temporal_spans=True), SimplePlugin("Causes", interceptors=[_Causes()]))
    return Tracing(plugins=plugins, stop=provider.shutdown)


class Reticent(SpanExporter):
    """Hands spans on without anything that may be somebody's words: queries, paths, and what exceptions say."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_reticent(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _reticent(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in attributes.items() if name not in _WITHHELD},
        events=[_without_words(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_words(event: Event) -> Event:
    attributes = event.attributes or {}
    kept = {name: value for name, value in attributes.items() if name == _EXCEPTION_TYPE}
    return Event(event.name, kept, event.timestamp)


class _Causes(Interceptor):
    """Puts what a message led to into the trace of that message.

    The activities of a ticket are called by its main coroutine, whose trace is that of the ticket's creation: weeks
    of records would go there, and the trace of each command would end before its effect.
    """

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - this and all below: the SDK's signature
    ) -> type[WorkflowInboundInterceptor]:
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    """Remembers the trace of the last message until an activity is called because of it."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        self._latest: tuple[Context, datetime] | None = None
        super().init(_Outbound(outbound, self))

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        self._remember()
        await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        self._remember()
        return await super().handle_update_handler(input)

    def take(self) -> Context | None:
        """The trace of the message that was handled last, once; none if that was long ago and changed nothing."""
        latest, self._latest = self._latest, None
        return latest[0] if latest and workflow.now() - latest[1] < _FRESH else None

    def _remember(self) -> None:
        self._latest = (context.get_current(), workflow.now())


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, following: WorkflowOutboundInterceptor, inbound: _Inbound) -> None:
        super().__init__(following)
        self._inbound = inbound

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        cause = self._inbound.take()
        if cause is None:
            return super().start_activity(input)
        token = context.attach(cause)
        try:
            return super().start_activity(input)
        finally:
            context.detach(token)
