"""What the conformance suites of providers' jobs share: jobs of both kinds, begun at a fake and brought on by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fileplane.catalog import JobKind
from fileplane.providers.remote_jobs import JobAction, JobRecords, RemoteJob, RemoteJobQuery
from fileplane.testing.provider_world import SECRET, World

LINES: Final = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {}}\nno json\n'
OPERATIONS: Final = {JobKind.BATCH: "batches", JobKind.FINE_TUNING: "fine_tuning"}
"""What the fake calls them."""
Call = Callable[[World, JobKind, str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Begun:
    """A job, what was sent for it, and the file that it was begun with."""

    job: RemoteJob
    document: Mapping[str, Any]
    file_id: str


def document_of(kind: JobKind, file_id: str) -> dict[str, Any]:
    """What a job of that kind is begun with."""
    if kind is JobKind.BATCH:
        return {"input_file_id": file_id, "endpoint": "/v1/responses", "completion_window": "24h", "metadata": {"naïve": "文件"}}
    return {"training_file": file_id, "model": "gpt-4o-mini", "hyperparameters": {"n_epochs": 3, "learning_rate_multiplier": 0.1}}


async def begin(world: World, kind: JobKind) -> Begun:
    """Uploads a file and begins a job with it, a second after whatever was before."""
    file = await world.upload(LINES, purpose="batch" if kind is JobKind.BATCH else "fine-tune")
    document = document_of(kind, file.id)
    world.fake.accounts.ahead_seconds += 1
    return Begun(await world.provider.create_job(world.target, kind, document), document, file.id)


def kept_jobs(world: World, kind: JobKind) -> dict[str, dict[str, Any]]:
    """The fake's own, by their ids, oldest first."""
    account = world.fake.accounts.of(SECRET)
    return account.batches if kind is JobKind.BATCH else account.fine_tunings


def step(world: World, kind: JobKind, job_id: str) -> None:
    """Brings a job one step further."""
    world.fake.jobs.step(world.fake.accounts.of(SECRET), kept_jobs(world, kind)[job_id])


async def _get(world: World, kind: JobKind, job_id: str) -> Any:
    return await world.provider.get_job(world.target, kind, job_id)


async def _list(world: World, kind: JobKind, _: str) -> Any:
    return await world.provider.list_jobs(world.target, kind, RemoteJobQuery())


async def _cancel(world: World, kind: JobKind, job_id: str) -> Any:
    return await world.provider.act_on_job(world.target, kind, job_id, JobAction.CANCEL)


async def _create(world: World, kind: JobKind, _: str) -> Any:
    return await world.provider.create_job(world.target, kind, document_of(kind, next(iter(world.fake.accounts.of(SECRET).files))))


async def _events(world: World, kind: JobKind, job_id: str) -> Any:
    assert kind is JobKind.FINE_TUNING
    return await world.provider.job_records(world.target, job_id, JobRecords.EVENTS, RemoteJobQuery())


SAFE: Final[Mapping[str, Call]] = {"get": _get, "list": _list, "cancel": _cancel}
"""Calls that may be made again."""
ALL: Final[Mapping[str, Call]] = {**SAFE, "create": _create}
RECORDS: Final[Call] = _events
