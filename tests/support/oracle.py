"""What must hold of a data directory after whatever has happened to it."""

from __future__ import annotations

import json
from pathlib import Path

from support.limits import blobs_of
from support.server import run_fileplane


def assert_consistent(data_dir: Path, *, orphans_allowed: bool = False) -> None:
    """Fails unless `fileplane check --read-data` finds nothing: database, counters, and for each file a blob of its size and SHA-256.

    ``orphans_allowed`` when there may be blobs without a file, as after an upload that was broken off.
    """
    done = run_fileplane("check", "--read-data", "--json", FILEPLANE_DATA_DIR=str(data_dir))
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    *findings, closing = [json.loads(line) for line in done.stdout.splitlines()]
    assert [finding for finding in findings if not orphans_allowed or finding["kind"] != "orphan_blob"] == []
    if not orphans_allowed:
        # The check takes a young blob that no file refers to for one of an upload that is under way; here there is none.
        assert len(blobs_of(data_dir)) == closing["summary"]["files"]
