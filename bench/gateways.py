"""Gateways in front of one fake provider, each in a process of its own, all with the same file calls."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2
import psutil

import rivals
from servers import READY_SECONDS, Server, ServerFailed, bare_route, fileplane, free_port, new_key, running, wait_until_listening

_CREDENTIAL = "sk-of-the-benchmark"
_VIRTUAL_KEY = "bench"
_API_KEY = new_key()
_LITELLM_READY_SECONDS = 180


class Alone(Server):
    """A server without a supervisor: the process that was started serves, with whatever it starts."""

    def serving_processes(self) -> list[psutil.Process]:
        """The process itself and its children."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]


@contextmanager
def fake_provider(directory: Path) -> Iterator[Server]:
    """Fileplane's fake of OpenAI's Files API; its headers are the credential's. What it keeps is below ``directory``."""
    port, log_path = free_port(), directory / "fake.log"
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", str(port)]
    with running(command, log_path, {"TMPDIR": str(directory)}) as process:
        server = Alone("direct", port, process, log_path, {"Authorization": f"Bearer {_CREDENTIAL}"})
        wait_until_listening(server)
        yield server


@contextmanager
def fileplane_passing(upstream: Server, directory: Path) -> Iterator[Server]:
    """Fileplane without keys of its own: the caller's credential and the provider's address come in the headers."""
    settings = {"FILEPLANE_AUTH": "passthrough", "FILEPLANE_EGRESS_ALLOW": "127.0.0.1"}
    with fileplane(directory / "passing", new_key(), settings) as server:
        server.headers = _ad_hoc(upstream)
        yield server


@contextmanager
def fileplane_with_keys(upstream: Server, directory: Path) -> Iterator[Server]:
    """Fileplane with an API key of its own and a virtual key, so that the catalog says whose a file is.

    Started again in the same directory and run it still has its files; ``upstream`` must then be the same.
    """
    is_new = not (directory / "keys").exists()
    with fileplane(directory / "keys", _API_KEY, {"FILEPLANE_EGRESS_ALLOW": "127.0.0.1"}) as server:
        if is_new:
            credential = {"provider": "openai", "key": _CREDENTIAL, "custom_host": f"{upstream.url}/v1"}
            body = {"name": _VIRTUAL_KEY, "slug": _VIRTUAL_KEY, **credential}
            httpx2.post(f"{server.url}/v1/virtual-keys", json=body, headers=server.headers, trust_env=False).raise_for_status()
        server.headers = server.headers | {"x-portkey-virtual-key": _VIRTUAL_KEY}
        yield server


@contextmanager
def bare_gateway(upstream: Server, directory: Path) -> Iterator[Server]:
    """One route on Fileplane's server that asks through its HTTP client; it has no call but GET of one file."""
    with bare_route(directory, "bare_gateway", upstream.url) as server:
        server.headers = dict(upstream.headers)
        yield server


@contextmanager
def portkey(upstream: Server, directory: Path) -> Iterator[Server]:
    """Portkey's gateway as npm installs it, without its console. Raises :class:`rivals.Unavailable`."""
    port, log_path = free_port(), directory / "portkey.log"
    command = [*rivals.portkey(directory.parent / rivals.CACHE_NAME), f"--port={port}", "--headless"]
    with running(command, log_path, {"NODE_ENV": "production"}) as process:
        server = Alone("Portkey", port, process, log_path, _ad_hoc(upstream))
        _wait_for_rival(server, READY_SECONDS)
        yield server


@contextmanager
def litellm(upstream: Server, directory: Path) -> Iterator[Server]:
    """LiteLLM's proxy with one worker, without a database. Raises :class:`rivals.Unavailable`.

    Uploads take the provider's address and key from its configuration, the calls on one file take them from the environment.
    """
    command, key = rivals.litellm(directory.parent / rivals.CACHE_NAME), f"sk-{secrets.token_urlsafe(32)}"
    port, log_path, base_url = free_port(), directory / "litellm.log", f"{upstream.url}/v1"
    settings = [{"custom_llm_provider": "openai", "api_base": base_url, "api_key": _CREDENTIAL}]
    configuration = directory / "litellm.yaml"
    configuration.write_text(json.dumps({"model_list": [], "files_settings": settings}), "utf-8")
    environment = {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": _CREDENTIAL,
        "OPENAI_BASE_URL": base_url,
        "TMPDIR": str(directory),
    }
    options = ["--config", str(configuration), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with running([*command, *options], log_path, environment) as process:
        server = Alone("LiteLLM", port, process, log_path, {"Authorization": f"Bearer {key}", "custom-llm-provider": "openai"})
        _wait_for_rival(server, _LITELLM_READY_SECONDS)
        yield server


Starts = Callable[[Server, Path], AbstractContextManager[Server]]

OURS: dict[str, Starts] = {"own credential": fileplane_passing, "virtual key": fileplane_with_keys}
"""Fileplane's two ways to a provider."""
RIVALS: dict[str, Starts] = {"Portkey": portkey, "LiteLLM": litellm}
"""The others, by their names."""


def _ad_hoc(upstream: Server) -> dict[str, str]:
    return {**upstream.headers, "x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream.url}/v1"}


def _wait_for_rival(server: Server, seconds: float) -> None:
    try:
        wait_until_listening(server, seconds)
    except ServerFailed as error:
        print(error, file=sys.stderr)
        raise rivals.Unavailable(f"{server.name} did not start") from error
