"""With ``keep_copy`` the bytes are kept here too, and content works where the provider refuses it; there is never one without the other."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from fileplane.access import Limits
from fileplane.blobs.local import LocalBlobStore
from fileplane.catalog import CatalogQuery, FileState
from fileplane.clock import SystemClock
from fileplane.errors import FileplaneError, StorageQuotaExceeded, StorageUnavailable
from fileplane.files.form import UploadEvent
from fileplane.files.janitor import Janitor
from fileplane.files.native import NativeFiles
from fileplane.files.reconciling import SURE_AFTER_SECONDS, Reconciler
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, Repeats, Trace
from fileplane.metadata.base import MetadataStore
from fileplane.model import FileQuery
from fileplane.testing.clock import ManualClock
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import CancelledAt, Fails, NaughtyBlobStore, NaughtyMetadataStore, Plan
from fileplane.testing.provider_world import SECRET
from gateway.conftest import Fake, Project, as_header
from gateway.test_every_point import CONTENT, LARGE_FORM, ORIGIN, Place, form, new_place
from support.lacking import LackingProvider
from support.limited import limited_key
from support.server import RunningServer, run_fileplane

REFUSES = {"downloads_uploads": False}


@dataclass
class Copying:
    """A place whose provider gives nothing back, with the native store beside it."""

    place: Place
    blobs: LocalBlobStore
    root: Path

    def files(self, plan: Plan) -> RemoteFiles:
        store = cast("MetadataStore", NaughtyMetadataStore(self.place.store, plan))
        blobs, clock, settings = NaughtyBlobStore(self.blobs, plan), SystemClock(), self.place.settings
        native = NativeFiles(store, blobs, Janitor(store, blobs, clock, settings), settings, clock)
        return RemoteFiles(store, settings, clock, native)

    def route(self, **lacks: Any) -> RemoteRoute:
        provider = LackingProvider(self.place.world.provider, **(lacks or REFUSES))
        target = RemoteTarget("config", provider, self.place.world.target, self.place.key.id, Repeats(), keep_copy=True)
        return RemoteRoute((target,), lambda _number, _status: None, (target,), Trace())

    async def upload(self, files: RemoteFiles, key: str | None = None) -> str:
        return (await files.create(self.route(), self.place.principal, ORIGIN, form(), LARGE_FORM, key)).file.id

    async def copy(self, file_id: str, **lacks: Any) -> bytes | None:
        """The bytes that would be served, if they came from here."""
        found = await self.files(Plan({})).copy_of(self.route(**lacks), self.place.principal, file_id)
        if found is None:
            return None
        assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
        async with self.blobs.open(found.blob_key) as reader:
            return b"".join([bytes(piece) async for piece in reader])

    async def reconcile(self, seconds: float) -> None:
        async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
            return self.place.route().everywhere[0]

        clock = ManualClock(SystemClock().now_ms() / 1000 + seconds)
        self.place.store._clock = clock
        await Reconciler(self.place.store, target_of, clock).run()

    async def check(self, returned: str | None) -> None:
        """As many copies as files that are there or unresolved, each with its bytes; and of what nobody refers to, nothing is left."""
        store, project = self.place.store, self.place.project
        await self.place.check(returned)
        bound = (await store.list_catalog_files(project.id, CatalogQuery((self.place.key.id,), 100))).files
        open_ones = [one for one in await store.unresolved_files(None, 100) if one.state is not FileState.DELETING]
        rows = [*bound, *open_ones]
        assert (await store.usage(project.id)).live_files == len(rows)
        assert all(row.copy_id is not None for row in rows)
        for row in rows:
            copy = await store.get_copy(project.id, row.copy_id or "")
            assert (self.root / copy.blob_key).read_bytes() == CONTENT
        assert (await store.list_files(project.id, FileQuery(limit=9))).total == 0
        later = ManualClock(SystemClock().now_ms() / 1000 + 30 * 86_400)
        await Janitor(store, self.blobs, later, self.place.settings).run("janitor")
        left = {path.name for path in self.root.rglob("*") if path.is_file()}
        assert len(left) == len(rows)
        assert await store.counter_drifts() == []


@asynccontextmanager
async def copying_at(directory: Path) -> AsyncIterator[Copying]:
    async with new_place(directory) as place:
        blobs = LocalBlobStore(directory / "blobs")
        try:
            yield Copying(place, blobs, directory / "blobs")
        finally:
            await blobs.close()


@pytest.fixture
async def copying(tmp_path: Path) -> AsyncIterator[Copying]:
    async with copying_at(tmp_path / "place") as made:
        yield made


@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
async def test_a_store_that_fails_at_any_step_of_an_upload_leaves_no_copy_without_a_file_and_no_file_without_its_copy(
    tmp_path: Path, after: bool
) -> None:
    for point in range(1, 40):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."), after=after)})
        async with copying_at(tmp_path / str(point)) as copying:
            files, returned = copying.files(plan), None
            with suppress(FileplaneError):
                returned = await copying.upload(files, "key")
            await files.settle()
            await copying.check(returned)
            if not plan.struck:
                assert point > 6
                return
    raise AssertionError("the upload never came to its end")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_an_upload_that_is_cancelled_at_any_wait_leaves_no_copy_without_a_file(tmp_path: Path, late: bool) -> None:
    point = 1
    while point < 10_000:
        async with copying_at(tmp_path / str(point)) as copying:
            cancelled, files, returned = CancelledAt(point, late=late), copying.files(Plan({})), None
            task = asyncio.create_task(cancelled.run(copying.upload(files)))
            with suppress(asyncio.CancelledError, FileplaneError):
                returned = await task
            await files.settle()
            await copying.check(returned)
            if not cancelled.struck:
                assert point > 6
                return
        point += 3 if point > 12 else 1
    raise AssertionError("the upload never came to its end")


@pytest.mark.parametrize("kind", ["refuse", "close_request_at", "hang", "garbage"])
async def test_a_provider_that_fails_leaves_a_copy_exactly_as_long_as_the_file_may_be_there(copying: Copying, kind: str) -> None:
    copying.place.world.fake.plan(Fault(kind, operation="upload", at=300_000, status=429 if kind == "refuse" else None))
    files = copying.files(Plan({}))
    with suppress(FileplaneError):
        await copying.upload(files)
    await files.settle()
    await copying.check(None)
    await copying.reconcile(SURE_AFTER_SECONDS + 60)
    [*rows] = (await copying.place.store.list_catalog_files(copying.place.project.id, CatalogQuery((copying.place.key.id,), 9))).files
    assert (await copying.place.store.usage(copying.place.project.id)).live_files == len(rows)


async def test_a_copy_is_served_only_where_the_provider_does_not_give_the_bytes_back(copying: Copying) -> None:
    file_id = await copying.upload(copying.files(Plan({})))
    for lacks in (REFUSES, {"download": False}, {"original_bytes": False}):
        assert await copying.copy(file_id, **lacks) == CONTENT
    assert await copying.copy(file_id, ranges=False) is None


@pytest.mark.parametrize("way", ["deleted", "forgotten"])
async def test_a_file_that_is_gone_takes_its_copy_along(copying: Copying, way: str) -> None:
    file_id, files = await copying.upload(copying.files(Plan({}))), copying.files(Plan({}))
    if way == "deleted":
        await files.delete(copying.route(), copying.place.principal, file_id, ORIGIN)
    else:
        await copying.place.world.provider.delete(copying.place.world.target, file_id)
        with suppress(FileplaneError):
            await files.get(copying.route(), copying.place.principal, file_id)
    assert copying.place.world.fake.accounts.of(SECRET).files == {}
    await copying.check(None)
    assert list(copying.root.glob("??/*")) == []


async def test_a_repeated_upload_is_one_file_with_one_copy(copying: Copying) -> None:
    files = copying.files(Plan({}))
    assert await copying.upload(files, "key") == await copying.upload(files, "key")
    await copying.check(None)


async def test_a_copy_that_there_is_no_room_for_is_refused_before_anything_is_sent(copying: Copying) -> None:
    object.__setattr__(copying.place.settings, "project_quota_bytes", len(CONTENT) * 2 - 1)
    files = copying.files(Plan({}))
    first = await copying.upload(files, "first")
    assert await copying.upload(files, "first") == first
    for key in (None, "key"):  # with a key, only what has come tells whether it is a repetition
        with pytest.raises(StorageQuotaExceeded):
            await copying.upload(files, key)

    async def never() -> AsyncIterator[UploadEvent]:
        raise AssertionError("the body was read")
        yield b""

    with pytest.raises(StorageQuotaExceeded):
        await files.create(copying.route(), copying.place.principal, ORIGIN, never(), LARGE_FORM * 2)
    assert list(copying.place.world.fake.accounts.of(SECRET).files) == [first]
    await copying.check(first)


def test_content_works_where_the_provider_gives_none(project: Project) -> None:
    """Moonshot answers with text that it has extracted."""
    content = b"some content\r\n\xff\x00" * 1000
    plain = {"x-portkey-virtual-key": project.virtual_key("vk-plain-copies", provider="moonshot")}
    without = project.upload(plain, content, "ä.bin").json()["id"]
    assert "etag" not in project.client.get(f"/files/{without}/content", headers=plain).headers
    [_] = project.fake.requests("content")
    headers = {"x-portkey-virtual-key": project.virtual_key("vk-kept-copies", provider="moonshot", keep_copy=True)}
    made = project.upload(headers, content, "ä.bin")
    assert made.status_code == 200, made.text
    url = f"/files/{made.json()['id']}/content"
    got = project.client.get(url, headers=headers)
    assert (got.status_code, got.content, got.headers["etag"]) == (200, content, f'"{hashlib.sha256(content).hexdigest()}"')
    assert "%C3%A4.bin" in got.headers["content-disposition"]
    assert got.headers["x-portkey-provider"] == "moonshot"
    part = project.client.get(url, headers={**headers, "range": "bytes=5-9"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, content[5:10], f"bytes 5-9/{len(content)}")
    head = project.client.head(url, headers=headers)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert project.client.get(url, headers={**headers, "if-none-match": got.headers["etag"]}).status_code == 304
    assert project.client.get(url, headers={**headers, "range": f"bytes={len(content)}-"}).status_code == 416
    assert len(project.fake.requests("content")) == 1
    listed = project.client.get("/files").json()
    assert (listed["data"], listed["total"]) == ([], 0)
    assert project.client.delete(f"/files/{made.json()['id']}", headers=headers).status_code == 200
    assert project.client.get(url, headers=headers).status_code == 404


def test_a_copy_counts_against_the_projects_storage(gateway: RunningServer, fake: Fake) -> None:
    key = limited_key(gateway.data_dir, project=Limits(storage_bytes=1_500))
    project = Project(gateway, fake, key.plain, f"sk-limited-{key.id}")
    with project.client:
        headers = {"x-portkey-virtual-key": project.virtual_key(provider="moonshot", keep_copy=True)}
        assert project.upload(headers, b"x" * 1000).status_code == 200
        refused = project.upload(headers, b"x" * 1000)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "storage_quota_exceeded")
        assert len(fake.files(project.credential)) == 1
        [used] = project.client.get("/usage").json()["data"]
        assert used["project_id"] == key.project_id
        plain = {"x-portkey-virtual-key": project.virtual_key("vk-plain-limited", provider="moonshot")}
        assert project.upload(plain, b"x" * 1000).status_code == 200


def test_a_config_may_ask_for_copies_or_do_without(project: Project) -> None:
    kept, plain = (project.virtual_key(f"vk-{name}-config", provider="moonshot", keep_copy=name == "kept") for name in ("kept", "plain"))
    for document, copied in (({"virtual_key": plain, "keep_copy": True}, True), ({"virtual_key": kept, "keep_copy": False}, False)):
        headers = as_header(document)
        made = project.upload(headers)
        assert made.status_code == 200, made.text
        assert ("etag" in project.client.get(f"/files/{made.json()['id']}/content", headers=headers).headers) is copied
    wrong = project.upload(as_header({"virtual_key": plain, "keep_copy": "yes"}))
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "keep_copy")
    own = as_header({"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url, "keep_copy": True})
    refused = project.upload(own)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "keep_copy")


def test_whether_copies_are_kept_is_a_field_of_the_virtual_key_in_every_view(project: Project) -> None:
    slug = project.virtual_key("vk-views-copies", keep_copy=True)
    for view in ("virtual-keys", "providers", "integrations"):
        assert project.client.get(f"/{view}/{slug}").json()["keep_copy"] is True
    assert project.client.put(f"/virtual-keys/{slug}", json={"name": "other"}).status_code == 200
    assert project.client.get(f"/virtual-keys/{slug}").json()["keep_copy"] is True
    assert project.client.put(f"/integrations/{slug}", json={"keep_copy": False}).status_code == 200
    assert project.client.get(f"/virtual-keys/{slug}").json()["keep_copy"] is False
    for change, param in (({"keep_copy": "yes"}, "keep_copy"), ({"keep_copy": True, "sharing": "account", "key": "sk-x"}, "keep_copy")):
        refused = project.client.put(f"/virtual-keys/{slug}", json=change)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_virtual_key_whose_files_are_at_a_provider_still_is_not_deleted_and_says_so(project: Project) -> None:
    slug = project.virtual_key(provider="moonshot", keep_copy=True)
    headers = {"x-portkey-virtual-key": slug}
    file_id = project.upload(headers).json()["id"]
    refused = project.client.delete(f"/virtual-keys/{slug}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "in_use")
    assert "in use by 1 file at a provider. Change or remove" in refused.json()["error"]["message"]
    assert project.client.delete(f"/files/{file_id}", headers=headers).status_code == 200
    assert project.client.delete(f"/virtual-keys/{slug}").status_code == 200


def test_the_command_line_keeps_copies_and_finds_nothing_wrong_with_them(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key(provider="moonshot", keep_copy=True)}
    assert project.upload(headers, b"content").status_code == 200
    data_dir = str(project.server.data_dir)
    checked = run_fileplane("check", "--read-data", "--data-dir", data_dir)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    changed = run_fileplane("virtual-key", "update", headers["x-portkey-virtual-key"], "--no-keep-copy", "--json", "--data-dir", data_dir)
    assert changed.returncode == 0, changed.stderr
    assert '"keep_copy": false' in changed.stdout
