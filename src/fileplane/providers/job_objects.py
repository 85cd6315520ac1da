"""Providers' jobs as the values of :mod:`fileplane.providers.remote_jobs`: their documents in OpenAI's terms, and the files they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fileplane.catalog import JobKind
from fileplane.errors import UpstreamAnswerInvalid
from fileplane.providers.file_objects import seconds_of
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import JobResult, RemoteJob

_OBJECTS: Final = {JobKind.BATCH: "batch", JobKind.FINE_TUNING: "fine_tuning.job"}
_INPUTS: Final = {JobKind.BATCH: ("input_file_id",), JobKind.FINE_TUNING: ("training_file", "validation_file")}
_RESULTS: Final = {JobKind.BATCH: ("output_file_id", "error_file_id"), JobKind.FINE_TUNING: ()}
_LISTS_OF_RESULTS: Final = {JobKind.BATCH: (), JobKind.FINE_TUNING: ("result_files",)}
_PURPOSES: Final = {JobKind.BATCH: "batch_output", JobKind.FINE_TUNING: "fine-tune-results"}
_STATUSES: Final[Mapping[JobKind, Mapping[str, str]]] = {
    JobKind.BATCH: {
        **{word: word for word in ("validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled")},
        "in_queue": "validating",
        "running": "in_progress",
        "succeeded": "completed",
        "canceling": "cancelling",
        "canceled": "cancelled",
    },
    JobKind.FINE_TUNING: {
        **{word: word for word in ("validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled")},
        "completed": "succeeded",
        "canceled": "cancelled",
    },
}
"""Words for states in lower case with OpenAI's. A word that says that a job is over stands here only where it can say nothing else."""
_STATUS: Final = re.compile(r"[A-Za-z0-9_.: -]{1,100}")
_TIMES: Final = frozenset({"estimated_finish"})


def parse_job(value: Any, kind: JobKind, statuses: Mapping[str, str]) -> RemoteJob:
    """One job. ``statuses`` are words of its provider's own with OpenAI's; one that nobody knows stays as it is, and none is "".

    In the document times are whole seconds, files are their ids, and what is empty is null. Raises
    :class:`~fileplane.errors.UpstreamAnswerInvalid` when it is no job, or names a file or itself by an id that cannot stand in a path:
    those ids are served later.
    """
    if not isinstance(value, dict) or not is_remote_id(value.get("id")):
        raise UpstreamAnswerInvalid("The provider's answer has no job with a usable id.")
    status = _status(value.get("status"), {**_STATUSES[kind], **{theirs.lower(): ours for theirs, ours in statuses.items()}})
    named = {name: _file_id(value.get(name)) for name in (*_INPUTS[kind], *_RESULTS[kind]) if name in value}
    listed = {name: _file_ids(value.get(name)) for name in _LISTS_OF_RESULTS[kind] if name in value}
    document = {**with_seconds(value), "object": _OBJECTS[kind], "status": status, **named, **listed}
    results = [named.get(name) for name in _RESULTS[kind]] + [file_id for file_ids in listed.values() for file_id in file_ids]
    return RemoteJob(
        id=value["id"],
        kind=kind,
        status=status,
        document=document,
        inputs=_once(named.get(name) for name in _INPUTS[kind]),
        results=tuple(JobResult(file_id, _PURPOSES[kind]) for file_id in _once(results)),
    )


def with_seconds(value: Mapping[str, Any]) -> dict[str, Any]:
    """A document whose times are whole seconds where they can be read, whatever they were; an empty one is null."""
    times = {name: found for name, found in value.items() if name.endswith("_at") or name in _TIMES}
    read = {name: None if found == "" else seconds_of(value, name) or found for name, found in times.items()}
    return {**value, **read}


def _status(word: Any, known: Mapping[str, str]) -> str:
    if word is None or word == "":
        return ""
    if not isinstance(word, str) or not _STATUS.fullmatch(word):
        raise UpstreamAnswerInvalid("The provider's answer has a job whose status is no word.")
    return known.get(word.lower(), word)


def _file_ids(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unusable()
    return [file_id for file_id in map(_file_id, value) if file_id is not None]


def _file_id(value: Any) -> str | None:
    """Of a file that is named by its id, or shown whole."""
    if isinstance(value, dict):
        value = value.get("id")
        if not value:
            raise _unusable()
    if value is None or value == "":
        return None
    if not is_remote_id(value):
        raise _unusable()
    return str(value)


def _unusable() -> UpstreamAnswerInvalid:
    return UpstreamAnswerInvalid("The provider's answer has a job that names a file by no usable id.")


def _once(file_ids: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(file_id for file_id in file_ids if file_id is not None))
