"""A minute of fuzzing for every target, from another seed each time."""

from __future__ import annotations

import importlib.util
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.targets import TARGETS
from support.limits import skip_or_fail
from support.server import fileplane_environment

# A process begins with the highest memory of the one that it was forked from, which the fuzzer takes for its own: a test process may
# have had more than the bound. A shell in between has not, and what it forks neither.
BEHIND_A_SHELL = ["sh", "-c", '"$@"; exit $?', "sh"]
SECONDS = 60
LONGEST_INPUT = 64 << 10
OPTIONS = [
    f"-max_total_time={SECONDS}",
    f"-max_len={LONGEST_INPUT}",
    "-timeout=10",  # seconds for one input, after which it counts as a hang
    "-rss_limit_mb=1024",
    "-print_final_stats=1",
]


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
def test_a_minute_of_fuzzing_finds_nothing(target: str, tmp_path: Path):
    if importlib.util.find_spec("atheris") is None:
        skip_or_fail("atheris has no wheel for this Python and machine")
    seed = secrets.randbits(31)
    found = tmp_path / "found"
    found.mkdir()
    result = subprocess.run(
        [*BEHIND_A_SHELL, sys.executable, str(Path(__file__).with_name("run.py")), target, str(found), f"-seed={seed}", *OPTIONS],
        cwd=tmp_path,
        env=fileplane_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS + 120,
        check=False,
    )
    crashes = {path.name: path.read_bytes()[:2_000] for path in tmp_path.iterdir() if path.is_file()}
    assert result.returncode == 0, f"seed {seed}: {crashes}\n{result.stderr[-6_000:]}"
    assert "DONE" in result.stderr
