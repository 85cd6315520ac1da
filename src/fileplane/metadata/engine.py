"""What the transactions of ``metadata/`` run on: an engine, and the connections that it gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Rows(Protocol):
    """What a statement returns: columns as tuples, of None, whole numbers, texts and bytes."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rest of them."""
        ...

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...


class Connection(Protocol):
    """A connection within a transaction, of one thread; a failure of the database itself is the engine's to translate."""

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Rows:
        """Runs a statement of ``sql/``, with its parameters by name."""
        ...

    def executemany(self, statement: str, rows: Iterable[Mapping[str, Any]], /) -> object:
        """Runs it once for each."""
        ...

    def changes(self) -> int:
        """How many rows the last statement changed."""
        ...


class Engine(Protocol):
    """Runs operations off the event loop, each within the deadline."""

    async def write(self, operation: Callable[[Any], T]) -> T:
        """Runs ``operation`` in a transaction and returns once it is durable. It may be run again, if it was rolled back."""
        ...

    async def read(self, operation: Callable[[Any], T]) -> T:
        """Runs ``operation``, which changes nothing. It may be run again."""
        ...

    async def close(self) -> None:
        """Lets every queued operation finish, then ends the threads."""
        ...
