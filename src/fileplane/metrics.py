"""Every metric on one page, and how they are counted: once each, cheaply, and right across the workers of one server.

Nothing is counted before :func:`start_metrics`, so that the commands that share the code of the server neither load the library nor
pay for it. No label ever names a project, a file or a key.

With one worker the numbers are in its memory. With several, each worker keeps its own in files of a directory that the supervising
process has made (see ``metrics_directory.py``), and whichever is asked adds up all of them: also those of workers that have ended,
since a counter must never go back.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FILE_BYTES: Final = {
    "counter": 512 * 1024,
    "histogram": 2048 * 1024,
    "gauge_livesum": 16 * 1024,
    "gauge_max": 16 * 1024,
    "gauge_min": 16 * 1024,
    "gauge_mostrecent": 16 * 1024,
}
"""The files of a worker, and room for all that they may come to hold: every operation with every class of status."""
_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0)

_log = logging.getLogger(__name__)


class _Metric:
    """One row of the table: its name, what it says, and its labels. ``_children`` are those of the library, by their labels."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.description = description
        self.labels = tuple(labels)
        self._started: Any = None
        self._children: dict[tuple[str, ...], Any] = {}
        METRICS.append(self)

    def start(self, registry: CollectorRegistry) -> None:
        """Counts from now on."""
        self._started, self._children = self._make(registry), {}

    def stop(self) -> None:
        """Counts only what there are labels of by now."""
        self._started = None

    def _make(self, registry: CollectorRegistry) -> Any:
        raise NotImplementedError

    def _child(self, labels: tuple[str, ...]) -> Any:
        """The library's own, looked up once, since it takes longer to find one than to count."""
        if self._started is None:
            return None
        try:
            child = self._started.labels(*labels) if labels else self._started
        except FileNotFoundError as error:
            # Most likely the supervising process was killed, and the next server has removed what it left: nobody adds these up any more.
            stop_metrics()
            _log.warning("nothing new is counted for the metrics any more: %s", error)
            return None
        self._children[labels] = child
        return child


class Counter(_Metric):
    """A number that only grows."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Counter(self.name, self.description, self.labels, registry=registry)

    def add(self, amount: float, *labels: str) -> None:
        """Counts ``amount`` more, which is not negative."""
        child = self._children.get(labels) or self._child(labels)
        if child is not None:
            child.inc(amount)


class Durations(_Metric):
    """How many took how many seconds."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Histogram(self.name, self.description, self.labels, buckets=_SECONDS, registry=registry)

    def add(self, seconds: float, *labels: str) -> None:
        """Counts one that took ``seconds``."""
        child = self._children.get(labels) or self._child(labels)
        if child is not None:
            child.observe(seconds)


class InProgress(_Metric):
    """How many there are at the moment, in the workers that are running."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Gauge(self.name, self.description, self.labels, registry=registry, multiprocess_mode="livesum")

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts one for the length of a block."""
        child = self._child(())
        if child is not None:
            child.inc()
        try:
            yield
        finally:
            if child is not None:
                child.dec()


class LatestTime(_Metric):
    """The latest time that any worker knows of, in seconds since the epoch."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Gauge(self.name, self.description, self.labels, registry=registry, multiprocess_mode="max")

    def set(self, seconds: float) -> None:
        """It happened at this time."""
        child = self._child(())
        if child is not None:
            child.set(seconds)


class EarliestTime(LatestTime):
    """The earliest time that any worker knows of, in seconds since the epoch."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Gauge(self.name, self.description, self.labels, registry=registry, multiprocess_mode="min")


class Level(_Metric):
    """What is so at the moment for the whole server, whichever worker has looked last."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Gauge(self.name, self.description, self.labels, registry=registry, multiprocess_mode="mostrecent")

    def set(self, value: float, *labels: str) -> None:
        """It is so now."""
        child = self._children.get(labels) or self._child(labels)
        if child is not None:
            child.set(value)


class InUse(Level):
    """What each worker that is running uses of something, added up."""

    def _make(self, registry: CollectorRegistry) -> Any:
        return _library().Gauge(self.name, self.description, self.labels, registry=registry, multiprocess_mode="livesum")


METRICS: Final[list[_Metric]] = []
"""All of them, in the order in which they are made below."""

REQUESTS: Final = Counter("fileplane_requests_total", "Requests answered, by operation and class of status.", ("operation", "status_class"))
REQUEST_SECONDS: Final = Durations(
    "fileplane_request_duration_seconds",
    "From the head of a request to the end of its answer, or to its hand-over: a histogram of `duration_ms` of the access lines.",
    ("operation", "status_class"),
)
BYTES_IN: Final = Counter(
    "fileplane_request_bytes_total", "Bytes of request bodies, counted when the request ends.", ("operation", "status_class")
)
BYTES_OUT: Final = Counter(
    "fileplane_response_bytes_total", "Bytes of answers' bodies, counted when the request ends.", ("operation", "status_class")
)
UPLOADS_IN_PROGRESS: Final = InProgress("fileplane_uploads_in_progress", "Uploads that are being received.")
IDEMPOTENT_REPLAYS: Final = Counter("fileplane_idempotent_replays_total", "Uploads that were answered with the file of an earlier one.")
VERDICTS: Final = Counter("fileplane_validation_verdicts_total", "JSONL files validated, by purpose and verdict.", ("purpose", "verdict"))
INTEGRITY_FAILURES: Final = Counter(
    "fileplane_integrity_failures_total",
    "Stored bytes found missing or damaged, by what is wrong, and found on a `read`, by `verify` or by the `scrub`.",
    ("kind", "source"),
)
SCRUBBED_BYTES: Final = Counter("fileplane_scrub_bytes_total", "Bytes that the scrub has read and compared with their hashes.")
SCRUBBED_FILES: Final = Counter("fileplane_scrub_files_total", "Files that the scrub has looked at.")
SCRUB_COMPLETED: Final = LatestTime(
    "fileplane_scrub_last_completed_timestamp_seconds",
    "When the scrub had last gone round all files, also before the start; 0 for never.",
)
SCRUB_INTERVAL: Final = Level("fileplane_scrub_interval_seconds", "The setting `scrub_interval_seconds`, or 0 where the scrub is off.")
SCRUB_RATE: Final = Level("fileplane_scrub_bytes_per_second", "The setting `scrub_bytes_per_second`; 0 where the scrub is off.")
COLLECTED_BYTES: Final = Counter(
    "fileplane_janitor_collected_bytes_total", "Bytes that the janitor has removed: of a `file`, an `orphan` or a `temporary`.", ("kind",)
)
COLLECTED_FILES: Final = Counter(
    "fileplane_janitor_collected_files_total", "Blobs that the janitor has removed, by the same kinds.", ("kind",)
)
JANITOR_FAILURES: Final = Counter(
    "fileplane_janitor_failures_total", "Blobs that the janitor could not remove, and sweeps that it left out; it tries again."
)
JANITOR_SUCCEEDED: Final = LatestTime(
    "fileplane_janitor_last_success_timestamp_seconds", "When a pass of the janitor last came to its end; 0 for not since the start."
)
JANITOR_INTERVAL: Final = Level("fileplane_janitor_interval_seconds", "The setting `janitor_interval_seconds`; 0 where it does not run.")
LIVE_FILES: Final = Level("fileplane_live_files", "Files that are neither deleted nor found to have expired, of all projects.")
DELETED_FILES: Final = Level("fileplane_deleted_files", "Deleted and expired files whose bytes are still kept.")
STORED_BYTES: Final = Level("fileplane_stored_bytes", "Bytes of all files that are kept, deleted ones included.")
DATABASE_BYTES: Final = Level(
    "fileplane_database_bytes", "Size of the database and of its log; on PostgreSQL without the log, and up to five minutes old."
)
DISK_FREE: Final = Level("fileplane_disk_free_bytes", "Room left on the disk of the `blobs` or, with SQLite, of the `database`.", ("disk",))
DISK_SIZE: Final = Level("fileplane_disk_size_bytes", "Size of the disk of the `blobs` or, with SQLite, of the `database`.", ("disk",))
LEAST_FREE: Final = Level("fileplane_min_free_disk_bytes", "The setting `min_free_disk_bytes`: with less room, uploads are refused.")
STORAGE_LOOKED_AT: Final = LatestTime(
    "fileplane_storage_last_observed_timestamp_seconds", "When the numbers of files, bytes and disks above were last brought up to date."
)
STARTED: Final = EarliestTime("fileplane_start_timestamp_seconds", "When the server started.")
WORKERS: Final = InUse("fileplane_workers", "Workers that are running.")
WORKER_STARTS: Final = Counter("fileplane_worker_starts_total", "Workers that have started, those that replaced another included.")
CPU_SECONDS: Final = Counter("fileplane_process_cpu_seconds_total", "Processor time that the workers have used.")
RESIDENT_BYTES: Final = InUse("fileplane_process_resident_memory_bytes", "Memory that the workers have in use. On Linux alone.")
DESCRIPTORS: Final = InUse("fileplane_process_open_descriptors", "Descriptors that the workers have open. On Linux alone.")
SPANS: Final = Counter(
    "fileplane_trace_spans_total",
    "Spans that were `exported`, or lost: the queue was full (`dropped`), the collector `failed`.",
    ("outcome",),
)
EXPIRED_AT_PROVIDERS: Final = Counter(
    "fileplane_expired_files_at_providers_total",
    "Files past their expiry whose deletion was asked for at their provider: `deleted`, `gone` already, or `failed` and to be tried again.",
    ("outcome",),
)
EGRESS_CIRCUITS_OPENED: Final = Counter(
    "fileplane_egress_circuits_opened_total", "Times that a provider was left alone because connections to it failed in a row."
)
EGRESS_OPEN_CIRCUITS: Final = InUse("fileplane_egress_open_circuits", "Providers, by credential, that are left alone for that reason.")
EGRESS_SUSPENDED_CALLS: Final = Counter("fileplane_egress_suspended_calls_total", "Calls to them that were refused without being made.")
EGRESS_BUSY_CALLS: Final = Counter(
    "fileplane_egress_busy_calls_total", "Calls to providers that were given up because no connection came free in time."
)
BUILD: Final = Level("fileplane_build_info", "1, with the version that runs.", ("version",))

_registry: CollectorRegistry | None = None


def start_metrics() -> None:
    """To be called in every process that serves. Later calls change nothing."""
    global _registry  # noqa: PLW0603 - one process has one set of numbers
    if _registry is not None:
        return
    _prepare_files()
    library = _library()
    library.disable_created_metrics()
    _registry = library.CollectorRegistry()
    for metric in METRICS:
        metric.start(_registry)


def stop_metrics() -> None:
    """Numbers that nobody has counted yet are not counted any more: what would keep them is about to be removed."""
    for metric in METRICS:
        metric.stop()


def metrics_are_shared() -> bool:
    """Whether the workers keep their numbers where other processes, such as the one that supervises them, can add them up."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    return directory is not None and Path(directory).is_dir()


def render_metrics() -> bytes:
    """The numbers of all workers, in the text format of Prometheus. Reads files where there are several; runs on any thread."""
    library = _library()
    directory = os.environ.get(DIRECTORY_VARIABLE)
    registry = _registry or library.CollectorRegistry()
    if directory is not None and Path(directory).is_dir():
        _forget_ended_workers(Path(directory))
        registry = library.CollectorRegistry()
        library.multiprocess.MultiProcessCollector(registry, directory)
    text: bytes = library.generate_latest(registry)
    return text


def _library() -> Any:
    """Takes long to import, and looks at the environment when it is: only servers do, once that is set."""
    import prometheus_client  # noqa: PLC0415 - the above
    import prometheus_client.multiprocess  # noqa: PLC0415 - the above

    return prometheus_client


def _prepare_files() -> None:
    """Makes this worker's files with all their room: a write to one that the disk has no room for would kill the process (SIGBUS)."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory is None:
        return
    try:
        for path in Path(directory).glob(f"gauge_live*_{os.getpid()}.db"):
            path.unlink()  # of an earlier process with this number
        for kind, size in _FILE_BYTES.items():
            path = Path(directory, f"{kind}_{os.getpid()}.db")
            if not path.exists():
                # Whoever adds up the numbers of all workers must not meet it before it is whole.
                made = path.with_suffix(".new")
                made.write_bytes(bytes(size))
                made.replace(path)
    except OSError as error:
        del os.environ[DIRECTORY_VARIABLE]
        _log.warning("the metrics are of this worker alone, since %s cannot be used: %s", directory, error)


def _forget_ended_workers(directory: Path) -> None:
    """What is in progress ends with the process; what was counted stays."""
    for path in directory.glob("gauge_live*_*.db"):
        process = path.stem.rpartition("_")[2]
        if process.isdigit() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
