"""Resumable uploads and downloads of files of any size, for programs: :class:`Client`, and :class:`AsyncClient` for event loops.

It knows nothing of the server's parts and needs no package besides Python's own. Everything but the bytes is the OpenAI SDK's.
"""

from __future__ import annotations

from fileplane.client.asynchronous import AsyncClient
from fileplane.client.errors import (
    ClientError,
    Damaged,
    MissingKey,
    NotAuthorised,
    NotConfigured,
    NotFound,
    Refused,
    SourceChanged,
    SourceFailed,
    Stopped,
    TargetExists,
    TargetFailed,
    Unavailable,
)
from fileplane.client.synchronous import Client
from fileplane.client.values import Downloaded, File, Progress

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Damaged",
    "Downloaded",
    "File",
    "MissingKey",
    "NotAuthorised",
    "NotConfigured",
    "NotFound",
    "Progress",
    "Refused",
    "SourceChanged",
    "SourceFailed",
    "Stopped",
    "TargetExists",
    "TargetFailed",
    "Unavailable",
]
