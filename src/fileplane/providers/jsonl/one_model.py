"""That the requests of a batch are all for one model."""

from __future__ import annotations

from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import Fields
from fileplane.providers.jsonl.requests import text_field


class OneModel:
    """Bedrock and Vertex AI run one model a job, whatever the lines say, so lines that name different models are not what they seem."""

    def __init__(self) -> None:
        self._first: str | None = None

    def check(self, body: Fields) -> None:
        """Raises :class:`Unusable` for a body whose ``model`` is not that of the first that named one."""
        model = text_field(body, "model")
        if model is None:
            return
        if self._first is None:
            self._first = model
        elif model != self._first:
            raise Unusable(f"body.model is {quoted(model)}, and {quoted(self._first)} before; the provider runs one model a file.")
