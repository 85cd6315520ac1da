"""Stores broken on purpose: one small sound store, and a function for each thing that can be wrong with one."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from support.database import run_sql
from support.expect import assert_file
from support.in_process import in_process, pieces
from support.raw_http import FORM_TYPE, form_begin, form_end

SIZE = 1_000
OLD_SECONDS = 100_000


@dataclass(frozen=True)
class Store:
    """A data directory that nobody serves; ``first``, ``second`` and ``large`` are ids of files, the first two of one size."""

    data_dir: Path
    first: str
    second: str
    large: str

    @property
    def database(self) -> Path:
        return self.data_dir / "fileplane.db"

    def blob(self, file_id: str) -> Path:
        return self.data_dir / "blobs" / str(self.sql(f"SELECT blob_key FROM files WHERE id = '{file_id}'")[0][0])

    def sql(self, *statements: str) -> list[list[object]]:
        return run_sql(self.database, *statements)

    def copied_to(self, data_dir: Path) -> Store:
        shutil.copytree(self.data_dir, data_dir)
        return replace(self, data_dir=data_dir)

    def records(self) -> list[list[object]]:
        return self.sql("SELECT * FROM files ORDER BY id")


async def make_store(data_dir: Path) -> Store:
    """A sound one, with three files."""
    async with in_process(data_dir) as store:
        ids = []
        for content in (os.urandom(SIZE), os.urandom(SIZE), os.urandom(2_500_000)):
            answer = await store.upload(pieces(form_begin() + content + form_end()), FORM_TYPE)
            ids.append(str(assert_file(answer)["id"]))
    return Store(data_dir, *ids)


def flip_a_bit(path: Path, position: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def make_old(path: Path) -> None:
    long_ago = time.time() - OLD_SECONDS
    os.utime(path, (long_ago, long_ago), follow_symlinks=False)


def _missing(store: Store) -> None:
    store.blob(store.first).unlink()


def _truncated(store: Store) -> None:
    os.truncate(store.blob(store.first), SIZE - 1)


def _longer(store: Store) -> None:
    os.truncate(store.blob(store.first), SIZE + 1)


def _empty(store: Store) -> None:
    os.truncate(store.blob(store.first), 0)


def _flipped(store: Store) -> None:
    flip_a_bit(store.blob(store.first), SIZE // 2)


def _flipped_at_the_end(store: Store) -> None:
    flip_a_bit(store.blob(store.large), 2_499_999)


def _swapped(store: Store) -> None:
    first, second = store.blob(store.first), store.blob(store.second)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def _link(store: Store) -> None:
    blob = store.blob(store.first)
    blob.unlink()
    blob.symlink_to(store.blob(store.second))


def _pipe(store: Store) -> None:
    blob = store.blob(store.first)
    blob.unlink()
    os.mkfifo(blob)


def _dangling(store: Store) -> None:
    store.sql(f"UPDATE files SET blob_key = 'aa/{secrets.token_hex(15)}' WHERE id = '{store.first}'")


def _poisoned(store: Store) -> None:
    store.sql(f"UPDATE files SET blob_key = '../fileplane.db' WHERE id = '{store.first}'")


def _missing_while_restorable(store: Store) -> None:
    later = int(time.time()) + 1_000
    store.sql(f"UPDATE files SET deleted_at = 1, collect_after = {later} WHERE id = '{store.first}'", *_moving(store))
    _missing(store)


def _missing_when_due(store: Store) -> None:
    store.sql(f"UPDATE files SET deleted_at = 1, collect_after = 2 WHERE id = '{store.first}'", *_moving(store))
    _missing(store)


def _moving(store: Store) -> tuple[str, str]:
    size = f"(SELECT bytes FROM files WHERE id = '{store.first}')"
    return (
        f"UPDATE usage SET live_files = live_files - 1, deleted_files = deleted_files + 1, deleted_bytes = deleted_bytes + {size}",
        f"UPDATE key_usage SET live_files = live_files - 1, live_bytes = live_bytes - {size}",
    )


def _orphan(store: Store) -> None:
    make_old(_young_orphan(store))


def _young_orphan(store: Store) -> Path:
    path = store.data_dir / "blobs" / "aa" / ("0" * 30)
    path.write_bytes(b"nobody's")
    return path


def _stale_temporary(store: Store) -> None:
    make_old(_temporary(store))


def _temporary(store: Store) -> Path:
    path = store.data_dir / "blobs" / "tmp" / ("0" * 32)
    path.write_bytes(b"half an upload")
    return path


def _drift(store: Store) -> None:
    store.sql("UPDATE usage SET stored_bytes = stored_bytes + 1")


def _ownerless(store: Store) -> None:
    store.sql(
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO usage (project_id, purpose, live_files, stored_bytes) VALUES ('no-such-project', 'batch', 0, 0)",
    )


def _half_migration(store: Store) -> None:
    store.sql("PRAGMA user_version = 1")


def _missing_index(store: Store) -> None:
    store.sql("DROP INDEX files_tombstones")


def _damaged_page(store: Store) -> None:
    store.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    [[page]] = store.sql("SELECT rootpage FROM sqlite_schema WHERE name = 'files_by_time'")
    [[size]] = store.sql("PRAGMA page_size")
    with store.database.open("r+b") as file:
        file.seek((int(str(page)) - 1) * int(str(size)))
        file.write(os.urandom(64))


def _empty_database(store: Store) -> None:
    store.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(store.database, 0)


@dataclass(frozen=True)
class Damage:
    """``kinds`` are what a full check finds, each with the file it names: ``first``, ``second``, ``large``, or none.

    With ``at_opening`` the database cannot be opened any more.
    """

    inflict: Callable[[Store], object]
    kinds: tuple[tuple[str, str | None], ...]
    at_opening: bool = False


_FIRST = "first"
DAMAGES = {
    "a missing blob": Damage(_missing, (("missing_blob", _FIRST),)),
    "a truncated blob": Damage(_truncated, (("wrong_size", _FIRST),)),
    "a longer blob": Damage(_longer, (("wrong_size", _FIRST),)),
    "an empty blob": Damage(_empty, (("wrong_size", _FIRST),)),
    "a flipped bit": Damage(_flipped, (("wrong_content", _FIRST),)),
    "a flipped bit at the end": Damage(_flipped_at_the_end, (("wrong_content", "large"),)),
    "two swapped blobs": Damage(_swapped, (("wrong_content", _FIRST), ("wrong_content", "second"))),
    "a link in place of a blob": Damage(_link, (("missing_blob", _FIRST),)),
    "a pipe in place of a blob": Damage(_pipe, (("missing_blob", _FIRST),)),
    "a row of a blob that never was": Damage(_dangling, (("missing_blob", _FIRST),)),
    "a row of a key that cannot be": Damage(_poisoned, (("invalid_key", _FIRST),)),
    "a missing blob of a restorable file": Damage(_missing_while_restorable, (("missing_blob", _FIRST),)),
    "a missing blob of a file to be collected": Damage(_missing_when_due, ()),
    "an orphan": Damage(_orphan, (("orphan_blob", None),)),
    "a blob in flight": Damage(_young_orphan, ()),
    "a stale temporary": Damage(_stale_temporary, (("stale_temporary", None),)),
    "a temporary in flight": Damage(_temporary, ()),
    "a counter that is wrong": Damage(_drift, (("counter_drift", None),)),
    "a row without its project": Damage(_ownerless, (("database", None),)),
    "half a migration": Damage(_half_migration, (("database", None),), at_opening=True),
    "a missing index": Damage(_missing_index, (("database", None),)),
    "a damaged page of the database": Damage(_damaged_page, (("database", None),), at_opening=True),
    "an empty database": Damage(_empty_database, (("database", None),), at_opening=True),
}
