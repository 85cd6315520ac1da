"""A page of another origin, in a real browser, uploads and downloads where its origin is listed, and is refused where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdk.processes import NODE, run
from support.debian import require_program
from support.part_uploads import settled
from support.ports import free_port
from support.server import RunningServer, running_server

SIZE = 1_000_000
SECONDS = 300


def test_a_page_of_a_listed_origin_uploads_pauses_resumes_and_downloads_and_no_other_does(
    sdk_server: RunningServer, tmp_path: Path
) -> None:
    chromium, port = require_program("chromium", "chromium"), free_port()
    with running_server(tmp_path / "data", cors_origins=f"http://127.0.0.1:{port}") as server:
        servers = {
            name: {"endpoint": f"{one.base_url}/tus", "key": one.api_key, "size": SIZE, "delays": delays}
            for name, one, delays in (("listed", server, [200, 1_000, 3_000]), ("not listed", sdk_server, None))
        }
        job = {"page_port": port, "chromium": chromium, "servers": servers}
        command = (str(NODE), "node/tus_browser.mjs")
        # A short path, since the browser makes a socket below it.
        with TemporaryDirectory(prefix="page") as profile:
            results: dict[str, Any] = json.loads(run(command, given=json.dumps(job), seconds=SECONDS, TMPDIR=profile, HOME=profile))
        seen = results["listed"]
        assert "error" not in seen, seen
        assert seen["paused"] == 300_000
        assert 300_000 <= seen["resumed"] < SIZE
        assert seen["downloaded"] == seen["sent"]
        assert seen["range"] == f"bytes 5-9/{SIZE}"
        assert seen["requestId"]
        assert seen["etag"]
        assert seen["refused"] == [401, "invalid_api_key"]
        with server.client() as client:
            [file] = client.get("/files").json()["data"]
            assert (file["filename"], file["bytes"]) == ("page.bin", SIZE)
            assert settled(client, file["id"])["status"] == "processed"
    assert "error" in results["not listed"]
