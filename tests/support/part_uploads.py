"""Uploads in parts: as a client makes them, over any HTTP client whose base URL ends in /v1, and in a store without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2

from fileplane.files.allowance import Received
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.model import File, Origin
from fileplane.uploads import Completion
from support.forms import FORM_TYPE, form, part
from support.in_process import InProcess
from support.polling import eventually


def create(client: httpx2.Client, size: int, *, filename: str = "data.bin", purpose: str = "user_data", **more: Any) -> httpx2.Response:
    body = {"filename": filename, "purpose": purpose, "bytes": size, "mime_type": "application/octet-stream", **more}
    return client.post("/uploads", json=body)


def created(client: httpx2.Client, size: int, **more: Any) -> str:
    """The id of an upload that must be taken."""
    response = create(client, size, **more)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def send_part(
    client: httpx2.Client, upload_id: str, data: bytes, *, disposition: bytes = b'name="data"; filename="upload"'
) -> httpx2.Response:
    """A part as OpenAI's Python SDK sends it, unless told otherwise."""
    return client.post(f"/uploads/{upload_id}/parts", content=form(part(disposition, data)), headers={"content-type": FORM_TYPE})


def sent(client: httpx2.Client, upload_id: str, data: bytes) -> str:
    """The id of a part that must be taken."""
    response = send_part(client, upload_id, data)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def complete(client: httpx2.Client, upload_id: str, part_ids: Sequence[str], **more: Any) -> httpx2.Response:
    return client.post(f"/uploads/{upload_id}/complete", json={"part_ids": list(part_ids), **more})


def assembled(client: httpx2.Client, *pieces: bytes, **more: Any) -> dict[str, Any]:
    """The file of an upload of these parts, which must succeed."""
    upload_id = created(client, sum(map(len, pieces)), **more)
    response = complete(client, upload_id, [sent(client, upload_id, piece) for piece in pieces])
    assert response.status_code == 200, response.text
    return dict(response.json()["file"])


def settled(client: httpx2.Client, file_id: str, seconds: float = 20.0) -> dict[str, Any]:
    """The file once all its bytes have been read through."""
    eventually(lambda: client.get(f"/files/{file_id}").json()["status"] != "uploaded", "the file is settled", seconds=seconds)
    return dict(client.get(f"/files/{file_id}").json())


async def part_events(data: bytes, size: int = 100_000) -> AsyncIterator[UploadEvent]:
    """A part's form as the multipart parser has it."""
    yield FileBegins("", "")
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def begin_in(store: InProcess, size: int, filename: str = "data.bin", purpose: str = "user_data") -> str:
    """The id of an upload of a store without a server."""
    fields = [FormField("purpose", purpose)]
    return (await store.uploads.create(store.principal, size, fields, filename, "")).id


async def add_in(store: InProcess, upload_id: str, data: bytes) -> str:
    """The id of a part that was taken."""
    return (await store.uploads.add_part(store.principal, upload_id, part_events(data), None, Received())).id


async def assemble_in(store: InProcess, *pieces: bytes, settle: bool = True, **more: str) -> File:
    """A file of these parts; its bytes are read through before it is returned, unless that is not wanted."""
    upload_id = await begin_in(store, sum(map(len, pieces)), **more)
    part_ids = [await add_in(store, upload_id, piece) for piece in pieces]
    if not settle:
        wanted = Completion(tuple(part_ids), store.principal.key_id)
        done = await store.metadata.complete_upload(store.principal.project_id, upload_id, wanted, Origin())
        assert done.file is not None
        return done.file
    done = await store.uploads.complete(store.principal, upload_id, part_ids, None, Origin())
    assert done.file is not None
    await store.settler.settle_down()
    return await store.files.get(store.principal, done.file.id)
