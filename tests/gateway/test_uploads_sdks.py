"""The SDKs' own ways to send files in parts work through the gateway, unmodified."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.conftest import Project
from sdk.processes import NODE, run

PYTHON = (sys.executable, "python/uploads_sdk.py")
IN_NODE = (str(NODE), "node/uploads_sdk.mjs")
WAYS = {
    "python, passed on": (PYTHON, "openai"),
    "python, with an own credential": (PYTHON, None),
    "python, put together": (PYTHON, "groq"),
    "node, passed on": (IN_NODE, "openai"),
    "node, with an own credential": (IN_NODE, None),
    "node, put together": (IN_NODE, "groq"),
    "portkey, passed on": (PYTHON, "openai"),
    "portkey, put together": (PYTHON, "groq"),
}


QUICK = {"python, passed on", "node, put together"}


@pytest.mark.parametrize("way", [pytest.param(way, marks=() if way in QUICK else pytest.mark.full) for way in WAYS])
def test_a_file_in_parts_arrives_whole_at_the_provider(project: Project, tmp_path: Path, way: str) -> None:
    command, provider = WAYS[way]
    data = random.Random(11).randbytes(1_000_001)
    path = tmp_path / "large.bin"
    path.write_bytes(data)
    job: dict[str, Any] = {"base_url": project.server.base_url, "path": str(path), "api_key": project.key}
    if provider is None:
        own = project.own
        job |= {"api_key": project.credential, "headers": {"x-portkey-api-key": project.key} | own, "purposes": ("user_data", "vision")}
    else:
        slug = project.virtual_key(provider=provider)
        job |= {"headers": {"x-portkey-virtual-key": slug}, "options": {"virtual_key": slug}}
        job["purposes"] = ("batch", "batch") if provider == "groq" else ("user_data", "vision")
    if way.startswith("portkey"):
        job["sdk"] = "portkey"
    results: dict[str, Any] = json.loads(run(command, given=json.dumps(job)))
    refused = results.pop("refused")
    assert (refused["code"], refused["cancelled"]) == ("invalid_value", "cancelled")
    assert len(results) >= 2
    for step, result in results.items():
        assert result["sha256"] == hashlib.sha256(data).hexdigest(), step
        assert (result["upload"]["status"], result["upload"]["file"]["bytes"], result["file"]["status"]) == (
            "completed",
            len(data),
            "processed",
        )
    assert len(project.fake.files(project.credential)) == len(results)
    assert len(project.fake.requests("upload")) == (len(results) if provider == "groq" else 0)
