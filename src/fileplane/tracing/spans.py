"""Spans of a request and of the steps inside it, for whoever takes a step. Costs next to nothing while no collector is configured.

A span has a name, times, the names of errors' classes, and the few attributes that are given here: never a header, a query, a path as it
was sent, a file name, an error's message or anything else that a caller has written, but for the ids of requests and traces. No
OpenTelemetry module is imported before :func:`start_tracing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_LONGEST_TRACEPARENT: Final = 512
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_FAILURE: Final = 500

Attribute = str | int | float | bool


class Collecting(Protocol):
    """What makes spans and sends them, once it is known where to."""

    def begin(self, name: str, parent: Span | None) -> Span:
        """A span inside ``parent``, or the first one of a trace, that has begun now."""
        ...

    def remote(self, trace_id: int, span_id: int, flags: int) -> Span:
        """The span of another program, as the parent of one here."""
        ...

    def mark_failed(self, span: Span) -> None:
        """What the span stands for has failed."""
        ...

    def stop(self) -> None:
        """Sends what is waiting, within a few seconds, and ends."""
        ...


_collecting: Collecting | None = None
_current: ContextVar[Span | None] = ContextVar("span", default=None)


def start_tracing(collecting: Collecting) -> None:
    """From now on requests are traced."""
    global _collecting  # noqa: PLW0603 - one process sends its spans to one place
    _collecting = collecting


def stop_tracing() -> None:
    """Ends it, after what is waiting was sent, or could not be within a few seconds. Waits for that: to be called on a thread."""
    global _collecting
    stopping, _collecting = _collecting, None
    if stopping is not None:
        stopping.stop()


class Step:
    """A part of a request that is worth a span: a context manager. It does nothing outside a request that is traced."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Self:
        if self._span is not None:
            self._token = _current.set(self._span)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None
        self.end(error)

    def note(self, name: str, value: Attribute) -> None:
        """An attribute. To be a number or one of a few words: nothing that a caller has written."""
        if self._span is not None:
            self._span.set_attribute(name, value)

    def end(self, error: BaseException | None = None) -> None:
        """For a step that is no block, and so is the parent of none."""
        span, self._span = self._span, None
        if span is not None:
            if error is not None:
                span.set_attribute("error.type", type(error).__name__)
            span.end()


_NOTHING: Final = Step(None)


def step(name: str) -> Step:
    """A step of the request that this task answers, by a name that is fixed in the code."""
    if _collecting is None:
        return _NOTHING
    parent = _current.get()
    if parent is None or not parent.is_recording():
        return _NOTHING
    return Step(_collecting.begin(name, parent))


class RequestSpan:
    """The span of a whole request."""

    def __init__(self, span: Span, collecting: Collecting, *, remote: bool) -> None:
        self._span = span
        self._collecting = collecting
        self._remote = remote
        self._token = _current.set(span)

    @property
    def trace_id(self) -> str | None:
        """As 32 hexadecimal digits. None for a request that is in no trace: not sampled here, and sent without one."""
        if not (self._remote or self._span.is_recording()):
            return None
        return f"{self._span.get_span_context().trace_id:032x}"

    def end(self, *, method: str, route: str | None, status: int, **attributes: Attribute) -> None:
        """To be called once, in the task that began it. ``route`` is the path's template, or None where there is no such route."""
        _current.reset(self._token)
        span = self._span
        if span.is_recording():
            known = method if method in _METHODS else "_OTHER"
            span.update_name(f"{known} {route}" if route else known)
            span.set_attribute("http.request.method", known)
            if route:
                span.set_attribute("http.route", route)
            if status:
                span.set_attribute("http.response.status_code", status)
            for name, value in attributes.items():
                span.set_attribute(name.replace("__", "."), value)
            if status >= _SERVER_FAILURE:
                span.set_attribute("error.type", str(status))
                self._collecting.mark_failed(span)
        span.end()


def begin_request(headers: Iterable[tuple[bytes, bytes]]) -> RequestSpan | None:
    """The span of a request with these headers, within the trace that its ``traceparent`` names. None while nothing is traced."""
    collecting = _collecting
    if collecting is None:
        return None
    parent = _parent(headers, collecting)
    return RequestSpan(collecting.begin("request", parent), collecting, remote=parent is not None)


def _parent(headers: Iterable[tuple[bytes, bytes]], collecting: Collecting) -> Span | None:
    """By https://www.w3.org/TR/trace-context/. ``tracestate`` is left alone: it holds whatever others like, and is for calls onward."""
    sent = [value for name, value in headers if name == b"traceparent"]
    if len(sent) != 1 or len(sent[0]) > _LONGEST_TRACEPARENT:
        return None
    match = _TRACEPARENT.fullmatch(sent[0].strip())
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5] is not None):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    return collecting.remote(trace_id, span_id, int(match[4], 16))
