"""A secret in memory, in a wrapper that nothing prints by accident."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

REDACTED: Final = "********"


class Secret:
    """A text that shows itself to nobody who does not call :meth:`reveal`.

    Printing, formatting, logging, ``repr`` and exceptions show stars; JSON, msgspec and pickle refuse it. Two are compared in a time
    that does not depend on where they differ. Python cannot wipe the memory of a text: whoever reads the process's memory sees it.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash would tell in which bucket it is, and equal secrets from others

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for whoever sends it to where it belongs."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, specification: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_encoded(self), _encoded(other))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not pickled.")


def _encoded(secret: Secret) -> bytes:
    return secret.reveal().encode("utf-8", "surrogatepass")
