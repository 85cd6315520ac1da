"""The fake provider as a process of its own, steered over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from support.server import fileplane_environment


@dataclass(frozen=True)
class FakeProcess:
    """``base_url`` is what an adapter is given as custom host."""

    base_url: str

    def control(self, method: str, name: str, content: Any = None) -> Any:
        root = "/".join(self.base_url.split("/")[:3])
        answer = httpx2.request(method, f"{root}/_control/{name}", json=content, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def plan(self, kind: str, operation: str, **fault: Any) -> None:
        self.control("POST", "faults", {"kind": kind, "operation": operation, **fault})

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [one for one in self.control("GET", "requests") if one["operation"] == operation]

    def upload(self, credential: str, name: str, content: bytes = b"{}\n", purpose: str = "batch") -> str:
        """Puts a file there past Fileplane; its id."""
        answer = httpx2.post(
            f"{self.base_url}/files",
            headers={"authorization": f"Bearer {credential}"},
            data={"purpose": purpose} if purpose else {},
            files={"file": (name, content)},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def files(self, credential: str) -> set[str]:
        headers = {"authorization": f"Bearer {credential}"}
        return {one["id"] for one in httpx2.get(f"{self.base_url}/files", headers=headers, timeout=30, trust_env=False).json()["data"]}

    def create_batch(self, credential: str, input_file_id: str) -> str:
        """Begins a batch past Fileplane; its id."""
        asked = {"input_file_id": input_file_id, "endpoint": "/v1/responses", "completion_window": "24h"}
        headers = {"authorization": f"Bearer {credential}"}
        return httpx2.post(f"{self.base_url}/batches", headers=headers, json=asked, timeout=30, trust_env=False).json()["id"]

    def finish_batch(self, credential: str, batch_id: str) -> set[str]:
        """Lets a batch come to its end; the ids of the files that it has made."""
        self.control("POST", "jobs", {"credential": credential, "id": batch_id, "status": "finalizing"})
        headers = {"authorization": f"Bearer {credential}"}
        batch = httpx2.get(f"{self.base_url}/batches/{batch_id}", headers=headers, timeout=30, trust_env=False).json()
        assert batch["status"] == "completed", batch
        return {batch[name] for name in ("output_file_id", "error_file_id") if batch[name]}


@contextmanager
def fake_process(flavour: str = "openai") -> Iterator[FakeProcess]:
    """A running fake of one flavour."""
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0", "--flavour", flavour]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield FakeProcess(process.stdout.readline().strip())
        finally:
            process.terminate()
