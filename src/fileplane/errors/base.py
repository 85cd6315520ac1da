"""What every failure has in common."""

from __future__ import annotations

from collections.abc import Mapping


class FileplaneError(Exception):
    """Something the caller is told of, in the one envelope.

    ``message`` says what to do next and holds no secret; ``param`` names the field, parameter or header at fault.
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    definitive: bool = False
    """Whether the answer carries ``x-should-retry: false``, for statuses that the SDKs would otherwise send again."""

    def __init__(self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.message = _encodable(message)
        self.param = None if param is None else _encodable(param)
        super().__init__(self.message)
        self.headers: dict[str, str] = dict(headers or {})

    def add(self, sentence: str) -> None:
        """Says more, for whoever knows more than the place where it was raised: what the failure leaves behind, say."""
        self.message = f"{self.message} {sentence}"
        self.args = (self.message,)


def _encodable(text: str) -> str:
    """Callers' own words stand in messages, and may hold halves of surrogate pairs, which no encoding has."""
    return text.encode("utf-8", "replace").decode("utf-8")


class AnswerBrokenOff(Exception):
    """An answer that had begun could not be completed. Tells the server to end the connection, once the log has been told of the cause."""


class ClientDisconnected(Exception):
    """The caller left, or stopped taking what it is sent. Nobody is there to be told, so this is no FileplaneError."""
