"""Starts of a server that a running one's fixture does not cover: without a chosen key, and starts that are refused."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from support.ports import free_port
from support.server import RunningServer, fileplane_environment, wait_until_ready

REFUSAL_SECONDS = 15
SHOWN_KEY = re.compile(r"\bfpk_[0-9A-Za-z]{43}\b")


def start_unattended(data_dir: Path) -> RunningServer:
    """A server that is given no key; ``api_key`` is the one that it prints, or empty when it prints none."""
    port = free_port()
    log_path, output_path = (data_dir.parent / f"{data_dir.name}.{port}.{kind}" for kind in ("log", "out"))
    with log_path.open("wb") as log, output_path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fileplane", "serve", "--data-dir", str(data_dir), "--port", str(port)],
            env=fileplane_environment(FILEPLANE_MIN_FREE_DISK_BYTES="0"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
        )
    server = RunningServer(port, "", data_dir, process, log_path, output_path)
    wait_until_ready(server)
    shown = SHOWN_KEY.search(server.output)
    server.api_key = shown[0] if shown else ""
    return server


def refused_start(data_dir: Path, *, port: int | None = None, **environment: str) -> str:
    """Starts a server that must not start; returns what it says to standard error. It ends with 1 and prints nothing else."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fileplane", "serve", "--port", str(port or free_port())],
        env=fileplane_environment(FILEPLANE_DATA_DIR=str(data_dir), FILEPLANE_MIN_FREE_DISK_BYTES="0", **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, message = process.communicate(timeout=REFUSAL_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError("the server started although it should have refused to") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 1, message
    assert output == ""
    assert message.startswith("fileplane: ")
    assert "Traceback" not in message
    return message
