"""Stores that fail or pause on purpose, and tasks that are cancelled at a chosen point.

A fault test runs once for every point at which something can go wrong, until a run no longer reaches the point::

    for point in count(1):
        plan = Plan({point: Fails(OSError(errno.EIO, "the disk failed"))})
        await run_with(NaughtyBlobStore(blobs, plan), NaughtyMetadataStore(metadata, plan))
        if not plan.struck:
            break
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fileplane.blobs.base import BlobInfo, BlobReader, BlobStore, BlobWriter, Inspector
from fileplane.clock import Clock
from fileplane.metadata.base import MetadataStore
from fileplane.model import Span, StoredBlob

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fails:
    """The call raises ``error``: instead of being made, or, when ``after`` is set, although it was made and took effect."""

    error: BaseException
    after: bool = False


@dataclass(frozen=True, slots=True)
class Pauses:
    """The call waits until :attr:`resume` is set, before it is made; :attr:`reached` tells a test that it waits."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)


Fault = Fails | Pauses


class Plan:
    """Numbers the calls of every store that shares it, from 1, and lets the planned ones go wrong.

    What counts as a call: every method, entering a writer or a reader, each ``write`` and ``commit``, and each piece that is read.
    """

    def __init__(self, faults: Mapping[int, Fault]) -> None:
        self._faults = dict(faults)
        self.calls: list[str] = []
        """The names of the calls made so far, in order."""

    @property
    def struck(self) -> bool:
        """Whether every planned fault has happened."""
        return all(number <= len(self.calls) for number in self._faults)

    async def around(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Makes one numbered call, or lets it go wrong."""
        late = await self._next(getattr(call, "__name__", "call"))
        result = await call(*args, **kwargs)
        if late is not None:
            raise late.error
        return result

    async def reach(self, name: str) -> None:
        """As :meth:`around`, for what is numbered but is no call of its own, such as entering a context."""
        late = await self._next(name)
        if late is not None:
            raise late.error

    async def _next(self, name: str) -> Fails | None:
        """Numbers a call, and pauses or fails it; returns the failure that is to follow the call."""
        self.calls.append(name)
        fault = self._faults.get(len(self.calls))
        if isinstance(fault, Pauses):
            fault.reached.set()
            await fault.resume.wait()
            return None
        if fault is not None and not fault.after:
            raise fault.error
        return fault


class NaughtyBlobStore:
    """A :class:`~fileplane.blobs.base.BlobStore` around another one, with the faults of ``plan``."""

    def __init__(self, inner: BlobStore, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    @asynccontextmanager
    async def writer(self, key: str, inspector: Inspector | None = None) -> AsyncIterator[BlobWriter]:
        """See :meth:`BlobStore.writer`. A failure on entering has no effect, whatever :attr:`Fails.after` says."""
        await self._plan.reach("writer")
        async with self._inner.writer(key, inspector) as writer:
            yield _NaughtyWriter(writer, self._plan)

    @asynccontextmanager
    async def open(self, key: str, span: Span | None = None, expected: int | None = None) -> AsyncIterator[BlobReader]:
        """See :meth:`BlobStore.open`. The reader hands nothing over, so that its bytes are read through it."""
        await self._plan.reach("open")
        async with self._inner.open(key, span, expected) as reader:
            yield _NaughtyReader(reader, self._plan)

    async def delete(self, key: str) -> None:
        """See :meth:`BlobStore.delete`."""
        await self._plan.around(self._inner.delete, key)

    async def walk(self, *, uncommitted_only: bool = False) -> AsyncIterator[BlobInfo]:
        """See :meth:`BlobStore.walk`."""
        await self._plan.reach("walk")
        async for info in self._inner.walk(uncommitted_only=uncommitted_only):
            yield info

    async def belongs_to(self, store_id: str) -> bool:
        """See :meth:`BlobStore.belongs_to`."""
        return await self._plan.around(self._inner.belongs_to, store_id)

    async def check(self) -> None:
        """See :meth:`BlobStore.check`."""
        await self._plan.around(self._inner.check)

    async def close(self) -> None:
        """See :meth:`BlobStore.close`. Never fails."""
        await self._inner.close()


class _NaughtyWriter:
    def __init__(self, inner: BlobWriter, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    async def write(self, data: bytes) -> None:
        await self._plan.around(self._inner.write, data)

    async def commit(self) -> StoredBlob:
        return await self._plan.around(self._inner.commit)


class _NaughtyReader:
    def __init__(self, inner: BlobReader, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    @property
    def size(self) -> int:
        return self._inner.size

    async def hand_over(self) -> Path | None:
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            await self._plan.reach("read")
            yield piece


class NaughtyMetadataStore:
    """A :class:`~fileplane.metadata.base.MetadataStore` around another one, with the faults of ``plan``.

    Every method of the protocol is numbered but ``close``, which never fails. They are passed on by name, so that the wrapper knows no
    more of the protocol than that; a type checker is told by a cast that it has it.
    """

    def __init__(self, inner: MetadataStore, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    @property
    def clock(self) -> Clock:
        """See :attr:`MetadataStore.clock`."""
        return self._inner.clock

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """One method of the inner store, numbered."""
        method: Callable[..., Awaitable[Any]] = getattr(self._inner, name)
        return functools.partial(self._plan.around, method)

    async def close(self) -> None:
        """See :meth:`MetadataStore.close`. Never fails."""
        await self._inner.close()


class CancelledAt:
    """Runs a coroutine in the current task, and cancels that task at the ``point``-th time it waits, counted from 1.

    It is cancelled as soon as it waits; or, when ``late`` is set, just as the wait has ended, so that what was waited for is lost.
    """

    def __init__(self, point: int, *, late: bool = False) -> None:
        self._point = point
        self._late = late
        self.waits = 0
        """How often the coroutine has waited so far."""

    @property
    def struck(self) -> bool:
        """Whether the task was cancelled."""
        return self.waits >= self._point

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits ``work``. For use in a task of its own, since that is left cancelled."""
        return await self._drive(work)

    @coroutine
    def _drive(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        task = asyncio.current_task()
        assert task is not None, "run() is for use in a task"
        raised: BaseException | None = None
        while True:
            try:
                waiting_for = work.send(None) if raised is None else work.throw(raised)
            except StopIteration as end:
                result: T = end.value
                return result
            self.waits += 1
            if self.waits == self._point:
                self._cancel(task, waiting_for)
            try:
                raised = None
                yield waiting_for
            except BaseException as error:  # noqa: BLE001 - it is thrown on into the coroutine that waits
                raised = error

    def _cancel(self, task: asyncio.Task[Any], waiting_for: asyncio.Future[Any] | None) -> None:
        if self._late and waiting_for is not None:
            # Called before the task is woken, since the task adds its own callback later.
            waiting_for.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


if TYPE_CHECKING:
    _blob_store: type[BlobStore] = NaughtyBlobStore
