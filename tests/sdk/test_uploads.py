"""OpenAI's own clients send files in parts, unmodified."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from sdk.processes import NODE, run
from support.server import RunningServer

CLIENTS = {
    "python": ((sys.executable, "python/uploads_sdk.py"), ("path", "bytes", "stream", "by hand"), ("bytes",)),
    "node": ((str(NODE), "node/uploads_sdk.mjs"), ("at once", "verified"), ("verified",)),
}
UPLOAD_FIELDS = {"id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status", "file"}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_in_parts_arrives_whole_and_is_processed(sdk_server: RunningServer, tmp_path: Path, client: str) -> None:
    data = random.Random(8).randbytes(1_000_001)
    path = tmp_path / "large.bin"
    path.write_bytes(data)
    command, steps, verified = CLIENTS[client]
    job = {"base_url": sdk_server.base_url, "api_key": sdk_server.api_key, "path": str(path)}
    results: dict[str, Any] = json.loads(run(command, given=json.dumps(job)))
    for step in steps:
        result = results[step]
        upload, file = result["upload"], result["file"]
        assert set(upload) == UPLOAD_FIELDS, step
        assert (upload["object"], upload["status"], upload["bytes"]) == ("upload", "completed", len(data))
        assert result["sha256"] == hashlib.sha256(data).hexdigest()
        assert (upload["file"]["id"], upload["file"]["bytes"], file["status"]) == (file["id"], len(data), "processed")
        assert (upload["file"]["status"] == "processed") == (step in verified) or step not in verified
    assert results["refused"] == {"code": "invalid_value", "param": "part_ids", "cancelled": "cancelled"}
