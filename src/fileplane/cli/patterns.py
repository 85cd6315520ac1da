"""Patterns of names, which mean the same on every platform and in every shell."""

from __future__ import annotations

import re
from typing import Final

_MAGIC: Final = re.compile(r"[*?\[]")
ANY_DEPTH: Final = "**"


def is_pattern(text: str) -> bool:
    """Whether it has any of ``*``, ``?`` and ``[``."""
    return _MAGIC.search(text) is not None


def name_pattern(text: str) -> re.Pattern[str]:
    """What one name must match whole: ``*`` any characters, ``?`` one, ``[a-z]`` and ``[!a-z]`` one of a set.

    Upper case is not lower case, on no platform.
    """
    return re.compile(_translated(text, any_character=r"[^/]"), re.DOTALL)


def path_pattern(text: str) -> re.Pattern[str]:
    """The same for a path with slashes, which ``*`` and ``?`` do not match; ``**`` stands for any number of directories, none too."""
    parts = text.split("/")
    written = []
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == ANY_DEPTH:
            written.append(".*" if last else "(?:[^/]+/)*")
        else:
            written.append(_translated(part, any_character=r"[^/]") + ("" if last else "/"))
    return re.compile("".join(written), re.DOTALL)


class Wanted:
    """Which of the files that were found are taken, by ``--include`` and ``--exclude``.

    A pattern with a slash is about the path below the directory that was named, one without about a name; what is about the name of a
    directory excludes everything in it. Without ``include`` everything is wanted; ``exclude`` is stronger.
    """

    def __init__(self, include: list[str], exclude: list[str]) -> None:
        self._include = [_test_of(text) for text in include]
        self._exclude = [_test_of(text) for text in exclude]

    def file(self, relative: str) -> bool:
        """Whether the file at this path below the directory is taken."""
        return (not self._include or any(test(relative) for test in self._include)) and not self.excluded(relative)

    def excluded(self, relative: str) -> bool:
        """Whether the file or directory at this path is left out, with everything in it."""
        return any(test(relative) for test in self._exclude)


def _test_of(text: str) -> _Test:
    given = text.strip("/")
    return _Test(path_pattern(given) if "/" in given else name_pattern(given), by_name="/" not in given)


class _Test:
    def __init__(self, pattern: re.Pattern[str], *, by_name: bool) -> None:
        self._pattern = pattern
        self._by_name = by_name

    def __call__(self, relative: str) -> bool:
        return self._pattern.fullmatch(relative.rpartition("/")[2] if self._by_name else relative) is not None


def _translated(text: str, *, any_character: str) -> str:
    written, position = [], 0
    while position < len(text):
        character = text[position]
        position += 1
        end = _end_of_set(text, position) if character == "[" else -1
        if character == "*":
            written.append(any_character + "*")
        elif character == "?":
            written.append(any_character)
        elif end > 0:
            written.append(_set_of(text[position:end]))
            position = end + 1
        else:
            written.append(re.escape(character))
    return "".join(written)


def _end_of_set(text: str, begin: int) -> int:
    """Where a set ends that begins here; -1 when it does not, and the bracket is one to the letter."""
    first = begin + (text[begin : begin + 1] == "!")
    return text.find("]", first + 1)


def _set_of(inside: str) -> str:
    negated = inside.startswith("!")
    characters = re.sub(r"([\[\]\\^&~|])", r"\\\1", inside[negated:])
    ranges = re.finditer(r"(.)-(.)", inside[negated:], re.DOTALL)
    # A range that runs backwards has no character in it; as the letters it is made of, nothing is refused for a typing error.
    if any(found[1] > found[2] for found in ranges):
        characters = re.escape(inside[negated:])
    return f"[{'^/' if negated else ''}{characters}]"
