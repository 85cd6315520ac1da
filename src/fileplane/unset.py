"""What stands for a value that was not given, where None is one of the values."""

from __future__ import annotations

from enum import Enum
from typing import Final


class UnsetType(Enum):
    """Its one member is :data:`UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return self.value


UNSET: Final = UnsetType.UNSET
