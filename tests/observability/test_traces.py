"""Traces: what is in them and what never is, and that no collector can slow or fail a request."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fileplane.server import TRACING_PACKAGES
from support.collector import Collector, ReceivedSpan, running_collector
from support.documents import read
from support.expect import assert_file
from support.limits import worker_of
from support.metrics import samples_of
from support.polling import eventually
from support.ports import free_port
from support.server import RunningServer, fileplane_environment, run_fileplane, running_server
from support.server_log import access_line

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SERVER_KIND, INTERNAL_KIND = 2, 1
EXPORTED_SECONDS = 10
NAME = "canary-file-name-4d1c.jsonl"
BODY = b"canary-body-e07a9b"
QUERY = "canary-query-55aa10"
STATE = "canary-state-77fe"
WRONG_KEY = "fpk_canary_wrong_91d0c4aa77be"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collecting:
        yield collecting


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("traced") / "data", otlp_endpoint=f"{collector.endpoint}/", log_level="debug") as running:
        yield running


def span_of(collector: Collector, answer: httpx2.Response) -> ReceivedSpan:
    request_id = answer.headers["x-request-id"]
    eventually(lambda: collector.request(request_id), f"the span of {request_id} arrives", seconds=EXPORTED_SECONDS)
    span = collector.request(request_id)
    assert span is not None
    return span


def upload(server: RunningServer, content: bytes = b"bytes", **headers: str) -> httpx2.Response:
    with server.client() as client:
        answer = client.post("/files", data={"purpose": "batch"}, files={"file": (NAME, content)}, headers=headers)
    assert_file(answer)
    return answer


def test_a_request_and_its_steps_are_spans_of_one_trace(traced: RunningServer, collector: Collector):
    answer = upload(traced, b"x" * 3_000_000 + b"\n")
    span = span_of(collector, answer)
    assert collector.paths[-1] == "/v1/traces"
    assert (span.name, span.kind, span.failed, span.parent_id) == ("POST /v1/files", SERVER_KIND, False, "")
    assert span.attributes["http.request.method"] == "POST"
    assert span.attributes["http.route"] == "/v1/files"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.request.body.size"] > 3_000_000
    assert span.attributes["http.response.body.size"] == len(answer.content)
    assert span.attributes["fileplane.operation"] == "upload_file"
    assert span.resource["service.name"] == "fileplane"
    steps = collector.below(span)
    assert {"authenticate", "metadata.usage", "blobs.write", "blobs.commit", "validate", "metadata.create_file"} <= set(steps)
    assert steps["blobs.write"].attributes["fileplane.blob.bytes"] == 3_000_001
    assert {step.trace_id for step in steps.values()} == {span.trace_id}
    assert {step.kind for step in steps.values()} == {INTERNAL_KIND}
    line = access_line(traced, answer.headers["x-request-id"])
    assert line["trace_id"] == span.trace_id


def test_a_download_is_traced_by_its_route_and_not_by_its_path(traced: RunningServer, collector: Collector):
    file_id = upload(traced, b"0123456789").json()["id"]
    with traced.client() as client:
        answer = client.get(f"/files/{file_id}/content", headers={"range": "bytes=2-5"})
    assert answer.content == b"2345"
    span = span_of(collector, answer)
    assert span.name == "GET /v1/files/{file_id}/content"
    assert span.attributes["http.response.status_code"] == 206
    assert {"metadata.get_file", "blobs.open", "blobs.read"} <= set(collector.below(span))


def test_a_request_without_a_route_or_with_a_method_of_its_own_says_no_more_than_that(traced: RunningServer, collector: Collector):
    span = span_of(collector, httpx2.request(WRONG_KEY, f"{traced.url}/nowhere/{QUERY}", trust_env=False))
    assert (span.name, span.attributes["http.request.method"]) == ("_OTHER", "_OTHER")
    assert "http.route" not in span.attributes


def test_the_trace_of_a_caller_goes_on(traced: RunningServer, collector: Collector):
    span = span_of(collector, upload(traced, traceparent=f"00-{TRACE}-{PARENT}-01"))
    assert (span.trace_id, span.parent_id, span.kind) == (TRACE, PARENT, SERVER_KIND)


def test_a_caller_that_does_not_sample_is_followed_and_the_log_has_its_trace_all_the_same(traced: RunningServer, collector: Collector):
    unsampled = upload(traced, traceparent=f"00-{'1' * 32}-{PARENT}-00").headers["x-request-id"]
    assert access_line(traced, unsampled)["trace_id"] == "1" * 32
    span_of(collector, upload(traced))
    assert collector.request(unsampled) is None
    assert [span for span in collector.spans if span.trace_id == "1" * 32] == []


@pytest.mark.parametrize(
    "sent",
    [
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        "nonsense",
        "0" * 2_000,
    ],
    ids=["no trace", "no span", "version ff", "too much", "upper case", "short", "nonsense", "long"],
)
def test_a_traceparent_that_is_none_begins_a_trace_of_its_own(traced: RunningServer, collector: Collector, sent: str):
    span = span_of(collector, upload(traced, traceparent=sent))
    assert span.trace_id != TRACE
    assert span.parent_id == ""


def test_a_traceparent_of_a_later_version_is_understood(traced: RunningServer, collector: Collector):
    trace = TRACE[::-1]
    assert span_of(collector, upload(traced, traceparent=f"cc-{trace}-{PARENT}-01-what-comes-later")).trace_id == trace


def test_a_request_that_the_server_fails_is_a_span_that_failed(traced: RunningServer, collector: Collector):
    file_id = upload(traced, b"about to be lost").json()["id"]
    for blob in traced.data_dir.glob("blobs/[0-9a-f][0-9a-f]/*"):
        blob.unlink()
    with traced.client() as client:
        span = span_of(collector, client.get(f"/files/{file_id}/content"))
    assert span.failed
    assert span.attributes["error.type"] == "500"
    assert collector.below(span)["blobs.open"].attributes["error.type"] == "BlobMissing"


def test_no_secret_name_content_or_query_is_in_any_span_or_metric(traced: RunningServer, collector: Collector):
    headers = {"tracestate": f"vendor={STATE}", "idempotency-key": STATE, "traceparent": f"00-{TRACE}-{PARENT}-01", "cookie": STATE}
    file_id = upload(traced, BODY, **headers).json()["id"]
    with traced.client() as client:
        client.get("/files", params={"after": QUERY, "unknown": QUERY})
        client.get(f"/files/{QUERY}")
        client.get(f"/files/{file_id}/content?{QUERY}")
        client.get("/files", headers={"authorization": f"Bearer {WRONG_KEY}"})
        client.get("/files", headers={"x-portkey-provider": "openai", "x-portkey-virtual-key": WRONG_KEY})
        last = client.post("/files", data={"purpose": QUERY}, files={"file": (NAME, BODY)})
    span_of(collector, last)
    told = b"".join(collector.bodies) + str(samples_of(traced)).encode()
    assert b"upload_file" in told
    for secret in (traced.api_key, traced.api_key[4:], WRONG_KEY, NAME, NAME.removesuffix(".jsonl"), BODY.decode(), QUERY, STATE, file_id):
        assert secret.encode() not in told, secret


def test_a_share_of_nothing_traces_only_what_callers_have_sampled(tmp_path: Path, collector: Collector):
    with running_server(tmp_path / "data", otlp_endpoint=collector.endpoint, trace_sample_ratio=0) as server:
        alone = upload(server).headers["x-request-id"]
        span_of(collector, upload(server, traceparent=f"00-{TRACE}-{PARENT}-01"))
        assert collector.request(alone) is None
        assert "trace_id" not in access_line(server, alone)


def test_what_was_traced_last_is_sent_before_the_server_ends_by_each_worker(tmp_path: Path, collector: Collector):
    with running_server(tmp_path / "data", otlp_endpoint=collector.endpoint, workers=2) as server:
        sent: dict[int | None, str] = {}

        def asked() -> int:
            with server.client() as client:  # a connection of its own, which whichever worker is first accepts
                answer = client.get("/files")
                _, port = answer.extensions["network_stream"].get_extra_info("client_addr")
                sent[worker_of(server, port)] = answer.headers["x-request-id"]
            return len(sent)

        eventually(lambda: asked() == 2, "both workers have answered", seconds=30)
        assert server.terminate() == 0
        spans = [collector.request(request_id) for request_id in sent.values()]
    assert None not in spans
    assert len({span.resource["service.instance.id"] for span in spans if span is not None}) == 2


WITHOUT_TRACES = """
import asyncio, pathlib, sys
from fileplane import app, server
from fileplane.data_directory import prepare_data_directory
from fileplane.settings import Settings

settings = Settings(data_dir=pathlib.Path(sys.argv[1]))
lock, _ = prepare_data_directory(settings)

async def main():
    async with app.open_services(settings) as services:
        assert type(services.blobs).__name__ == "LocalBlobStore", services.blobs
        assert type(services.metadata).__name__ == "SqliteMetadataStore", services.metadata

asyncio.run(main())
print([name for name in sys.modules if name.startswith(("opentelemetry", "google", "requests"))])
"""


def test_a_server_without_a_collector_loads_no_library_for_it(tmp_path: Path):
    command = [sys.executable, "-c", WITHOUT_TRACES, str(tmp_path / "data")]
    done = subprocess.run(command, env=fileplane_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr


def test_a_start_without_the_libraries_is_refused_with_the_command_that_installs_them(tmp_path: Path):
    hidden = tmp_path / "without" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("", "utf-8")
    refused = run_fileplane(
        "serve",
        "--data-dir",
        str(tmp_path / "data"),
        PYTHONPATH=str(hidden.parent),
        FILEPLANE_PORT=str(free_port()),
        FILEPLANE_OTLP_ENDPOINT="http://127.0.0.1:4318",
    )
    assert refused.returncode != 0
    assert f"-m pip install {' '.join(TRACING_PACKAGES)}" in " ".join(refused.stderr.split())
    assert not (tmp_path / "data").exists()


def test_the_command_installs_what_the_extra_has():
    extra = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]["tracing"]
    assert sorted(entry.partition(">")[0] for entry in extra) == sorted(TRACING_PACKAGES)


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://", "http://collector:99999", "http://c?x=1"])
def test_what_is_no_base_url_is_refused(endpoint: str):
    refused = run_fileplane("settings", FILEPLANE_OTLP_ENDPOINT=endpoint)
    assert refused.returncode != 0
    assert "otlp_endpoint" in refused.stderr


@pytest.mark.parametrize("ratio", ["1.5", "-0.1", "nan", "half"])
def test_what_is_no_share_is_refused(ratio: str):
    refused = run_fileplane("settings", FILEPLANE_TRACE_SAMPLE_RATIO=ratio)
    assert refused.returncode != 0
    assert "a number from 0 to 1" in refused.stderr


def test_a_password_in_the_base_url_is_refused_without_being_shown():
    refused = run_fileplane("settings", FILEPLANE_OTLP_ENDPOINT="http://user:canary-password@collector:4318")
    assert refused.returncode != 0
    assert "OTEL_EXPORTER_OTLP_HEADERS" in refused.stderr
    assert "canary-password" not in refused.stderr
