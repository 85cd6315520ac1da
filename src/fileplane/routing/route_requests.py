"""What a request itself says of its route, from its headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fileplane.routing.config_credentials import LONGEST_SECRET, what_is_wrong_with_field
from fileplane.routing.config_fields import FILE_OPTIONS, PROVIDER_FIELDS, FieldKind
from fileplane.routing.config_options import (
    LONGEST_TIMEOUT_MS,
    MOST_FORWARDED,
    header_names,
    split_header_list,
    what_is_wrong_with_file_option,
    what_is_wrong_with_forwarding,
    what_is_wrong_with_url,
)
from fileplane.routing.config_problems import refuse
from fileplane.routing.config_values import Credential, Options, Scalar
from fileplane.routing.headers import PROVIDER_HEADER
from fileplane.routing.slugs import parse_virtual_key_slug
from fileplane.secrets.values import Secret

CONFIG_HEADER: Final = "x-portkey-config"
VIRTUAL_KEY_HEADER: Final = "x-portkey-virtual-key"
CUSTOM_HOST_HEADER: Final = "x-portkey-custom-host"
FORWARD_HEADERS_HEADER: Final = "x-portkey-forward-headers"
TIMEOUT_HEADER: Final = "x-portkey-request-timeout"
METADATA_HEADER: Final = "x-portkey-metadata"

_PROVIDER: Final = re.compile(r"@?[a-z0-9][a-z0-9._-]{0,127}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """``options`` are what headers say, which wins over any config; ``credential`` completes a config that names no provider.

    ``metadata`` are the caller's own, ``params`` the members of a JSON body, where a condition compares any; both serve conditions alone.
    """

    credential: Credential = field(default_factory=Credential)
    options: Options = field(default_factory=Options)
    metadata: tuple[tuple[str, Scalar], ...] = field(default=(), repr=False)
    params: tuple[tuple[str, Scalar], ...] = field(default=(), repr=False)
    pathname: str = "/"


def header_of(name: str) -> str:
    """The header that says the same as a provider's field."""
    return f"x-portkey-{name.replace('_', '-')}"


_FIELDS: Final = {header_of(name): name for name in PROVIDER_FIELDS}
_FILE_OPTIONS: Final = {header_of(spelling): name for spelling, name in FILE_OPTIONS.items()}


def read_route_request(headers: Mapping[str, str], *, pathname: str, api_key: Secret | None = None) -> RouteRequest:
    """``headers`` have names in lower case. ``api_key`` is the provider's, after it was told from the key for Fileplane.

    Raises :class:`~fileplane.errors.InvalidValue` whose ``param`` is the header.
    """
    return RouteRequest(
        credential=_credential(headers, api_key),
        options=Options(
            request_timeout_ms=_timeout(headers),
            custom_host=_custom_host(headers),
            forward_headers=_forward_headers(headers),
            file_options=_file_options(headers),
        ),
        metadata=_metadata(headers),
        pathname=pathname,
    )


def _credential(headers: Mapping[str, str], api_key: Secret | None) -> Credential:
    provider, virtual_key = headers.get(PROVIDER_HEADER, "").strip() or None, None
    if (text := headers.get(VIRTUAL_KEY_HEADER)) is not None:
        virtual_key = parse_virtual_key_slug(text.strip())
        if virtual_key is None:
            raise refuse(VIRTUAL_KEY_HEADER, "This must be the slug of a virtual key.")
    if provider is not None:
        provider = provider if provider.startswith("@") else provider.lower()
        if not _PROVIDER.fullmatch(provider):
            raise refuse(PROVIDER_HEADER, "This must be the name of a provider, such as 'openai', or a virtual key's slug after '@'.")
    if provider is not None and provider.startswith("@"):
        slug = parse_virtual_key_slug(provider)
        if slug is None or virtual_key not in {None, slug}:
            raise refuse(
                PROVIDER_HEADER, f"This must be one virtual key's slug after '@', the same as in {VIRTUAL_KEY_HEADER} if that is sent."
            )
        provider, virtual_key = None, slug
    if _FIELDS.keys().isdisjoint(headers):
        return Credential(provider, virtual_key, api_key)
    fields = ((name, _field(headers, name)) for header, name in _FIELDS.items() if header in headers)
    return Credential(provider, virtual_key, api_key, tuple((name, value) for name, value in fields if value is not None))


def _field(headers: Mapping[str, str], name: str) -> str | Secret | None:
    header = header_of(name)
    text = headers.get(header, "").strip()
    if not text:
        return None
    if PROVIDER_FIELDS[name] is FieldKind.HIDDEN:
        if len(text) > LONGEST_SECRET:
            raise refuse(header, f"This must be at most {LONGEST_SECRET} characters.")
        return Secret(text)
    if wrong := what_is_wrong_with_field(name, text):
        raise refuse(header, wrong)
    return text


def _timeout(headers: Mapping[str, str]) -> int | None:
    text = headers.get(TIMEOUT_HEADER, "").strip()
    if not text:
        return None
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= LONGEST_TIMEOUT_MS:
        raise refuse(TIMEOUT_HEADER, f"This must be a whole number of milliseconds from 1 to {LONGEST_TIMEOUT_MS}.")
    return int(text)


def _custom_host(headers: Mapping[str, str]) -> str | None:
    text = headers.get(CUSTOM_HOST_HEADER, "").strip()
    if text and (wrong := what_is_wrong_with_url(text)):
        raise refuse(CUSTOM_HOST_HEADER, wrong)
    return text or None


def _forward_headers(headers: Mapping[str, str]) -> tuple[str, ...] | None:
    if (text := headers.get(FORWARD_HEADERS_HEADER)) is None:
        return None
    names = split_header_list(text)
    if len(names) > MOST_FORWARDED:
        raise refuse(FORWARD_HEADERS_HEADER, f"This must name at most {MOST_FORWARDED} headers.")
    for name in names:
        if wrong := what_is_wrong_with_forwarding(name):
            raise refuse(FORWARD_HEADERS_HEADER, wrong)
    return header_names(names)


def _file_options(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, tuple[str, str]] = {}
    if _FILE_OPTIONS.keys().isdisjoint(headers):
        return ()
    for header, name in _FILE_OPTIONS.items():
        text = headers.get(header, "").strip()
        if not text:
            continue
        if wrong := what_is_wrong_with_file_option(name, text):
            raise refuse(header, wrong)
        if name in found and found[name][1] != text:
            raise refuse(header, f"This says something else than {found[name][0]}, which means the same. Leave one out.")
        found.setdefault(name, (header, text))
    return tuple((name, text) for name, (_, text) in found.items())


def _metadata(headers: Mapping[str, str]) -> tuple[tuple[str, Scalar], ...]:
    text = headers.get(METADATA_HEADER, "").strip()
    if not text:
        return ()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refuse(METADATA_HEADER, 'This must be a JSON object, such as {"plan": "pro"}.') from error
    if not isinstance(values, dict):
        raise refuse(METADATA_HEADER, 'This must be a JSON object, such as {"plan": "pro"}.')
    return tuple((name, value) for name, value in values.items() if value is None or isinstance(value, str | int | float))
