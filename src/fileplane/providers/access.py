"""How a target is called: its base URL and what makes a call the credential's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from fileplane.errors import InvalidValue
from fileplane.providers.base import Target
from fileplane.providers.dialects import Dialect
from fileplane.providers.egress_policy import parse_base_url
from fileplane.secrets.values import Secret

_OPENAI_HEADERS: Final = (
    ("openai_organization", "OpenAI-Organization"),
    ("openai_project", "OpenAI-Project"),
    ("openai_beta", "OpenAI-Beta"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """``query`` is part of every URL; ``secret_headers`` carry the credential, ``headers`` what belongs to it in the clear."""

    base_url: str
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Of a path below the base URL, one made by :mod:`fileplane.providers.remote_ids`."""
        asked = {**self.query, **(query or {})}
        return f"{self.base_url}{path}?{urlencode(asked)}" if asked else f"{self.base_url}{path}"


async def bearer_access(target: Target, dialect: Dialect) -> Access:
    """By an API key as bearer token, which only a host of the caller's or operator's own may do without.

    Raises :class:`~fileplane.errors.InvalidValue` for a custom host that is no base URL, and where the key is missing.
    """
    key = target.secrets.get("api_key")
    if key is None and target.custom_host is None:
        raise missing_credential(dialect.title)
    secret_headers = {} if key is None else {"Authorization": Secret(f"Bearer {key.reveal()}")}
    headers = {header: target.fields[name] for name, header in _OPENAI_HEADERS if name in target.fields}
    return Access(base_url_of(target, dialect.base_url), secret_headers, headers)


def base_url_of(target: Target, own: str) -> str:
    """The target's own base URL, or the provider's."""
    return parse_base_url(target.custom_host or own).url()


def missing_credential(title: str) -> InvalidValue:
    """The refusal of a target without what its provider asks for."""
    return InvalidValue(f"{title} cannot be called without a credential. Send the provider's API key.", param="authorization")
