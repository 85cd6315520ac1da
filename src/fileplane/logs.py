"""Logs: one JSON object a line, written by a thread of its own so that a full pipe never stops the event loop.

Nothing here is ever given a secret: headers, query strings and bodies are not logged.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Final

import msgspec

_QUEUED_LINES: Final = 10_000
_STDERR: Final = 2
_GATHER_SECONDS: Final = 0.01
_FLUSH_SECONDS: Final = 1.0
_LEVELS: Final = logging.getLevelNamesMapping()

request_id_in_context: ContextVar[str | None] = ContextVar("request_id", default=None)

_encoder = msgspec.json.Encoder()


class _Sink:
    """Lines on their way to standard error. When it takes none, the oldest wait, later ones are counted and dropped."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def write(self, line: bytes) -> None:
        """Never waits."""
        if self._thread is None:
            self._start()
        if self._lines.qsize() < _QUEUED_LINES:
            self._lines.put(line)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Returns when everything queued before has been written, or nobody has read it for a while."""
        if self._thread is not None:
            written = threading.Event()
            self._lines.put(written)
            written.wait(_FLUSH_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fileplane-log", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def _run(self) -> None:
        while True:
            taken = [self._lines.get()]
            # Waking once for many lines, rather than for each, leaves the interpreter to those who serve.
            time.sleep(_GATHER_SECONDS)
            while not self._lines.empty():
                taken.append(self._lines.get())
            lines = [line for line in taken if isinstance(line, bytes)]
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                lines.append(_line("warning", "log lines dropped", {"count": dropped}))
            _write_all(b"".join(lines))
            for waiting in taken:
                if isinstance(waiting, threading.Event):
                    waiting.set()


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(_STDERR, view) :]
    except OSError:
        # Nobody reads the log any more; serving goes on.
        return


def _line(level: str, event: str, values: Mapping[str, Any]) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return _encoder.encode({"time": now, "level": level, "event": event, **values}) + b"\n"


_sink = _Sink()
_threshold = logging.INFO


def write_line(level: str, event: str, values: Mapping[str, Any]) -> None:
    """Queues one line, if lines of this level are written at all."""
    if _LEVELS[level.upper()] >= _threshold:
        _sink.write(_line(level, event, values))


def flush_logs() -> None:
    """To be called before a process ends in a way that runs no exit handlers, as server workers do."""
    _sink.flush()


class JsonHandler(logging.Handler):
    """Brings the log records of all libraries into the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the record as one line."""
        values: dict[str, Any] = {"logger": record.name}
        if request_id := request_id_in_context.get():
            values["request_id"] = request_id
        if record.exc_info:
            values["exception"] = logging.Formatter().formatException(record.exc_info)
        write_line(record.levelname.lower(), record.getMessage(), values)


class NotToldYet(logging.Filter):
    """Keeps out the tracebacks of one exception, which is of what has a line already."""

    def __init__(self, told: str) -> None:
        """``told`` is the name of the exception's class."""
        super().__init__()
        self._told = told

    def filter(self, record: logging.LogRecord) -> bool:
        """By the last line of the traceback, which the HTTP server has made a text of."""
        return not record.getMessage().rpartition("\n")[2].startswith(self._told)


def configure_logging(level: str) -> None:
    """Sends every logger's records to standard error, from ``level`` upward; the chatty libraries only their warnings."""
    global _threshold  # noqa: PLW0603 - one process has one log
    _threshold = _LEVELS[level.upper()]
    logging.basicConfig(handlers=[JsonHandler()], level=_threshold, force=True)
    for chatty in ("python_multipart", "asyncio", "_granian"):
        logging.getLogger(chatty).setLevel(max(_threshold, logging.WARNING))
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
