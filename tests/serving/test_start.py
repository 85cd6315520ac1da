"""What ``fileplane serve`` does before, beside and after serving."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from support.expect import assert_file, assert_openai_error
from support.fake_process import fake_process
from support.forms import END, FORM_TYPE, field, file_part
from support.polling import eventually
from support.ports import free_port
from support.server import (
    RunningServer,
    fileplane_environment,
    run_fileplane,
    running_server,
    start_server,
    wait_until_dead,
    wait_until_ready,
)

TLS = Path(__file__).parents[1] / "support" / "tls"


def start_without_a_chosen_key(data_dir: Path, port: int, **settings: str) -> tuple[RunningServer, subprocess.Popen[bytes]]:
    output, log = data_dir.with_suffix(f".{port}.out"), data_dir.with_suffix(f".{port}.log")
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "fileplane", "serve", "--data-dir", str(data_dir), "--port", str(port)],
            env=fileplane_environment(FILEPLANE_MIN_FREE_DISK_BYTES="0", **settings),
            stdout=out,
            stderr=err,
        )
    server = RunningServer(port, "", data_dir, process, log, output)
    wait_until_ready(server)
    return server, process


def announced_call(server: RunningServer) -> str:
    line = re.search(r"^ +(curl .+)$", server.output, re.MULTILINE)
    assert line is not None
    return line[1]


def test_the_curl_line_of_a_server_without_keys_works_with_a_provider_s_key(tmp_path: Path) -> None:
    with fake_process() as fake:
        settings = {"FILEPLANE_AUTH": "passthrough", "FILEPLANE_EGRESS_ALLOW": "127.0.0.1"}
        server, _ = start_without_a_chosen_key(tmp_path / "data", free_port(), **settings)
        line = announced_call(server) + f' -H "x-portkey-custom-host: {fake.base_url}"'
        environment = fileplane_environment(OPENAI_API_KEY="sk-caller")
        answer = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=True, timeout=30)
        assert json.loads(answer.stdout)["object"] == "list"
        assert server.terminate() == 0


def test_the_first_start_prints_a_key_and_a_curl_line_that_work_and_later_starts_do_not(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first, _ = start_without_a_chosen_key(data_dir, free_port())
    (key,) = set(re.findall(r"fpk_[0-9A-Za-z]{43}", first.output))
    assert f"{first.base_url}/files" in first.output
    line = announced_call(first)
    (tmp_path / "README.md").write_text("hello", "utf-8")
    answer = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
    assert '"filename":"README.md"' in answer.stdout
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert first.terminate() == 0
    assert key not in first.log

    second, _ = start_without_a_chosen_key(data_dir, free_port())
    assert "fpk_" not in second.output
    with second.client(key) as client:
        assert client.get("/files").json()["total"] == 1
    assert second.terminate() == 0


def test_a_chosen_first_key_is_not_printed(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        assert server.api_key not in server.output + server.log
        with server.client() as client:
            assert client.get("/files").status_code == 200


def test_a_misspelt_variable_is_logged_at_the_start(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", drian_seconds=30) as server:
        [line] = [json.loads(line) for line in server.log.splitlines() if "DRIAN" in line]
    assert line["level"] == "warning"
    assert "FILEPLANE_DRIAN_SECONDS is no setting and does nothing; is FILEPLANE_DRAIN_SECONDS meant?" in line["event"]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_with_exit_code_0(tmp_path: Path, sign: signal.Signals) -> None:
    with running_server(tmp_path / "data") as server:
        server.process.send_signal(sign)
        assert server.process.wait(30) == 0
        assert not any('"level":"error"' in line for line in server.log.splitlines())


def test_https_is_served_with_a_certificate_and_its_key(tmp_path: Path) -> None:
    arguments = ("--tls-cert", str(TLS / "cert.pem"), "--tls-key", str(TLS / "key.pem"))
    trusted = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
    with (
        running_server(tmp_path / "data", scheme="https", arguments=arguments) as server,
        httpx2.Client(base_url=server.base_url, headers=server.headers, verify=trusted, trust_env=False) as client,
    ):
        assert server.base_url in server.output
        content = bytes(range(256)) * 10_000
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)}), bytes=len(content))
        assert client.get(f"/files/{file['id']}/content").content == content
        assert client.get(f"/files/{file['id']}/content", headers={"range": "bytes=5-9"}).content == content[5:10]


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    result = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), "--tls-cert", str(TLS / "cert.pem"))
    assert result.returncode == 2
    assert "tls_cert and tls_key go together" in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    arguments = ("--tls-cert", str(TLS / "key.pem"), "--tls-key", str(TLS / "key.pem"))
    result = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), "--port", str(free_port()), *arguments)
    assert result.returncode == 1
    assert "The TLS certificate" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_worker_that_was_killed_is_replaced_and_no_file_is_lost(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, server.client() as client:
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", b"kept")}))
        (worker,) = server.workers()
        worker.kill()
        worker.wait(30)
        wait_until_ready(server)
        assert client.get(f"/files/{file['id']}/content").content == b"kept"


def test_a_worker_that_starts_while_its_supervisor_is_killed_ends_too(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        (worker,) = server.workers()
        worker.kill()
        worker.wait(30)
        eventually(lambda: [one for one in server.workers() if one != worker], "another begins", seconds=30)
        started = server.workers()
        server.process.kill()
        server.process.wait(30)
    wait_until_dead(started)


def test_workers_whose_supervisor_was_killed_leave_the_data_directory_to_the_next_server(tmp_path: Path) -> None:
    server = start_server(tmp_path / "data")
    workers = server.workers()
    server.process.kill()
    server.process.wait(30)
    wait_until_dead(workers)
    with running_server(tmp_path / "data") as again:
        assert httpx2.get(f"{again.url}/readyz", trust_env=False).status_code == 200


def test_a_request_that_outlives_the_supervisor_ends_with_its_line_in_the_log(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", metrics_address=f"127.0.0.1:{free_port()}") as server, server.client() as client:
        worker, directory = _worker_that_has_counted_nothing(server)

        def body() -> Iterator[bytes]:
            yield field("purpose", "user_data") + file_part(b"begun ")[:-2]
            server.process.kill()
            server.process.wait(30)
            eventually(lambda: not directory.exists(), "the worker knows that its supervisor is gone", seconds=30)
            yield b"and ended\r\n" + END

        made = assert_file(client.post("/files", content=body(), headers={"content-type": FORM_TYPE}))
        assert made["bytes"] == len(b"begun and ended")
    wait_until_dead([worker])
    assert re.search(r'"method":"POST","path":"/v1/files","status":200', server.log)
    assert "Traceback" not in server.log


def test_a_request_is_answered_although_another_server_has_removed_the_numbers_of_this_one(tmp_path: Path) -> None:
    # As the next server does that starts before the worker knows that its supervisor was killed.
    with running_server(tmp_path / "data", metrics_address=f"127.0.0.1:{free_port()}") as server, server.client() as client:
        _, directory = _worker_that_has_counted_nothing(server)
        shutil.rmtree(directory)
        assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", b"kept")}))
        assert server.terminate() == 0
    assert re.search(r'"method":"POST","path":"/v1/files","status":200', server.log)
    assert server.log.count("nothing new is counted for the metrics any more") == 1
    assert "Traceback" not in server.log


def _worker_that_has_counted_nothing(server: RunningServer) -> tuple[psutil.Process, Path]:
    """And so has none of its files open; with the directory that they are in."""
    (first,) = server.workers()
    first.kill()
    first.wait(30)
    eventually(lambda: _listens(server.port), "another listens", seconds=30)
    (worker,) = server.workers()
    return worker, Path(worker.environ()["PROMETHEUS_MULTIPROC_DIR"])


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_the_client_address_is_taken_from_trusted_proxies_alone(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", trusted_proxies="127.0.0.1,10.0.0.0/8") as server:
        for forwarded in ("203.0.113.7", "198.51.100.1, 203.0.113.8, 10.1.2.3", "10.9.9.9", "not an address"):
            httpx2.get(f"{server.url}/healthz", headers={"x-forwarded-for": forwarded}, trust_env=False)
        assert server.terminate() == 0
        clients = re.findall(r'"path":"/healthz".*?"client":"([^"]*)"', server.log)
    assert clients[-4:] == ["203.0.113.7", "203.0.113.8", "10.9.9.9", "not an address"]


def test_without_trusted_proxies_nobody_chooses_their_address(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        httpx2.get(f"{server.url}/healthz", headers={"x-forwarded-for": "203.0.113.7"}, trust_env=False)
        assert server.terminate() == 0
        assert "203.0.113.7" not in server.log


def test_a_log_that_nobody_reads_stops_nobody(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "fileplane", "serve", "--data-dir", str(tmp_path / "data"), "--port", str(port)],
        env=fileplane_environment(FILEPLANE_MIN_FREE_DISK_BYTES="0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    server = RunningServer(port, "", tmp_path / "data", process, tmp_path / "unread", tmp_path / "unread")
    try:
        wait_until_ready(server)
        assert _pipelined_answers(port, 12_000) == 12_000
    finally:
        assert process.stderr is not None
        process.terminate()
        remaining = process.stderr.read()
        process.stderr.close()
        assert process.wait(30) == 0
    assert b'"event":"request"' in remaining


def _pipelined_answers(port: int, count: int) -> int:
    """Sends ``count`` requests in batches over one connection, and counts the answers."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answered = 0
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        while answered < count:
            connection.sendall(request * 100)
            received = b""
            while received.count(b'{"status":"ok"}') < 100:
                piece = connection.recv(65_536)
                assert piece, "the server closed the connection"
                received += piece
            answered += 100
    return answered


def test_health_checks_need_no_key_and_tell_nothing(server: RunningServer) -> None:
    for path in ("/healthz", "/readyz"):
        response = httpx2.get(server.url + path, trust_env=False)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_server_whose_blobs_are_gone_is_alive_but_not_ready(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        (tmp_path / "data" / "blobs" / "tmp").rmdir()
        assert httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200
        response = httpx2.get(f"{server.url}/readyz", trust_env=False)
        assert_openai_error(response, 503, "storage_unavailable", type="server_error")
        assert int(response.headers["retry-after"]) <= 60
