"""Lists that truly say whether there is more, made of whatever lists a provider has."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from fileplane.errors import FileplaneError, InvalidValue, UnsupportedProviderOperation, UpstreamAnswerInvalid
from fileplane.providers.base import Capabilities, Paging, RemoteFile, RemotePage, RemoteQuery
from fileplane.providers.dialects import Dialect, ListOrder
from fileplane.providers.file_objects import is_gone, parse_file
from fileplane.providers.remote_ids import is_remote_id

Fetch: TypeAlias = Callable[[Mapping[str, str]], Awaitable[Any]]
"""Asks a provider's list with this query, for its answer as JSON."""

MOST_WALKED: Final = 10_000
"""Files that a provider's list is walked through at most, to find a place in it or to sort it."""
_WALK_LIMIT: Final = 1_000
_MOST_PAGES: Final = 1_000
"""Of which a walk may consist, empty ones included."""
_MOST_LEFT_AWAY: Final = 100
"""Pages in a row, of one request, of which nothing is shown."""

_log = logging.getLogger(__name__)


class Listing:
    """The list of one dialect, fetched by ``fetch``."""

    def __init__(self, dialect: Dialect, capabilities: Capabilities, fetch: Fetch) -> None:
        self._dialect = dialect
        self._capabilities = capabilities
        self._fetch = fetch
        self._ours = dialect.ours()

    async def page(self, query: RemoteQuery) -> RemotePage:
        """One page. Raises as :meth:`fileplane.providers.base.Provider.list` says."""
        if query.purpose is not None and not self._capabilities.keeps_purpose:
            raise UnsupportedProviderOperation(f"{self._dialect.title} does not keep purposes. List without 'purpose'.", param="purpose")
        filters_here = query.purpose is not None and not self._dialect.filters_purpose
        if self._capabilities.paging is Paging.CURSOR and self._dialect.order is ListOrder.ASKED and not filters_here:
            return await self._by_cursor(query)
        return await self._walked(query)

    async def find(self, file_id: str) -> RemoteFile | None:
        """The file of that id, looked for in the list. A list that is too long to be walked to its end says nothing of it."""
        beyond = _beyond(self._dialect, "a single one is looked for among all of them. Ask for it", "id")
        async for file in self._walk(RemoteQuery(), beyond):
            if file.id == file_id:
                return file
        return None

    async def _by_cursor(self, query: RemoteQuery) -> RemotePage:
        asked = self._asked(query, query.limit)
        if query.after is not None:
            asked["after"] = query.after
        walked = 0
        for _ in range(_MOST_LEFT_AWAY):
            answer = await self._fetch(asked)
            page, rows = self._page_at_cursor(answer, query, asked), self._rows(answer)
            walked += len(rows)
            if page.files or not _says_more(answer, rows, asked):
                return page
            # All of it was left away, such as files that are deleted; a page without files would say that nothing follows.
            behind = next(iter(_ids(rows)[-1:]), asked.get("after"))
            following = asked if behind is None else {**asked, "after": behind}
            if "limit" in asked:
                following = {**following, "limit": str(self._capabilities.max_list_limit)}
            if following == asked or (behind == asked.get("after") and not _unusable(rows)):
                _refuse_only_unusable(rows)
                return page
            if walked >= MOST_WALKED:
                break
            asked = following
        none = f"Of the next {walked} files that {self._dialect.title} lists none is to be shown."
        raise UnsupportedProviderOperation(f"{none} List on with after={behind}.", param="after")

    def _page_at_cursor(self, answer: Any, query: RemoteQuery, asked: Mapping[str, str]) -> RemotePage:
        files, rows = self._files(answer, query), self._rows(answer)
        limit = min(query.limit or int(asked["limit"]), int(asked["limit"])) if "limit" in asked else None
        if query.after is not None and any(file.id == query.after for file in files):
            # The server does not know cursors, and answered its whole list.
            if isinstance(answer, dict) and answer.get("has_more") is True:
                raise UpstreamAnswerInvalid("The provider's list cannot be paged: it does not heed 'after'.")
            return page_of_whole(in_order(files, query), query, limit)
        if limit is not None and len(files) > limit:
            return _page(files[:limit], has_more=True)
        return _page(files, has_more=_says_more(answer, rows, asked))

    async def _walked(self, query: RemoteQuery) -> RemotePage:
        limit = query.limit or self._capabilities.default_list_limit
        wanted = ListOrder.NEWEST_FIRST if query.newest_first else ListOrder.OLDEST_FIRST
        if self._dialect.order not in {ListOrder.ASKED, wanted}:
            other = "" if self._dialect.order is ListOrder.ANY else "use the other 'order', or "
            beyond = _beyond(self._dialect, f"they are listed in another order: {other}list", "order")
            files = [shown async for file in self._walk(query, beyond) if (shown := self._shown(file, query)) is not None]
            return page_of_whole(in_order(files, query), query, limit)
        beyond = _beyond(self._dialect, "its list is only looked through from its beginning: list", "after")
        page = None
        if query.after is not None and self._capabilities.paging is Paging.CURSOR:
            page = await self._passed(query, limit, beyond, query.after)
        page = page or await self._passed(query, limit, beyond, None)
        if page is None:
            raise _unknown_cursor()
        return page

    async def _passed(self, query: RemoteQuery, limit: int, beyond: FileplaneError, start: str | None) -> RemotePage | None:
        """The page behind the query's cursor, on a walk that begins behind ``start``.

        None where the walk does not come by the cursor, or nothing at all lies behind ``start``: there may be no such file then.
        """
        found: list[RemoteFile] = []
        walked, passed = False, start == query.after
        try:
            async for file in self._walk(query, beyond, start):
                if passed and (shown := self._shown(file, query)) is not None:
                    found.append(shown)
                walked, passed = True, passed or file.id == query.after
                if len(found) > limit:
                    return _page(found[:limit], has_more=True)
        except UnsupportedProviderOperation as error:
            if error is beyond and found and self._capabilities.paging is Paging.CURSOR:
                return _page(found, has_more=True)  # the next page begins behind it, and goes as far again
            raise
        return _page(found, has_more=False) if passed and (walked or start is None) else None

    def _shown(self, file: RemoteFile, query: RemoteQuery) -> RemoteFile | None:
        """The file as a list of this query shows it, with the purpose that is asked for."""
        if query.purpose is None:
            return file
        if file.purpose is None or not self._same_purpose(file.purpose, query.purpose):
            return None
        return replace(file, purpose=query.purpose)

    async def _walk(self, query: RemoteQuery, beyond: FileplaneError, after: str | None = None) -> AsyncIterator[RemoteFile]:
        """Every file once, whatever its purpose, in the provider's order, or those that follow ``after`` in it.

        Ends when a page brings nothing new. Raises ``beyond`` where it would go on past the bound.
        """
        seen: set[str] = set()
        asked = self._asked(query, min(_WALK_LIMIT, self._capabilities.max_list_limit))
        if after is not None:
            asked[self._dialect.cursor_parameter] = after
        number = 0
        while True:
            answer = await self._fetch(asked)
            # The provider's page, before anything of it is filtered away.
            raw = [file for file in self._files(answer, RemoteQuery()) if file.id not in seen]
            new = [known for known in _ids(self._rows(answer)) if known not in seen]
            seen.update(new)
            if after in new:
                # The server does not heed cursors, and began at the beginning.
                raw = raw[next((place for place, file in enumerate(raw, 1) if file.id == after), 0) :]
            elif after is not None and not number and new and await self._begins_with(new[0], query):
                raise _unknown_cursor()  # which the server takes for none
            for file in raw:
                yield file
            number += 1
            following = self._following(answer, new, number)
            if following is None:
                return
            if len(seen) >= MOST_WALKED or number >= _MOST_PAGES:
                raise beyond
            asked = {**asked, **following}

    async def _begins_with(self, file_id: str, query: RemoteQuery) -> bool:
        """Whether a file is the first of all, which follows no other one."""
        return file_id in _ids(self._rows(await self._fetch(self._asked(query, 1)))[:1])

    def _following(self, answer: Any, new: list[str], number: int) -> dict[str, str] | None:
        """What the next page is asked with; None when there is none. ``new`` are the ids that this one was the first to have."""
        paging = self._capabilities.paging
        if paging is Paging.NONE or not isinstance(answer, dict):
            return None
        rows = self._rows(answer)
        fresh = len(new) + _unusable(rows)
        asks, says = self._dialect.page_token
        if says in answer and (fresh or not rows):
            # Google's pages may be empty and not the last.
            token = answer[says]
            return {asks: token} if isinstance(token, str) and token else None
        if paging is Paging.PAGES:
            total = answer.get("total")
            size = min(_WALK_LIMIT, self._capabilities.max_list_limit)
            more = number * size < total if isinstance(total, int) else fresh >= size
            return {"page": str(number)} if fresh and more else None
        if answer.get("has_more") is False or (paging is Paging.TOKEN and answer.get("has_more") is not True):
            return None
        if not new:
            _refuse_only_unusable(rows)
            return None
        return {self._dialect.cursor_parameter: new[-1]}

    def _asked(self, query: RemoteQuery, limit: int | None) -> dict[str, str]:
        dialect, paging = self._dialect, self._capabilities.paging
        asked = dict(dialect.list_query)
        if query.purpose is not None and dialect.filters_purpose:
            asked["purpose"] = dialect.theirs(query.purpose)
        if paging is Paging.NONE:
            return asked
        if limit is not None:
            asked["page_size" if paging is Paging.PAGES else dialect.limit_parameter] = str(min(limit, self._capabilities.max_list_limit))
        if paging is Paging.PAGES:
            asked["page"] = "0"
        if dialect.order is ListOrder.ASKED:
            asked["order"] = "desc" if query.newest_first else "asc"
        return asked

    def _rows(self, answer: Any) -> list[Any]:
        rows = answer.get("data") if isinstance(answer, dict) else answer
        if isinstance(rows, dict):
            rows = rows.get("data", rows.get("files"))
        if not isinstance(rows, list):
            raise UpstreamAnswerInvalid("The provider's answer has no list of files.")
        return rows

    def _files(self, answer: Any, query: RemoteQuery) -> list[RemoteFile]:
        rows = self._rows(answer)
        known = [row for row in rows if not _is_unusable(row)]
        if len(known) < len(rows):
            _log.warning("%s lists %d files by ids that no call can name, which are left out", self._dialect.title, len(rows) - len(known))
        files = {
            file.id: file
            for file in (parse_file(row, self._ours, has_status=self._dialect.has_status) for row in known if not is_gone(row))
            if query.purpose is None or file.purpose is None or self._same_purpose(file.purpose, query.purpose)
        }
        if query.purpose is not None:
            return [replace(file, purpose=query.purpose) for file in files.values()]
        return list(files.values())

    def _same_purpose(self, one: str, other: str) -> bool:
        """Whether the provider has one word for both: a file is then found by either of ours, and shown with the one asked for."""
        return one == other or self._dialect.theirs(one) == self._dialect.theirs(other)


def _ids(rows: list[Any]) -> list[str]:
    """Of all rows, also of those that are not shown."""
    return [row["id"] for row in rows if isinstance(row, dict) and is_remote_id(row.get("id"))]


def _is_unusable(row: Any) -> bool:
    """Whether a row has an id that cannot stand in a path, so that no call could name the file."""
    return isinstance(row, dict) and isinstance(row.get("id"), str) and not is_remote_id(row["id"])


def _unusable(rows: list[Any]) -> int:
    return sum(map(_is_unusable, rows))


def _refuse_only_unusable(rows: list[Any]) -> None:
    """Where a list cannot be gone on with behind such files, its end would be a lie."""
    without = _unusable(rows)
    if without:
        raise UpstreamAnswerInvalid(f"The provider's list cannot be gone on with behind {without} files that have no usable id.")


def _says_more(answer: Any, rows: list[Any], asked: Mapping[str, str]) -> bool:
    """What the provider says of it, or else whether its page is a full one."""
    more = answer.get("has_more") if isinstance(answer, dict) else None
    return more if isinstance(more, bool) else "limit" in asked and len(rows) >= int(asked["limit"])


def in_order(files: list[RemoteFile], query: RemoteQuery) -> list[RemoteFile]:
    """The files in the order that is asked for: by their times, and those of one second by their ids."""
    return sorted(files, key=lambda file: (file.created_at or 0, file.id), reverse=query.newest_first)


def page_of_whole(files: list[RemoteFile], query: RemoteQuery, limit: int | None) -> RemotePage:
    """The page of a list that is there whole, in order. Raises :class:`~fileplane.errors.InvalidValue` for an unknown ``after``."""
    start = 0
    if query.after is not None:
        place = next((index for index, file in enumerate(files) if file.id == query.after), None)
        if place is None:
            raise _unknown_cursor()
        start = place + 1
    end = len(files) if limit is None else start + limit
    return _page(files[start:end], has_more=end < len(files))


def _page(files: list[RemoteFile], *, has_more: bool) -> RemotePage:
    """A page without files has no cursor, and so nothing after it that could be asked for."""
    has_more = has_more and bool(files)
    return RemotePage(tuple(files), has_more, files[-1].id if has_more else None)


def _beyond(dialect: Dialect, why: str, param: str) -> UnsupportedProviderOperation:
    """The refusal to look through more than :data:`MOST_WALKED` files."""
    advice = "through a virtual key, whose files Fileplane keeps a list of."
    return UnsupportedProviderOperation(f"{dialect.title} has more than {MOST_WALKED} files, and {why} {advice}", param=param)


def _unknown_cursor() -> InvalidValue:
    return InvalidValue("'after' is no file of this list. Use the id of the last file of the page before.", param="after")
