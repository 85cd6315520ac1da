"""Collectors that are down, refuse or stall: they fail and slow no request, and the log stays readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.collector import running_collector
from support.expect import assert_file
from support.metrics import samples_of, value_of
from support.polling import eventually
from support.ports import free_port
from support.server import RunningServer, running_server
from support.server_log import log_lines

NOTICED_SECONDS = 20


def upload(server: RunningServer) -> str:
    """The id of the request."""
    with server.client() as client:
        answer = client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.txt", b"bytes")})
    assert_file(answer)
    return answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "status",
    [pytest.param(None, id="nobody listens"), pytest.param(503, id="overloaded", marks=pytest.mark.full), pytest.param(400, id="refuses")],
)
def test_a_collector_that_takes_nothing_fails_no_request_and_has_one_line_in_the_log(tmp_path: Path, status: int | None):
    with running_collector(status=status or 200) as refusing:
        endpoint = refusing.endpoint if status else f"http://127.0.0.1:{free_port()}"
        with running_server(tmp_path / "data", otlp_endpoint=endpoint) as server:
            for _ in range(30):
                upload(server)
            eventually(lambda: value_of(samples_of(server), "fileplane_trace_spans_total", outcome="failed"), "it is given up", seconds=20)
            upload(server)
            assert server.terminate() == 0
        told = [line for line in log_lines(server) if "traces" in line["event"] or "opentelemetry" in str(line)]
    assert [line["level"] for line in told] == ["warning"]
    assert endpoint in told[0]["event"]


def test_a_collector_that_never_answers_keeps_no_request_waiting_and_what_it_does_not_take_is_dropped(tmp_path: Path):
    with running_collector(stalled=True) as stalling:
        with running_server(tmp_path / "data", otlp_endpoint=stalling.endpoint, metrics_public="true") as server, server.client() as client:

            def dropped() -> float:
                for _ in range(200):
                    client.get("/files").raise_for_status()
                return value_of(samples_of(server), "fileplane_trace_spans_total", outcome="dropped")

            eventually(dropped, "the queue is full", seconds=60)
            assert server.terminate() == 0
        assert stalling.bodies
    assert [line for line in log_lines(server) if line["level"] == "error"] == []


def test_a_collector_that_comes_back_is_sent_spans_again(tmp_path: Path):
    with running_collector(status=400) as collector, running_server(tmp_path / "data", otlp_endpoint=collector.endpoint) as server:
        upload(server)
        eventually(lambda: "traces cannot be sent" in server.log, "the log says so", seconds=NOTICED_SECONDS)
        collector.status = 200
        request_id = upload(server)
        eventually(lambda: collector.request(request_id), "its span arrives", seconds=NOTICED_SECONDS)
        eventually(lambda: "traces are sent to" in server.log, "the log says that it is over", seconds=NOTICED_SECONDS)
