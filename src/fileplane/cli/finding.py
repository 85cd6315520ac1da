"""Which files a command line's paths stand for: what is named to the letter, what directories hold, what patterns match."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.patterns import ANY_DEPTH, Wanted, is_pattern, name_pattern

STANDARD_INPUT: Final = "-"
_DEEPEST: Final = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A file to upload, or standard input. ``size`` is in bytes, None when only reading tells it."""

    path: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that stands for no file, or a part of a directory that cannot be read, and why."""

    path: str
    failure: CommandFailed


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not uploaded, which is no failure: ``why`` is worth telling."""

    path: str
    why: str


Finding = Found | Problem | Skipped


class Finder:
    """Turns paths into files, in an order that is the same everywhere: that of the command line, and of names within a directory.

    A path that exists stands for itself, whatever characters it has; symbolic links, pipes and devices are read then, as they were
    named. What is *found*, in a directory or by a pattern, is taken only when it is a regular file whose name, and that of the
    directories on the way, does not begin with a dot (``hidden`` takes those too), and symbolic links are passed over unless
    ``follow``. A file that was found is not taken twice.
    """

    def __init__(self, wanted: Wanted, *, hidden: bool = False, follow: bool = False) -> None:
        self._wanted = wanted
        self._hidden = hidden
        self._follow = follow
        self._seen: set[str] = set()

    def find(self, paths: list[str]) -> Iterator[Finding]:
        """Every file of every path, and what stands in the way of others. Blocks on the file system; raises nothing."""
        for path in paths:
            if path == STANDARD_INPUT:
                yield Found(path, None)
                continue
            try:
                status = os.stat(path)  # noqa: PTH116 - a path object would drop what tells `dir/` from `dir`
            except (OSError, ValueError) as error:
                yield from self._matching(path, error)
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from _something_of(path, self._below(path, "", (_identity(status),)), "There is no file in it to upload.")
            else:
                self._seen.add(os.path.normpath(path))
                yield Found(path, size_of(status))

    def _matching(self, path: str, error: OSError | ValueError) -> Iterator[Finding]:
        if not is_pattern(path) or os.path.lexists(path):
            yield Problem(path, CommandFailed(ExitCode.FAILED, f"{getattr(error, 'strerror', None) or error}."))
            return
        root = "/" if path.startswith("/") else ""
        every = [part for part in path.split("/") if part]
        parts = [part for part, before in zip(every, ["", *every], strict=False) if part != ANY_DEPTH or before != ANY_DEPTH]
        yield from _something_of(path, self._by_parts(root, "", parts), "No file matches the pattern.")

    def _by_parts(self, directory: str, relative: str, parts: list[str]) -> Iterator[Finding]:
        part, rest = parts[0], parts[1:]
        if part == ANY_DEPTH:
            if len(relative.split("/")) < _DEEPEST:
                yield from self._any_depth(directory, relative, parts)
            return
        if not is_pattern(part):
            yield from self._by_name(directory, relative, parts)
            return
        pattern = name_pattern(part)
        for entry in self._entries(directory, dots=part.startswith(".")):
            if isinstance(entry, Problem):
                yield entry
            elif pattern.fullmatch(entry.name) is None:
                continue
            elif rest and self._is_directory(entry):
                yield from self._by_parts(directory + entry.name + "/", relative + entry.name + "/", rest)
            elif not rest and not self._is_directory(entry):
                yield from self._taken(directory + entry.name, relative + entry.name)

    def _by_name(self, directory: str, relative: str, parts: list[str]) -> Iterator[Finding]:
        path, rest = directory + parts[0], parts[1:]
        if rest and Path(path).is_dir():
            yield from self._by_parts(path + "/", f"{relative}{parts[0]}/" if relative else "", rest)
        elif not rest and os.path.lexists(path):
            yield from self._taken(path, relative + parts[0])

    def _any_depth(self, directory: str, relative: str, parts: list[str]) -> Iterator[Finding]:
        yield from self._by_parts(directory, relative, parts[1:] or ["*"])
        for entry in self._entries(directory, dots=False):
            if not isinstance(entry, Problem) and self._is_directory(entry) and not self._wanted.excluded(relative + entry.name):
                yield from self._by_parts(directory + entry.name + "/", relative + entry.name + "/", parts)

    def _below(self, directory: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[Finding]:
        """``above`` are the directories on the way, so that a link back to one of them ends there."""
        prefix = directory if directory.endswith("/") else directory + "/"
        for entry in self._entries(prefix, dots=False):
            if isinstance(entry, Problem):
                yield entry
                continue
            inside = relative + entry.name
            if not self._is_directory(entry):
                yield from self._taken(prefix + entry.name, inside)
            elif not self._wanted.excluded(inside) and len(above) < _DEEPEST:
                yield from self._deeper(prefix + entry.name, inside + "/", above)

    def _deeper(self, directory: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[Finding]:
        try:
            identity = _identity(os.stat(directory))  # noqa: PTH116 - as above
        except OSError as error:
            yield Problem(directory, CommandFailed(ExitCode.FAILED, f"{error.strerror}."))
            return
        if identity not in above:
            yield from self._below(directory, relative, (*above, identity))

    def _taken(self, path: str, relative: str) -> Iterator[Finding]:
        if not self._wanted.file(relative) or os.path.normpath(path) in self._seen:
            return
        try:
            if Path(path).is_symlink() and not self._follow:
                yield Skipped(path, "It is a symbolic link: name it, or use --follow.")
                return
            status = os.stat(path)  # noqa: PTH116 - as above
        except OSError as error:
            yield Problem(path, CommandFailed(ExitCode.FAILED, f"{error.strerror}."))
            return
        if stat.S_ISDIR(status.st_mode):
            return
        if not stat.S_ISREG(status.st_mode):
            yield Skipped(path, "It is no regular file: name it to have it read.")
            return
        self._seen.add(os.path.normpath(path))
        yield Found(path, size_of(status))

    def _entries(self, directory: str, *, dots: bool) -> Iterator[os.DirEntry[str] | Problem]:
        try:
            with os.scandir(directory or ".") as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Problem(directory or ".", CommandFailed(ExitCode.FAILED, f"{error.strerror}."))
            return
        yield from (entry for entry in found if self._hidden or dots or not entry.name.startswith("."))

    def _is_directory(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir(follow_symlinks=self._follow)
        except OSError:
            return False


def _something_of(path: str, findings: Iterator[Finding], otherwise: str) -> Iterator[Finding]:
    """The findings; a problem when there is nothing at all among them, which a script would otherwise take for success."""
    nothing = True
    for finding in findings:
        nothing = nothing and isinstance(finding, Skipped)
        yield finding
    if nothing:
        yield Problem(path, CommandFailed(ExitCode.FAILED, otherwise))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def size_of(status: os.stat_result) -> int | None:
    """In bytes, of a regular file; None for what only its end tells."""
    # Files of /proc and the like say that they are empty and are not.
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size else None
