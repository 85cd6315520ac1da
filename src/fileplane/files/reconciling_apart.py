"""Work on what is unresolved, of many projects that do not trust each other, at providers that may be anybody's.

A project's virtual key may lead to a host of its own choosing, so what a provider answers there, and how slowly, is that project's doing.
Neither keeps what is unresolved of others from being looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from fileplane.catalog import CatalogFile, Job
from fileplane.errors import FileplaneError, StorageUnavailable

_AT_ONCE: Final = 8

R = TypeVar("R", CatalogFile, Job)
_log = logging.getLogger("fileplane.files.reconciling")


async def each_apart(rows: Sequence[R], resolve: Callable[[R], Awaitable[None]], seconds: float) -> None:
    """``resolve`` for each row: for those of one virtual key one after another, and of several virtual keys at the same time.

    Those of one virtual key have ``seconds`` together, after which they are left as they are. What goes wrong with one is logged.
    Raises :class:`~fileplane.errors.StorageUnavailable`, which ends the others too.
    """
    places = asyncio.Semaphore(_AT_ONCE)
    by_key: dict[tuple[str, str], list[R]] = defaultdict(list)
    for row in rows:
        by_key[row.project_id, row.virtual_key_id].append(row)

    async def in_turn(of_key: list[R]) -> None:
        async with places:
            try:
                async with asyncio.timeout(seconds):
                    for row in of_key:
                        await _one(row, resolve)
            except TimeoutError:
                _log.warning("what became of %d rows at %s cannot be found out in %g s", len(of_key), of_key[0].provider, seconds)

    tasks = [asyncio.create_task(in_turn(of_key), name="fileplane-reconciling") for of_key in by_key.values()]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(row: R, resolve: Callable[[R], Awaitable[None]]) -> None:
    try:
        await resolve(row)
    except StorageUnavailable:
        raise
    except FileplaneError as error:
        _log.warning("what became of %s at %s cannot be found out now: %s", row.id, row.provider, error.message)
    except Exception:  # noqa: BLE001 - a defect that one provider's answers bring out must not keep others' rows from being looked at
        _log.exception("looking after %s at %s failed", row.id, row.provider)
