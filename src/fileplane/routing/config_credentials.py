"""The credential of a target: a virtual key, or a provider with a key and fields of its own."""

from __future__ import annotations

import json
import re
from typing import Final

from fileplane.routing.config_fields import PROVIDER_FIELDS, FieldKind
from fileplane.routing.config_options import LONGEST_URL, what_is_wrong_with_url
from fileplane.routing.config_reader import ObjectReader
from fileplane.routing.config_values import Credential
from fileplane.routing.slugs import parse_virtual_key_slug
from fileplane.secrets.values import REDACTED, Secret

LONGEST_SECRET: Final = 16 * 1_024

_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_URL_PART: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]{0,254}", re.ASCII)


def read_credential(reader: ObjectReader) -> Credential:
    """What the target itself says of where it goes and as whom."""
    provider, virtual_key = _provider(reader), _virtual_key(reader)
    if provider is not None and provider.startswith("@"):
        slug = provider.removeprefix("@")
        if virtual_key not in {None, slug}:
            reader.problem("virtual_key", "'provider' names another virtual key. Leave one of them out.")
        provider, virtual_key = None, slug
    fields = ((name, _field(reader, name, kind)) for name, kind in PROVIDER_FIELDS.items() if reader.has(name))
    return Credential(
        provider, virtual_key, _secret(reader, "api_key"), tuple((name, value) for name, value in fields if value is not None)
    )


def _provider(reader: ObjectReader) -> str | None:
    text = reader.text("provider")
    if text is None or (text.startswith("@") and parse_virtual_key_slug(text)) or _PROVIDER.fullmatch(text):
        return text
    reader.problem("provider", "This must be the name of a provider in lower case, such as 'openai', or a virtual key's slug after '@'.")
    return None


def _virtual_key(reader: ObjectReader) -> str | None:
    text = reader.text("virtual_key")
    slug = None if text is None else parse_virtual_key_slug(text)
    if text is not None and slug is None:
        reader.problem("virtual_key", "This must be the slug of a virtual key: a-z, 0-9, '_' and '-', a letter or digit first.")
    return slug


def _field(reader: ObjectReader, name: str, kind: FieldKind) -> str | Secret | None:
    if isinstance(reader.values[name], bool) and kind is FieldKind.TEXT:
        return "true" if reader.values[name] else "false"
    if kind is FieldKind.HIDDEN:
        return _secret(reader, name)
    text = reader.text(name, longest=LONGEST_URL)
    wrong = None if text is None else what_is_wrong_with_field(name, text)
    if wrong is not None:
        reader.problem(name, wrong)
    return text if wrong is None else None


def what_is_wrong_with_field(name: str, text: str) -> str | None:
    """Why ``text`` cannot be the value of a provider's field, or None. Nothing may turn a part of a URL into another host or path."""
    kind = PROVIDER_FIELDS[name]
    if kind is FieldKind.URL:
        return what_is_wrong_with_url(text)
    if kind is FieldKind.PART and (not _URL_PART.fullmatch(text) or ".." in text):
        return "This becomes part of a URL: at most 255 of letters, digits, '.', '_', '~' and '-', a letter or digit first."
    return None


def _secret(reader: ObjectReader, name: str) -> Secret | None:
    value = reader.values.get(name)
    if name == "vertex_service_account_json" and isinstance(value, dict):
        return Secret(json.dumps(value))
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_SECRET:
        reader.problem(name, f"This must be a text of 1 to {LONGEST_SECRET} characters.")
        return None
    if value == REDACTED:
        reader.problem(name, "This stands for a secret that is not shown. Write the secret itself, or keep it in a virtual key.")
        return None
    if name != "vertex_service_account_json" and not value.isprintable():
        reader.problem(name, "This must have no line break or other control character.")
        return None
    return Secret(value)
