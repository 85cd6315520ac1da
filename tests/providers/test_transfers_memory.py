"""Memory does not depend on the size of what passes through: 300 MiB up and down, past peers that are fast and slow."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.server import fileplane_environment

MIB = 1 << 20
SIZE = 300 * MIB
ALLOWED = 16 * MIB
PART = 8 * MIB
SECONDS = 120


@contextmanager
def fake_process(flavour: str) -> Iterator[str]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0", "--flavour", flavour]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def plan(base_url: str, **fault: object) -> None:
    body = json.dumps(fault).encode()
    root = base_url.removesuffix("/v1")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{root}/_control/faults", body, SECONDS) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("flavour", "provider", "speed", "announced"),
    [
        pytest.param("openai", "openai", "fast", "known", id="a fast peer, of known length"),
        pytest.param("openai", "openai", "slow", "chunked", id="a slow peer, chunked", marks=pytest.mark.full),
        pytest.param("fireworks", "fireworks-ai", "fast", "known", id="at a signed URL", marks=pytest.mark.full),
        pytest.param("cohere", "cohere", "fast", "chunked", id="as a dataset", marks=pytest.mark.full),
        pytest.param("together", "together-ai", "fast", "chunked", id="with its name apart", marks=pytest.mark.full),
        pytest.param("gemini", "google", "fast", "known", id="in a session", marks=pytest.mark.full),
        pytest.param("bedrock", "bedrock", "fast", "chunked", id="in parts, of which one is held", marks=pytest.mark.full),
        pytest.param("vertex-ai", "vertex-ai", "fast", "chunked", id="in chunks, of which one is held", marks=pytest.mark.full),
    ],
)
def test_a_large_file_costs_no_memory_up_or_down(flavour: str, provider: str, speed: str, announced: str):
    with fake_process(flavour) as base_url:
        if speed == "slow":
            plan(base_url, kind="slow_read", operation="upload", call=2, bytes_per_second=200_000_000)
        script = Path(__file__).with_name("transfer_process.py")
        command = [sys.executable, str(script), flavour, provider, base_url, str(SIZE), "0.7" if speed == "slow" else "0", announced]
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=fileplane_environment())
    assert result.returncode == 0, result.stderr
    growth = json.loads(result.stdout)
    # What has held a part stays with the process, which the download then finds as it is.
    allowed = ALLOWED + (PART if flavour in {"bedrock", "vertex-ai"} else 0)
    assert growth["up"] < allowed
    assert growth["down"] < allowed
