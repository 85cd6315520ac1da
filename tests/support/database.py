"""The database of a server, reached from a process of its own.

That is what any other program would be, and it keeps a second SQLite library (Python's own) out of this process, where it would
drop the first one's locks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_RUN = """
import json, sys, apsw
path, *statements = sys.argv[1:]
connection = apsw.Connection(path)
print(json.dumps([list(row) for statement in statements for row in connection.execute(statement)]))
connection.close()
"""


def run_sql(path: Path, *statements: str) -> list[list[Any]]:
    """The rows of all the statements."""
    result = subprocess.run([sys.executable, "-c", _RUN, str(path), *statements], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def integrity_of(data_dir: Path) -> str:
    """``ok``, or SQLite's first complaint."""
    return run_sql(data_dir / "fileplane.db", "PRAGMA integrity_check(1)")[0][0]
