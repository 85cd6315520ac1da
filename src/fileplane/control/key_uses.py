"""When API keys were last used: remembered as requests come, and recorded beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from fileplane.files.rounds import repeated
from fileplane.metadata.control import ControlStore

_SECONDS_BETWEEN_RECORDS: Final = 60
_SECONDS_BETWEEN_ROUNDS: Final = 15.0
_AT_ONCE: Final = 64

_log = logging.getLogger(__name__)


class KeyUses:
    """A time is recorded at most once a minute a key, by all workers together, and lost when a worker is killed before it was."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self._pending: dict[str, int] = {}
        self._recorded: dict[str, int] = {}
        self._failing = False

    def note(self, key_id: str, now: int) -> None:
        """A request came with this key; ``now`` in seconds since the epoch. Costs the request nothing but a look into a table."""
        if now - self._recorded.get(key_id, 0) >= _SECONDS_BETWEEN_RECORDS:
            self._pending[key_id] = now

    async def record(self) -> None:
        """Writes down what is pending. What cannot be written is logged, the first time in a row, and forgotten."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        latest = max(pending.values())
        self._recorded = {key_id: at for key_id, at in self._recorded.items() if latest - at < _SECONDS_BETWEEN_RECORDS} | pending
        uses = iter(pending.items())
        while some := list(islice(uses, _AT_ONCE)):
            outcomes = await asyncio.gather(*(self._store.note_key_use(*use) for use in some), return_exceptions=True)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            self._tell_of(failures)
            if failures:
                return

    def _tell_of(self, failures: list[BaseException]) -> None:
        if failures and not self._failing:
            _log.warning("when API keys were last used cannot be recorded: %s", failures[0], exc_info=failures[0])
        self._failing = bool(failures)
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure


@asynccontextmanager
async def recording(uses: KeyUses) -> AsyncIterator[None]:
    """Records now and then while the block runs, and once more when it is left."""
    async with repeated("key uses", _SECONDS_BETWEEN_ROUNDS, uses.record):
        yield
    await uses.record()
