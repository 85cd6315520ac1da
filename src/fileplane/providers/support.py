"""Which of the five calls a provider can do, in words, made from what its adapter declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fileplane.providers.base import Capabilities


class Extent(StrEnum):
    """How much of a call there is."""

    FULL = "full"
    GENERATED_ONLY = "generated_only"
    """Of a download: only what the provider has made itself, such as the results of a batch."""
    EXTRACTED_TEXT = "extracted_text"
    """Of a download: not the bytes, but a text that the provider has made of them."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CallSupport:
    """One call. ``reason`` says in a sentence what is lacking, and is None where nothing is."""

    extent: Extent
    reason: str | None = None


_FULL = CallSupport(Extent.FULL)


def support_of(capabilities: Capabilities) -> Mapping[str, CallSupport]:
    """Upload, list, retrieve, content and delete, in this order."""
    can = capabilities
    return {
        "upload": _FULL if can.upload else _none("The provider takes no uploads through its API."),
        "list": _FULL if can.list else _none("The provider has no list of files."),
        "retrieve": _FULL if can.get else _none("The provider describes no single file."),
        "content": _content(can),
        "delete": _FULL if can.delete else _none("The provider deletes no files through its API."),
    }


def _content(can: Capabilities) -> CallSupport:
    if not can.download:
        return _none("The provider gives no file's content out.")
    if not can.downloads_uploads:
        reason = "Only what the provider has made itself can be downloaded. It refuses what was uploaded."
        return CallSupport(Extent.GENERATED_ONLY, reason)
    if not can.original_bytes:
        return CallSupport(Extent.EXTRACTED_TEXT, "The provider answers with text that it has extracted, not with the file's bytes.")
    return _FULL


def _none(reason: str) -> CallSupport:
    return CallSupport(Extent.NONE, reason)
