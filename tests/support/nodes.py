"""Several metadata stores over one database, as several nodes have them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from fileplane.metadata.base import MetadataStore


class TakingTurns:
    """A metadata store each of whose calls is another node's than the one before."""

    def __init__(self, stores: Sequence[MetadataStore]) -> None:
        self._stores = stores
        self._turns = cycle(stores)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._turns), name)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
