"""What is known here of the bytes of a file at a provider: their hash, or those of the parts that it was made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from fileplane.files.remote_route import RemoteTarget


@dataclass(frozen=True, slots=True)
class Known:
    """``sha256`` of the whole, in hex, or ``parts`` in their order, each with its bytes and its SHA-256."""

    sha256: str | None
    parts: Sequence[tuple[int, str]] = ()

    def __bool__(self) -> bool:
        return self.sha256 is not None or bool(self.parts)

    async def sha256_if_same(self, target: RemoteTarget, file_id: str) -> str | None:
        """The SHA-256 of a file of these very bytes, which are downloaded for that; None for another one."""
        whole, parts = hashlib.sha256(), _Parts(self.parts)
        async with target.provider.open(target.target, file_id) as content:
            async for piece in content:
                whole.update(piece)
                parts.update(piece)
        same = parts.are_all_the_same if self.sha256 is None else whole.hexdigest() == self.sha256
        return whole.hexdigest() if same else None


class _Parts:
    """Compares a stream with parts, one after another."""

    def __init__(self, expected: Sequence[tuple[int, str]]) -> None:
        self._expected = list(reversed(expected))
        self._hash = hashlib.sha256()
        self._taken = 0
        self._same = True

    @property
    def are_all_the_same(self) -> bool:
        """Whether that was all, and as expected."""
        return self._same and not self._expected and not self._taken

    def update(self, piece: bytes) -> None:
        """Of whatever length."""
        view = memoryview(piece)
        while view and self._same:
            if not self._expected:
                self._same = False
                return
            size, sha256 = self._expected[-1]
            taken = view[: size - self._taken]
            self._hash.update(taken)
            self._taken += len(taken)
            view = view[len(taken) :]
            if self._taken == size:
                self._same = self._hash.hexdigest() == sha256
                self._expected.pop()
                self._hash, self._taken = hashlib.sha256(), 0
