"""Slugs: the short names by which virtual keys and configs are addressed."""

from __future__ import annotations

import re
from typing import Final

LONGEST_SLUG: Final = 128
CONFIG_PREFIX: Final = "pc-"
"""Begins every config's slug, so that it is never taken for a config document or for a virtual key."""

_SLUG: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST_SLUG - 1}}}", re.ASCII)
_OTHER: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_SUFFIX: Final = re.compile(r"[a-z0-9]{4,32}", re.ASCII)


def is_slug(text: str) -> bool:
    """Whether ``text`` may name anything: 1 to 128 of ``a-z 0-9 _ -``, a letter or digit first."""
    return _SLUG.fullmatch(text) is not None


def parse_config_slug(text: str) -> str | None:
    """The config that ``text`` names (``pc-...``), or None when it names none."""
    return text if text.startswith(CONFIG_PREFIX) and len(text) > len(CONFIG_PREFIX) and is_slug(text) else None


def parse_virtual_key_slug(text: str) -> str | None:
    """The virtual key that ``text`` names, written ``slug`` or ``@slug``, or None when it names none."""
    slug = text.removeprefix("@")
    return slug if is_slug(slug) and not slug.startswith(CONFIG_PREFIX) else None


def slug_from_name(name: str, suffix: str, *, prefix: str = "", longest_stem: int = 6) -> str:
    """A slug such as ``pc-nightl-1f09ac``: the beginning of ``name``, then ``suffix``, which makes it unlike every other.

    ``suffix`` comes from the caller, who has the random numbers: 4 to 32 of ``a-z 0-9``, otherwise ValueError. A name without a
    letter or digit that a slug can have leaves the suffix alone.
    """
    if not _SUFFIX.fullmatch(suffix):
        raise ValueError("a slug's suffix is 4 to 32 of a-z and 0-9")
    stem = _OTHER.sub("-", name[:1_000].lower()).strip("-")[:longest_stem].strip("-")
    if prefix == "" and f"{stem}-".startswith(CONFIG_PREFIX):
        stem = ""
    return prefix + (f"{stem}-{suffix}" if stem else suffix)
