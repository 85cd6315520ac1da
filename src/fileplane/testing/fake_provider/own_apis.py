"""Which providers have an API for files of their own, that is nothing like OpenAI's, and what speaks it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from fileplane.testing.fake_provider.accounts import Accounts
from fileplane.testing.fake_provider.anthropic import AnthropicApi
from fileplane.testing.fake_provider.cohere import CohereApi
from fileplane.testing.fake_provider.fireworks import FireworksApi
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.gcs import GcsApi
from fileplane.testing.fake_provider.gemini import GeminiApi
from fileplane.testing.fake_provider.s3 import S3Api
from fileplane.testing.fake_provider.wire import Handler, RecordedRequest


class OwnApi(Protocol):
    """One provider's own calls. Handlers find the bytes and the credential's account as those of :class:`.files.FilesApi` do."""

    def route(self, request: RecordedRequest, segments: list[str]) -> tuple[str, Handler | None]:
        """The name of an operation and what answers it. ``segments`` are those of the path below the flavour's prefix, decoded.

        Operations are ``upload``, ``list``, ``get``, ``content``, ``delete``, or one of these, a dot and a word. ``upload`` is what carries
        the bytes; what an upload takes besides has names of its own.
        """
        ...

    def credential(self, request: RecordedRequest) -> str | None:
        """Whose account a request is let into that shows so otherwise than in the flavour's headers; None: look there."""
        ...


OWN_APIS: Final[Mapping[str, Callable[[Flavour, Accounts], OwnApi]]] = {
    "cohere": CohereApi,
    "fireworks": FireworksApi,
    "anthropic": AnthropicApi,
    "gemini": GeminiApi,
    "vertex-ai": GcsApi,
    "bedrock": S3Api,
}
"""By the flavour's name."""


def own_api(flavour: Flavour, accounts: Accounts) -> OwnApi | None:
    """What speaks a flavour's own API; None for one that is like OpenAI's."""
    make = OWN_APIS.get(flavour.name)
    return None if make is None else make(flavour, accounts)
