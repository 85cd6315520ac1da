"""The client for programs that wait."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fileplane.client.arrived import settled
from fileplane.client.downloading import RANGES_FROM, DownloadOptions, download
from fileplane.client.errors import NotConfigured
from fileplane.client.journal import cache_directory
from fileplane.client.service import Service
from fileplane.client.sources import Given, name_of
from fileplane.client.stopping import Stopping
from fileplane.client.uploading import PARTS_FROM, UploadOptions, upload
from fileplane.client.values import Downloaded, File, Report, Wish

_MOST_CONNECTIONS: Final = 64


class Client:
    """Resumable uploads and downloads, in parallel where a file is large. Everything else of the API is the OpenAI SDK's.

    ``base_url`` and ``api_key`` are taken from FILEPLANE_BASE_URL and FILEPLANE_API_KEY, or OPENAI_BASE_URL and OPENAI_API_KEY, where they
    are not given; proxies and certificate authorities from the environment too. ``headers`` go with every request, such as
    ``{"x-portkey-provider": "@slug"}``. ``connections`` is how many one transfer uses, ``part_bytes`` how large the parts of an upload are,
    ``state_directory`` where uploads are remembered until they are complete. Safe to use from several threads.

    Raises :class:`NotConfigured` for what cannot be used; nothing is sent before a transfer begins.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        connections: int = 4,
        part_bytes: int | None = None,
        state_directory: Path | None = None,
        parallel_from: int | None = None,
    ) -> None:
        """``parallel_from``: bytes from which on a file goes in parts or ranges, 64 MiB unless given."""
        if not 1 <= connections <= _MOST_CONNECTIONS:
            raise NotConfigured(f"connections must be 1 to {_MOST_CONNECTIONS}, not {connections}.")
        if part_bytes is not None and part_bytes < 1:
            raise NotConfigured(f"part_bytes must be at least 1, not {part_bytes}.")
        self.service = Service(base_url, api_key, headers)
        self._connections = connections
        self._part_bytes = part_bytes
        self._state_directory = state_directory
        self._parts_from = PARTS_FROM if parallel_from is None else parallel_from
        self._ranges_from = RANGES_FROM if parallel_from is None else parallel_from
        self._closed = Stopping()

    def upload(
        self,
        source: Given,
        *,
        purpose: str,
        filename: str | None = None,
        expires_after: int | None = None,
        media_type: str | None = None,
        progress: Report | None = None,
        resume: bool = True,
        settle_seconds: float = 0.0,
    ) -> File:
        """Uploads a file (a path, or an open binary file) and returns what it became.

        A file of a path, of 64 MiB or more, goes in parts and can be gone on with: after a kill, Ctrl-C or an error that passes, the
        same call sends only what is missing, unless the file has changed. ``resume=False`` remembers nothing and leaves nothing. With
        ``settle_seconds``, waits up to so long until the server has read a file of parts through: then its ``sha256`` is known, and its
        ``status`` is final. ``expires_after`` is in seconds.

        Raises :class:`SourceFailed`, :class:`SourceChanged`, :class:`Refused`, :class:`Unavailable`, or another :class:`ClientError`.
        """
        wish = Wish(purpose, filename or name_of(source), expires_after, media_type)
        return self.upload_stoppably(Stopping(), source, wish, progress, resume=resume, settle_seconds=settle_seconds)

    def download(
        self,
        file_id: str,
        target: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Report | None = None,
        resume: bool = True,
    ) -> Downloaded:
        """Downloads a file to ``target``, which appears when all of it is there and its SHA-256 is what the server said.

        A file of 64 MiB or more comes in ranges and can be gone on with, by the same call: what has come lies beside the target as
        ``.fileplane-….partial``. ``resume=False`` leaves nothing behind.

        Raises :class:`TargetExists`, :class:`TargetFailed`, :class:`NotFound`, :class:`Damaged`, or another :class:`ClientError`.
        """
        return self.download_stoppably(Stopping(), file_id, target, progress, overwrite=overwrite, resume=resume)

    def upload_stoppably(
        self, stopping: Stopping, source: Given, wish: Wish, progress: Report | None, *, resume: bool, settle_seconds: float = 0.0
    ) -> File:
        """:meth:`upload`, which ``stopping`` ends from another thread with :class:`Stopped`."""
        self._closed.check()
        directory = cache_directory() if self._state_directory is None else self._state_directory
        options = UploadOptions(self._connections, self._part_bytes, self._parts_from, directory, resume)
        file = upload(self.service, source, wish, options, progress, stopping)
        return settled(self.service, file, settle_seconds, stopping) if settle_seconds > 0 else file

    def download_stoppably(
        self,
        stopping: Stopping,
        file_id: str,
        target: str | os.PathLike[str],
        progress: Report | None,
        *,
        overwrite: bool,
        resume: bool,
    ) -> Downloaded:
        """:meth:`download`, which ``stopping`` ends from another thread with :class:`Stopped`."""
        self._closed.check()
        options = DownloadOptions(self._connections, self._ranges_from, resume, overwrite)
        return download(self.service, file_id, Path(target), options, progress, stopping)

    def close(self) -> None:
        """Refuses everything from now on. Each transfer has closed its own connections when it returned."""
        self._closed.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
