"""An upload in parts that fails, or is cancelled, at each point at which it can: never a file without its bytes, nothing kept for long."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fileplane.clock import SystemClock
from fileplane.errors import FileplaneError, StorageUnavailable
from fileplane.files.integrity import IntegrityCheck
from fileplane.files.janitor import Janitor
from fileplane.files.selection import Selection
from fileplane.ids import part_style, upload_style
from fileplane.metadata.engine import Connection
from fileplane.metadata.transactions import uploads as transactions
from fileplane.model import Origin
from fileplane.testing.faults import CancelledAt, Fails, Pauses, Plan
from support.in_process import InProcess, _scope, in_process
from support.part_uploads import add_in, assemble_in, begin_in

PIECES = tuple(bytes([number]) * 300_000 for number in range(3))
WHOLE = b"".join(PIECES)
MD5 = hashlib.md5(WHOLE).hexdigest()
AWAY = StorageUnavailable("The store does not answer.")
BEFORE_AND_AFTER = pytest.mark.parametrize("after", [False, True], ids=["instead of the call", "after the call"])


COUNT = "INSERT INTO usage (project_id, purpose, live_files, stored_bytes) VALUES (:project, 'user_data', 0, :bytes)"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "data", orphan_grace_seconds=0, upload_expiry_seconds=3_600) as opened:
        yield opened


class _ASecondLater(SystemClock):
    """For a janitor, to which what was written just now is old."""

    def now_ms(self) -> int:
        return super().now_ms() + 2_000


async def whole_upload(store: InProcess, md5: str | None = None) -> None:
    upload_id = await begin_in(store, len(WHOLE))
    part_ids = [await add_in(store, upload_id, piece) for piece in PIECES]
    await store.uploads.complete(store.principal, upload_id, part_ids, md5, Origin())
    await store.settler.settle_down()


async def assert_sound(store: InProcess) -> None:
    """Every file has exactly its bytes, every part of an upload that goes on is there, the counters fit, and nothing is half-written."""
    for file in await store.recorded():
        assert await store.content(file) == WHOLE
    check = IntegrityCheck(store.metadata, store.blobs, SystemClock(), orphan_grace_seconds=0)
    wrong = [finding async for finding in check.findings(Selection()) if finding.severity == "error"]
    assert wrong == []
    assert await store.temporaries() == []


@pytest.mark.parametrize("md5", [None, MD5], ids=["settled later", "verified at once"])
@BEFORE_AND_AFTER
async def test_an_upload_in_parts_that_fails_at_any_call_leaves_nothing_wrong_and_is_settled_by_the_next_round(
    store: InProcess, *, after: bool, md5: str | None
) -> None:
    for point in count(1):
        plan = Plan({point: Fails(AWAY, after=after)})
        naughty = store.with_faults(plan)
        try:
            await whole_upload(naughty, md5)
        except StorageUnavailable:
            await naughty.settler.settle_down()
        await store.assert_everything_is_closed()
        await assert_sound(store)
        if not plan.struck:
            break
    assert point > 15
    # Whatever failed of it, its leases included, another worker finishes once they have run out.
    for lease in [f"settle {file.id}" for file in await store.recorded()]:
        await store.metadata._engine.write(
            lambda connection, name=lease: connection.execute("DELETE FROM leases WHERE name = :n", {"n": name})
        )
    await store.with_faults(Plan({})).settler.run()
    files = await store.recorded()
    assert {(file.status, file.sha256) for file in files} == {("processed", hashlib.sha256(WHOLE).hexdigest())}


@pytest.mark.parametrize("late", [False, True], ids=["as the wait begins", "as the wait ends"])
async def test_a_part_that_is_cancelled_at_any_wait_is_there_whole_or_not_at_all(store: InProcess, *, late: bool) -> None:
    upload_id = await begin_in(store, len(WHOLE))
    for point in count(1):
        cancelled = CancelledAt(point, late=late)
        task = asyncio.create_task(cancelled.run(add_in(store, upload_id, PIECES[0])))
        await asyncio.wait([task])
        await store.assert_everything_is_closed()
        await store.uploads.settle()
        await assert_sound(store)
        if not cancelled.struck:
            break
        assert task.cancelled()
    assert task.exception() is None
    assert point > 3
    await Janitor(store.metadata, store.blobs, _ASecondLater(), store.settings).run("test")
    parts = await store.metadata.upload_parts(store.principal.project_id, upload_id)
    assert await store.blob_keys() == {part.blob_key for part in parts}


@pytest.mark.parametrize("late", [False, True], ids=["as the wait begins", "as the wait ends"])
async def test_a_completion_that_is_cancelled_at_any_wait_can_be_repeated(store: InProcess, *, late: bool) -> None:
    for point in count(1):
        upload_id = await begin_in(store, len(WHOLE))
        part_ids = [await add_in(store, upload_id, piece) for piece in PIECES]
        cancelled = CancelledAt(point, late=late)
        task = asyncio.create_task(cancelled.run(store.uploads.complete(store.principal, upload_id, part_ids, MD5, Origin())))
        await asyncio.wait([task])
        repeated = await store.uploads.complete(store.principal, upload_id, part_ids, MD5, Origin())
        assert repeated.file is not None
        assert repeated.file.status == "processed"
        if not cancelled.struck:
            break
    assert len(await store.recorded()) == point
    await assert_sound(store)


async def test_a_client_that_leaves_while_its_checksum_is_verified_has_nothing_read_any_longer(store: InProcess) -> None:
    async def request(world: InProcess, left: asyncio.Event) -> int:
        upload_id = await begin_in(store, len(WHOLE))
        part_ids = [part_style(await add_in(store, upload_id, piece)) for piece in PIECES]
        body, sent = json.dumps({"part_ids": part_ids, "md5": MD5}).encode(), list[Any]()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        await world.app(_scope("POST", f"/v1/uploads/{upload_style(upload_id)}/complete", headers), receive, send)
        return int(sent[0]["status"]) if sent else 0

    plan, left = Plan({}), asyncio.Event()
    assert await request(store.with_faults(plan), left) == 200
    pauses = Pauses()
    reads = [number for number, name in enumerate(plan.calls, start=1) if name == "read"] or [len(plan.calls)]
    task = asyncio.create_task(request(store.with_faults(Plan({reads[0]: pauses})), left))
    await pauses.reached.wait()
    left.set()
    async with asyncio.timeout(60):
        assert await task != 200
    assert len(await store.recorded()) == 1
    assert await store.temporaries() == []


@BEFORE_AND_AFTER
async def test_a_cancellation_frees_the_room_of_every_part_at_once(
    store: InProcess, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    monkeypatch.setattr(transactions, "_COLLECTED_AT_ONCE", 2)
    project_id = store.principal.project_id
    upload_id = await begin_in(store, 5)
    for _ in range(5):
        await add_in(store, upload_id, b"x")
    assert (await store.uploads.cancel(store.principal, upload_id)).status == "cancelled"
    assert (await store.metadata.usage(project_id)).stored_bytes == 0
    assert await store.blob_keys() == set()
    for point in count(1):
        upload_id = await begin_in(store, 5)
        for _ in range(5):
            await add_in(store, upload_id, b"x")
        plan = Plan({point: Fails(AWAY, after=after)})
        try:
            assert (await store.with_faults(plan).uploads.cancel(store.principal, upload_id)).status == "cancelled"
        except StorageUnavailable:
            assert plan.calls[-1] in {"cancel_upload", "get_upload"}
        await store.uploads.cancel(store.principal, upload_id)
        assert (await store.metadata.usage(project_id)).stored_bytes == 0
        if not plan.struck:
            break


@BEFORE_AND_AFTER
async def test_a_janitor_that_fails_at_any_call_is_followed_by_one_that_removes_every_part(store: InProcess, *, after: bool) -> None:
    for point in count(1):
        kept, purged = await assemble_in(store, *PIECES), await assemble_in(store, *PIECES)
        cancelled = await begin_in(store, 1)
        for _ in range(2):
            await add_in(store, cancelled, b"x")
        await store.metadata.cancel_upload(store.principal.project_id, cancelled)
        await store.metadata.purge_file(store.principal.project_id, purged.id, Origin())
        plan = Plan({point: Fails(AWAY, after=after)})
        try:
            await store.with_faults(plan).janitor.run("test")
        except FileplaneError:
            await assert_sound(store)
        await store.janitor.run("test")
        await assert_sound(store)
        assert len(await store.blob_keys()) == len(PIECES)
        assert await store.content(kept) == WHOLE
        assert (await store.metadata.usage(store.principal.project_id)).stored_bytes == len(WHOLE)
        await store.files.purge(store.principal, kept.id, Origin())
        if not plan.struck:
            break
    assert point > 10


async def test_ten_thousand_abandoned_uploads_are_swept_in_bounded_rounds_while_others_go_on(store: InProcess) -> None:
    upload_id = await begin_in(store, 1)
    await add_in(store, upload_id, b"x")
    project_id = store.principal.project_id
    await store.metadata._engine.write(
        lambda connection: connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000) "
            "INSERT INTO uploads (project_id, id, purpose, filename, bytes, media_type, status, created_by, created_at, expires_at) "
            "SELECT :project, 'upload-' || n, 'user_data', 'a', 1, '', 'pending', 'key', 1, 2 FROM numbers",
            {"project": project_id},
        )
    )
    largest, plans = 0, 0
    async for plan in store.janitor.plans():
        largest, plans = max(largest, len(plan.uploads), len(plan.parts)), plans + 1
        if plan.uploads:
            await store.janitor.execute(plan)
            # Between two rounds everything else has its turn.
            assert (await store.metadata.get_upload(project_id, upload_id)).status == "pending"
    assert largest <= 500
    assert plans >= 20
    assert await store.metadata.ended_uploads(None, 1) == []
    while await store.metadata.forget_old_entries(None):
        continue


async def test_uploads_of_many_parts_are_ended_a_few_at_a_time_so_that_the_database_goes_on_answering(store: InProcess) -> None:
    project_id, uploads, each = store.principal.project_id, 4, 600

    def fill(connection: Connection) -> None:
        values = {"project": project_id, "uploads": uploads, "parts": uploads * each}
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :uploads) "
            "INSERT INTO uploads (project_id, id, purpose, filename, bytes, media_type, status, created_by, created_at, expires_at) "
            "SELECT :project, 'upload-' || n, 'user_data', 'a', 1, '', 'pending', 'key', 1, 2 FROM numbers",
            values,
        )
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :parts - 1) "
            "INSERT INTO upload_parts (project_id, id, upload_id, blob_key, bytes, sha256, created_at) "
            "SELECT :project, 'part-' || n, 'upload-' || (1 + n % :uploads), printf('00/%030x', n), 1, '', 1 FROM numbers",
            values,
        )

    await store.metadata._engine.write(fill)
    await store.metadata._engine.write(lambda connection: connection.execute(COUNT, {"project": project_id, "bytes": uploads * each}))
    late = await store.metadata.ended_uploads(None, 500)
    assert len(late) == uploads
    assert 1 <= await store.metadata.expire_uploads(late) < uploads
    await store.janitor.run("test")
    assert await store.metadata.ended_uploads(None, 1) == []
    assert await store.metadata.given_up_parts(None, 1) == []
    assert (await store.metadata.usage(project_id)).stored_bytes == 0
