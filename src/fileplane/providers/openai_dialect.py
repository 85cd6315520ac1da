"""OpenAI's own dialect, which all others are compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fileplane.catalog import JobKind
from fileplane.model import INPUT_PURPOSES, LONGEST_EXPIRY_SECONDS, SHORTEST_EXPIRY_SECONDS
from fileplane.providers.base import Capabilities, Expiry, PartUploads, Target
from fileplane.providers.dialects import Dialect

_MIB: Final = 1 << 20

OPENAI: Final = Dialect(
    name="openai",
    title="OpenAI",
    base_url="https://api.openai.com/v1",
    capabilities=Capabilities(
        expiry=Expiry(SHORTEST_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS),
        default_list_limit=10_000,
        max_list_limit=10_000,
        max_bytes=512 * _MIB,
        max_bytes_of={"batch": 200 * _MIB},
        purposes=frozenset(INPUT_PURPOSES),
        jobs=frozenset({JobKind.BATCH, JobKind.FINE_TUNING}),
        uploads=PartUploads(max_bytes=8 << 30, max_part_bytes=64 * _MIB),
        unverified=frozenset({"max_bytes", "ranges"}),
    ),
)

SOMEWHERE_ELSE: Final = replace(
    OPENAI,
    title="The provider at the custom host",
    capabilities=replace(
        OPENAI.capabilities,
        max_bytes=None,
        max_bytes_of={},
        purposes=None,
        uploads=PartUploads(),
        unverified=frozenset({"expiry", "paging", "max_list_limit", "max_bytes", "purposes", "ranges", "jobs", "uploads"}),
    ),
)
"""What speaks like OpenAI at a host of the caller's or operator's: its limits and purposes are its own."""


def dialect_of(target: Target) -> Dialect:
    """OpenAI's, with its limits only where it is OpenAI."""
    return OPENAI if target.custom_host is None else SOMEWHERE_ELSE
