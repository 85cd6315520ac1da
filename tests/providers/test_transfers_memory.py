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
SECONDS = 120


@contextmanager
def fake_process() -> Iterator[str]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0"]
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
    ("speed", "announced"),
    [
        pytest.param("fast", "known", id="a fast peer, of known length"),
        pytest.param("slow", "chunked", id="a slow peer, chunked", marks=pytest.mark.full),
    ],
)
def test_a_large_file_costs_no_memory_up_or_down(speed: str, announced: str):
    with fake_process() as base_url:
        if speed == "slow":
            plan(base_url, kind="slow_read", operation="upload", call=2, bytes_per_second=200_000_000)
        script = Path(__file__).with_name("transfer_process.py")
        command = [sys.executable, str(script), base_url, str(SIZE), "0.7" if speed == "slow" else "0", announced]
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=fileplane_environment())
    assert result.returncode == 0, result.stderr
    growth = json.loads(result.stdout)
    assert growth["up"] < ALLOWED
    assert growth["down"] < ALLOWED
