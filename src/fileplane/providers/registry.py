"""Every provider by its name: those that have an adapter, and those of which it is said honestly that they have none yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fileplane.errors import InvalidValue, UnsupportedProviderOperation
from fileplane.providers.access import bearer_access
from fileplane.providers.anthropic import anthropic
from fileplane.providers.azure_openai import azure_openai
from fileplane.providers.base import Provider, Target
from fileplane.providers.bedrock import Bedrock
from fileplane.providers.cohere import COHERE, Cohere
from fileplane.providers.dialects import Dialect, DialectOf
from fileplane.providers.egress import Egress
from fileplane.providers.entra import EntraTokens
from fileplane.providers.fireworks import FIREWORKS, Fireworks
from fileplane.providers.google import google as gemini
from fileplane.providers.google_credentials import GoogleTokens
from fileplane.providers.near import NEAR
from fileplane.providers.openai import OpenAIShaped
from fileplane.providers.openai_dialect import dialect_of
from fileplane.providers.overriding import overriding, require_known
from fileplane.providers.vertex import VERTEX, VertexAI
from fileplane.providers.without_files import WITHOUT_FILES

NOT_YET: Final[Mapping[str, str]] = {
    "databricks": "Databricks",
}
"""Providers whose APIs for files are their own, with their titles."""


class Registry:
    """The providers of one process, all calling through one egress. ``overrides`` is the setting of that name.

    Raises :class:`~fileplane.settings.SettingsError` for overrides of providers that there are not.
    """

    def __init__(
        self, egress: Egress, overrides: str | None = None, *, entra: EntraTokens | None = None, google: GoogleTokens | None = None
    ) -> None:
        require_known(overrides)
        openai = OpenAIShaped("openai", egress, overriding("openai", dialect_of, overrides), bearer_access)
        self._providers: dict[str, Provider] = {"openai": openai}
        self._providers["azure-openai"] = azure_openai(egress, entra, overrides)
        self._providers["bedrock"] = Bedrock(egress)
        for name, dialect in NEAR.items():
            self._providers[name] = OpenAIShaped(name, egress, overriding(name, _always(dialect), overrides), bearer_access)
        self._providers["cohere"] = Cohere(egress, overriding("cohere", _always(COHERE), overrides))
        self._providers["fireworks-ai"] = Fireworks(egress, overriding("fireworks-ai", _always(FIREWORKS), overrides))
        self._providers["anthropic"] = anthropic(egress, overrides)
        self._providers["google"] = gemini(egress, overrides)
        vertex = overriding(VERTEX.name, _always(VERTEX), overrides)
        self._providers[VERTEX.name] = VertexAI(egress, vertex, google or GoogleTokens(egress))

    @property
    def names(self) -> frozenset[str]:
        """Of the providers that can be called."""
        return frozenset(self._providers)

    def get(self, name: str) -> Provider:
        """The provider of that name.

        Raises :class:`~fileplane.errors.UnsupportedProviderOperation` for one that has no adapter or no files, and
        :class:`~fileplane.errors.InvalidValue` for one that nobody knows.
        """
        provider = self._providers.get(name)
        if provider is not None:
            return provider
        if name in NOT_YET:
            raise UnsupportedProviderOperation(
                f"Files at {NOT_YET[name]} cannot be reached through Fileplane yet.", param="x-portkey-provider"
            )
        if name in WITHOUT_FILES:
            raise UnsupportedProviderOperation(
                f"Fileplane knows no API for files at {WITHOUT_FILES[name]} ('{name}'), and has sent nothing there. Name one of "
                f"{', '.join(sorted(self.names))}.",
                param="x-portkey-provider",
            )
        # What was sent is not repeated: it may be a key in the wrong place.
        raise InvalidValue(f"There is no provider of that name. There are {', '.join(sorted(self.names))}.", param="x-portkey-provider")


def _always(dialect: Dialect) -> DialectOf:
    def of(target: Target) -> Dialect:  # noqa: ARG001 - the same for all targets
        return dialect

    return of
