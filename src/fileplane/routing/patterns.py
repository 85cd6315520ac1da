r"""Regular expressions from strangers, searched in time that is bounded by the pattern's size times the text's length.

The usual engines go back over the text and can be made to hang, so this one walks all ways through the pattern at once (Thompson's
construction). It has what routing needs, with JavaScript's meaning: literals, ``.``, classes, ``\d \w \s`` and their opposites, groups,
``|``, ``^ $`` (the whole text's ends), ``* + ? {m,n}``, lazy ones too. It has no back-references, look-around, ``\b`` and flags.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from fileplane.routing.pattern_syntax import Alternatives, CharacterSet, Edge, Node, PatternError, Repeat, Sequence, parse_pattern

LONGEST_TEXT: Final = 1_024
"""In characters; a longer text matches no pattern."""
MOST_STEPS: Final = 256
"""The steps that a pattern may be compiled to; ``{m,n}`` repeats its steps."""

_MOST_EMISSIONS: Final = 4_000
_AT_START: Final = 1
_AT_END: Final = 2


class Pattern:
    """A compiled pattern. Safe to share between threads: what it remembers between searches is the same whoever finds it out."""

    __slots__ = ("_closures", "_edges", "_emissions", "_sets", "_ways")

    def __init__(self, source: str) -> None:
        """Raises :class:`PatternError`, whose text says what would do, for what the syntax lacks and for what grows too large."""
        self._sets: list[CharacterSet | None] = []
        self._ways: list[tuple[int, ...]] = []  # without reading a character
        self._edges: list[Edge | None] = []
        self._closures: dict[tuple[int, int], int] = {}
        self._emissions = 0
        self._emit(parse_pattern(source))

    @property
    def steps(self) -> int:
        """What a search costs at most for each character of the text."""
        return len(self._sets) + 1

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in ``text``."""
        if len(text) > LONGEST_TEXT:
            return False
        accepted, landed, known = 1 << len(self._sets), 0, dict[tuple[int, str], int]()
        for position, character in enumerate(text):
            places = self._reach(landed | 1, _AT_START if position == 0 else 0)
            if places & accepted:
                return True
            key = (places, character)
            if key not in known:
                known[key] = self._read(places, character)
            landed = known[key]
        return bool(self._reach(landed | 1, _AT_END | (0 if text else _AT_START)) & accepted)

    def _read(self, places: int, character: str) -> int:
        landed = 0
        for place in _bits(places):
            if (wanted := self._sets[place]) is not None and wanted.holds(character):
                landed |= 1 << place + 1
        return landed

    def _reach(self, places: int, context: int) -> int:
        reached = 0
        for place in _bits(places):
            reached |= self._closure(place, context)
        return reached

    def _closure(self, place: int, context: int) -> int:
        """Where one can stand, waiting for a character or at the end of the pattern, without reading one."""
        if (place, context) in self._closures:
            return self._closures[place, context]
        seen, standing, waiting = 1 << place, 0, [place]
        while waiting:
            current = waiting.pop()
            if current == len(self._sets) or self._sets[current] is not None:
                standing |= 1 << current
            elif self._may_pass(current, context):
                fresh = [way for way in self._ways[current] if not seen >> way & 1]
                seen |= sum(1 << way for way in set(fresh))
                waiting += fresh
        return self._closures.setdefault((place, context), standing)

    def _may_pass(self, place: int, context: int) -> bool:
        edge = self._edges[place]
        return edge is None or bool(context & (_AT_START if edge is Edge.START else _AT_END))

    def _step(self, characters: CharacterSet | None = None, ways: tuple[int, ...] = (), edge: Edge | None = None) -> int:
        if len(self._sets) >= MOST_STEPS - 1:
            raise PatternError("The pattern is too large. Shorten it, or repeat less with {m,n}.")
        self._sets.append(characters)
        self._ways.append(ways)
        self._edges.append(edge)
        return len(self._sets) - 1

    def _emit(self, node: Node) -> None:
        # Empty groups may be repeated without making a step, so the work is counted as well.
        self._emissions += 1
        if self._emissions > _MOST_EMISSIONS:
            raise PatternError("The pattern repeats too much. Repeat less with {m,n}.")
        if isinstance(node, CharacterSet):
            self._step(node)
        elif isinstance(node, Edge):
            self._step(ways=(len(self._sets) + 1,), edge=node)
        elif isinstance(node, Sequence):
            for part in node.parts:
                self._emit(part)
        elif isinstance(node, Alternatives):
            self._emit_alternatives(node)
        else:
            self._emit_repeat(node)

    def _emit_alternatives(self, node: Alternatives) -> None:
        fork = self._step()
        starts, ends = [], []
        for choice in node.choices:
            starts.append(len(self._sets))
            self._emit(choice)
            ends.append(self._step())
        self._ways[fork] = tuple(starts)
        for end in ends:
            self._ways[end] = (len(self._sets),)

    def _emit_repeat(self, node: Repeat) -> None:
        for _ in range(node.least):
            self._emit(node.part)
        forks = []
        if node.most is None:
            forks.append(self._step())
            self._emit(node.part)
            self._step(ways=(forks[0],))
        else:
            for _ in range(node.most - node.least):
                forks.append(self._step())
                self._emit(node.part)
        for fork in forks:
            self._ways[fork] = (fork + 1, len(self._sets))


@lru_cache(maxsize=512)
def compiled(source: str) -> Pattern:
    """The pattern of ``source``, remembered; raises :class:`PatternError`."""
    return Pattern(source)


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found
