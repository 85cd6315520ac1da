"""The order in which an upload is made durable, read from its system calls, and what it costs."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from support.expect import assert_file
from support.injection import RENAME, traced
from support.limits import MIB
from support.server import RunningServer, running_server
from support.strace_log import Call

SYNCS = ("fsync", "fdatasync")
MOST_SYNCS_WITH_A_NEW_LOG = 5
MOST_SYNCS = 3
"""Of the file, its directory and the log; a log that is new is itself synced, and its directory."""


def calls_of_an_upload(server: RunningServer, log_path: Path, size: int) -> list[Call]:
    with server.client() as client, traced(server, log_path, calls=(*SYNCS, RENAME, "writev", "sendto")) as trace:
        assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", os.urandom(size))}), bytes=size)
    return trace.calls


def syncs_in(calls: list[Call], directory: Path) -> list[Call]:
    return [call for call in calls if call.name in SYNCS and call.path.startswith(f"{directory}/")]


@pytest.mark.parametrize("size", [0, 100, 3 * MIB], ids=["empty", "small", "several slices"])
def test_an_upload_is_answered_only_after_file_name_directory_and_record_are_durable_in_this_order(tmp_path: Path, size: int):
    with running_server(tmp_path / "data") as server:
        for most in (MOST_SYNCS_WITH_A_NEW_LOG, MOST_SYNCS):
            calls = calls_of_an_upload(server, tmp_path / "trace.log", size)
            (renamed,) = [call for call in calls if call.name.startswith("rename")]
            (answered,) = [call for call in calls if "HTTP/1.1 200 OK" in call.text]
            file, directory = syncs_in(calls, server.data_dir / "blobs")
            *_, record = [call for call in calls if call.name in SYNCS and call.path.endswith(".db-wal")]
            assert "/tmp/" in file.path.removeprefix(str(server.data_dir))
            assert directory.path.endswith(directory_renamed_into(renamed))
            order = [file, renamed, directory, record, answered]
            for earlier, later in pairwise(order):
                assert earlier.ended is not None
                assert earlier.ended < later.began, f"{earlier.text} is not over before {later.text}"
            assert all(call.text.endswith(" = 0") for call in order[:-1])
            assert len([call for call in calls if call.name in SYNCS and call.began < answered.began]) <= most


def directory_renamed_into(call: Call) -> str:
    """The last part of its path."""
    *_, path = re.findall(r"<([^>]*)>", call.text)
    return path.rpartition("/")[2]
