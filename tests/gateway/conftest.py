"""A server whose requests may go to a fake provider, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from support.projects import new_tenant_key
from support.server import RunningServer, fileplane_environment, running_server


@dataclass(frozen=True)
class Fake:
    """The fake provider, steered over HTTP."""

    base_url: str

    def _control(self, method: str, name: str, content: Any = None) -> Any:
        root = self.base_url.removesuffix("/v1")
        answer = httpx2.request(method, f"{root}/_control/{name}", json=content, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def plan(self, kind: str, operation: str, **fault: Any) -> None:
        self._control("POST", "faults", {"kind": kind, "operation": operation, **fault})

    def reset(self) -> None:
        self._control("POST", "reset", {})

    def requests(self, operation: str | None = None) -> list[dict[str, Any]]:
        return [one for one in self._control("GET", "requests") if operation in {None, one["operation"]}]

    def files(self, credential: str) -> list[dict[str, Any]]:
        answer = httpx2.get(f"{self.base_url}/files", headers={"Authorization": f"Bearer {credential}"}, trust_env=False)
        return answer.json()["data"]

    def put(self, credential: str, content: bytes, media_type: str) -> str:
        """A file of a type that no upload through the server would have there; its id."""
        answer = httpx2.post(
            f"{self.base_url}/files",
            headers={"Authorization": f"Bearer {credential}"},
            data={"purpose": "user_data"},
            files={"file": ("a.bin", content, media_type)},
            trust_env=False,
        )
        return str(answer.json()["id"])

    def state(self) -> dict[str, int]:
        return self._control("GET", "state")

    def content(self, credential: str, file_id: str) -> bytes:
        headers = {"Authorization": f"Bearer {credential}"}
        return httpx2.get(f"{self.base_url}/files/{file_id}/content", headers=headers, trust_env=False).content


@dataclass
class Project:
    """A caller in a project of its own, with a credential at the fake provider that no other test has."""

    server: RunningServer
    fake: Fake
    key: str
    credential: str
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx2.Client(base_url=self.server.base_url, headers={"x-portkey-api-key": self.key}, timeout=60, trust_env=False)

    @property
    def own(self) -> dict[str, str]:
        """The headers of a call with the caller's own credential."""
        return {
            "x-portkey-provider": "openai",
            "authorization": f"Bearer {self.credential}",
            "x-portkey-custom-host": self.fake.base_url,
        }

    def virtual_key(self, slug: str = "", credential: str = "", **fields: Any) -> str:
        """Makes a virtual key for the credential; its slug."""
        chosen = slug or f"vk-{zlib.crc32(self.credential.encode()):08x}"
        body = {"name": chosen, "slug": chosen, "provider": "openai", "key": credential or self.credential} | fields
        answer = self.client.post("/virtual-keys", json={"custom_host": self.fake.base_url} | body)
        assert answer.status_code == 200, answer.text
        return chosen

    def upload(self, headers: dict[str, str], content: bytes = b"{}\n", name: str = "a.jsonl", **form: Any) -> httpx2.Response:
        data = {"purpose": "batch"} | form
        return self.client.post("/files", headers=headers, data=data, files={"file": (name, content)})


@pytest.fixture(scope="session")
def fake_process() -> Iterator[Fake]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield Fake(process.stdout.readline().strip())
        finally:
            process.terminate()


@pytest.fixture
def fake(fake_process: Fake) -> Fake:
    fake_process.reset()
    return fake_process


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("gateway") / "data", egress_allow="127.0.0.1", egress_idle_seconds=5) as running:
        yield running


@pytest.fixture
def project(gateway: RunningServer, fake: Fake, request: pytest.FixtureRequest) -> Iterator[Project]:
    credential = f"sk-{zlib.crc32(request.node.nodeid.encode()):08x}-caller"
    made = Project(gateway, fake, new_tenant_key(gateway.data_dir).plain, credential)
    with made.client:
        yield made


@pytest.fixture
def neighbour(gateway: RunningServer, fake: Fake, project: Project) -> Iterator[Project]:
    """Another project, with the same credential at the provider."""
    made = Project(gateway, fake, new_tenant_key(gateway.data_dir).plain, project.credential)
    with made.client:
        yield made


def as_header(document: dict[str, Any]) -> dict[str, str]:
    """An inline config."""
    return {"x-portkey-config": json.dumps(document)}
