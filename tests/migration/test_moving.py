"""`fileplane migrate-store` beside a running server, with the real thing at both ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from migration.conftest import NewPlace
from support.expect import assert_file
from support.limits import MIB
from support.part_uploads import assembled, complete, created, send_part, sent, settled
from support.polling import eventually
from support.server import RunningServer, running_server
from support.starts import refused_start

SECRET = "sk-a-secret-of-a-provider-0123456789"


def upload(client: httpx2.Client, content: bytes, **fields: Any) -> dict[str, Any]:
    headers = fields.pop("headers", {})
    data = {"purpose": "user_data", **fields}
    return dict(assert_file(client.post("/files", data=data, files={"file": ("naïve \u202e.bin", content)}, headers=headers)))


@dataclass
class Filled:
    """A store with something of everything: by id, the bytes of files that are live, and what was done to others."""

    live: dict[str, bytes] = field(default_factory=dict)
    deleted: str = ""
    held: str = ""
    idempotent: tuple[str, bytes] = ("", b"")
    pending: tuple[str, str] = ("", "")
    """An upload that goes on, and its part."""
    other_key: str = ""
    other: dict[str, bytes] = field(default_factory=dict)


def fill(server: RunningServer) -> Filled:
    made = Filled()
    with server.client() as client:
        for content in (b"", b"small", os.urandom(9 * MIB), os.urandom(MIB + 1)):
            made.live[upload(client, content)["id"]] = content
        made.live[upload(client, b"ends", **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"})["id"]] = b"ends"
        made.idempotent = (upload(client, b"once", headers={"Idempotency-Key": "a-key"})["id"], b"once")
        made.live[made.idempotent[0]] = b"once"
        made.deleted = upload(client, b"deleted")["id"]
        assert client.delete(f"/files/{made.deleted}").status_code == 200
        purged = upload(client, b"purged")["id"]
        assert client.delete(f"/files/{purged}", params={"purge": "true"}).status_code == 200
        made.held = upload(client, b"held")["id"]
        made.live[made.held] = b"held"
        assert client.post(f"/files/{made.held}/holds", json={"reason": "kept"}).status_code == 200
        line = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
        made.live[upload(client, line, purpose="fine-tune")["id"]] = line
        pieces = (os.urandom(MIB), b"-", os.urandom(70_000))
        in_parts = assembled(client, *pieces)
        made.live[in_parts["id"]] = b"".join(pieces)
        settled(client, in_parts["id"])
        upload_id = created(client, 11)
        made.pending = (upload_id, sent(client, upload_id, b"before the "))
        given_up = created(client, 1)
        sent(client, given_up, b"x")
        assert client.post(f"/uploads/{given_up}/cancel").status_code == 200
        key = {"name": "openai", "provider": "openai", "key": SECRET}
        assert client.post("/virtual-keys", json=key).status_code == 200
    made.other_key = server.create_key(project="research")
    with server.client(made.other_key) as client:
        made.other[upload(client, b"of another project")["id"]] = b"of another project"
    return made


def shown(client: httpx2.Client) -> dict[str, Any]:
    """What a client is shown that must not change by a move."""
    paths = {
        "files": "/files?limit=10000",
        "deleted": "/files?limit=10000&deleted=true",
        "uploads": "/uploads?limit=10000",
        "usage": "/usage",
        "audit": "/audit-logs",
        "virtual keys": "/virtual-keys",
        "keys": "/api-keys",
        "workspaces": "/admin/workspaces",
    }
    return {name: client.get(path).raise_for_status().json() for name, path in paths.items()}


def without_times_of_use(document: Any) -> Any:
    """When a key was last used goes on changing where it is used."""
    if isinstance(document, dict):
        return {name: without_times_of_use(value) for name, value in document.items() if name not in {"last_used_at", "requests"}}
    return [without_times_of_use(value) for value in document] if isinstance(document, list) else document


def assert_content(client: httpx2.Client, files: dict[str, bytes]) -> None:
    for file_id, content in files.items():
        assert client.get(f"/files/{file_id}/content").content == content, file_id


def moved_parts(made: Filled) -> tuple[str, list[str]]:
    """The upload that goes on, and all that it has."""
    upload_id, part_id = made.pending
    return upload_id, [part_id]


@dataclass
class Traffic:
    """What readers and an uploader saw."""

    reads: int = 0
    wrong: list[object] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    refused: int = 0

    def read(self, client: httpx2.Client, files: dict[str, bytes]) -> None:
        for file_id, content in files.items():
            answer = client.get(f"/files/{file_id}/content")
            self.reads += 1
            if answer.status_code != 200 or answer.content != content:
                self.wrong.append((answer.status_code, file_id))
        if client.get("/files").status_code != 200:
            self.wrong.append("a list")

    def write(self, client: httpx2.Client) -> None:
        content = os.urandom(1_000)
        answer = client.post("/files", data={"purpose": "user_data"}, files={"file": ("later.bin", content)})
        if answer.status_code == 200:
            self.uploaded[answer.json()["id"]] = content
        elif answer.status_code == 503 and answer.json()["error"]["code"] == "storage_unavailable" and answer.headers["retry-after"]:
            self.refused += 1
        else:
            self.wrong.append(answer.text)


@contextmanager
def traffic(server: RunningServer, files: dict[str, bytes]) -> Iterator[Traffic]:
    """One reader and one uploader, until the end of the block."""
    seen, stop = Traffic(), threading.Event()

    def repeat(turn: Callable[[httpx2.Client], None]) -> None:
        with server.client() as client:
            while not stop.is_set():
                turn(client)

    threads = [threading.Thread(target=repeat, args=(turn,)) for turn in (lambda client: seen.read(client, files), seen.write)]
    for thread in threads:
        thread.start()
    try:
        yield seen
        eventually(lambda: seen.refused, "an upload is refused")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def kept_in(blobs: Path) -> list[Path]:
    """Everything but the second names of what was sent a moment ago."""
    return sorted(path for path in blobs.rglob("*") if path.parent.name != "served")


def test_a_store_is_moved_whole_while_it_is_read_and_written(tmp_path: Path, new_place: Callable[[], NewPlace]):
    place = new_place()
    with running_server(tmp_path / "old") as old:
        made = fill(old)
        with traffic(old, made.live) as seen:
            eventually(lambda: len(seen.uploaded) > 5, "files are uploaded meanwhile")
            done = old.run("migrate-store", "--yes", **place.variables)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert seen.wrong == []
        assert seen.reads
        made.live |= seen.uploaded
        with old.client() as client:
            before = shown(client)
            assert_content(client, made.live)
            kept = kept_in(tmp_path / "old" / "blobs")
            late = (client.delete(f"/files/{made.held}"), send_part(client, made.pending[0], b"x"), complete(client, *moved_parts(made)))
            assert kept_in(tmp_path / "old" / "blobs") == kept
        for refused in late:
            assert refused.status_code == 503
            assert "moved" in refused.json()["error"]["message"]

        new = place.node(tmp_path / "new", old)
        try:
            with new.client() as client, new.client(made.other_key) as other:
                assert without_times_of_use(shown(client)) == without_times_of_use(before)
                assert_content(client, made.live)
                assert_content(other, made.other)
                assert client.get(f"/files/{next(iter(made.other))}").status_code == 404
                upload_id, part_ids = moved_parts(made)
                assert client.get(f"/uploads/{upload_id}").json()["parts"][0]["id"] == part_ids[0]
                made.live[settled(client, complete(client, upload_id, part_ids).json()["file"]["id"])["id"]] = b"before the "
                assert_content(client, made.live)
                file_id, content = made.idempotent
                assert upload(client, content, headers={"Idempotency-Key": "a-key"})["id"] == file_id
                assert client.delete(f"/files/{made.held}").status_code == 409
                assert client.post(f"/files/{made.deleted}/restore").status_code == 200
                assert client.get(f"/files/{made.deleted}/content").content == b"deleted"
                assert_content(client, {upload(client, b"new")["id"]: b"new"})
                audit = client.get("/audit-logs").json()
                assert audit != before["audit"]
            checked = place.run(old.data_dir, "check", "--read-data")
            assert checked.returncode == 0, checked.stdout + checked.stderr
        finally:
            new.kill()
    assert "have been moved" in refused_start(tmp_path / "old")
