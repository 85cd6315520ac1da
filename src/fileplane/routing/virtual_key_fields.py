"""What a virtual key's fields may be: each checked against the table of providers, with errors that name the field as it was sent."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from fileplane.errors import InvalidValue, MissingParameter, UnknownParameter
from fileplane.providers.without_files import WITHOUT_FILES
from fileplane.routing.providers import PROVIDER_ALIASES, PROVIDERS, CredentialField, ProviderEntry
from fileplane.secrets.references import Reference, ReferenceInvalid, parse_reference
from fileplane.secrets.values import Secret

_LONGEST: Final = 64 * 1024
_LONGEST_HOST: Final = 2_048
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_HOST_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
_SERVICE_ACCOUNT: Final = ("client_email", "private_key")


@dataclass(frozen=True, slots=True)
class CheckedFields:
    """A virtual key's fields, told apart by how each is kept. ``removed`` names those that are to be no more."""

    clear: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()


def find_provider(name: object, param: str = "provider") -> ProviderEntry:
    """The entry of a provider. Raises :class:`InvalidValue` with a suggestion, if one comes near."""
    if isinstance(name, str) and name in PROVIDERS:
        return PROVIDERS[name]
    if isinstance(name, str) and name in WITHOUT_FILES:
        raise InvalidValue(
            f"Fileplane knows no API for files at {WITHOUT_FILES[name]}, so a credential for it would serve nothing and is not kept. "
            f"Providers: {', '.join(sorted(PROVIDERS))}.",
            param=param,
        )
    wanted = name.strip().lower() if isinstance(name, str) else ""
    near = PROVIDER_ALIASES.get(wanted) or next(iter(difflib.get_close_matches(wanted, PROVIDERS, n=1)), None)
    suggestion = f"Did you mean '{near}'? " if near else ""
    shown = f"'{name[:80]}'" if isinstance(name, str) else "what was sent"
    raise InvalidValue(f"There is no provider {shown}. {suggestion}Providers: {', '.join(sorted(PROVIDERS))}.", param=param)


def checked_fields(entry: ProviderEntry, given: Mapping[str, object], kept: Iterable[str] = (), prefix: str = "") -> CheckedFields:
    """Checks the fields that were sent, by our names or by Portkey's.

    None removes a field. ``kept`` names those that are there already and stay unless removed or sent again; together they must make the
    credential complete. ``prefix`` goes before the names in errors, such as ``model_config.``. Raises :class:`UnknownParameter`,
    :class:`InvalidValue` or :class:`MissingParameter`, none of which shows what a secret field holds.
    """
    clear: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    references: dict[str, Reference] = {}
    removed: set[str] = set()
    spelled: dict[str, str] = {}
    for sent, value in given.items():
        param = f"{prefix}{sent}"
        found = _find_field(entry, sent, param)
        if found.name in spelled:
            raise InvalidValue(f"'{param}' and '{spelled[found.name]}' are the same field. Send one of them.", param=param)
        spelled[found.name] = param
        if value is None:
            removed.add(found.name)
            continue
        text = _text_of(found, value, param)
        if not found.secret:
            clear[found.name] = text
        elif (reference := _reference_of(text, param)) is not None:
            references[found.name] = reference
        else:
            _check_secret(found, text, param)
            secrets[found.name] = Secret(text)
    present = {*clear, *secrets, *references, *(name for name in kept if name not in removed)}
    _require_complete(entry, present, clear, spelled, prefix)
    return CheckedFields(clear, secrets, references, frozenset(removed))


def check_custom_host(entry: ProviderEntry, value: object, param: str = "custom_host") -> str | None:
    """The base URL that a credential is sent to, or None for the provider's own.

    Only its form is decided here: whether the host may be reached is for the egress policy, each time. Raises :class:`InvalidValue` or,
    where the provider has no host of its own, :class:`MissingParameter`.
    """
    if value is None or value == "":
        if entry.needs_host:
            raise MissingParameter(f"{entry.title} has no host of its own: set {param}, such as https://files.example.com/v1.", param=param)
        return None
    wrong = InvalidValue(
        f"{param} must be a base URL such as https://files.example.com/v1, without user, query and fragment, at most {_LONGEST_HOST} "
        "characters.",
        param=param,
    )
    if not isinstance(value, str) or len(value) > _LONGEST_HOST or not value.isascii() or set(value) & set("\\?#@ \t\r\n"):
        raise wrong
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise wrong from None
    host = url.hostname or ""
    if url.scheme not in {"https", "http"} or port == 0 or not (_HOST.fullmatch(host) or _is_address(host)):
        raise wrong
    if not _HOST_PATH.fullmatch(url.path) or {".", ".."} & set(url.path.split("/")):
        raise wrong
    return value.rstrip("/")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _find_field(entry: ProviderEntry, sent: str, param: str) -> CredentialField:
    names = {name: found for found in entry.fields.values() for name in (found.name, *found.aliases)}
    if sent in names:
        return names[sent]
    near = next(iter(difflib.get_close_matches(sent, names, n=1)), None)
    suggestion = f"Did you mean '{near}'? " if near else ""
    raise UnknownParameter(f"{entry.title} has no field '{param[:80]}'. {suggestion}Fields: {', '.join(entry.fields)}.", param=param[:80])


def _text_of(found: CredentialField, value: object, param: str) -> str:
    """The value as text, within bounds. What is no secret must match its pattern."""
    if found.service_account and isinstance(value, Mapping):
        value = json.dumps(dict(value))
    if found.several:
        value = _joined(value)
    if not isinstance(value, str) or not value:
        raise InvalidValue(f"'{param}' must be a text that is not empty.", param=param)
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidValue(f"'{param}' is no text that can be sent.", param=param) from None
    if size > _LONGEST:
        raise InvalidValue(f"'{param}' may have at most {_LONGEST} bytes.", param=param)
    if not found.secret and found.pattern is not None and not found.pattern.fullmatch(value):
        example = f", such as {found.example}" if found.example else ""
        raise InvalidValue(f"'{param}' does not look like what it should be{example}. {found.help}", param=param)
    return value


def _joined(value: object) -> object:
    """The elements of a list, or of a text that is a JSON array, as one text; anything else as it is."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, list):
        return ",".join(value) if all(isinstance(one, str) and "," not in one for one in value) else None
    return ",".join(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _reference_of(text: str, param: str) -> Reference | None:
    try:
        return parse_reference(text)
    except ReferenceInvalid as error:
        raise InvalidValue(f"'{param}' must be {error}, or a secret that does not begin like one.", param=param) from None


def _check_secret(found: CredentialField, text: str, param: str) -> None:
    if found.service_account:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not all(isinstance(document.get(name), str) for name in _SERVICE_ACCOUNT):
            raise InvalidValue(f"'{param}' must be a service account's JSON key, with {' and '.join(_SERVICE_ACCOUNT)}.", param=param)
    elif found.pattern is not None and not found.pattern.fullmatch(text):
        raise InvalidValue(f"'{param}' may have printable ASCII characters only, and no spaces.", param=param)


def _require_complete(entry: ProviderEntry, present: set[str], clear: Mapping[str, str], spelled: Mapping[str, str], prefix: str) -> None:
    """Raises for the field that the nearest way still lacks."""
    lacking = [[need for need in way if not _has(need, present, clear)] for way in entry.ways]
    if not all(lacking):
        return
    # Of several ways, the one that most was sent for: the others' fields were not meant.
    way, lacks = min(zip(entry.ways, lacking, strict=True), key=lambda pair: len(pair[1]) - 0.5 * (len(pair[0]) - len(pair[1])))
    shown = " or ".join(" + ".join(way) for way in entry.ways)
    # Where nothing is there yet of the only way, what it lacks is what it needs.
    lack = "" if len(entry.ways) == 1 and lacks == list(way) else f"; of {' + '.join(way)} there is no {', '.join(lacks)}"
    missing = lacks[0].partition("=")[0]
    raise MissingParameter(
        f"A credential for {entry.title} needs {shown}{lack}.",
        param=spelled.get(missing, f"{prefix}{missing}"),
    )


def _has(need: str, present: set[str], clear: Mapping[str, str]) -> bool:
    name, _, wanted = need.partition("=")
    return name in present and (not wanted or clear.get(name, wanted) == wanted)
