"""`fileplane gc`."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from cli.command_line import CommandLine
from fileplane.files.janitor import LEASE, LEASE_SECONDS
from fileplane.ids import new_blob_key, parse_upload_id
from support.backups import NOBODY, collect, keep, purge
from support.database import run_sql
from support.in_process import InProcess
from support.part_uploads import add_in, begin_in

LONG_AGO = 1_000_000_000
LONG_ENOUGH_TO_GIVE_UP = 1.5


async def _fill(store: InProcess) -> set[str]:
    """One thing or more for each step, and what nothing may remove: returns the keys of the latter's blobs."""
    blobs = store.settings.data_dir / "blobs"
    live, trashed, purged, forgotten = [await keep(store, content) for content in (b"live", b"trashed", b"purged", b"forgotten")]
    await store.metadata.delete_file(trashed.project_id, trashed.id, 3_600, NOBODY)
    await purge(store, purged)
    await collect(store, forgotten)
    run_sql(store.settings.data_dir / "fileplane.db", f"UPDATE files SET collected_at = {LONG_AGO} WHERE collected_at IS NOT NULL")
    young, old = new_blob_key(), new_blob_key()
    for key in (young, old):
        async with store.blobs.writer(key) as writer:
            await writer.write(b"orphan")
            await writer.commit()
    expired, cancelled = await begin_in(store, 4), await begin_in(store, 4)
    await add_in(store, cancelled, b"part")
    await store.metadata.cancel_upload(store.principal.project_id, cancelled)
    run_sql(store.settings.data_dir / "fileplane.db", f"UPDATE uploads SET expires_at = {LONG_AGO} WHERE id = '{parse_upload_id(expired)}'")
    abandoned = blobs / "tmp" / ("0" * 32)
    abandoned.write_bytes(b"half")
    for path in (abandoned, blobs / old):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return {live.blob_key, trashed.blob_key, young}


def _keys(store: InProcess) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for path in (store.settings.data_dir / "blobs").glob("*/*")}


EVERYTHING = {
    "expire": {"count": 0, "bytes": 0},
    "collect": {"count": 1, "bytes": 6},
    "forget": {"count": 1, "bytes": 0},
    "abandoned": {"count": 1, "bytes": 4},
    "orphans": {"count": 1, "bytes": 6},
    "uploads": {"count": 1, "bytes": 0},
    "parts": {"count": 1, "bytes": 4},
}


async def test_what_a_dry_run_shows_is_removed_by_the_run_after_it_and_nothing_else(shell: CommandLine, store: InProcess) -> None:
    kept = await _fill(store)
    before = _keys(store)
    planned = json.loads(shell.succeed("gc", "--dry-run", "--json"))
    assert planned == {"dry_run": True, "steps": EVERYTHING, "bytes": 20, "failures": 0}
    assert _keys(store) == before
    done = json.loads(shell.succeed("gc", "--json"))
    assert done == {"dry_run": False, "steps": EVERYTHING, "bytes": 20, "failures": 0}
    assert _keys(store) == kept
    lines = [line.split("\t") for line in shell.succeed("gc", "--dry-run").splitlines()]
    assert [line[:3] for line in lines] == [*([name, "0", "0"] for name in EVERYTHING), ["total", "-", "0"]]


async def test_while_another_janitor_is_at_work_it_waits_and_then_says_so(shell: CommandLine, store: InProcess) -> None:
    await _fill(store)
    before = _keys(store)
    assert await store.metadata.take_lease(LEASE, "somebody else", LEASE_SECONDS)
    assert "--wait" in shell.fail(7, "gc", "--wait", "0")
    assert _keys(store) == before
    with shell.start("gc", "--wait", "60", "--json") as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(LONG_ENOUGH_TO_GIVE_UP)
        await store.metadata.release_lease(LEASE, "somebody else")
        assert json.loads(waiting.communicate(timeout=60)[0])["steps"] == EVERYTHING
    assert await store.metadata.take_lease(LEASE, "somebody else", LEASE_SECONDS), "the lease is given back"


async def test_a_blob_that_cannot_be_removed_is_counted_and_fails_the_command(shell: CommandLine, store: InProcess) -> None:
    file = await keep(store, b"purged")
    await purge(store, file)
    stuck = store.settings.data_dir / "blobs" / file.blob_key
    stuck.unlink()
    stuck.mkdir()
    done = shell.run("gc", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["failures"] == 1
    assert "1 blobs could not be removed" in done.stderr
