"""A server that is killed amid an upload in parts has every part that it acknowledged, and finishes what it had begun."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path

import httpx2

from support.expect import assert_openai_error
from support.limits import MIB, Peak
from support.part_uploads import complete, created, send_part, sent, settled
from support.polling import eventually
from support.raw_http import BOUNDARY, Connection, head, zeros
from support.server import RunningServer, running_server, start_server

KILLS = 5
PART = 100_000
LARGE_PART = 64 * MIB
LARGE_PARTS = 6
AT_ONCE = 3
ALLOWED = 64 * MIB
LEASE = 1


def test_an_upload_that_is_killed_again_and_again_ends_with_the_right_hash(tmp_path: Path) -> None:
    """Each part is sent until it is acknowledged; the server is killed while parts are under way, and right after the completion."""
    pieces = [os.urandom(PART) for _ in range(KILLS * 4)]
    acknowledged: dict[int, str] = {}
    server = start_server(tmp_path / "data", upload_lease_seconds=LEASE)
    key = server.api_key
    try:
        with server.client() as client:
            upload_id = created(client, PART * len(pieces))
        for kill in range(KILLS):
            goal = len(acknowledged) + 2
            sender = threading.Thread(target=_send_until_it_fails, args=(server, upload_id, pieces, acknowledged))
            sender.start()
            eventually(lambda goal=goal: len(acknowledged) >= min(goal, len(pieces)), "parts are acknowledged", seconds=30)
            server.kill()
            sender.join()
            server = start_server(tmp_path / "data", upload_lease_seconds=LEASE, key=key)
            with server.client() as client:
                there = {part["id"] for part in client.get(f"/uploads/{upload_id}").json()["parts"]}
                assert set(acknowledged.values()) <= there, kill
        with server.client() as client:
            for number in range(len(pieces)):
                if number not in acknowledged:
                    acknowledged[number] = sent(client, upload_id, pieces[number])
            order = [acknowledged[number] for number in range(len(pieces))]
            done = complete(client, upload_id, order)
            assert done.status_code == 200
        server.kill()
        server = start_server(tmp_path / "data", upload_lease_seconds=LEASE, key=key)
        with server.client() as client:
            # Nobody asks for it: what the killed server has left is found by the new one.
            assert settled(client, done.json()["file"]["id"], seconds=30)["status"] == "processed"
            assert complete(client, upload_id, order).json()["file"]["id"] == done.json()["file"]["id"]
            content = client.get(f"/files/{done.json()['file']['id']}/content")
            assert content.content == b"".join(pieces)
            assert content.headers["etag"] == f'"{hashlib.sha256(b"".join(pieces)).hexdigest()}"'
        checked = server.run("check", "--read-data")
        assert checked.returncode == 0, checked.stdout
    finally:
        server.kill()


def _send_until_it_fails(server: RunningServer, upload_id: str, pieces: list[bytes], acknowledged: dict[int, str]) -> None:
    with server.client() as client, suppress(httpx2.TransportError):
        for number, piece in enumerate(pieces):
            if number not in acknowledged:
                acknowledged[number] = send_part(client, upload_id, piece).json()["id"]


def test_large_parts_at_once_and_their_completion_cost_no_memory(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, server.client() as client:
        warm = created(client, 1)
        complete(client, warm, [sent(client, warm, b"x")])
        upload_id = created(client, LARGE_PART * LARGE_PARTS)
        part_ids: list[str] = []
        with Peak(server) as peak:
            for start in range(0, LARGE_PARTS, AT_ONCE):
                senders = [
                    threading.Thread(target=_send_zeros, args=(server, upload_id, part_ids))
                    for _ in range(min(AT_ONCE, LARGE_PARTS - start))
                ]
                for sender in senders:
                    sender.start()
                for sender in senders:
                    sender.join()
            file = complete(client, upload_id, part_ids).json()["file"]
            assert settled(client, file["id"], seconds=60)["status"] == "processed"
        assert peak.growth < ALLOWED
        too_large = created(client, LARGE_PART + 1)
        length = str(LARGE_PART + MIB)
        with Connection(server, timeout=60) as connection:
            connection.send(_head(server, too_large, int(length)))
            assert_openai_error(connection.answer(), 413, "file_too_large", param="data")


def _send_zeros(server: RunningServer, upload_id: str, part_ids: list[str]) -> None:
    begin = b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="data"; filename="upload"\r\n\r\n'
    end = b"\r\n--" + BOUNDARY + b"--\r\n"
    with Connection(server, timeout=60) as connection:
        connection.send(_head(server, upload_id, len(begin) + LARGE_PART + len(end)))
        for data in (begin, *zeros(LARGE_PART), end):
            connection.send(data)
        part_ids.append(connection.answer().json()["id"])


def _head(server: RunningServer, upload_id: str, length: int) -> bytes:
    return head(
        "POST",
        f"/v1/uploads/{upload_id}/parts",
        server.api_key,
        **{"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}", "content-length": str(length)},
    )
