"""One tenant of the soak: a thread that knows what its project must hold."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2

MIB = 1 << 20
SIZES = (0, 1, 4_096, 70_000, 70_000, 300_000, 1_200_000, 5_000_000)
LARGE = 30 * MIB
MOST_LIVE = 150
RETENTION_MARGIN = 45
HOLD_SECONDS = 30
TRIES = 1_000
NOISE = random.Random(0).randbytes(LARGE + MIB)


@dataclass
class Ledger:
    """What all tenants have done and found, for the report."""

    operations: Counter[str] = field(default_factory=Counter)
    uploaded: int = 0
    downloaded: int = 0
    unknown: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Kept:
    """A file as it was acknowledged. ``deleted_at`` is when its deletion was acknowledged, by this process's clock."""

    sha256: str
    size: int
    deleted_at: float | None = None
    gone: bool = False
    held_until: float = 0.0
    """Until then a hold may be on it whose answer, or whose release's, was lost."""
    unsure: bool = False
    """Whether an answer about its state was lost; what it is then is learnt from the next look."""


class Wrong(Exception):
    """The server has said something that it must not."""


class Tenant:
    """See the module."""

    def __init__(
        self, base_url: str, key: str, chance: random.Random, ledger: Ledger, ready: threading.Event, ended: threading.Event
    ) -> None:
        self._client = httpx2.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False)
        self._chance = chance
        self._ledger = ledger
        self._ready = ready
        self._ended = ended
        self._files: dict[str, Kept] = {}
        self._strays = 0

    def close(self) -> None:
        """Closes its connections; to be called last."""
        self._client.close()

    def run(self) -> None:
        """Until the soak ends, or something is wrong, which ends it."""
        actions: list[tuple[Callable[[], None], int]] = [
            (self._upload, 40),
            (self._upload_lines, 5),
            (self._read, 20),
            (self._read_range, 6),
            (self._delete, 12),
            (self._purge, 5),
            (self._restore, 6),
            (self._hold_and_release, 3),
            (self._list, 3),
        ]
        while not self._ended.is_set():
            self._ready.wait(120)
            action = self._chance.choices([entry for entry, _ in actions], [weight for _, weight in actions])[0]
            try:
                action()
            except httpx2.TransportError:
                time.sleep(0.05)  # the server is being killed; its successor is waited for above
            except Exception as error:  # noqa: BLE001 - whatever it is ends the soak, with its reason
                self._ledger.problems.append(f"{action.__name__}: {error!r}")
                self._ended.set()

    def _done(self, name: str) -> None:
        self._ledger.operations[name] += 1

    def _send(self, method: str, path: str, **parts: object) -> httpx2.Response:
        """503 is what a dying worker may say, or one whose successor has the database."""
        response = self._client.request(method, path, **parts)
        if response.status_code >= 500 and response.status_code != 503:
            raise Wrong(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response

    def _upload(self) -> None:
        if len(self._live()) > MOST_LIVE:
            self._delete()
            return
        size = LARGE if self._chance.random() < 0.01 else self._chance.choice(SIZES)
        start = self._chance.randrange(MIB)
        self._create(NOISE[start : start + size], "user_data", "data.bin")

    def _upload_lines(self) -> None:
        count = self._chance.randrange(1, 400)
        lines = [
            {"custom_id": str(number), "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x" * 500}}
            for number in range(count)
        ]
        broken = self._chance.random() < 0.3
        content = "".join(json.dumps(line) + "\n" for line in lines) + ("broken\n" if broken else "")
        answer = self._create(content.encode(), "batch", "lines.jsonl")
        if answer is not None and (answer["status"] == "error") is not broken:
            raise Wrong(f"the verdict on {answer['id']} is {answer['status']}, broken: {broken}")

    def _create(self, content: bytes, purpose: str, name: str) -> dict[str, object] | None:
        key = str(uuid.UUID(int=self._chance.getrandbits(128))) if self._chance.random() < 0.5 else None
        headers = {} if key is None else {"Idempotency-Key": key}
        response = None
        lost = False
        for _ in range(TRIES):
            try:
                response = self._send("POST", "/files", data={"purpose": purpose}, files={"file": (name, content)}, headers=headers)
            except httpx2.TransportError:
                self._ledger.unknown += 1
                lost = True
                if key is None:
                    self._strays += 1
                    raise
                self._ready.wait(120)
                time.sleep(0.05)
                continue
            if response.status_code != 503:
                break
            time.sleep(0.2)
        if response is None or response.status_code != 200:
            raise Wrong(f"an upload of {len(content)} bytes was not taken: {response and response.text[:300]}")
        answer = response.json()
        if lost and "idempotent-replayed" in response.headers:
            self._ledger.repeated += 1
        if answer["id"] in self._files:
            raise Wrong(f"the id {answer['id']} was given out twice")
        self._files[answer["id"]] = Kept(hashlib.sha256(content).hexdigest(), len(content))
        self._ledger.uploaded += len(content)
        self._done("uploads")
        return answer

    def _live(self) -> list[str]:
        return [file_id for file_id, file in self._files.items() if file.deleted_at is None and not file.gone and not file.unsure]

    def _one(self) -> str | None:
        live = self._live()
        return self._chance.choice(live) if live else None

    def _read(self) -> None:
        file_id = self._one()
        if file_id is None:
            return
        file = self._files[file_id]
        response = self._send("GET", f"/files/{file_id}/content")
        if response.status_code == 503:
            return
        if response.status_code != 200 or hashlib.sha256(response.content).hexdigest() != file.sha256:
            raise Wrong(f"{file_id} was acknowledged and reads {response.status_code} with {len(response.content)} of {file.size} bytes")
        self._ledger.downloaded += file.size
        self._done("downloads")

    def _read_range(self) -> None:
        file_id = self._one()
        if file_id is None or not self._files[file_id].size:
            return
        size = self._files[file_id].size
        start = self._chance.randrange(size)
        response = self._send("GET", f"/files/{file_id}/content", headers={"Range": f"bytes={start}-"})
        if response.status_code != 503 and (response.status_code, len(response.content)) != (206, size - start):
            raise Wrong(f"a range of {file_id} reads {response.status_code} with {len(response.content)} bytes")
        self._done("ranged downloads")

    def _change(self, file_id: str, method: str, path: str, name: str, **parts: object) -> httpx2.Response:
        file = self._files[file_id]
        file.unsure = True
        response = self._send(method, path, **parts)
        if response.status_code == 200:
            file.unsure = False
            self._done(name)
        elif response.status_code == 409 and time.monotonic() < file.held_until:
            file.unsure = False
        elif response.status_code != 503:
            raise Wrong(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response

    def _delete(self) -> None:
        file_id = self._one()
        if file_id is not None and self._change(file_id, "DELETE", f"/files/{file_id}", "deletions").status_code == 200:
            self._files[file_id].deleted_at = time.monotonic()

    def _purge(self) -> None:
        file_id = self._one()
        if file_id is not None:
            response = self._change(file_id, "DELETE", f"/files/{file_id}?purge=true", "purges")
            self._files[file_id].gone = response.status_code == 200

    def _restore(self) -> None:
        now = time.monotonic()
        young = [
            file_id
            for file_id, file in self._files.items()
            if file.deleted_at is not None and now - file.deleted_at < RETENTION_MARGIN and not file.unsure
        ]
        if young:
            file_id = self._chance.choice(young)
            if self._change(file_id, "POST", f"/files/{file_id}/restore", "restorations").status_code == 200:
                self._files[file_id].deleted_at = None

    def _hold_and_release(self) -> None:
        file_id = self._one()
        if file_id is None:
            return
        self._files[file_id].held_until = time.monotonic() + HOLD_SECONDS + 2
        hold = self._send("POST", f"/files/{file_id}/holds", json={"reason": "soak", "expires_in": HOLD_SECONDS})
        if hold.status_code != 200:
            return
        refused = self._send("DELETE", f"/files/{file_id}")
        if refused.status_code not in (409, 503):
            raise Wrong(f"a held file was deleted: {refused.status_code}")
        if self._send("DELETE", f"/files/{file_id}/holds/{hold.json()['id']}").status_code == 200:
            self._files[file_id].held_until = 0.0
            self._done("holds")

    def _list(self) -> None:
        response = self._send("GET", "/files", params={"limit": 10_000})
        if response.status_code == 503:
            return
        shown = {file["id"] for file in response.json()["data"]}
        live = set(self._live())
        if live - shown:
            raise Wrong(f"acknowledged and not listed: {sorted(live - shown)[:3]}")
        dead = {file_id for file_id, file in self._files.items() if (file.gone or file.deleted_at is not None) and not file.unsure}
        if dead & shown:
            raise Wrong(f"deleted and listed: {sorted(dead & shown)[:3]}")
        self._learn(shown)
        self._done("lists")

    def _learn(self, shown: set[str]) -> None:
        """What became of files about which an answer was lost; and files of uploads whose answer was, which are deleted."""
        for file_id, file in self._files.items():
            if file.unsure:
                file.unsure, file.gone = False, file_id not in shown
                file.deleted_at = None
        for stray in shown - self._files.keys():
            if self._strays == 0:
                raise Wrong(f"{stray} was never uploaded")
            with suppress(httpx2.TransportError):
                self._send("DELETE", f"/files/{stray}?purge=true")

    def verify_everything(self) -> None:
        """Every file that must be there, with its bytes; nothing else. Raises :class:`Wrong`."""
        self._list()
        self._list()
        for file_id in self._live():
            response = self._send("GET", f"/files/{file_id}/content")
            if response.status_code != 200 or hashlib.sha256(response.content).hexdigest() != self._files[file_id].sha256:
                raise Wrong(f"{file_id} was acknowledged and reads {response.status_code} in the end")
