"""Lists of files at providers: from the catalog, from a provider, or stitched together of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from fileplane.catalog import CatalogQuery
from fileplane.errors import FileNotFound, InvalidValue
from fileplane.files.attempts import repeated
from fileplane.files.remote_route import RemoteRoute, RemoteTarget
from fileplane.files.remote_shapes import RemoteList, RemoteListQuery, file_at_provider, file_in_catalog
from fileplane.ids import parse_file_id
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.model import File, FileQuery
from fileplane.providers.base import RemoteQuery

_USUAL_LIMIT: Final = 100


class _Section(Protocol):
    """A part of a list that has an order and cursors of its own."""

    async def has(self, file_id: str) -> bool:
        """Whether a cursor leads in here."""
        ...

    async def page(self, query: RemoteListQuery) -> RemoteList:
        """One page of it."""
        ...


async def list_along(metadata: MetadataStore, route: RemoteRoute, project_id: str, query: RemoteListQuery) -> RemoteList:
    """One page of what a route leads to. Raises :class:`~fileplane.errors.InvalidValue` for an unknown cursor."""
    sections = _sections(metadata, route, project_id)
    if len(sections) == 1:
        return await sections[0].page(query)
    if query.offset:
        raise _no_offset()
    return await _stitched(sections, query)


def _sections(metadata: MetadataStore, route: RemoteRoute, project_id: str) -> list[_Section]:
    keys = tuple(dict.fromkeys(target.virtual_key_id for target in route.everywhere if target.virtual_key_id is not None))
    sections: list[_Section] = [_NativeSection(metadata, project_id)] if route.has_native else []
    if keys:
        first = next(target for target in route.everywhere if target.virtual_key_id is not None)
        route.trace.path, route.trace.provider = first.path, first.provider.name
        sections.append(_CatalogSection(metadata, project_id, keys))
    known: list[RemoteTarget] = []
    for target in route.everywhere:
        if target.virtual_key_id is None and all(_elsewhere(target, one) for one in known):
            known.append(target)
            sections.append(_ProviderSection(target, route, project_id))
    return sections


class _CatalogSection:
    """The project's files at some virtual keys."""

    def __init__(self, metadata: MetadataStore, project_id: str, virtual_key_ids: tuple[str, ...]) -> None:
        self._metadata = metadata
        self._project_id = project_id
        self._virtual_key_ids = virtual_key_ids

    async def has(self, file_id: str) -> bool:
        found = await self._metadata.find_catalog_files(self._project_id, file_id)
        return any(row.virtual_key_id in self._virtual_key_ids for row in found)

    async def page(self, query: RemoteListQuery) -> RemoteList:
        asked = CatalogQuery(
            self._virtual_key_ids, query.limit or _USUAL_LIMIT, query.purpose, query.newest_first, query.after, query.offset
        )
        try:
            page = await self._metadata.list_catalog_files(self._project_id, asked)
        except CursorNotFound as error:
            raise _no_cursor() from error
        return RemoteList(tuple(file_in_catalog(row) for row in page.files), page.has_more, page.total)


class _NativeSection:
    """The project's files in the native store."""

    def __init__(self, metadata: MetadataStore, project_id: str) -> None:
        self._metadata = metadata
        self._project_id = project_id

    async def has(self, file_id: str) -> bool:
        canonical = parse_file_id(file_id)
        if canonical is None:
            return False
        try:
            await self._metadata.list_files(self._project_id, FileQuery(limit=1, after=canonical))
        except CursorNotFound:
            return False
        return True

    async def page(self, query: RemoteListQuery) -> RemoteList:
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


class _ProviderSection:
    """Whatever a credential sees at its provider."""

    def __init__(self, target: RemoteTarget, route: RemoteRoute, project_id: str) -> None:
        self._target = target
        self._route = route
        self._project_id = project_id

    async def has(self, file_id: str) -> bool:
        try:
            await repeated(self._target, lambda one: one.provider.get(one.target, file_id), self._route.trace)
        except FileNotFound:
            return False
        return True

    async def page(self, query: RemoteListQuery) -> RemoteList:
        if query.offset:
            raise _no_offset()
        most = self._target.provider.capabilities(self._target.target).max_list_limit
        asked = RemoteQuery(None if query.limit is None else min(query.limit, most), query.after, query.purpose, query.newest_first)
        page = await repeated(self._target, lambda one: one.provider.list(one.target, asked), self._route.trace)
        return RemoteList(tuple(file_at_provider(self._project_id, file) for file in page.files), page.has_more, None)


async def _stitched(sections: Sequence[_Section], query: RemoteListQuery) -> RemoteList:
    """Several lists one after another, each in its own order: a cursor leads into the list that has it, and on into the next ones."""
    start = 0
    if query.after is not None:
        while start < len(sections) and not await sections[start].has(query.after):
            start += 1
        if start == len(sections):
            raise _no_cursor()
    limit, after = query.limit or _USUAL_LIMIT, query.after
    files: list[File] = []
    for section in sections[start:]:
        room = limit - len(files)
        # With no room left, it is only asked whether there is anything.
        page = await section.page(replace(query, limit=max(room, 1), after=after))
        after = None
        if not room:
            if page.files:
                return RemoteList(tuple(files), has_more=True, total=None)
            continue
        files += page.files
        if page.has_more:
            return RemoteList(tuple(files), has_more=True, total=None)
    return RemoteList(tuple(files), has_more=False, total=None)


def _elsewhere(one: RemoteTarget, other: RemoteTarget) -> bool:
    return (one.provider.name, one.target) != (other.provider.name, other.target)


def _no_cursor() -> InvalidValue:
    return InvalidValue("Invalid 'after': no such file. Use the id of a file from the page before.", param="after")


def _no_offset() -> InvalidValue:
    return InvalidValue("A provider's own list has no 'offset'. Use 'after' with the last_id of the page before.", param="offset")
