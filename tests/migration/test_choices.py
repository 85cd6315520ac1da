"""What `fileplane migrate-store` moves, what it refuses, and the way back."""

from __future__ import annotations

import asyncio
import fcntl
import json
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fileplane.blob_location import parse_blob_location
from fileplane.blobs.opening import open_object_store
from fileplane.errors import StorageUnavailable
from fileplane.metadata.postgres_arrival import MoveFailed, PostgresArrival
from fileplane.metadata.sqlite_moves import SourceGate
from fileplane.model import File
from migration.conftest import NewPlace
from migration.test_interruptions import assert_moved, assert_readable
from support.backups import keep
from support.in_process import KEY, InProcess, in_process
from support.server import run_fileplane, running_server
from support.starts import refused_start

pytestmark = pytest.mark.full


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "old") as opened:
        yield opened


@pytest.fixture
def place(new_place: Callable[[], NewPlace]) -> NewPlace:
    return new_place()


async def migrate(store: InProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    directory = str(store.settings.data_dir)
    return await asyncio.to_thread(run_fileplane, "migrate-store", *arguments, FILEPLANE_DATA_DIR=directory, **environment)


async def refused(store: InProcess, *arguments: str, **environment: str) -> str:
    """What a command says that must change nothing: the store goes on taking files."""
    done = await migrate(store, *arguments, **environment)
    assert done.returncode in {1, 2}, done
    assert done.stdout == ""
    await keep(store, b"still taken")
    return done.stderr


async def contents(store: InProcess) -> dict[str, bytes]:
    return {file.id: await store.content(file) for file in await store.recorded()}


async def remove_there(place: NewPlace, file: File) -> None:
    blobs = open_object_store(parse_blob_location(place.location), largest_blob=0, slowest_bytes_per_second=0, deadline_seconds=20)
    await blobs.delete(file.blob_key)
    await blobs.close()


def tables(place: NewPlace) -> list[tuple[object, ...]]:
    return place.postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=place.database)


async def test_without_yes_it_says_what_it_would_do_and_changes_nothing(store: InProcess, place: NewPlace):
    await keep(store, b"12345")
    done = await migrate(store, "--json", **place.variables)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["moved"] is None
    assert document["plan"] | {"files": 1, "bytes": 5, "database": True, "blobs": place.location, "stage": None} == document["plan"]
    assert tables(place) == []
    await keep(store, b"still taken")


async def test_nothing_to_move_is_said(store: InProcess):
    assert "name a new database, a new blob store, or both" in await refused(store, "--yes")


async def test_a_target_that_cannot_be_used_is_refused(store: InProcess, place: NewPlace, tmp_path: Path):
    assert "cannot be used" in await refused(store, "--yes", FILEPLANE_TO_DATABASE_URL="postgresql://postgres@127.0.0.1:1/none")
    assert "What is to be moved to cannot be used: blob_store must be" in await refused(
        store, "--yes", FILEPLANE_TO_BLOB_STORE="ftp://bucket"
    )
    missing = place.location.replace("fileplane", "nosuchbucket", 1)
    assert "nosuchbucket" in await refused(store, "--yes", **(place.to_blobs | {"FILEPLANE_TO_BLOB_STORE": missing}))
    place.postgres.execute("CREATE TABLE another (id int)", database=place.database)
    assert "tables of another program" in await refused(store, "--yes", **place.variables)
    config = tmp_path / "new.toml"
    config.write_text(f'database_url = "{place.url}"\nnonsense = 1\n')
    assert "unknown setting 'nonsense'" in await refused(store, "--yes", "--to-config", str(config))


async def test_a_database_that_is_in_use_is_refused_and_left_as_it_is(store: InProcess, new_place: Callable[[], NewPlace], tmp_path: Path):
    place, other = new_place(), new_place()
    of_all = {"database_url": place.url, "master_key": secrets.token_hex(32)}
    with running_server(tmp_path / "other", **of_all) as server, server.client() as client:
        assert "has records of a Fileplane already" in await refused(store, "--yes", **place.variables)
        assert client.get("/files").status_code == 200
    async with in_process(tmp_path / "another") as another:
        arrival = PostgresArrival(another.settings.data_dir / "fileplane.db", other.url, await another.metadata.store_identity())
        await asyncio.to_thread(arrival.begin)
    assert "a move of another store to it is not complete" in await refused(store, "--yes", **other.variables)
    assert "The database is not complete" in refused_start(tmp_path / "node", FILEPLANE_DATABASE_URL=other.url)
    listed = run_fileplane("key", "list", FILEPLANE_DATA_DIR=str(tmp_path / "node"), FILEPLANE_DATABASE_URL=other.url)
    assert (listed.returncode, "The database is not complete" in listed.stderr) == (1, True)


async def test_blobs_of_another_database_are_refused(store: InProcess, new_place: Callable[[], NewPlace], tmp_path: Path):
    place, again = new_place(), new_place()
    async with in_process(tmp_path / "other") as other:
        await keep(other, b"of another")
        assert (await migrate(other, "--yes", **place.variables)).returncode == 0
    assert "belong to another database" in await refused(store, "--yes", **again.to_database, **place.to_blobs)


async def test_files_without_their_bytes_stop_the_move_unless_that_is_wanted(store: InProcess, place: NewPlace):
    whole, lost, damaged = await keep(store, b"whole"), await keep(store, b"lost"), await keep(store, b"damaged")
    (store.settings.data_dir / "blobs" / lost.blob_key).unlink()
    (store.settings.data_dir / "blobs" / damaged.blob_key).write_bytes(b"DAMAGED")
    said = await refused(store, "--yes", **place.variables)
    assert f"missing: file {lost.id} " in said
    assert f"damaged: file {damaged.id} " in said
    assert "The bytes of 2 files are missing or damaged" in said
    assert whole.id not in said
    done = await migrate(store, "--yes", "--allow-missing", "--json", **place.variables)
    assert done.returncode == 0, done.stderr
    moved = json.loads(done.stdout)["moved"]
    assert {entry["file_id"] for entry in moved["without_bytes"]} == {lost.id, damaged.id}
    checked = await asyncio.to_thread(place.run, store.settings.data_dir, "check")
    assert lost.id in checked.stdout


async def test_credentials_are_moved_only_with_the_master_key_that_opens_them(store: InProcess, place: NewPlace, tmp_path: Path):
    body = b'{"name": "a", "provider": "openai", "key": "sk-0123456789abcdef"}'

    async def sent() -> AsyncIterator[bytes]:
        yield body

    made = await store.request("POST", "/v1/virtual-keys", sent(), [(b"content-type", b"application/json")])
    assert made.status_code == 200, made.text
    config = tmp_path / "new.toml"
    config.write_text(f'database_url = "{place.url}"\nmaster_key = "{secrets.token_hex(32)}"\n')
    assert "The new servers need that one" in await refused(store, "--yes", "--to-config", str(config))
    assert tables(place) == []
    key = (store.settings.data_dir / "master.key").read_text().strip()
    config.write_text(f'database_url = "{place.url}"\nmaster_key = "{key}"\n')
    done = await migrate(store, "--yes", "--to-config", str(config))
    assert done.returncode == 0, done.stderr
    assert "the new servers need the same master key" in done.stdout
    assert key not in done.stdout + done.stderr


async def test_blobs_alone_are_moved_and_the_database_stays(store: InProcess, place: NewPlace):
    kept = await keep(store, b"kept")
    done = await migrate(store, "--yes", **place.to_blobs)
    assert done.returncode == 0, done.stderr
    with pytest.raises(StorageUnavailable, match="have been moved"):
        await keep(store, b"too late")
    data_dir = store.settings.data_dir
    assert "Set blob_store to where they are" in refused_start(data_dir)
    api_key = (await asyncio.to_thread(run_fileplane, "key", "create", "--name", "a", FILEPLANE_DATA_DIR=str(data_dir))).stderr
    assert "have been moved" in api_key
    settings = {"blob_store": place.location, "variables": place.store.environment}
    with running_server(data_dir, key=KEY, **settings) as server, server.client() as client:
        assert client.get(f"/files/{kept.id}/content").content == b"kept"
        assert client.post("/files", data={"purpose": "user_data"}, files={"file": ("a", b"new")}).status_code == 200
    assert place.location in refused_start(data_dir)
    assert "Nothing to take back" in (await migrate(store, "--undo", "--yes")).stdout


async def test_the_database_alone_is_moved_and_the_blobs_stay(store: InProcess, place: NewPlace):
    kept = await keep(store, b"kept")
    done = await migrate(store, "--yes", **place.to_database)
    assert done.returncode == 0, done.stderr
    data_dir = store.settings.data_dir
    assert "have been moved to a PostgreSQL database" in refused_start(data_dir)
    with running_server(data_dir, key=KEY, database_url=place.url) as server, server.client() as client:
        assert client.get(f"/files/{kept.id}/content").content == b"kept"
    checked = run_fileplane("check", FILEPLANE_DATA_DIR=str(data_dir), FILEPLANE_DATABASE_URL=place.url)
    assert checked.returncode == 0, checked.stdout


async def test_a_move_is_taken_back_and_made_anew_to_another_place(store: InProcess, new_place: Callable[[], NewPlace]):
    place, other = new_place(), new_place()
    await keep(store, b"first")
    assert (await migrate(store, "--yes", **place.variables)).returncode == 0
    assert (await migrate(store, "--yes", **place.variables)).returncode == 0, "what is complete is complete"
    said = await migrate(store, "--yes", **other.variables)
    assert (said.returncode, "have been moved already" in said.stderr) == (1, True)
    assert "With --yes they are admitted again" in (await migrate(store, "--undo")).stdout
    with pytest.raises(StorageUnavailable, match="have been moved"):
        await keep(store, b"too early")
    assert "admitted here again" in (await migrate(store, "--undo", "--yes")).stdout
    await keep(store, b"second")
    assert "changes have been admitted here since" in await refused(store, "--yes", **place.variables)
    done = await migrate(store, "--yes", **other.variables)
    assert done.returncode == 0, done.stderr
    await assert_moved(other, store.principal.project_id, await contents(store))


async def test_blobs_that_are_lost_at_the_new_place_between_two_runs_are_brought_again(store: InProcess, place: NewPlace):
    first, second = await keep(store, b"first"), await keep(store, b"second")
    (store.settings.data_dir / "blobs" / second.blob_key).rename(store.settings.data_dir / "aside")
    assert "The bytes of 1 files" in await refused(store, "--yes", **place.variables)
    (store.settings.data_dir / "aside").rename(store.settings.data_dir / "blobs" / second.blob_key)
    await remove_there(place, first)
    done = await migrate(store, "--yes", "--json", **place.variables)
    assert done.returncode == 0, done.stderr
    files = await contents(store)
    await assert_readable(store, files)
    await assert_moved(place, store.principal.project_id, files)


async def test_two_moves_of_one_store_do_not_run_at_once(store: InProcess, place: NewPlace):
    with (store.settings.data_dir / "migrate-store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Another process moves this store" in await refused(store, "--yes", **place.variables)


async def test_reading_under_a_limit_of_requests_goes_on_while_changes_are_refused(store: InProcess):
    gate = SourceGate(store.settings.data_dir / "fileplane.db")
    await asyncio.to_thread(gate.refuse, "token")
    lease = await store.metadata.take_requests("project x", 100, 10)
    assert lease.granted == 10
    with pytest.raises(StorageUnavailable, match="being moved") as refusal:
        await keep(store, b"too late")
    assert refusal.value.nothing_changed
    await asyncio.to_thread(gate.admit)
    await keep(store, b"taken")


async def test_rows_that_do_not_arrive_as_they_were_are_noticed_and_nothing_is_left_of_them(store: InProcess, place: NewPlace):
    file = await keep(store, b"a")
    gate = SourceGate(store.settings.data_dir / "fileplane.db")
    arrival = PostgresArrival(store.settings.data_dir / "fileplane.db", place.url, await store.metadata.store_identity())
    await asyncio.to_thread(arrival.begin)
    place.postgres.execute(
        "CREATE FUNCTION damage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.bytes := NEW.bytes + 1; RETURN NEW; END $$; "
        "CREATE TRIGGER damage BEFORE INSERT ON files FOR EACH ROW EXECUTE FUNCTION damage()",
        database=place.database,
    )
    await asyncio.to_thread(gate.refuse, "token")
    with pytest.raises(MoveFailed, match="The table files"):
        await asyncio.to_thread(arrival.bring, "token", lambda _: None)
    assert place.postgres.execute("SELECT count(*) FROM files", database=place.database) == [(0,)]
    assert await asyncio.to_thread(arrival.arrived) is None
    await asyncio.to_thread(gate.admit)
    assert (await store.metadata.get_file(file.project_id, file.id)).bytes == 1
