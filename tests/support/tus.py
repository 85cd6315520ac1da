"""Resumable uploads as a client of tus makes them, by hand, over any HTTP client whose base URL ends in /v1."""

from __future__ import annotations

import base64
from typing import Any

import httpx2

BYTES = "application/offset+octet-stream"
VERSION = {"tus-resumable": "1.0.0"}


def metadata(**values: str) -> str:
    """The header Upload-Metadata."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def described(length: int | None, **more: str) -> dict[str, str]:
    """The headers of a creation; without a length, it is deferred."""
    values = {"filename": "data.bin", "purpose": "user_data"} | more
    size = {"upload-defer-length": "1"} if length is None else {"upload-length": str(length)}
    return {**VERSION, **size, "upload-metadata": metadata(**values)}


def create(client: httpx2.Client, length: int | None, data: bytes = b"", **more: str) -> httpx2.Response:
    """POST, with the first bytes or without."""
    headers = described(length, **more)
    if data:
        headers["content-type"] = BYTES
    return client.post("/tus", headers=headers, content=data)


def created(client: httpx2.Client, length: int | None, **more: str) -> str:
    """Where an upload is that must be taken, below /v1."""
    answer = create(client, length, **more)
    assert answer.status_code == 201, answer.text
    return place_of(answer)


def place_of(answer: httpx2.Response) -> str:
    """The location in an answer, below /v1."""
    location = answer.headers["location"]
    assert location.startswith("/v1/tus/upload_")
    return location.removeprefix("/v1")


def send(client: httpx2.Client, place: str, offset: int, data: Any, **headers: str) -> httpx2.Response:
    """PATCH."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(place, headers={**VERSION, "content-type": BYTES, "upload-offset": str(offset), **own}, content=data)


def sent(client: httpx2.Client, place: str, offset: int, data: bytes, **headers: str) -> httpx2.Response:
    """The answer to a PATCH that must be taken whole."""
    answer = send(client, place, offset, data, **headers)
    assert answer.status_code == 204, answer.text
    assert answer.headers["upload-offset"] == str(offset + len(data))
    return answer


def look(client: httpx2.Client, place: str) -> httpx2.Response:
    """HEAD."""
    return client.head(place, headers=VERSION)


def offset_of(client: httpx2.Client, place: str) -> int:
    """How far an upload has come that must be there."""
    answer = look(client, place)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def terminate(client: httpx2.Client, place: str) -> httpx2.Response:
    """DELETE."""
    return client.delete(place, headers=VERSION)


def file_id_of(answer: httpx2.Response) -> str:
    """The file that an answer says has been made."""
    return str(answer.headers["x-fileplane-file-id"])


def headers_of(method: str) -> dict[str, str]:
    """Of a request of this method that is in order, and brings nothing."""
    if method == "POST":
        return described(1)
    return {**VERSION, "upload-offset": "0", "content-type": BYTES} if method == "PATCH" else VERSION
