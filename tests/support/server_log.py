"""What a server has written to its log."""

from __future__ import annotations

import json
from typing import Any

from support.polling import eventually
from support.server import RunningServer

TROUBLE = ("Task was destroyed", "never retrieved", "never awaited", "Traceback", "ResourceWarning")


def log_lines(server: RunningServer) -> list[dict[str, Any]]:
    """Every complete line."""
    return [json.loads(line) for line in server.log.splitlines(keepends=True) if line.endswith("\n")]


def access_line(server: RunningServer, request_id: str, *, seconds: float = 2.0) -> dict[str, Any]:
    """The access line of one request. It is written last, so once it is there nothing of the request runs any more."""

    def find() -> list[dict[str, Any]]:
        return [line for line in log_lines(server) if line["event"] == "request" and line["request_id"] == request_id]

    eventually(find, f"the request {request_id} ends", seconds=seconds)
    (line,) = find()
    return line


def assert_no_trouble(server: RunningServer, *, errors: int = 0) -> None:
    """No task was lost, nothing was left open, and no more was logged as an error than the test has caused."""
    lines = log_lines(server)
    assert [line for line in lines if any(sign in str(line) for sign in TROUBLE)] == []
    assert len([line for line in lines if line["level"] == "error"]) == errors, [line for line in lines if line["level"] == "error"]
