"""What the adapters for providers have in common whose files are datasets: lists, descriptions, downloads, deletions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from fileplane.errors import FileNotFound, InvalidValue, UpstreamAnswerInvalid
from fileplane.providers.access import Access
from fileplane.providers.answers import answer_of
from fileplane.providers.base import ByteRange, Capabilities, RemoteContent, RemoteFile, RemotePage, RemoteQuery, Target
from fileplane.providers.calls import SUCCESSES, AccessTo, check_found, refused, request_to, unsupported
from fileplane.providers.dialects import Dialect, DialectOf
from fileplane.providers.egress import Egress
from fileplane.providers.file_objects import parse_file
from fileplane.providers.listing import Fetch, Listing
from fileplane.providers.openai_jobs import OpenAIJobs
from fileplane.providers.remote_ids import dataset_path, is_remote_id
from fileplane.providers.signed_urls import signed_download

MOST_LIST_BYTES: Final = 16 << 20
MOST_DATASET_BYTES: Final = 1 << 20
"""Of the description of one, which may have a part of its contents."""

_BESIDE_ROWS: Final = frozenset({"nextPageToken", "totalSize"})
"""What may be in a list's answer without rows: some leave out what is empty."""


class Datasets(OpenAIJobs):
    """A :class:`fileplane.providers.base.Provider` but for its uploads. Its dialect has no jobs, so that each call on one is refused."""

    def __init__(self, name: str, egress: Egress, dialect_of: DialectOf, access_to: AccessTo) -> None:
        super().__init__(egress, dialect_of, access_to)
        self.name = name

    def capabilities(self, target: Target) -> Capabilities:
        """See the protocol."""
        return self._dialect_of(target).capabilities

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        """See the protocol."""
        dialect = self._dialect_of(target)
        if not dialect.capabilities.list:
            raise unsupported(dialect, "list files")
        if query.after is not None and not is_remote_id(query.after):
            raise InvalidValue("'after' is no id of a file.", param="after")
        access = await self._access_to(target, dialect)
        return await Listing(dialect, dialect.capabilities, self._fetching(target, access)).page(query)

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        """See the protocol."""
        path, dialect = dataset_path(file_id), self._dialect_of(target)
        if not dialect.capabilities.get:
            raise unsupported(dialect, "describe a single file")
        access = await self._access_to(target, dialect)
        return self._read(dialect, file_id, await self._asked(target, access, path, file_id))

    @asynccontextmanager
    async def open(self, target: Target, file_id: str, span: ByteRange | None = None) -> AsyncIterator[RemoteContent]:
        """See the protocol. The bytes are at URLs that the provider has signed, which are called without its credential."""
        dataset_path(file_id)
        dialect = self._dialect_of(target)
        if not dialect.capabilities.download:
            raise unsupported(dialect, "download files")
        access = await self._access_to(target, dialect)
        urls = await self._urls(target, access, file_id)
        async with signed_download(self._egress, target, file_id, urls, span if dialect.capabilities.ranges else None) as content:
            yield content

    async def delete(self, target: Target, file_id: str) -> None:
        """See the protocol."""
        path, dialect = dataset_path(file_id), self._dialect_of(target)
        if not dialect.capabilities.delete:
            raise unsupported(dialect, "delete files")
        access = await self._access_to(target, dialect)
        async with self._egress.call(request_to(target, access, "DELETE", access.url(path))) as response:
            await check_found(target, dialect, access, response, FileNotFound, file_id)

    @abstractmethod
    def _as_file(self, row: Any) -> Any:
        """A dataset of the provider's as the usual File object, or as it is where it is none."""

    @abstractmethod
    def _fetching(self, target: Target, access: Access) -> Fetch:
        """What answers the usual queries of a list in the usual way."""

    @abstractmethod
    async def _urls(self, target: Target, access: Access, file_id: str) -> Sequence[str]:
        """Where a dataset's bytes are, in order; at least one. Raises :class:`~fileplane.errors.FileNotFound`."""

    def _read(self, dialect: Dialect, file_id: str, answer: Any) -> RemoteFile:
        file = parse_file(self._as_file(answer), dialect.ours(), has_status=dialect.has_status)
        if file.id != file_id:
            raise UpstreamAnswerInvalid("The provider describes another file than the one that was asked for.")
        return file

    async def _asked(self, target: Target, access: Access, path: str, file_id: str) -> Any:
        """The JSON of a call on one dataset."""
        dialect = self._dialect_of(target)
        async with self._egress.call(request_to(target, access, "GET", access.url(path))) as response:
            await check_found(target, dialect, access, response, FileNotFound, file_id)
            return await answer_of(target, access, response, MOST_DATASET_BYTES)

    async def _listed(
        self, target: Target, access: Access, query: Mapping[str, str], member: str
    ) -> tuple[Mapping[str, Any], Sequence[Any]]:
        """One page as the provider has it, and the datasets in it as File objects."""
        async with self._egress.call(request_to(target, access, "GET", access.url("/datasets", query))) as response:
            if response.status not in SUCCESSES:
                raise await refused(target, access, response)
            answer = await answer_of(target, access, response, MOST_LIST_BYTES)
        rows = answer.get(member) if isinstance(answer, dict) else None
        if rows is None and isinstance(answer, dict) and set(answer) <= {member, *_BESIDE_ROWS}:
            rows = []
        if not isinstance(rows, list):
            raise UpstreamAnswerInvalid("The provider's answer has no list of files.")
        return answer, [self._as_file(row) for row in rows]
