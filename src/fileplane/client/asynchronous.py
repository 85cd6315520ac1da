"""The client for programs on an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from fileplane.client.sources import Given, name_of
from fileplane.client.stopping import Stopping
from fileplane.client.synchronous import Client
from fileplane.client.values import Downloaded, File, Progress, Report, Wish

Result = TypeVar("Result")


class AsyncClient:
    """:class:`Client` with methods to be awaited. Each transfer has threads of its own, so that nothing blocks the event loop.

    A cancelled transfer has ended, its connections and files closed, when the cancellation is raised; it can be gone on with.
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
        self._client = Client(
            base_url,
            api_key,
            headers=headers,
            connections=connections,
            part_bytes=part_bytes,
            state_directory=state_directory,
            parallel_from=parallel_from,
        )

    async def upload(
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
        """See :meth:`Client.upload`; ``progress`` is called on the event loop."""
        wish, told = Wish(purpose, filename or name_of(source), expires_after, media_type), _on_loop(progress)

        def work(stopping: Stopping) -> File:
            return self._client.upload_stoppably(stopping, source, wish, told, resume=resume, settle_seconds=settle_seconds)

        return await _in_thread(work)

    async def download(
        self,
        file_id: str,
        target: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Report | None = None,
        resume: bool = True,
    ) -> Downloaded:
        """See :meth:`Client.download`; ``progress`` is called on the event loop."""
        told = _on_loop(progress)

        def work(stopping: Stopping) -> Downloaded:
            return self._client.download_stoppably(stopping, file_id, target, told, overwrite=overwrite, resume=resume)

        return await _in_thread(work)

    async def close(self) -> None:
        """See :meth:`Client.close`."""
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()


def _on_loop(progress: Report | None) -> Report | None:
    if progress is None:
        return None
    loop, report = asyncio.get_running_loop(), progress

    def told(state: Progress) -> None:
        loop.call_soon_threadsafe(report, state)

    return told


async def _in_thread(work: Callable[[Stopping], Result]) -> Result:
    """What ``work`` returns, from a thread of its own. Cancelled, it is stopped, and its end waited for."""
    loop, stopping = asyncio.get_running_loop(), Stopping()
    done: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            settle: Callable[[], Any] = partial(done.set_result, work(stopping))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            settle = partial(done.set_exception, error)
        loop.call_soon_threadsafe(settle)

    Thread(target=run, name="fileplane-transfer", daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stopping.stop()
        await _ended(done)
        raise


async def _ended(done: asyncio.Future[Any]) -> None:
    """Returns when the thread has ended, whatever with, and however often it is cancelled meanwhile: its steps have deadlines."""
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            continue
    done.exception()
