"""A server that has done a great deal holds no more than one that has done a little."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.limits import MIB, held_when_idle, threads_of
from support.raw_http import Connection, form_begin, form_length, head, upload_head
from support.server import RunningServer
from support.server_log import assert_no_trouble

CYCLES = 30
AT_ONCE = 8
CONTENT = bytes(MIB + 1)


def test_thirty_cycles_of_everything_leave_the_same_descriptors_and_no_threads(fault_server: RunningServer):
    with ThreadPoolExecutor(AT_ONCE) as clients:
        list(clients.map(lambda _: _cycle(fault_server), range(CYCLES)))
    for _ in range(AT_ONCE):  # what was opened for several at once may be closed while there is one
        _cycle(fault_server)
    held, threads = held_when_idle(fault_server), threads_of(fault_server)
    for _ in range(CYCLES):
        _cycle(fault_server)
    assert held_when_idle(fault_server) == held
    # Pools make their threads as they are needed, up to a bound: a few more are no leak, one for every other cycle is.
    assert threads_of(fault_server) < threads + CYCLES // 2
    assert_no_trouble(fault_server)


def _cycle(server: RunningServer) -> None:
    with server.client() as client:
        file_id = str(assert_file(client.post("/files", data={"purpose": "evals"}, files={"file": ("a.bin", CONTENT)}))["id"])
        content = f"/files/{file_id}/content"
        assert_file(client.get(f"/files/{file_id}"))
        assert file_id in {file["id"] for file in client.get("/files", params={"purpose": "evals"}).json()["data"]}
        assert client.get(content).content == CONTENT
        assert client.get(content, headers={"range": "bytes=1-"}).content == CONTENT[1:]
        assert client.head(content).status_code == 200
        assert client.get(content, headers={"range": f"bytes={len(CONTENT)}-"}).status_code == 416
        assert_deleted(client.delete(f"/files/{file_id}"), file_id)
        assert_openai_error(client.get(content), 404, None, param="id")
        assert_openai_error(client.post("/files", files={"file": ("a.bin", CONTENT)}), 400, "missing_required_parameter", param="purpose")
    with Connection(server) as refused:
        refused.send(upload_head("fpk_wrong_0123456789abcdefghijklmnopqrstu", 10**9))
        assert_openai_error(refused.answer(to_the_end=False), 401, "invalid_api_key")
    with Connection(server) as abandoned:
        abandoned.send(upload_head(server.api_key, form_length(len(CONTENT))) + form_begin() + CONTENT[:1000])
    with Connection(server, receive_buffer=4096) as abandoned:
        abandoned.send(head("GET", "/v1/files", server.api_key))
