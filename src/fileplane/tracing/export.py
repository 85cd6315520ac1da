"""Spans on their way to a collector: a bounded queue and a thread of its own, so that no collector can slow a request.

What the queue has no room for is dropped and counted, and so is what the collector does not take within a few seconds. The log has a line
when that begins, one a minute at most while it goes on, and one when it is over. The libraries' own lines are not written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context

from fileplane import __version__
from fileplane.addresses import TRACES_PATH
from fileplane.ids import new_holder
from fileplane.metrics import SPANS

_QUEUED: Final = 4_096
_BATCH: Final = 512
_GATHER_SECONDS: Final = 1.0
_EXPORT_SECONDS: Final = 5.0
_FLUSH_SECONDS: Final = 3.0
_SILENT_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


class Collector:
    """See :class:`fileplane.tracing.spans.Collecting`. To be made in the process that serves, since it starts a thread."""

    def __init__(self, endpoint: str, sample_ratio: float) -> None:
        """``endpoint`` is the base URL, to which the standard path of traces is added."""
        reasons = _Reasons()
        self._queue = _Queue(OTLPSpanExporter(endpoint + TRACES_PATH, timeout=_EXPORT_SECONDS), endpoint, reasons)
        provider = TracerProvider(ParentBased(TraceIdRatioBased(sample_ratio)), _resource(), shutdown_on_exit=False)
        provider.add_span_processor(self._queue)
        self._tracer = provider.get_tracer("fileplane", __version__)

    def begin(self, name: str, parent: Span | None) -> Span:
        """See :meth:`Collecting.begin`."""
        context = set_span_in_context(parent) if parent is not None else None
        kind = SpanKind.SERVER if parent is None or parent.get_span_context().is_remote else SpanKind.INTERNAL
        return self._tracer.start_span(name, context, kind, record_exception=False, set_status_on_exception=False)

    def remote(self, trace_id: int, span_id: int, flags: int) -> Span:
        """See :meth:`Collecting.remote`."""
        return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))

    def mark_failed(self, span: Span) -> None:
        """See :meth:`Collecting.mark_failed`."""
        span.set_status(StatusCode.ERROR)

    def stop(self) -> None:
        """See :meth:`Collecting.stop`."""
        self._queue.stop()


def _resource() -> Resource:
    """Who sends: what ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` say goes before what is known here."""
    known = Resource({"service.name": "fileplane", "service.version": __version__, "service.instance.id": new_holder()})
    return known.merge(OTELResourceDetector().detect())


class _Queue(SpanProcessor):
    """Takes spans as they end. Also the thread that exports them."""

    def __init__(self, exporter: SpanExporter, endpoint: str, reasons: _Reasons) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._reasons = reasons
        self._waiting: deque[ReadableSpan] = deque()
        self._awake = threading.Event()
        self._stopping = False
        self._lost = 0
        self._told_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="fileplane-traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Never waits."""
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        if len(self._waiting) >= _QUEUED:
            self._lost += 1
            SPANS.add(1, "dropped")
            return
        self._waiting.append(span)
        if len(self._waiting) >= _BATCH:
            self._awake.set()

    def stop(self) -> None:
        """Returns when all was sent, or could not be in time. What is left then is lost."""
        self._stopping = True
        self._awake.set()
        self._thread.join(_FLUSH_SECONDS)
        if self._thread.is_alive():
            _log.warning("the server stops with up to %d spans not sent to %s", len(self._waiting) + _BATCH, self._endpoint)

    def _run(self) -> None:
        while not self._stopping:
            self._awake.wait(_GATHER_SECONDS)
            self._awake.clear()
            while self._waiting and not self._stopping:
                self._export()
        while self._waiting:
            self._export()
        self._exporter.shutdown()

    def _export(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            done = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the thread
            self._reasons.last = type(error).__name__
            done = False
        SPANS.add(len(batch), "exported" if done else "failed")
        if not done:
            self._lost += len(batch)
        self._tell(done)

    def _tell(self, done: bool) -> None:
        now = time.monotonic()
        if done and self._told_at is not None:
            self._told_at = None
            _log.info("traces are sent to %s again; %d spans were lost", self._endpoint, self._lost)
            self._lost = 0
        elif not done and (self._told_at is None or now - self._told_at >= _SILENT_SECONDS):
            self._told_at = now
            _log.warning("traces cannot be sent to %s; %d spans are lost by now: %s", self._endpoint, self._lost, self._reasons.last)


class _Reasons(logging.Handler):
    """Keeps the last thing that the libraries would have logged, instead of logging it for every batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = "no reason was given"
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self], False
        logging.getLogger("urllib3").setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Called on any thread."""
        self.last = record.getMessage()
