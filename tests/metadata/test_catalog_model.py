"""Whatever two projects do at shared virtual keys, in whatever order, the catalog says what a model of a few lines says."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileplane.catalog import CatalogQuery, Claim, JobKind, JobReport, NewJob, NewUpload, ProviderFile, UploadedFile
from fileplane.errors import FileInUse, FileNotFound
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound, JobNotFound
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.model import Origin
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import make_project
from fileplane.testing.secrets_suite import new_virtual_key

NOBODY = Origin()
CLAIM = Claim("somebody", 60)
ACCOUNTS = (0, 0, 1)
"""The credential of each virtual key: the second uses the first one's."""
LIVE = ("bound", "deleting")
OPEN = ("reserved", "unknown")

projects = st.integers(0, 1)
keys = st.integers(0, 2)
names = st.sampled_from(["f0", "f1", "f2", "f3"])
picks = st.integers(0, 7)
statuses = st.sampled_from(["in_progress", "completed", "failed", "unheard of"])
steps = st.one_of(
    st.tuples(st.just("reserve"), projects, keys),
    st.tuples(st.just("bind"), picks, names),
    st.tuples(st.sampled_from(["unknown", "fail", "finish", "cancel"]), picks),
    st.tuples(st.sampled_from(["delete", "close"]), projects, keys, names),
    st.tuples(st.just("adopt"), projects, keys, names, st.booleans()),
    st.tuples(st.just("begin_job"), projects, keys, st.sets(names, max_size=2)),
    st.tuples(st.just("bind_job"), picks, statuses),
    st.tuples(st.sampled_from(["fail_job", "close_job"]), picks),
    st.tuples(st.just("refresh_job"), picks, statuses, st.sets(names, max_size=2)),
)


@dataclass
class ModelFile:
    project: int
    key: int
    state: str
    name: str | None = None
    order: int = 0


@dataclass
class ModelJob:
    project: int
    key: int
    inputs: list[ModelFile]
    state: str = "reserved"
    name: str | None = None
    results: set[str] = field(default_factory=set)


class Model:
    def __init__(self) -> None:
        self.files: list[ModelFile] = []
        self.jobs: list[ModelJob] = []
        self.order = 0

    def owner(self, key: int, name: str) -> ModelFile | None:
        return next((f for f in self.files if f.name == name and f.state in LIVE and ACCOUNTS[f.key] == ACCOUNTS[key]), None)

    def live(self, project: int, key: int, name: str) -> ModelFile | None:
        return next((f for f in self.files if (f.project, f.key, f.name) == (project, key, name) and f.state in LIVE), None)

    def held(self, file: ModelFile) -> bool:
        return any(file in job.inputs for job in self.jobs if job.state in (*OPEN, "active"))

    def put(self, file: ModelFile, name: str) -> None:
        self.order += 1
        file.state, file.name, file.order = "bound", name, self.order

    def reserve(self, project: int, key: int) -> None:
        self.files.append(ModelFile(project, key, "reserved"))

    def bind(self, index: int, name: str) -> type[Exception] | None:
        file = self.files[index]
        if file.state == "bound" and file.name == name:
            return None
        if file.state not in OPEN:
            return IntentNotFound
        there = self.owner(file.key, name)
        if there is None:
            self.put(file, name)
        elif (there.project, there.key, there.state) == (file.project, file.key, "bound"):
            file.state = "closed"
        else:
            return AlreadyBound
        return None

    def unknown(self, index: int) -> type[Exception] | None:
        return self.move(index, OPEN, "unknown")

    def fail(self, index: int) -> type[Exception] | None:
        return self.move(index, (*OPEN, "failed"), "failed")

    def finish(self, index: int) -> type[Exception] | None:
        return IntentNotFound if self.files[index].name is None else self.move(index, ("deleting", "closed"), "closed")

    def cancel(self, index: int) -> type[Exception] | None:
        return self.move(index, ("deleting",), "bound")

    def move(self, index: int, allowed: tuple[str, ...], state: str) -> type[Exception] | None:
        if self.files[index].state not in allowed:
            return IntentNotFound
        self.files[index].state = state
        return None

    def delete(self, project: int, key: int, name: str) -> type[Exception] | None:
        file = self.live(project, key, name)
        if file is None:
            return FileNotFound
        if file.state == "bound" and self.held(file):
            return FileInUse
        file.state = "deleting"
        return None

    def close(self, project: int, key: int, name: str) -> None:
        file = self.live(project, key, name)
        if file is not None:
            file.state = "closed"

    def adopt(self, project: int, key: int, name: str, move: bool) -> type[Exception] | None:
        there = self.owner(key, name)
        if there is not None:
            if (there.project, there.key, there.state) == (project, key, "bound"):
                return None
            if not move or there.state == "deleting":
                return AlreadyBound
            if self.held(there):
                return FileInUse
            there.state = "closed"
        self.files.append(ModelFile(project, key, "bound"))
        self.put(self.files[-1], name)
        return None

    def begin_job(self, project: int, key: int, inputs: set[str]) -> type[Exception] | None:
        files = [self.live(project, key, name) for name in inputs]
        if any(file is None or file.state != "bound" for file in files):
            return FileNotFound
        self.jobs.append(ModelJob(project, key, [file for file in files if file is not None]))
        return None

    def bind_job(self, index: int, status: str) -> type[Exception] | None:
        job = self.jobs[index]
        if job.state not in (*OPEN, "active", "ended"):
            return IntentNotFound
        job.name = f"job-{index}"
        self.take_status(job, status)
        return None

    def take_status(self, job: ModelJob, status: str) -> None:
        if job.state != "ended":
            job.state = "ended" if status in ("completed", "failed") else "active"

    def fail_job(self, index: int) -> type[Exception] | None:
        job = self.jobs[index]
        if job.state not in (*OPEN, "failed"):
            return IntentNotFound
        job.state = "failed"
        return None

    def close_job(self, index: int) -> None:
        if self.jobs[index].state in ("active", "ended"):
            self.jobs[index].state = "closed"

    def refresh_job(self, index: int, status: str, results: set[str]) -> type[Exception] | None:
        job = self.jobs[index]
        if job.state not in ("active", "ended"):
            return JobNotFound
        self.take_status(job, status)
        for name in sorted(results):
            there = self.owner(job.key, name)
            if there is None and name not in job.results:
                self.files.append(ModelFile(job.project, job.key, "bound"))
                self.put(self.files[-1], name)
            if there is None or there.project == job.project:
                job.results.add(name)
        return None


class Real:
    """The same calls on a store. Files and jobs are numbered as in the model."""

    def __init__(self, store: SqliteMetadataStore, project_ids: list[str], key_ids: list[str]) -> None:
        self.store, self.project_ids, self.key_ids = store, project_ids, key_ids
        self.files: list[tuple[str, str]] = []
        self.jobs: list[tuple[str, str, str]] = []

    async def reserve(self, project: int, key: int) -> None:
        new = NewUpload(self.key_ids[key], "batch", "f", "t", "key")
        made = await self.store.reserve_upload(self.project_ids[project], new, CLAIM, NOBODY)
        self.files.append((made.file.project_id, made.file.id))

    async def bind(self, index: int, name: str) -> None:
        await self.store.bind_upload(*self.files[index], UploadedFile(name, 3, "processed"), NOBODY)

    async def unknown(self, index: int) -> None:
        await self.store.mark_upload_unknown(*self.files[index], NOBODY)

    async def fail(self, index: int) -> None:
        await self.store.fail_upload(*self.files[index], NOBODY)

    async def finish(self, index: int) -> None:
        await self.store.finish_catalog_delete(*self.files[index], NOBODY)

    async def cancel(self, index: int) -> None:
        await self.store.cancel_catalog_delete(*self.files[index], NOBODY)

    async def delete(self, project: int, key: int, name: str) -> None:
        await self.store.begin_catalog_delete(self.project_ids[project], self.key_ids[key], name, CLAIM, NOBODY)

    async def close(self, project: int, key: int, name: str) -> None:
        await self.store.close_catalog_file(self.project_ids[project], self.key_ids[key], name, NOBODY)

    async def adopt(self, project: int, key: int, name: str, move: bool) -> None:
        found = ProviderFile(name, "batch", bytes=3)
        file = await self.store.adopt_catalog_file(self.project_ids[project], self.key_ids[key], found, NOBODY, move=move)
        self.note(file.project_id, file.id)

    def note(self, project_id: str, intent_id: str) -> None:
        if (project_id, intent_id) not in self.files:
            self.files.append((project_id, intent_id))

    async def begin_job(self, project: int, key: int, inputs: set[str]) -> None:
        new = NewJob(self.key_ids[key], JobKind.BATCH, tuple(inputs), "key")
        job = await self.store.begin_job(self.project_ids[project], new, CLAIM, NOBODY)
        self.jobs.append((job.project_id, job.id, job.virtual_key_id))

    async def bind_job(self, index: int, status: str) -> None:
        await self.store.bind_job(*self.jobs[index][:2], f"job-{index}", JobReport(status), NOBODY)

    async def fail_job(self, index: int) -> None:
        await self.store.fail_job(*self.jobs[index][:2], NOBODY)

    async def close_job(self, index: int) -> None:
        project_id, _, key_id = self.jobs[index]
        await self.store.close_job(project_id, key_id, JobKind.BATCH, f"job-{index}", NOBODY)

    async def refresh_job(self, index: int, status: str, results: set[str]) -> None:
        project_id, _, key_id = self.jobs[index]
        report = JobReport(status, tuple(ProviderFile(name, "batch", bytes=3) for name in sorted(results)))
        await self.store.refresh_job(project_id, key_id, JobKind.BATCH, f"job-{index}", report, NOBODY)
        for name in sorted(results):
            for file in await self.store.find_catalog_files(project_id, name):
                self.note(file.project_id, file.id)


async def run(path: Path, calls: list[tuple]) -> None:
    clock = ManualClock()
    store = SqliteMetadataStore(path, clock)
    try:
        project_ids = [(await make_project(store, slug)).id for slug in ("first", "second")]
        key_ids = []
        for slug, integration in (("shared", None), ("twin", "shared"), ("second", None)):
            new = new_virtual_key(slug, project_ids=frozenset(project_ids), integration=integration)
            key_ids.append((await store.create_virtual_key(new, NOBODY)).id)
        model, real = Model(), Real(store, project_ids, key_ids)
        for name, *arguments in calls:
            clock.advance(0.001)
            if name not in ("reserve", "delete", "close", "adopt", "begin_job"):
                present = model.jobs if name.endswith("_job") else model.files
                if not present:
                    continue
                arguments[0] %= len(present)
            expected = getattr(model, name)(*arguments)
            if expected is None:
                await getattr(real, name)(*arguments)
            else:
                with pytest.raises(expected):
                    await getattr(real, name)(*arguments)
            await compare(model, real)
        assert await store.counter_drifts() == []
    finally:
        await store.close()


async def compare(model: Model, real: Real) -> None:
    for project, project_id in enumerate(real.project_ids):
        bound = [file for file in model.files if file.project == project and file.state == "bound"]
        page = await real.store.list_catalog_files(project_id, CatalogQuery(tuple(real.key_ids), 100, newest_first=False))
        shown = [(file.provider_file_id, real.key_ids.index(file.virtual_key_id)) for file in page.files]
        assert sorted(shown) == sorted((file.name, file.key) for file in bound)
        assert page.total == len(bound)
    unresolved = {file.id for file in await real.store.unresolved_files(None, 100)}
    assert len(model.files) == len(real.files)
    states = [file.state for file in model.files]
    assert unresolved == {real.files[index][1] for index, state in enumerate(states) if state in (*OPEN, "deleting")}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(steps, min_size=5, max_size=40))
def test_the_catalog_agrees_with_its_model(tmp_path_factory: pytest.TempPathFactory, calls: list[tuple]) -> None:
    directory = tmp_path_factory.mktemp("model")
    path = directory / "fileplane.db"
    prepare_database(path)
    asyncio.run(run(path, [(name, *list(arguments)) for name, *arguments in calls]))
    shutil.rmtree(directory)
