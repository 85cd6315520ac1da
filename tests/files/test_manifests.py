"""Files that consist of parts: read, damaged, checked, collected and backed up like any other."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from fileplane.blobs.base import BlobReader, BlobStore
from fileplane.clock import SystemClock
from fileplane.errors import FileNotFound, StorageIntegrityError
from fileplane.files.findings import Finding
from fileplane.files.integrity import IntegrityCheck
from fileplane.files.manifests import open_manifest
from fileplane.files.scrub import Scrub
from fileplane.files.selection import Selection
from fileplane.files.settling import Settler, settle_mended
from fileplane.metrics import INTEGRITY_FAILURES
from fileplane.model import File, Origin, Span
from fileplane.uploads import manifest_of
from support.backups import back_up, put_back
from support.in_process import InProcess, in_process
from support.part_uploads import add_in, assemble_in, begin_in
from support.server import run_fileplane

SIZES = (70_000, 1, 1 << 20, 255, 300_000)
PIECES = tuple(random.Random(number).randbytes(size) for number, size in enumerate(SIZES))
WHOLE = b"".join(PIECES)
SEED = 8


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "data", verify_reads=True, scrub_bytes_per_second=10**9) as opened:
        yield opened


async def read(store: InProcess, file: File, span: Span | None = None) -> bytes:
    async with store.files.open(file, span) as reader:
        assert reader.size == len(WHOLE)
        return b"".join([piece async for piece in reader])


async def keys_of(store: InProcess, file: File) -> list[str]:
    upload_id = manifest_of(file.blob_key)
    assert upload_id is not None
    return [part.blob_key for part in await store.metadata.manifest_parts(file.project_id, upload_id)]


async def findings_of(store: InProcess, *, reading: bool = True) -> list[Finding]:
    check = IntegrityCheck(store.metadata, store.blobs, SystemClock(), orphan_grace_seconds=0)
    return [finding async for finding in check.findings(Selection() if reading else None)]


async def test_a_file_is_its_parts_in_order_whole_and_in_any_range(store: InProcess) -> None:
    file = await assemble_in(store, *PIECES)
    assert (file.sha256, file.status) == (hashlib.sha256(WHOLE).hexdigest(), "processed")
    assert await read(store, file) == WHOLE
    chosen = random.Random(SEED)
    edges = [0, 70_000, 70_001, 70_001 + (1 << 20), len(WHOLE) - 1]
    spans = [(start, end) for start in edges for end in (*edges, len(WHOLE)) if start < end]
    spans += [(start, chosen.randrange(start, len(WHOLE)) + 1) for start in chosen.choices(range(len(WHOLE)), k=50)]
    for start, end in spans:
        assert await read(store, file, Span(start, end - start)) == WHOLE[start:end], (SEED, start, end)


async def never() -> bool:
    return False


async def test_only_a_file_of_one_part_is_handed_over(store: InProcess) -> None:
    for pieces in ((b"one",), (b"one", b"two")):
        file = await assemble_in(store, *pieces)
        parts = await store.metadata.manifest_parts(file.project_id, str(manifest_of(file.blob_key)))
        async with open_manifest(store.blobs, file, parts, is_given_up=never) as reader:
            path = await reader.hand_over()
            assert (None if path is None else path.read_bytes()) == (b"one" if len(pieces) == 1 else None)


@pytest.mark.parametrize("number", range(len(PIECES)))
@pytest.mark.parametrize("damage", ["missing", "short", "flipped"])
async def test_a_damaged_part_is_never_served_to_the_end_and_is_named_by_check_and_scrub(
    store: InProcess, number: int, damage: str
) -> None:
    sound, file = await assemble_in(store, *PIECES), await assemble_in(store, *PIECES)
    key = (await keys_of(store, file))[number]
    path = store.settings.data_dir / "blobs" / key
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "short":
        path.write_bytes(data[:-1])
    elif damage == "flipped":
        data[0] ^= 1
        path.write_bytes(data)
    received = bytearray()
    with pytest.raises(StorageIntegrityError):
        async with store.files.open(file) as reader:
            async for piece in reader:
                received += piece
    assert len(received) < len(WHOLE)
    assert WHOLE.startswith(received)
    assert await read(store, sound) == WHOLE
    [finding] = await findings_of(store)
    assert (finding.file_id, finding.blob_key) == (file.id, key)
    done = await Scrub(store.metadata, store.blobs, SystemClock(), store.settings).run("test")
    assert done is not None
    assert done.damaged == 1
    assert await store.files.get(store.principal, file.id) == file


async def test_a_part_that_the_database_has_lost_is_found_and_the_file_not_served(store: InProcess) -> None:
    file = await assemble_in(store, *PIECES)
    lost = (await keys_of(store, file))[2]
    await store.metadata._engine.write(
        lambda connection: connection.execute("DELETE FROM upload_parts WHERE blob_key = :key", {"key": lost})
    )
    with pytest.raises(StorageIntegrityError):
        await read(store, file)
    assert (file.id, file.blob_key) in {(finding.file_id, finding.blob_key) for finding in await findings_of(store, reading=False)}


async def test_a_file_whose_part_is_gone_before_its_bytes_were_read_through_ends_as_an_error(store: InProcess) -> None:
    file = await assemble_in(store, *PIECES, settle=False)
    (store.settings.data_dir / "blobs" / (await keys_of(store, file))[1]).unlink()
    assert await store.settler.run() == 1
    settled = await store.files.get(store.principal, file.id)
    assert (settled.status, settled.sha256) == ("error", "")
    assert await store.settler.run() == 0


async def test_a_file_whose_part_was_put_back_is_read_through_again_once_that_is_asked_for(store: InProcess) -> None:
    file = await assemble_in(store, *PIECES, settle=False)
    path = store.settings.data_dir / "blobs" / (await keys_of(store, file))[1]
    for damage in (b"", bytes(len(PIECES[1]))):
        if damage:
            path.write_bytes(damage)
            assert await settle_mended(store.metadata, store.blobs) == 1  # all of it is there, but not the right bytes
        else:
            path.unlink()
        await store.settler.run()
        assert (await store.files.get(store.principal, file.id)).status == "error"
        path.unlink(missing_ok=True)
        assert await settle_mended(store.metadata, store.blobs) == 0
    path.write_bytes(PIECES[1])
    done = await asyncio.to_thread(run_fileplane, "check", "--repair", "--json", FILEPLANE_DATA_DIR=str(store.settings.data_dir))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["read_again"] == 1
    assert (await store.files.get(store.principal, file.id)).status == "uploaded"
    assert await store.settler.run() == 1
    settled = await store.files.get(store.principal, file.id)
    assert (settled.status, settled.sha256, settled.status_details) == ("processed", hashlib.sha256(WHOLE).hexdigest(), None)
    assert await settle_mended(store.metadata, store.blobs) == 0


async def test_a_part_whose_bytes_changed_before_they_were_read_through_is_damage_and_not_what_the_hash_is_made_of(
    store: InProcess,
) -> None:
    file = await assemble_in(store, *PIECES, settle=False)
    path = store.settings.data_dir / "blobs" / (await keys_of(store, file))[2]
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    await store.settler.run()
    settled = await store.files.get(store.principal, file.id)
    assert (settled.status, settled.sha256) == ("error", "")


@pytest.fixture
def damage() -> Iterator[Callable[[], float]]:
    """Says how much damage has been counted."""
    registry = CollectorRegistry()
    INTEGRITY_FAILURES.start(registry)
    try:
        yield lambda: sum(sample.value for metric in registry.collect() for sample in metric.samples if sample.name.endswith("_total"))
    finally:
        INTEGRITY_FAILURES._started = None
        INTEGRITY_FAILURES._children = {}


@pytest.mark.parametrize("number", [0, 2])
async def test_a_file_that_is_purged_while_it_is_read_through_is_no_damage(
    store: InProcess, number: int, damage: Callable[[], float], caplog: pytest.LogCaptureFixture
) -> None:
    file = await assemble_in(store, *PIECES, settle=False)
    opened = 0

    class PurgesFirst:
        """The blobs, of which all are gone as soon as one of them is about to be opened."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store.blobs, name)

        @asynccontextmanager
        async def open(self, *arguments: Any) -> AsyncIterator[BlobReader]:
            nonlocal opened
            if opened == number:
                await store.files.purge(store.principal, file.id, Origin())
            opened += 1
            async with store.blobs.open(*arguments) as reader:
                yield reader

    assert await Settler(store.metadata, cast("BlobStore", PurgesFirst()), store.settings).run() == 1
    assert opened == number + 1
    assert damage() == 0
    assert "damaged" not in caplog.text
    assert await store.settler.run() == 0


async def test_a_download_whose_file_is_purged_ends_early_and_is_no_damage(store: InProcess, damage: Callable[[], float]) -> None:
    file = await assemble_in(store, *PIECES)
    received = bytearray()
    with pytest.raises(FileNotFound):
        async with store.files.open(file) as reader:
            async for piece in reader:
                received += piece
                if len(received) == len(piece):
                    await store.files.purge(store.principal, file.id, Origin())
    assert len(received) < len(WHOLE)
    with pytest.raises(FileNotFound):
        async with store.files.open(file):
            pytest.fail("a purged file was opened")
    assert damage() == 0
    other = await assemble_in(store, *PIECES)
    (store.settings.data_dir / "blobs" / (await keys_of(store, other))[1]).unlink()
    with pytest.raises(StorageIntegrityError):
        await read(store, other)
    assert damage() == 1


async def test_a_round_ends_although_completions_go_on_without_end(store: InProcess) -> None:
    waiting = await assemble_in(store, *PIECES, settle=False)
    others = [await assemble_in(store, b"x", settle=False) for _ in range(3)]
    settler, reached = Settler(store.metadata, store.blobs, store.settings), asyncio.Event()

    async def never_ends() -> None:
        reached.set()
        await asyncio.Event().wait()

    settler._tasks["another"] = asyncio.create_task(never_ends())
    await reached.wait()
    async with asyncio.timeout(60):
        assert await settler.run() == 4
    await settler.close()
    for file in (waiting, *others):
        assert (await store.files.get(store.principal, file.id)).status == "processed"


async def test_a_sweep_takes_neither_the_parts_of_files_nor_those_of_uploads_that_go_on(tmp_path: Path) -> None:
    async with in_process(tmp_path / "data", orphan_grace_seconds=0) as store:
        file = await assemble_in(store, *PIECES)
        upload_id = await begin_in(store, 6)
        part_id = await add_in(store, upload_id, b"abcdef")
        before = await store.blob_keys()
        await store.janitor.run("test")
        assert await store.blob_keys() == before
        assert await store.content(file) == WHOLE
        done = await store.uploads.complete(store.principal, upload_id, [part_id], None, Origin())
        assert done.file is not None
        await store.settler.settle_down()
        assert await store.content(done.file) == b"abcdef"
        assert await findings_of(store) == []


async def test_a_purge_removes_every_part_and_its_room_is_free(store: InProcess) -> None:
    file = await assemble_in(store, *PIECES)
    await store.files.purge(store.principal, file.id, Origin())
    assert await store.blob_keys() == set()
    assert (await store.metadata.usage(store.principal.project_id)).stored_bytes == 0
    assert await findings_of(store) == []


async def test_a_backup_brings_files_of_parts_and_uploads_that_go_on_back_whole(store: InProcess, tmp_path: Path) -> None:
    file = await assemble_in(store, *PIECES)
    upload_id = await begin_in(store, 6)
    part_id = await add_in(store, upload_id, b"abcdef")
    report = await back_up(store, tmp_path / "backup")
    assert (report.manifest.files, report.manifest.problem_count) == (1, 0)
    assert report.manifest.bytes == len(WHOLE) + 6
    await put_back(tmp_path / "backup", tmp_path / "restored")
    async with in_process(tmp_path / "restored") as restored:
        assert await restored.content(await restored.files.get(restored.principal, file.id)) == WHOLE
        done = await restored.uploads.complete(restored.principal, upload_id, [part_id], None, Origin())
        assert done.file is not None
        await restored.settler.settle_down()
        assert await restored.content(done.file) == b"abcdef"
        assert await findings_of(restored) == []
