"""At which of its points an operation is made to fail, where each of them costs a new server."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count
from typing import Final

import pytest

_FIRST: Final = 3
POINTS: Final = [pytest.param(1, id="each point", marks=pytest.mark.full), pytest.param(15, id="every fifteenth point")]
"""All of them in the full tier; on every change the first three, and then every fifteenth."""


def points(every: int) -> Iterable[int]:
    """The numbers of the points, from 1, without end."""
    return count(1) if every == 1 else chain(range(1, _FIRST + 1), count(_FIRST + every, every))
