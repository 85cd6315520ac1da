"""`GET /metrics`: who may see it, what it counts, and that several workers count together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fileplane import __version__
from fileplane.http.routes import OPERATIONS
from fileplane.metrics import METRICS
from support.documents import read
from support.expect import assert_file, assert_openai_error
from support.limits import worker_of
from support.polling import eventually, eventually_equal
from support.raw_http import Connection, form_begin, form_length, upload_head
from support.server import RunningServer, fileplane_environment, running_server, wait_until_dead

Sample = tuple[str, frozenset[tuple[str, str]]]
FORM = {"purpose": "user_data"}


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("counting") / "data", workers=2) as running:
        yield running


def scrape(server: RunningServer) -> dict[Sample, float]:
    answer = httpx2.get(f"{server.url}/metrics", headers=server.headers, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def metrics_directories_of(server: RunningServer) -> set[Path]:
    mapped = {Path(entry.path).parent for worker in server.workers() for entry in worker.memory_maps()}
    return {path for path in mapped if path.name.startswith("fileplane-metrics-")}


def test_only_an_organisations_key_with_the_scope_sees_the_metrics(server: RunningServer):
    assert_openai_error(httpx2.get(f"{server.url}/metrics", trust_env=False), 401, None)
    project_key = server.create_key(project="measured")
    answer = httpx2.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {project_key}"}, trust_env=False)
    assert "organisation" in assert_openai_error(answer, 403, "missing_scope", type="permission_error")
    assert scrape(server)


def test_requests_bytes_replays_and_verdicts_are_counted(server: RunningServer):
    before = scrape(server)
    with server.client() as client:
        for _ in range(2):
            sent = {"file": ("data.bin", b"x" * 10_000)}
            assert_file(client.post("/files", data=FORM, files=sent, headers={"idempotency-key": f"metrics-{os.getpid()}"}))
        client.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", b"not json\n")}).raise_for_status()
        file_id = client.get("/files?limit=1").json()["data"][0]["id"]
        client.get(f"/files/{file_id}/content").raise_for_status()
        client.get("/files/nothing")

    def grown(name: str, **labels: str) -> float:
        return value(scrape(server), name, **labels) - value(before, name, **labels)

    # After its answer was sent, which the client may have before.
    eventually(lambda: grown("fileplane_requests_total", operation="retrieve_file", status_class="4xx") >= 1, "the last is counted")
    assert grown("fileplane_requests_total", operation="upload_file", status_class="2xx") >= 3
    assert grown("fileplane_request_duration_seconds_count", operation="upload_file", status_class="2xx") >= 3
    assert grown("fileplane_request_bytes_total", operation="upload_file", status_class="2xx") >= 20_000
    assert grown("fileplane_response_bytes_total", operation="file_content", status_class="2xx") >= 9
    assert grown("fileplane_idempotent_replays_total") >= 1
    assert grown("fileplane_validation_verdicts_total", purpose="batch", verdict="invalid") >= 1
    assert value(scrape(server), "fileplane_uploads_in_progress") >= 0


def test_no_label_names_a_project_a_file_or_a_key(server: RunningServer):
    allowed = {
        "operation": {operation.handler.__name__ for operation in OPERATIONS} | {"none", "not_provided"},
        "status_class": {"none", "1xx", "2xx", "3xx", "4xx", "5xx"},
        "purpose": {"batch", "fine-tune"},
        "verdict": {"valid", "invalid"},
        "source": {"read", "verify", "scrub"},
        "disk": {"blobs", "database"},
        "version": {__version__},
        "outcome": {"exported", "dropped", "failed", "deleted", "gone"},
        "kind": {"file", "orphan", "part", "temporary", "missing_blob", "wrong_size", "wrong_content", "unreadable_blob", "invalid_key"},
    }
    for _, labels in scrape(server):
        for label, shown in labels:
            assert label == "le" or shown in allowed[label]


def test_damaged_bytes_that_a_caller_asks_for_are_counted(tmp_path: Path):
    with running_server(tmp_path / "data", metrics_public="true", janitor_interval_seconds=0.2, deleted_retention_seconds=0) as server:
        with server.client() as client:
            ids = [assert_file(client.post("/files", data=FORM, files={"file": ("a", b"bytes")}))["id"] for _ in range(3)]
            missing, shorter, _ = sorted(server.data_dir.glob("blobs/[0-9a-f][0-9a-f]/*"))
            missing.unlink()
            os.truncate(shorter, 1)
            for file_id in ids:
                client.get(f"/files/{file_id}/content")
            client.delete(f"/files/{ids[0]}")
        assert httpx2.get(f"{server.url}/metrics", trust_env=False).status_code == 200
        assert value(scrape(server), "fileplane_integrity_failures_total", kind="missing_blob", source="read") == 1
        assert value(scrape(server), "fileplane_integrity_failures_total", kind="wrong_size", source="read") == 1
        eventually(
            lambda: value(scrape(server), "fileplane_janitor_collected_files_total", kind="file") == 1, "it is collected", seconds=10
        )
        assert value(scrape(server), "fileplane_janitor_collected_bytes_total", kind="file") == 5
        eventually(lambda: value(scrape(server), "fileplane_janitor_last_success_timestamp_seconds") > 0, "a pass has ended")


def test_workers_count_together_and_nothing_is_lost_with_one(counting: RunningServer):
    def lists() -> float:
        return value(scrape(counting), "fileplane_requests_total", operation="list_files", status_class="2xx")

    def ask(times: int) -> None:
        for _ in range(times):  # each on a connection of its own, so that both workers get some
            httpx2.get(f"{counting.base_url}/files", headers=counting.headers, trust_env=False).raise_for_status()

    def uploads() -> float:
        return value(scrape(counting), "fileplane_uploads_in_progress")

    before = lists()
    ask(40)
    eventually_equal(lists, before + 40)
    assert {lists() for _ in range(10)} == {before + 40}
    with Connection(counting) as uploading:
        uploading.send(upload_head(counting.api_key, form_length(1_000)) + form_begin())
        eventually(lambda: uploads() == 1, "the upload is in progress")
        victim = psutil.Process(worker_of(counting, uploading.port))
        victim.kill()
        eventually(lambda: _is_replaced(counting, victim), "it is replaced", seconds=20)
    eventually(lambda: _serves(counting), "it serves again", seconds=20)
    ask(10)
    eventually_equal(lists, before + 50)
    assert {lists() for _ in range(10)} == {before + 50}
    assert uploads() == 0


def _is_replaced(server: RunningServer, victim: psutil.Process) -> bool:
    try:
        workers = server.workers()
    except psutil.ZombieProcess:
        return False
    return victim not in workers and len(workers) == 2


def _serves(server: RunningServer) -> bool:
    try:
        return all(httpx2.get(f"{server.url}/healthz", trust_env=False).is_success for _ in range(10))
    except httpx2.TransportError:
        return False


def test_the_numbers_of_a_server_do_not_outlive_it_whatever_its_end(tmp_path: Path):
    with running_server(tmp_path / "data", workers=2) as server:
        (directory,) = metrics_directories_of(server)
        assert directory.stat().st_mode & 0o777 == 0o700
        workers = server.workers()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        wait_until_dead(workers, 20)
        assert not directory.exists()
    with running_server(tmp_path / "killed", workers=2) as killed:
        (directory,) = metrics_directories_of(killed)
        killed.kill()
    with running_server(tmp_path / "next", workers=2) as last:
        assert not directory.exists()
        (directory,) = metrics_directories_of(last)
    assert not directory.exists()


def test_one_worker_needs_no_directory(server: RunningServer):
    assert metrics_directories_of(server) == set()


EVERY_LABEL = """
import os, pathlib, sys
from fileplane import metrics
from fileplane.http.routes import OPERATIONS
metrics.start_metrics()
for operation in OPERATIONS:
    for status in metrics_classes:
        for counter in (metrics.REQUESTS, metrics.REQUEST_SECONDS, metrics.BYTES_IN, metrics.BYTES_OUT):
            counter.add(1, operation.handler.__name__, status)
sizes = {path.name.rpartition("_")[0]: path.stat().st_size for path in pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir()}
assert sizes == metrics._FILE_BYTES, sizes
"""


def test_the_room_that_a_worker_takes_at_its_start_is_enough_for_every_label(tmp_path: Path):
    # A file that grows later could find the disk full, which ends the process.
    script = EVERY_LABEL.replace("metrics_classes", "('none', '1xx', '2xx', '3xx', '4xx', '5xx')")
    environment = fileplane_environment(PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


STARTING = """
import pathlib
from fileplane import metrics
write_bytes = pathlib.Path.write_bytes
scrapes = []
def watched(path, data):
    path.touch()
    scrapes.append(metrics.render_metrics())
    write_bytes(path, data)
pathlib.Path.write_bytes = watched
metrics.start_metrics()
assert len(scrapes) == len(metrics._FILE_BYTES)
"""


def test_the_metrics_are_told_at_each_moment_of_a_workers_start(tmp_path: Path):
    environment = fileplane_environment(PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", STARTING], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_metric_is_documented():
    text = read("docs/operations.md")
    for metric in METRICS:
        assert f"`{metric.name}`" in text, metric.name
