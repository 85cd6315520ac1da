"""Anthropic's Files API, as its guide and its SDK 2.12.0 have it (https://platform.claude.com/docs/en/build-with-claude/files).

It is near to OpenAI's, but for purposes, which it does not know, expiries, times in words, and lists that know no order. Files that were
uploaded are never downloaded: it refuses that itself, and its reason is passed on. What has expired it goes on describing for thirty days;
here such a file is gone, as it is at OpenAI, by the provider's own clock.

Two fields of a target say how it is spoken to. By ``anthropic_version`` the key is a bearer token, or before 2026-10-21 an ``x-api-key``.
By ``anthropic_beta`` with ``files-api-2025-04-14`` the answers have the shapes of the time before general availability: lists are paged by
the ids of files, and expiries are not told, so that none can be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fileplane.errors import InvalidValue
from fileplane.providers.access import Access, base_url_of, missing_credential
from fileplane.providers.base import Capabilities, Expiry, Paging, Target
from fileplane.providers.dialects import Dialect, ListOrder
from fileplane.providers.egress import Egress
from fileplane.providers.file_objects import seconds_of
from fileplane.providers.openai import OpenAIShaped
from fileplane.providers.overriding import overriding
from fileplane.secrets.values import Secret

VERSION: Final = "2026-10-21"
"""Where a target names none: the first version whose keys are bearer tokens."""
FILES_BETA: Final = "files-api-2025-04-14"
_VERSION_OF_BETA: Final = "2023-06-01"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_BETAS: Final = re.compile(r"[a-z0-9-]{1,100}(?:, ?[a-z0-9-]{1,100}){0,20}")
_MIB: Final = 1 << 20
_HOUR, _DAY = 3_600, 86_400


def _read(answer: Any, now: float) -> Any:
    if not isinstance(answer, dict):
        return answer
    expires_at = seconds_of(answer, "expires_at")
    return {**answer, "deleted": True} if expires_at is not None and expires_at <= now else answer


def _read_list(answer: Any, now: float) -> Any:
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        return answer
    return {**answer, "data": [_read(row, now) for row in answer["data"]]}


ANTHROPIC: Final = Dialect(
    name="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com/v1",
    sends_purpose=False,
    filters_purpose=False,
    has_status=False,
    order=ListOrder.NEWEST_FIRST,
    read=_read,
    read_list=_read_list,
    cursor_parameter="after_id",
    page_token=("page", "next_page"),
    expiry_field="expires_in_seconds",
    not_in_names=frozenset('<>:"|?*\\/') | frozenset(map(chr, range(32))),
    longest_name=255,
    capabilities=Capabilities(
        downloads_uploads=False,
        expiry=Expiry(_HOUR, 90 * _DAY),
        paging=Paging.TOKEN,
        max_list_limit=1_000,
        max_bytes=500 * _MIB,
        keeps_purpose=False,
        unverified=frozenset({"ranges", "accepts_empty"}),
    ),
)
ANTHROPIC_BETA: Final = replace(
    ANTHROPIC,
    title=f"Anthropic with {FILES_BETA}",
    capabilities=replace(ANTHROPIC.capabilities, expiry=None, paging=Paging.CURSOR),
)


def anthropic(egress: Egress, overrides: str | None = None) -> OpenAIShaped:
    """The adapter."""
    return OpenAIShaped("anthropic", egress, overriding("anthropic", dialect_of, overrides), _access)


def dialect_of(target: Target) -> Dialect:
    """How a target is spoken to. Raises :class:`~fileplane.errors.InvalidValue` for a version or a beta that is none."""
    _version(target)
    return ANTHROPIC_BETA if FILES_BETA in _betas(target) else ANTHROPIC


async def _access(target: Target, dialect: Dialect) -> Access:
    key = target.secrets.get("api_key")
    if key is None and target.custom_host is None:
        raise missing_credential(dialect.title)
    version, betas = _version(target), _betas(target)
    headers = {"anthropic-version": version, **({"anthropic-beta": ",".join(betas)} if betas else {})}
    return Access(base_url_of(target, dialect.base_url), {} if key is None else _credential(key, version), headers)


def _credential(key: Secret, version: str) -> Mapping[str, Secret]:
    return {"x-api-key": key} if version < VERSION else {"Authorization": Secret(f"Bearer {key.reveal()}")}


def _version(target: Target) -> str:
    version = target.fields.get("anthropic_version") or (_VERSION_OF_BETA if FILES_BETA in _betas(target) else VERSION)
    if not _DATE.fullmatch(version):
        raise InvalidValue("The version of Anthropic's API is a date such as 2026-10-21.", param="x-portkey-anthropic-version")
    return version


def _betas(target: Target) -> list[str]:
    said = target.fields.get("anthropic_beta", "")
    if said and not _BETAS.fullmatch(said):
        raise InvalidValue(f"Anthropic's betas are names such as {FILES_BETA}, with commas between them.", param="x-portkey-anthropic-beta")
    return [name for name in re.split(", ?", said) if name]
