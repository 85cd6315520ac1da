"""An OpenTelemetry collector: takes OTLP over HTTP, decodes it, and can be told to refuse or to answer nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it arrived; ids are hexadecimal, ``parent_id`` is empty for the first of a trace."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """``status`` is what it answers. While ``stalled`` is set it reads, and answers nothing until :attr:`released`."""

    port: int = 0
    status: int = 200
    stalled: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    spans: list[ReceivedSpan] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, body: bytes) -> None:
        self.paths.append(path)
        self.bodies.append(body)
        if self.status == 200 and not self.stalled:
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))

    def requests(self) -> list[ReceivedSpan]:
        """The spans of whole requests, as opposed to steps."""
        return [span for span in self.spans if "fileplane.request_id" in span.attributes]

    def request(self, request_id: str) -> ReceivedSpan | None:
        """The span of one request, if it has arrived."""
        return next((span for span in self.requests() if span.attributes["fileplane.request_id"] == request_id), None)

    def below(self, parent: ReceivedSpan) -> dict[str, ReceivedSpan]:
        """The steps directly inside a span, by their names."""
        return {span.name: span for span in self.spans if span.parent_id == parent.span_id}


def _spans(message: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for group in message.resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                yield ReceivedSpan(span.name, *ids, span.kind, span.status.code == 2, _values(span.attributes), resource)


def _values(attributes: Any) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in attributes}


@contextmanager
def running_collector(**options: Any) -> Iterator[Collector]:
    """A collector on a free port, for the length of a block."""
    collector = Collector(**options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            if collector.stalled:
                collector.released.wait(60)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that has left is nothing to be told of."""

    server = Server(("127.0.0.1", 0), Handler)
    collector.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
