"""Lists of files at providers: from the catalog, from a provider, or stitched together of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from fileplane.catalog import CatalogQuery
from fileplane.errors import FileNotFound, InvalidValue
from fileplane.files.attempts import repeated
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, Trace
from fileplane.files.remote_shapes import RemoteList, RemoteListQuery, file_at_provider, file_in_catalog
from fileplane.files.stitched_lists import Page, asked_for, asked_for_each, same_account, stitched
from fileplane.ids import parse_file_id
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.model import File, FileQuery
from fileplane.providers.base import RemoteFile, RemoteQuery

_USUAL_LIMIT: Final = 100


async def list_along(metadata: MetadataStore, route: RemoteRoute, project_id: str, query: RemoteListQuery) -> RemoteList:
    """One page of what a route leads to. Raises :class:`~fileplane.errors.InvalidValue` for an unknown cursor."""
    sections = _sections(metadata, route, project_id, query)
    if len(sections) == 1:
        return await sections[0].listed(query)
    if query.offset:
        raise _no_offset()
    page = await stitched(sections, lambda file: file.id, query.limit or _USUAL_LIMIT, query.after, _no_cursor())
    return RemoteList(tuple(page.rows), page.has_more, total=None)


def _sections(metadata: MetadataStore, route: RemoteRoute, project_id: str, query: RemoteListQuery) -> list[_FileSection]:
    keys = tuple(dict.fromkeys(target.virtual_key_id for target in route.everywhere if target.virtual_key_id is not None))
    sections: list[_FileSection] = [_NativeSection(query, metadata, project_id)] if route.has_native else []
    if keys:
        first = next(target for target in route.everywhere if target.virtual_key_id is not None)
        route.trace.path, route.trace.provider = first.path, first.provider.name
        sections.append(_CatalogSection(query, metadata, project_id, keys))
    known: list[RemoteTarget] = []
    for target in route.everywhere:
        if target.virtual_key_id is None and not any(same_account(target, one) for one in known):
            known.append(target)
            sections.append(_ProviderSection(query, target, route, project_id))
    return sections


class _FileSection(ABC):
    """A :class:`~fileplane.files.stitched_lists.Section` of the files that ``query`` asks for."""

    of_an_account: ClassVar[bool] = False
    provider: str | None = None

    def __init__(self, query: RemoteListQuery) -> None:
        self._query = query

    @abstractmethod
    async def has(self, row_id: str) -> bool: ...

    @abstractmethod
    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]: ...

    @abstractmethod
    async def listed(self, query: RemoteListQuery) -> RemoteList:
        """One page of it. Raises :class:`~fileplane.errors.InvalidValue` for an unknown cursor."""

    async def page(self, limit: int, after: str | None) -> Page[File]:
        found = await self.listed(replace(self._query, limit=limit, after=after))
        return Page(found.files, found.has_more)


class _CatalogSection(_FileSection):
    """The project's files at some virtual keys."""

    def __init__(self, query: RemoteListQuery, metadata: MetadataStore, project_id: str, virtual_key_ids: tuple[str, ...]) -> None:
        super().__init__(query)
        self._metadata = metadata
        self._project_id = project_id
        self._virtual_key_ids = virtual_key_ids

    async def has(self, row_id: str) -> bool:
        return bool(await self.has_of([row_id]))

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:
        asked = CatalogQuery(self._virtual_key_ids, len(row_ids), self._query.purpose)
        return await self._metadata.known_file_ids(self._project_id, asked, row_ids)

    async def listed(self, query: RemoteListQuery) -> RemoteList:
        asked = CatalogQuery(
            self._virtual_key_ids, query.limit or _USUAL_LIMIT, query.purpose, query.newest_first, query.after, query.offset
        )
        try:
            page = await self._metadata.list_catalog_files(self._project_id, asked)
        except CursorNotFound as error:
            raise _no_cursor() from error
        return RemoteList(tuple(file_in_catalog(row) for row in page.files), page.has_more, page.total)


class _NativeSection(_FileSection):
    """The project's files in the native store."""

    def __init__(self, query: RemoteListQuery, metadata: MetadataStore, project_id: str) -> None:
        super().__init__(query)
        self._metadata = metadata
        self._project_id = project_id

    async def has(self, row_id: str) -> bool:
        canonical = parse_file_id(row_id)
        if canonical is None:
            return False
        try:
            await self._metadata.list_files(self._project_id, FileQuery(limit=1, after=canonical))
        except CursorNotFound:
            return False
        return True

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:  # noqa: ARG002 - its ids are no provider's
        return ()

    async def listed(self, query: RemoteListQuery) -> RemoteList:
        after = None if query.after is None else parse_file_id(query.after)
        if query.after is not None and after is None:
            raise _no_cursor()
        asked = FileQuery(
            limit=query.limit or _USUAL_LIMIT, purpose=query.purpose, newest_first=query.newest_first, after=after, offset=query.offset
        )
        try:
            page = await self._metadata.list_files(self._project_id, asked)
        except CursorNotFound as error:
            raise _no_cursor() from error
        return RemoteList(page.files, page.has_more, page.total)


class _ProviderSection(_FileSection):
    """Whatever a credential sees at its provider."""

    of_an_account: ClassVar[bool] = True

    def __init__(self, query: RemoteListQuery, target: RemoteTarget, route: RemoteRoute, project_id: str) -> None:
        super().__init__(query)
        self.provider = target.provider.name
        self._target = target
        self._route = route
        self._project_id = project_id

    async def has(self, row_id: str) -> bool:
        return await asked_for(row_id, self._get, FileNotFound)

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:
        return await asked_for_each(row_ids, self.has)

    async def _get(self, file_id: str) -> RemoteFile:
        return await repeated(self._target, lambda one: one.provider.get(one.target, file_id), Trace())

    async def listed(self, query: RemoteListQuery) -> RemoteList:
        if query.offset:
            raise _no_offset()
        most = self._target.provider.capabilities(self._target.target).max_list_limit
        asked = RemoteQuery(None if query.limit is None else min(query.limit, most), query.after, query.purpose, query.newest_first)
        page = await repeated(self._target, lambda one: one.provider.list(one.target, asked), self._route.trace)
        return RemoteList(tuple(file_at_provider(self._project_id, file) for file in page.files), page.has_more, None)


def _no_cursor() -> InvalidValue:
    return InvalidValue("Invalid 'after': no such file. Use the id of a file from the page before.", param="after")


def _no_offset() -> InvalidValue:
    return InvalidValue("A provider's own list has no 'offset'. Use 'after' with the last_id of the page before.", param="offset")
