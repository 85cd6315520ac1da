"""`fileplane check` on a sound store, on stores broken on purpose, and on one that changes under its eyes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fileplane.clock import SystemClock
from fileplane.files import integrity
from fileplane.files.findings import Finding, Kind
from fileplane.files.integrity import IntegrityCheck
from fileplane.files.selection import Selection, parse_selection
from fileplane.model import Origin
from fileplane.testing.faults import NaughtyBlobStore, NaughtyMetadataStore, Pauses, Plan
from support.broken_stores import DAMAGES, Store, make_old, make_store
from support.expect import assert_file
from support.in_process import InProcess, in_process, pieces
from support.raw_http import FORM_TYPE, form_begin, form_end
from support.server import run_fileplane

WARNINGS = {"orphan_blob", "stale_temporary"}
EVERYTHING = Selection()
Act = Callable[[InProcess, Store], Awaitable[None]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return asyncio.run(make_store(tmp_path_factory.mktemp("sound") / "data"))


@pytest.fixture
def copy_of_sound(sound: Store, tmp_path: Path) -> Store:
    return sound.copied_to(tmp_path / "data")


def check(data_dir: Path, *arguments: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """The exit code, the findings and the summary."""
    done = run_fileplane("check", "--data-dir", str(data_dir), "--json", *arguments)
    assert done.stderr == "", done
    *findings, last = map(json.loads, done.stdout.splitlines())
    return done.returncode, findings, last["summary"]


def test_a_sound_store_is_found_sound(sound: Store):
    code, findings, summary = check(sound.data_dir, "--read-data")
    assert (code, findings) == (0, [])
    assert summary == {
        "files": 3,
        "files_read": 3,
        "bytes_read": 2_502_000,
        "blobs": 3,
        "errors": 0,
        "warnings": 0,
        "read_data": "1/1",
        "seed": None,
    }


@pytest.mark.parametrize("name", [name for name, damage in DAMAGES.items() if not damage.at_opening])
async def test_each_damage_is_named_and_nothing_else_is(copy_of_sound: Store, name: str):
    store, damage = copy_of_sound, DAMAGES[name]
    damage.inflict(store)
    records = store.records()
    async with in_process(store.data_dir) as running:
        found = [(str(finding.kind), finding.file_id) for finding in await findings_of(running)]
    assert sorted(found, key=str) == sorted(((kind, getattr(store, file) if file else None) for kind, file in damage.kinds), key=str)
    assert store.records() == records


BY_COMMAND = ["a flipped bit", "an orphan", "a stale temporary", "a counter that is wrong", "a missing index"]
BY_COMMAND += [name for name, damage in DAMAGES.items() if damage.at_opening]


@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_command_tells_each_finding_and_exits_accordingly(copy_of_sound: Store, name: str):
    damage = DAMAGES[name]
    damage.inflict(copy_of_sound)
    code, findings, summary = check(copy_of_sound.data_dir, "--read-data")
    assert [finding["kind"] for finding in findings] == [kind for kind, _ in damage.kinds]
    errors = [kind for kind, _ in damage.kinds if kind not in WARNINGS]
    assert (code, summary["errors"], summary["warnings"]) == (8 if errors else 0, len(errors), len(damage.kinds) - len(errors))
    assert all(finding["words"] for finding in findings)
    assert all((finding["severity"] == "warning") == (finding["kind"] in WARNINGS) for finding in findings)


def test_an_empty_database_beside_blobs_is_left_as_it_is(copy_of_sound: Store):
    DAMAGES["an empty database"].inflict(copy_of_sound)
    check(copy_of_sound.data_dir)
    assert copy_of_sound.database.stat().st_size == 0


async def test_what_only_reading_can_find_is_found_by_reading_alone(copy_of_sound: Store):
    DAMAGES["two swapped blobs"].inflict(copy_of_sound)
    async with in_process(copy_of_sound.data_dir) as store:
        assert await findings_of(store, None) == []
        assert {finding.file_id for finding in await findings_of(store)} == {copy_of_sound.first, copy_of_sound.second}


async def test_the_parts_of_a_reading_together_are_the_whole(copy_of_sound: Store):
    for path in (copy_of_sound.data_dir / "blobs").glob("[0-9a-f][0-9a-f]/*"):
        path.write_bytes(bytes(path.stat().st_size))
    async with in_process(copy_of_sound.data_dir) as store:
        parts = [await findings_of(store, Selection(part, 3)) for part in (1, 2, 3)]
    assert sorted(str(finding.file_id) for part in parts for finding in part) == sorted(
        [copy_of_sound.first, copy_of_sound.second, copy_of_sound.large]
    )


def test_a_sample_tells_its_seed_and_can_be_taken_again(sound: Store):
    _, _, first = check(sound.data_dir, "--read-data=50%")
    _, _, again = check(sound.data_dir, "--read-data=50%", "--seed", str(first["seed"]))
    assert first == again
    assert first["read_data"] == "50%"


@pytest.mark.parametrize("value", ["0/2", "3/2", "x", "0%", "101%", ""])
def test_a_share_that_is_none_is_a_usage_error(sound: Store, value: str):
    if value in {"0/2", "101%"}:  # one of each form through the command; all through what it calls
        done = run_fileplane("check", "--data-dir", str(sound.data_dir), f"--read-data={value}")
        assert (done.returncode, done.stdout) == (2, "")
        assert "such as 2/7" in done.stderr
    with pytest.raises(ValueError, match="such as 2/7"):
        parse_selection(value)


def test_people_are_told_in_words(copy_of_sound: Store):
    DAMAGES["a missing blob"].inflict(copy_of_sound)
    done = run_fileplane("check", "--data-dir", str(copy_of_sound.data_dir))
    assert done.returncode == 8
    first, last = done.stdout.splitlines()
    assert first.startswith(f"error: missing_blob: file {copy_of_sound.first}, ")
    assert last == "3 files, 2 blobs: 1 errors, 0 warnings"


def test_a_directory_without_a_store_is_refused_and_left_alone(tmp_path: Path):
    done = run_fileplane("check", "--data-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Fileplane" in done.stderr
    assert list(tmp_path.iterdir()) == []


async def findings_of(store: InProcess, selection: Selection | None = EVERYTHING, plan: Plan | None = None) -> list[Finding]:
    plan = plan or Plan({})
    checking = IntegrityCheck(NaughtyMetadataStore(store.metadata, plan), NaughtyBlobStore(store.blobs, plan), SystemClock(), 3_600)
    return [finding async for finding in checking.findings(selection)]


async def test_files_and_blobs_are_looked_at_page_by_page(copy_of_sound: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(integrity, "PAGE", 2)
    for number in range(3):
        orphan = copy_of_sound.data_dir / "blobs" / "bb" / f"{number:030x}"
        orphan.write_bytes(b"")
        make_old(orphan)
    for file_id in (copy_of_sound.first, copy_of_sound.second, copy_of_sound.large):
        copy_of_sound.blob(file_id).unlink()
    async with in_process(copy_of_sound.data_dir) as store:
        kinds = [finding.kind for finding in await findings_of(store)]
    assert sorted(kinds) == [Kind.MISSING_BLOB] * 3 + [Kind.ORPHAN_BLOB] * 3


async def purge_first(store: InProcess, sound: Store) -> None:
    await store.files.purge(store.principal, sound.first, Origin())


async def upload_another(store: InProcess, _: Store) -> None:
    assert_file(await store.upload(pieces(form_begin() + b"another" + form_end()), FORM_TYPE))


async def findings_with(store: InProcess, sound: Store, act: Act, point: int) -> tuple[list[Finding], bool]:
    """What a check finds when ``act`` happens before its ``point``-th call, and whether it came to that call."""
    pause = Pauses()
    plan = Plan({point: pause})
    checking, reached = asyncio.create_task(findings_of(store, EVERYTHING, plan)), asyncio.create_task(pause.reached.wait())
    await asyncio.wait({checking, reached}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    await act(store, sound)
    pause.resume.set()
    return await checking, plan.struck


@pytest.mark.parametrize("act", [purge_first, upload_another])
async def test_what_a_server_does_at_any_moment_of_a_check_is_no_finding(sound: Store, tmp_path: Path, act: Act):
    struck, point = True, 0
    while struck:
        point += 1
        directory = tmp_path / str(point)
        shutil.copytree(sound.data_dir, directory)
        async with in_process(directory) as store:
            found, struck = await findings_with(store, sound, act, point)
        assert found == [], point
        shutil.rmtree(directory)
        assert point < 100
    assert point > 10


@pytest.mark.parametrize(
    ("name", "second_look"), [("an orphan", ["walk", "unowned_blobs", "open"]), ("a stale temporary", ["walk", "walk"])]
)
async def test_what_the_janitor_clears_away_meanwhile_is_no_finding(copy_of_sound: Store, name: str, second_look: list[str]):
    DAMAGES[name].inflict(copy_of_sound)
    async with in_process(copy_of_sound.data_dir) as store:
        plan = Plan({})
        (finding,) = await findings_of(store, None, plan)
        assert plan.calls[-len(second_look) :] == second_look
        pause = Pauses()
        checking = asyncio.create_task(findings_of(store, None, Plan({len(plan.calls): pause})))
        await pause.reached.wait()
        (copy_of_sound.data_dir / "blobs" / str(finding.blob_key)).unlink()
        pause.resume.set()
        assert await checking == []
