"""The ids that providers give their files and jobs, before one is put into a path: the one place where such paths are built."""

from __future__ import annotations

import re
from typing import Final, Protocol

from fileplane.catalog import JobKind
from fileplane.errors import FileNotFound, JobUnknown, UploadNotFound
from fileplane.providers.base import LONGEST_ID_BYTES
from fileplane.providers.object_ids import parse_object_id

JOB_PATHS: Final = {JobKind.BATCH: "/batches", JobKind.FINE_TUNING: "/fine_tuning/jobs"}
_ID: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:=@+~-]*[A-Za-z0-9_=-])?")
"""Only what stands for itself in one segment of a path: nothing that climbs, splits, ends or encodes."""

_GEMINI_NAME: Final = re.compile(r"files/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")
"""At most forty lower-case letters, digits and dashes, of which none is first or last (google-genai 3.4.0, types.File.name)."""


def is_remote_id(value: object) -> bool:
    """Whether a provider can have given out this id, and it can stand in a path as it is. Those of object stores cannot."""
    return isinstance(value, str) and len(value) <= LONGEST_ID_BYTES and _ID.fullmatch(value) is not None


def is_file_id(value: object) -> bool:
    """Whether any provider can have given out this id of a file: one that stands for itself in a path, or one of an object store."""
    return is_remote_id(value) or parse_object_id(value) is not None


def dataset_path(dataset_id: str, call: str | None = None) -> str:
    """The path of a dataset below a base URL, or of a ``call`` on it, which is a word of ours and stands behind a colon.

    Raises :class:`~fileplane.errors.FileNotFound` for an id that none can have; with a colon in it, it would be such a call.
    """
    if not is_remote_id(dataset_id) or ":" in dataset_id:
        raise FileNotFound(dataset_id)
    path = f"/datasets/{dataset_id}"
    return path if call is None else f"{path}:{call}"


class FilePath(Protocol):
    """Makes the path of a file, or of its content, below a base URL; as :func:`file_path` does."""

    def __call__(self, file_id: str, *, content: bool = False) -> str:
        """Raises :class:`~fileplane.errors.FileNotFound` for an id that none can have."""
        ...


def file_path(file_id: str, *, content: bool = False) -> str:
    """The path of a file below a base URL. Raises :class:`~fileplane.errors.FileNotFound` for an id that none can have."""
    if not is_remote_id(file_id):
        raise FileNotFound(file_id)
    return f"/files/{file_id}/content" if content else f"/files/{file_id}"


def gemini_id(name: object) -> str | None:
    """The id in the name of a file at Gemini, such as ``files/abc-123``; None for what is no such name."""
    found = _GEMINI_NAME.fullmatch(name) if isinstance(name, str) else None
    return None if found is None else found[1]


def gemini_path(file_id: str, *, content: bool = False) -> str:
    """As :func:`file_path`, at Gemini, where a download is asked for with ``alt=media`` besides."""
    if gemini_id(f"files/{file_id}") is None:
        raise FileNotFound(file_id)
    return f"/files/{file_id}:download" if content else f"/files/{file_id}"


def job_path(kind: JobKind, job_id: str, part: str | None = None) -> str:
    """The path of a job below a base URL, or of a ``part`` of it, which is a word of ours. Raises :class:`~fileplane.errors.JobUnknown`."""
    if not is_remote_id(job_id):
        raise JobUnknown(job_id)
    path = f"{JOB_PATHS[kind]}/{job_id}"
    return path if part is None else f"{path}/{part}"


def upload_path(upload_id: str, part: str) -> str:
    """The path of a ``part`` of an upload in parts, which is a word of ours. Raises :class:`~fileplane.errors.UploadNotFound`."""
    if not is_remote_id(upload_id):
        raise UploadNotFound(upload_id)
    return f"/uploads/{upload_id}/{part}"
