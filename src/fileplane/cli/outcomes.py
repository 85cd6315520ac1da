"""Commands that do the same to several things: each is reported, and the worst decides the exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import typer

from fileplane.cli.exits import CommandFailed, ExitCode, complain
from fileplane.cli.output import JsonArray, terminal_safe


class Outcomes:
    """What became of each thing, named by ``key`` in the JSON output: printed as it is known, so that none is lost by an interruption."""

    def __init__(self, key: str, as_json: bool) -> None:
        self._key = key
        self._array = JsonArray() if as_json else None
        self._worst = ExitCode.OK

    def __enter__(self) -> Self:
        if self._array is not None:
            self._array.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._array is not None:
            self._array.__exit__(kind, error, traceback)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Reports a :class:`CommandFailed` in the block, and lets the command go on."""
        try:
            yield
        except CommandFailed as failure:
            self._worst = max(self._worst, failure.code)
            complain(f"{terminal_safe(name)}: {failure}")
            error = {"message": failure.message, "request_id": failure.request_id, "exit_code": int(failure.code)}
            self.add(name, {"error": error})

    def add(self, name: str, entry: Mapping[str, Any]) -> None:
        """One thing's entry in the JSON output, if that was asked for."""
        if self._array is not None:
            self._array.add({self._key: name, **entry})

    def require_success(self) -> None:
        """Raises typer.Exit with the worst code, if anything failed."""
        if self._worst is not ExitCode.OK:
            raise typer.Exit(self._worst)
