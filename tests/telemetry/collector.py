"""A place that traces are sent to: OTLP over HTTP on the loopback interface."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as RawSpan

from embedded.ports import LOOPBACK


@dataclass(frozen=True)
class Span:
    """A span as it was received."""

    service: str
    raw: RawSpan
    attributes: dict[str, Any]

    @property
    def name(self) -> str:
        return self.raw.name


@dataclass
class Collector:
    """Keeps what it gets; ``url`` is what a process is told."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [span for request in list(self.requests) for span in _spans(request)]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def way_up(self, span: Span) -> list[Span]:
        """The span, its parent and so on to the first one of its trace that was received."""
        within = {other.raw.span_id: other for other in self.spans if other.raw.trace_id == span.raw.trace_id}
        found = [span]
        while (parent := within.get(found[-1].raw.parent_span_id)) is not None:
            found.append(parent)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    collector.url = f"http://{LOOPBACK}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = next(each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
        for scope in resource.scope_spans:
            for raw in scope.spans:
                yield Span(service, raw, {each.key: _value(each.value) for each in raw.attributes})


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
