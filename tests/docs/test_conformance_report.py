"""The report of the conformance suites leaves no test out, and tells of failures as what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fileplane.providers.base import Capabilities
from fileplane.testing.provider_suite import ProviderSuite
from support.conformance_report import COLUMNS, SUITES, cell, column_of, lacking
from support.documents import ROOT

TESTS = [(suite, name) for suite in SUITES for name in vars(suite) if name.startswith("test_")]


@pytest.mark.parametrize(("suite", "test"), TESTS, ids=[name for _, name in TESTS])
def test_every_test_of_a_suite_has_a_column(suite: type, test: str) -> None:
    assert column_of(suite, test) in COLUMNS


def test_every_column_has_a_test() -> None:
    assert {column_of(suite, test) for suite, test in TESTS} == set(COLUMNS)
    assert column_of(ProviderSuite, "test_something_new") is None


def test_a_cell_says_what_has_failed_and_what_is_lacking() -> None:
    assert [cell(3, 0, None), cell(2, 1, None), cell(3, 0, "refused honestly"), cell(0, 0, None)] == [
        "3",
        "1 FAILED of 3",
        "3 (refused honestly)",
        "-",
    ]
    assert lacking(Capabilities(download=False, ranges=False)) == {
        "content": "refused honestly",
        "expiry": "refused honestly",
        "ranges": "cut here",
    }


def test_the_report_is_of_a_real_run() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "support.conformance_report",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/providers/test_near.py",
    ]
    ran = subprocess.run([*command, "-k", "TestXai and not Faults"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [row] = [line.split() for line in ran.stdout.splitlines() if line.startswith("x-ai ")]
    assert len(row) == len(COLUMNS) + 1
    assert all(int(count) > 0 for count in row[1:-2])
    assert row[-2:] == ["-", "-"]
