"""The ids that providers give their files and jobs, before one is put into a path: the one place where such paths are built."""

from __future__ import annotations

import re
from typing import Final

from fileplane.catalog import JobKind
from fileplane.errors import FileNotFound, JobUnknown
from fileplane.providers.base import LONGEST_ID_BYTES

JOB_PATHS: Final = {JobKind.BATCH: "/batches", JobKind.FINE_TUNING: "/fine_tuning/jobs"}
_ID: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:=@+~-]*[A-Za-z0-9_=-])?")
"""Only what stands for itself in one segment of a path: nothing that climbs, splits, ends or encodes."""


def is_remote_id(value: object) -> bool:
    """Whether a provider can have given out this id."""
    return isinstance(value, str) and len(value) <= LONGEST_ID_BYTES and _ID.fullmatch(value) is not None


def file_path(file_id: str, *, content: bool = False) -> str:
    """The path of a file below a base URL. Raises :class:`~fileplane.errors.FileNotFound` for an id that none can have."""
    if not is_remote_id(file_id):
        raise FileNotFound(file_id)
    return f"/files/{file_id}/content" if content else f"/files/{file_id}"


def job_path(kind: JobKind, job_id: str, part: str | None = None) -> str:
    """The path of a job below a base URL, or of a ``part`` of it, which is a word of ours. Raises :class:`~fileplane.errors.JobUnknown`."""
    if not is_remote_id(job_id):
        raise JobUnknown(job_id)
    path = f"{JOB_PATHS[kind]}/{job_id}"
    return path if part is None else f"{path}/{part}"
