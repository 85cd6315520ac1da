"""Fake providers whose jobs go on only when they are told to, and callers with files and jobs there."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from fileplane.http.openapi import document
from fileplane.settings import Settings
from support.path_values import is_of_providers
from support.projects import new_tenant_key
from support.server import RunningServer, fileplane_environment

_PATHS = {
    re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): methods
    for path, methods in document(Settings())["paths"].items()
    if is_of_providers(path)
}
LINE = b'{"custom_id": "one", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "text"}}\n'
PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {"provider": "openai"},
    "azure": {"provider": "azure-openai", "resourceName": "some-resource", "apiVersion": "2024-10-21"},
    "azure-v1": {"provider": "azure-openai", "resourceName": "some-resource", "apiVersion": "v1"},
    "groq": {"provider": "groq"},
}


@dataclass(frozen=True)
class JobsFake:
    """A fake provider of some flavour, steered over HTTP."""

    base_url: str
    flavour: str

    def control(self, method: str, name: str, content: Any = None) -> Any:
        root = "/".join(self.base_url.split("/")[:3])
        answer = httpx2.request(method, f"{root}/_control/{name}", json=content, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def plan(self, kind: str, operation: str, **fault: Any) -> None:
        self.control("POST", "faults", {"kind": kind, "operation": operation, **fault})

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [one for one in self.control("GET", "requests") if one["operation"] == operation]


@contextmanager
def manual_fake(flavour: str = "openai") -> Iterator[JobsFake]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0", "--jobs", "manual", "--flavour", flavour]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield JobsFake(process.stdout.readline().strip(), flavour)
        finally:
            process.terminate()


@dataclass
class Caller:
    """Somebody of a project, whose calls go through a virtual key unless they say otherwise."""

    server: RunningServer
    fake: JobsFake
    credential: str
    key: str
    slug: str = ""
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"x-portkey-api-key": self.key}
        hooks = {"response": [assert_documented]}
        self.client = httpx2.Client(base_url=self.server.base_url, headers=headers, timeout=60, trust_env=False, event_hooks=hooks)

    @property
    def own(self) -> dict[str, str]:
        """The headers of a call with the caller's own credential."""
        headers = {"authorization": f"Bearer {self.credential}", "x-portkey-custom-host": self.fake.base_url}
        return headers | {"x-portkey-provider": PROVIDERS[self.fake.flavour]["provider"]}

    def use_virtual_key(self, slug: str = "", **fields: Any) -> str:
        """Makes one for the credential, and uses it from now on."""
        chosen = slug or f"jobs-{zlib.crc32(f'{self.key}{len(self.slug)}'.encode()):08x}"
        body = {"name": chosen, "slug": chosen, "key": self.credential, "custom_host": self.fake.base_url}
        answer = self.client.post("/virtual-keys", json=body | PROVIDERS[self.fake.flavour] | fields)
        assert answer.status_code == 200, answer.text
        return self.use(chosen)

    def use(self, slug: str) -> str:
        self.slug = slug
        self.client.headers["x-portkey-virtual-key"] = slug
        return slug

    def upload(self, content: bytes = LINE, purpose: str = "batch", **options: Any) -> str:
        answer = self.client.post("/files", data={"purpose": purpose}, files={"file": ("in.jsonl", content)}, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def begin_batch(self, file_id: str, **more: Any) -> httpx2.Response:
        body = {"input_file_id": file_id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
        return self.client.post("/batches", json=body | more)

    def begin_tuning(self, file_id: str, **more: Any) -> httpx2.Response:
        return self.client.post("/fine_tuning/jobs", json={"training_file": file_id, "model": "some"} | more)

    def a_batch(self) -> tuple[str, str]:
        """A new batch and its input."""
        file_id = self.upload()
        return ok(self.begin_batch(file_id))["id"], file_id

    def a_tuning(self) -> tuple[str, str]:
        """A new fine-tuning job and its input."""
        file_id = self.upload(purpose="fine-tune")
        return ok(self.begin_tuning(file_id))["id"], file_id

    def go_on(self, job_id: str, status: str | None = None, **more: Any) -> None:
        """Brings a job one step further, from ``status`` where one is given."""
        said = {} if status is None else {"status": status}
        self.fake.control("POST", "jobs", {"credential": self.credential, "id": job_id} | said | ({"set": more} if more else {}))

    def file_ids(self) -> list[str]:
        return [file["id"] for file in ok(self.client.get("/files"))["data"]]


def assert_documented(answer: httpx2.Response) -> None:
    """The answer to a call on jobs is one that the server's own description has."""
    path = answer.request.url.raw_path.decode().partition("?")[0]
    for pattern, methods in _PATHS.items():
        if pattern.fullmatch(path):
            assert str(answer.status_code) in methods[answer.request.method.lower()]["responses"], (path, answer.status_code)


def new_caller(server: RunningServer, fake: JobsFake, name: str) -> Caller:
    """One of a new project, with a credential at the provider that only callers of the same ``name`` have."""
    return Caller(server, fake, f"sk-{zlib.crc32(name.encode()):08x}-caller", new_tenant_key(server.data_dir).plain)


def ok(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def error_of(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    """The status, code and param."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]
