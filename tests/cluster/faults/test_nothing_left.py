"""`make test-cluster` tells what its tests leave, and removes it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.documents import ROOT

pytestmark = pytest.mark.full

TIDY = """
import pytest
pytestmark = pytest.mark.cluster
def test_tidy(tmp_path):
    (tmp_path / "file").write_text("of pytest's own")
"""
UNTIDY = """
import subprocess, tempfile
import pytest
pytestmark = pytest.mark.cluster
LEFT = []
def test_untidy():
    LEFT.append(subprocess.Popen(["sleep", "300"]))
    tempfile.mkdtemp(prefix="left-")
    print("process", LEFT[0].pid)
"""


def run(tmp_path: Path, tests: str) -> subprocess.CompletedProcess[str]:
    module = tmp_path / "test_made.py"
    module.write_text(tests)
    command = [sys.executable, "tools/run_cluster_tests.py", "-c", "pyproject.toml", "-p", "no:cacheprovider", "-n", "0", str(module)]
    environment = os.environ | {"PYTHONPATH": "tests", "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def is_over(pid: int) -> bool:
    """Also if there is nobody who asks how it has ended."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_tests_that_leave_nothing_pass(tmp_path: Path):
    result = run(tmp_path, TIDY)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "left behind" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["test_made.py"]


def test_a_process_and_a_folder_that_are_left_fail_the_run_and_are_removed(tmp_path: Path):
    result = run(tmp_path, UNTIDY)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "1 passed" in result.stdout
    (process,) = re.findall(r"^left behind: process (\d+): sleep 300$", result.stderr, re.MULTILINE)
    assert is_over(int(process))
    assert re.search(r"^left behind: .*/left-\w+$", result.stderr, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["test_made.py"]
