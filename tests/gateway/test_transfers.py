"""Bytes through the gateway: exact whatever their type, in parts, and in constant memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from gateway.conftest import Fake, Project
from support.part_uploads import complete, created, sent
from support.server_log import access_line, log_lines

MIB = 1 << 20
SIZE = 300 * MIB
ALLOWED = 64 * MIB
AWKWARD = b'\xff\xfe{"n": 12345678901234567890, "n": 1.0}\r\n\x00\xe2\x82'


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a.html", "a.pdf", "a.bin"])
def test_bytes_come_back_as_they_were_whatever_their_type(project: Project, name: str) -> None:
    file_id = project.upload(project.own, AWKWARD, name, purpose="user_data").json()["id"]
    answer = project.client.get(f"/files/{file_id}/content", headers=project.own)
    assert answer.content == AWKWARD
    assert answer.headers["content-disposition"].startswith("attachment")
    assert (answer.headers["x-content-type-options"], answer.headers["content-length"]) == ("nosniff", str(len(AWKWARD)))


@pytest.mark.parametrize(("asked", "part"), [("bytes=2-5", slice(2, 6)), ("bytes=90-", slice(90, 100)), ("bytes=-7", slice(93, 100))])
@pytest.mark.parametrize("heeded", [True, False], ids=["heeded", "ignored"])
def test_a_part_is_served_also_where_the_provider_has_only_wholes(
    project: Project, fake: Fake, asked: str, part: slice, heeded: bool
) -> None:
    content = os.urandom(100)
    file_id = project.upload(project.own, content, "a.bin", purpose="user_data").json()["id"]
    if not heeded:
        fake.plan("refuse", "content", status=200, body=content.hex())
        content = content.hex().encode()
        part = slice(*(slice(part.start, part.stop) if asked != "bytes=-7" else slice(193, 200)).indices(200)[:2])
        part = slice(90, 200) if asked == "bytes=90-" else part
    answer = project.client.get(f"/files/{file_id}/content", headers={**project.own, "range": asked})
    assert (answer.status_code, answer.content) == (206, content[part])
    assert answer.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{len(content)}"


def test_a_range_outside_the_file_is_a_416(project: Project) -> None:
    file_id = project.upload(project.own).json()["id"]
    assert project.client.get(f"/files/{file_id}/content", headers={**project.own, "range": "bytes=100-"}).status_code == 416


def test_a_download_that_breaks_off_is_never_taken_for_whole(project: Project, fake: Fake) -> None:
    file_id = project.upload(project.own, os.urandom(MIB), "a.bin", purpose="user_data").json()["id"]
    fake.plan("close_response_at", "content", at=MIB // 2)
    with pytest.raises(httpx2.RemoteProtocolError):
        project.client.get(f"/files/{file_id}/content", headers=project.own)


def test_a_provider_that_breaks_a_download_off_is_one_warning_in_the_log(project: Project, fake: Fake) -> None:
    file_id = project.upload(project.own, os.urandom(MIB), "a.bin", purpose="user_data").json()["id"]
    before, names = len(project.server.log), [f"broken-{uuid4().hex}" for _ in range(5)]
    for name in names:
        fake.plan("close_response_at", "content", at=MIB // 2)
        with pytest.raises(httpx2.RemoteProtocolError):
            project.client.get(f"/files/{file_id}/content", headers=project.own | {"x-request-id": name})
        access_line(project.server, name)
    for name in names:
        lines = [line for line in log_lines(project.server) if line.get("request_id") == name]
        assert [(line["level"], line["event"]) for line in lines] == [
            ("warning", "the answer was broken off: openai: The connection to the provider broke. Try again."),
            ("info", "request"),
        ]
    assert "Traceback" not in project.server.log[before:], "of what the log is told already"


def test_large_files_cost_no_memory(project: Project) -> None:
    block = os.urandom(MIB)
    boundary = "b" * 16
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--{boundary}\r\n'
    head += 'Content-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
    tail = f"\r\n--{boundary}--\r\n"

    def body() -> Iterator[bytes]:
        yield head.encode()
        for _ in range(SIZE // MIB):
            yield block
        yield tail.encode()

    def peak() -> int:
        return max(int(_status(process.pid)["VmHWM"].split()[0]) * 1024 for process in project.server.workers())

    headers = {**project.own, "content-type": f"multipart/form-data; boundary={boundary}"}
    project.upload(project.own, block, "warm.bin", purpose="user_data")
    before = peak()
    answer = project.client.post("/files", headers=headers, content=body())
    assert (answer.status_code, answer.json()["bytes"]) == (200, SIZE), answer.text
    digest = hashlib.sha256()
    with project.client.stream("GET", f"/files/{answer.json()['id']}/content", headers=project.own) as download:
        for piece in download.iter_raw():
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(block * (SIZE // MIB)).digest()
    assert peak() - before < ALLOWED


@pytest.mark.full
@pytest.mark.parametrize("provider", ["openai", "groq"])
def test_large_parts_of_uploads_cost_no_memory(project: Project, provider: str) -> None:
    client, part = project.client, os.urandom(64 * MIB)
    client.headers["x-portkey-virtual-key"] = project.virtual_key(provider=provider)

    def peak() -> int:
        return max(int(_status(process.pid)["VmHWM"].split()[0]) * 1024 for process in project.server.workers())

    warm = created(client, MIB, purpose="batch")
    complete(client, warm, [sent(client, warm, part[:MIB])])
    before = peak()
    upload_id = created(client, 3 * len(part), purpose="batch")
    with ThreadPoolExecutor(3) as pool:
        part_ids = list(pool.map(lambda _: sent(client, upload_id, part), range(3)))
    done = complete(client, upload_id, part_ids)
    assert (done.status_code, done.json()["file"]["bytes"]) == (200, 3 * len(part)), done.text
    assert peak() - before < ALLOWED


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
