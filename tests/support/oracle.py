"""What must hold of a data directory after whatever has happened to it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from support.limits import blobs_of

_READ = """
import json, sys, apsw
connection = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)
columns = {row[1] for row in connection.execute("PRAGMA table_info(files)")}
kept = "WHERE collected_at IS NULL" if "collected_at" in columns else ""
counted = "SELECT project_id, purpose, live_files, stored_bytes FROM usage WHERE live_files OR stored_bytes ORDER BY 1, 2"
real = f"SELECT project_id, purpose, sum(deleted_at IS NULL) AS live, sum(bytes) AS stored FROM files {kept} GROUP BY 1, 2"
real = f"SELECT * FROM ({real}) WHERE live OR stored ORDER BY 1, 2"
print(json.dumps({
    "integrity": [row[0] for row in connection.execute("PRAGMA integrity_check")],
    "foreign": connection.execute("PRAGMA foreign_key_check").fetchall(),
    "files": connection.execute(f"SELECT id, blob_key, bytes, sha256 FROM files {kept}").fetchall(),
    "counters": [connection.execute(counted).fetchall(), connection.execute(real).fetchall()],
}))
"""


def assert_consistent(data_dir: Path, *, orphans_allowed: bool = False) -> None:
    """Fails unless the database is intact, each file that it keeps has a blob of its size and SHA-256, and its counters are true.

    ``orphans_allowed`` when there may be blobs without a file, as after an upload that was broken off. The directory is only read.
    """
    # The database is read in a process of its own: see support.database.
    result = subprocess.run(
        [sys.executable, "-c", _READ, str(data_dir / "fileplane.db")], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["integrity"] == ["ok"]
    assert found["foreign"] == []
    counted, real = found["counters"]
    assert counted == real, "the counters differ from what they count"
    kept = {blob_key: (size, sha256) for _, blob_key, size, sha256 in found["files"]}
    assert len(kept) == len(found["files"]), "two files share a blob"
    blobs = {f"{path.parent.name}/{path.name}": path for path in blobs_of(data_dir)}
    assert {key: _described(blobs.get(key)) for key in kept} == kept
    if not orphans_allowed:
        assert blobs.keys() - kept.keys() == set()


def _described(path: Path | None) -> tuple[int, str] | None:
    if path is None:
        return None
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
