"""What every Python client is put through. Nothing is judged here: each step's value or error is kept and printed as JSON."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

PIECE = 64 * 1024
POLLING = {"poll_interval": 0.1, "max_wait_seconds": 5}


class Client(Protocol):
    """The file calls of one SDK's client, waited for. ``request_id`` is sent along where the SDK has a way to."""

    def create(self, file: Any, purpose: str, request_id: str | None = None, **options: Any) -> dict[str, Any]: ...
    def page(self, request_id: str | None = None, **query: Any) -> dict[str, Any]: ...
    def retrieve(self, file_id: str) -> dict[str, Any]: ...
    def delete(self, file_id: str) -> dict[str, Any]: ...
    def text(self, file_id: str) -> str: ...
    def pieces(self, file_id: str) -> Iterable[bytes]: ...
    def wait_for_processing(self, file_id: str) -> dict[str, Any]: ...


Connect = Callable[[str, str, str | None], Client]
"""A client for a base URL and an API key, and perhaps the name of a provider that its requests are meant for."""


class Waited:
    """An asynchronous resource whose calls are waited for, all on one event loop."""

    loop = asyncio.Runner()

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._resource, name)
        return lambda *arguments, **options: self.done(method(*arguments, **options))

    @classmethod
    def done(cls, call: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await call

        return cls.loop.run(wait())


def sent_along(request_id: str | None) -> dict[str, str]:
    """Headers with the id that the server is to log the request under."""
    return {} if request_id is None else {"x-request-id": request_id}


class OnlyRead:
    """The least that can be uploaded: no length, no position, no descriptor."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


class Unseekable(io.RawIOBase):
    """A stream as from a socket: readable once, from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


class Steps:
    """Carries out steps and keeps what came of each."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.results: dict[str, dict[str, Any]] = {}
        self.folder = Path(job["folder"])

    def connect(self, connect: Connect, key: str, provider: str | None = None) -> Client:
        return connect(self.job["base_url"], key, provider)

    def request_id(self, step: str) -> str:
        return f"{self.job['client']}.{step}"

    def take(self, step: str, action: Callable[[], Any]) -> Any:
        try:
            value = action()
        except Exception as error:  # noqa: BLE001 - whatever a step raises is its result
            self.results[step] = {"error": describe(error)}
            return None
        self.results[step] = {"value": value}
        return value

    def send_batch(self, step: str, client: Client, name: str) -> None:
        """Uploads an open file under the step's own request id."""

        def send() -> dict[str, Any]:
            with (self.folder / name).open("rb") as file:
                return client.create(file, "batch", self.request_id(step))

        self.take(step, send)


def describe(error: Exception) -> dict[str, Any]:
    """An error as a caller of the SDK can look at it."""
    attributes = {"status": "status_code", "code": "code", "param": "param", "type": "type", "request_id": "request_id"}
    seen = {name: getattr(error, attribute, None) for name, attribute in attributes.items()}
    return {"class": type(error).__name__, "message": str(error), **seen, "traceback": traceback.format_exc()}


def read_back(client: Client, file_id: str) -> dict[str, Any]:
    """Size and hash of a file's content, read piece by piece."""
    digest, size = hashlib.sha256(), 0
    for piece in client.pieces(file_id):
        digest.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


def run_scenario(connect: Connect, more: Callable[[Steps], None]) -> None:
    """The steps of every client, then those of this SDK alone."""
    steps = Steps(json.load(sys.stdin))
    client = steps.connect(connect, steps.job["api_key"])
    upload_in_every_way(steps, client)
    read_content(steps, client)
    keep_names(steps, client)
    delete(steps, client)
    be_refused(steps, client, connect)
    name_a_provider(steps, steps.connect(connect, steps.job["untouched_key"], "deepseek"))
    more(steps)
    json.dump(steps.results, sys.stdout)


def ways(path: Path) -> Iterator[tuple[str, Any]]:
    content = path.read_bytes()
    yield "path", path
    yield "bytes", content
    yield "named bytes", ("given.bin", content)
    yield "bytes in memory", io.BytesIO(content)
    yield "read stream", path.open("rb")
    yield "object with only read", ("given.bin", OnlyRead(content))
    yield "stream that cannot seek", Unseekable(content)


def upload_in_every_way(steps: Steps, client: Client) -> None:
    def upload(file: Any) -> dict[str, Any]:
        created = client.create(file, "user_data")
        return {"file": created, "content": read_back(client, created["id"])}

    for way, file in ways(steps.folder / "sample.bin"):
        steps.take(f"upload {way}", lambda file=file: upload(file))
    steps.take("upload nothing", lambda: upload(steps.folder / "empty.txt"))

    def expiring() -> list[dict[str, Any]]:
        created = client.create(steps.folder / "plain.txt", "user_data", expires_after={"anchor": "created_at", "seconds": 3600})
        return [created, client.retrieve(created["id"])]

    steps.take("expires after", expiring)
    steps.take("batch", lambda: client.create(steps.folder / "batch.jsonl", "batch"))


def read_content(steps: Steps, client: Client) -> None:
    def large() -> dict[str, Any]:
        with (steps.folder / "large.bin").open("rb") as file:
            return read_back(client, client.create(file, "assistants")["id"])

    steps.take("text", lambda: client.text(client.create(steps.folder / "lines.jsonl", "fine-tune")["id"]))
    steps.take("large", large)
    steps.take("wait", lambda: client.wait_for_processing(client.create(steps.folder / "batch.jsonl", "batch")["id"]))


def keep_names(steps: Steps, client: Client) -> None:
    def names_of(files: Iterable[Any]) -> list[list[str]]:
        created = [client.create(file, "user_data") for file in files]
        return [[file["filename"], client.retrieve(file["id"])["filename"]] for file in created]

    names = steps.job["names"]
    steps.take("names of paths", lambda: names_of(steps.folder / name for name in names))
    steps.take("names of bytes", lambda: names_of((name, b"named") for name in names))


def delete(steps: Steps, client: Client) -> None:
    file_id = steps.take("create", lambda: client.create(steps.folder / "plain.txt", "user_data")["id"])
    steps.take("delete", lambda: [file_id, client.delete(file_id)])
    steps.take("retrieve deleted", lambda: client.retrieve(file_id))
    steps.take("content of deleted", lambda: client.text(file_id))
    steps.take("delete deleted", lambda: client.delete(file_id))


def be_refused(steps: Steps, client: Client, connect: Connect) -> None:
    plain, too_large = steps.folder / "plain.txt", "too-large.jsonl"

    stranger = steps.connect(connect, "fpk_this-key-was-never-made-by-anyone")
    reader = steps.connect(connect, steps.job["reader_key"])
    steps.take("wrong key", lambda: stranger.page(limit=1))
    steps.take("missing scope", lambda: reader.create(plain, "user_data"))
    steps.take("bad purpose", lambda: client.create(plain, "holiday"))
    steps.take("bad name", lambda: client.create(("two\r\nlines.txt", b"named"), "user_data"))
    steps.take("short expiry", lambda: client.create(plain, "user_data", expires_after={"anchor": "created_at", "seconds": 3599}))
    steps.take("bad limit", lambda: client.page(limit=0))
    steps.take("unknown cursor", lambda: client.page(after="01900000-0000-7000-8000-000000000000"))
    steps.take("unknown file", lambda: client.retrieve("file-unknown"))
    steps.send_batch("too-large", client, too_large)
    steps.send_batch("large-with-wrong-key", stranger, too_large)
    steps.send_batch("large-with-missing-scope", reader, too_large)
    steps.take("after refusals", lambda: client.create(plain, "user_data"))


def name_a_provider(steps: Steps, client: Client) -> None:
    plain = steps.folder / "plain.txt"
    steps.take("create-at-provider", lambda: client.create(plain, "user_data", steps.request_id("create-at-provider")))
    steps.take("list-at-provider", lambda: client.page(steps.request_id("list-at-provider")))
