"""The Files API as commands see it: :mod:`fileplane.client` with the settings' server and key, and every failure as a CommandFailed.

Besides transfers, there are the calls that only name files. They are sent once: whether to try again is for who gave the command.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.client import (
    Client,
    ClientError,
    Downloaded,
    MissingKey,
    NotAuthorised,
    NotConfigured,
    NotFound,
    Refused,
    SourceFailed,
    Stopped,
    TargetExists,
    TargetFailed,
)
from fileplane.client.downloading import Read, length_of, read_content
from fileplane.client.exchange import Buffer
from fileplane.client.forms import form
from fileplane.client.landing import appearing_whole
from fileplane.client.service import path_of
from fileplane.client.stopping import Stopping
from fileplane.client.values import Report
from fileplane.settings import Settings

STANDARD_INPUT: Final = "-"
_ANSWER_SECONDS: Final = 600.0
"""How long a place may take over a file that it has been sent whole, such as a provider that looks into it first."""
_SHA256_ETAG: Final = re.compile(r'"([0-9a-f]{64})"')
_KEYLESS: Final = (
    "There is no API key. Set FILEPLANE_API_KEY (or OPENAI_API_KEY), or api_key in the file that --config names. The first "
    "`fileplane serve` printed a key; `fileplane key create` makes another."
)
_EXIT_CODES: Final[tuple[tuple[type[ClientError], ExitCode], ...]] = (
    (MissingKey, ExitCode.NOT_AUTHORISED),
    (NotConfigured, ExitCode.USAGE),
    (SourceFailed, ExitCode.FAILED),
    (TargetFailed, ExitCode.FAILED),
    (NotAuthorised, ExitCode.NOT_AUTHORISED),
    (NotFound, ExitCode.NOT_FOUND),
    (Refused, ExitCode.REFUSED),
    (Stopped, ExitCode.INTERRUPTED),
)


@dataclass(frozen=True, slots=True)
class UploadWish:
    """What an upload is to be: as :meth:`fileplane.client.Client.upload` takes it."""

    purpose: str
    filename: str | None = None
    expires_after: int | None = None
    resume: bool = True


@dataclass(frozen=True, slots=True)
class Content:
    """Content as it comes. ``size`` in bytes and ``sha256`` in hex are what the server announced, None where it did not."""

    size: int | None
    sha256: str | None
    pieces: Iterator[Buffer]
    """Each valid until the next. Raises :class:`CommandFailed`."""


class FilesClient:
    """Each call raises :class:`CommandFailed`, with the exit code that the failure stands for.

    ``headers`` say where the calls go; ``connections`` and ``part_bytes`` are of transfers.
    """

    def __init__(
        self, settings: Settings, headers: Mapping[str, str] | None = None, *, connections: int = 4, part_bytes: int | None = None
    ) -> None:
        with failures_told():
            self._transfers = Client(settings.base_url, settings.api_key, headers=headers, connections=connections, part_bytes=part_bytes)
        self._service = self._transfers.service
        self._stopping = Stopping()

    def close(self) -> None:
        """Ends what is under way."""
        self._stopping.stop()
        self._transfers.close()

    def upload(self, path: str, wish: UploadWish, report: Report | None = None) -> dict[str, Any]:
        """The File object of what was uploaded from a path, or from standard input for ``-``, which needs a name."""
        wanted: dict[str, Any] = {**asdict(wish), "progress": report}
        with failures_told():
            if path != STANDARD_INPUT:
                return dict(self._transfers.upload(path, **wanted).document)
            if sys.stdin is None:
                raise SourceFailed("There is no standard input to read.")
            with io.FileIO(0, closefd=False) as source:
                return dict(self._transfers.upload(source, **wanted).document)

    def download(self, file_id: str, target: Path, *, overwrite: bool, report: Report | None = None, resume: bool = True) -> Downloaded:
        """Has a file appear at ``target``, whole, and going on with what an interrupted command has left of it if it is to ``resume``."""
        with failures_told():
            return self._transfers.download(file_id, target, overwrite=overwrite, progress=report, resume=resume)

    @contextmanager
    def content(self, file_id: str) -> Iterator[Content]:
        """A file's content, to be read piece by piece within the block."""
        with self._service.exchange(self._stopping) as exchange:
            with failures_told():
                answer = self._service.send(exchange, "GET", path_of(file_id) + "/content")
                size, etag = length_of(answer), _SHA256_ETAG.fullmatch(answer.headers.get("etag", ""))
            yield Content(size, None if etag is None else etag[1], _told(answer.pieces()))

    def create(self, fields: Mapping[str, str], filename: str, size: int | None, pieces: Iterable[Buffer]) -> dict[str, Any]:
        """POST /files: sends ``size`` bytes as they are made, and returns the File object. What making them raises ends the sending."""
        with failures_told(), self._service.exchange(self._stopping) as exchange:
            body = form(fields, "file", filename, None, size, pieces)
            return self._service.document(exchange, "POST", "/files", body=body, answer_seconds=_ANSWER_SECONDS)

    def document(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """GET of any path of the API, such as ``/virtual-keys``: the JSON object that it answers."""
        return self._document("GET", path, query)

    @contextmanager
    def appearing_whole(self, target: Path, *, overwrite: bool) -> Iterator[int]:
        """A descriptor to write to; ``target`` appears when the block ends, and nothing does when it raises."""
        with failures_told(), appearing_whole(target, overwrite=overwrite) as descriptor:
            yield descriptor

    def read(self, file_id: str, byte_range: str | None, descriptor: int, report: Report | None = None) -> Read:
        """Writes a file's content to a descriptor, or a range of it such as ``0-99``, ``100-`` or ``-100``. Raises OSError too."""
        with failures_told():
            return read_content(self._service, file_id, byte_range, descriptor, report, self._stopping)

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """GET /files: one page of the list, its ``data`` checked to be a list of objects."""
        page = self._document("GET", "/files", query)
        data = page.get("data")
        if not isinstance(data, list) or not all(isinstance(file, dict) and isinstance(file.get("id"), str) for file in data):
            raise command_failure(self._service.unintelligible())
        return page

    def retrieve(self, file_id: str) -> dict[str, Any]:
        """GET /files/{id}: the File object."""
        return self._document("GET", _path_of(file_id))

    def restore(self, file_id: str) -> dict[str, Any]:
        """POST /files/{id}/restore: the File object of what was deleted."""
        return self._document("POST", _path_of(file_id) + "/restore")

    def delete(self, file_id: str, *, purge: bool = False) -> dict[str, Any]:
        """DELETE /files/{id}: the deletion object, which says that the file is deleted; with ``purge``, for good."""
        deletion = self._document("DELETE", _path_of(file_id), {"purge": "true"} if purge else {})
        if deletion.get("deleted") is not True:
            raise command_failure(self._service.unintelligible())
        return deletion

    def _document(self, method: str, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        whole = f"{path}?{urlencode(query)}" if query else path
        with failures_told(), self._service.exchange(self._stopping) as exchange:
            return self._service.document(exchange, method, whole)


def _told(pieces: Iterator[Buffer]) -> Iterator[Buffer]:
    """For pieces that are read within another call, for whose own a failure to read them would otherwise be taken."""
    with failures_told():
        yield from pieces


@contextmanager
def failures_told() -> Iterator[None]:
    """A block in which a :class:`~fileplane.client.ClientError` becomes a :class:`CommandFailed`."""
    try:
        yield
    except ClientError as error:
        raise command_failure(error) from error


def command_failure(error: ClientError) -> CommandFailed:
    """What a failed call is to whoever gave the command."""
    code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), ExitCode.UNAVAILABLE)
    message = error.message
    if isinstance(error, MissingKey):
        message = _KEYLESS
    elif isinstance(error, TargetExists):
        message = f"{error.target} exists. Overwrite it with --force, or choose another name with --output."
    return CommandFailed(code, message, request_id=error.request_id)


def _path_of(file_id: str) -> str:
    with failures_told():
        return path_of(file_id)
