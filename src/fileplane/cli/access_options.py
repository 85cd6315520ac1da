"""Options for the limits and defaults of projects and API keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from fileplane.cli.exits import ExitCode, leave
from fileplane.control.changes import DefaultChanges, LimitChanges
from fileplane.setting_values import parse_size
from fileplane.unset import UNSET, UnsetType

NONE: Final = "none"
"""Lifts a limit, removes a default, and ends an expiry."""
_LARGEST: Final = 2**53
_LONGEST_METADATA: Final = 128

DescriptionOption = Annotated[str | None, typer.Option(help="What it is for, in a sentence.")]
StorageOption = Annotated[str | None, typer.Option("--storage", help="Bytes that may be kept, such as 50GiB; none lifts the limit.")]
FilesOption = Annotated[str | None, typer.Option("--files", help="Files that may be kept.")]
FileSizeOption = Annotated[str | None, typer.Option("--file-size", help="Bytes that one file may have, such as 512MiB.")]
RequestsOption = Annotated[str | None, typer.Option("--requests-per-minute", help="Requests a minute.")]
UploadOption = Annotated[str | None, typer.Option("--upload-per-day", help="Bytes that may be uploaded in a day (UTC), such as 10GiB.")]
ConcurrencyOption = Annotated[str | None, typer.Option("--concurrent-uploads", help="Uploads at once.")]
DefaultConfigOption = Annotated[
    str | None, typer.Option("--default-config", help="Config (pc-...) that requests go by which name no route; none removes it.")
]
OverrideOption = Annotated[bool | None, typer.Option("--override/--no-override", help="Whether a request may name another route.")]
MetadataOption = Annotated[
    list[str] | None, typer.Option("--metadata", help="Such as team=research; repeat for several. Replaces what was set; none removes.")
]


def limits_given(
    storage: str | None,
    files: str | None,
    file_size: str | None,
    requests_per_minute: str | None,
    upload_per_day: str | None,
    concurrent_uploads: str | None,
) -> LimitChanges:
    """The change that the options ask for. Exits with a usage message for what is no limit."""
    given: tuple[tuple[str, str, str | None, Callable[[object], int]], ...] = (
        ("storage_bytes", "--storage", storage, parse_size),
        ("files", "--files", files, _count),
        ("file_bytes", "--file-size", file_size, parse_size),
        ("requests_per_minute", "--requests-per-minute", requests_per_minute, _rate),
        ("upload_bytes_per_day", "--upload-per-day", upload_per_day, parse_size),
        ("concurrent_uploads", "--concurrent-uploads", concurrent_uploads, _rate),
    )
    return LimitChanges({name: _limit(option, text, parse) for name, option, text, parse in given if text is not None})


def defaults_given(default_config: str | None, override: bool | None, metadata: list[str] | None) -> DefaultChanges:
    """The change that the options ask for. Exits with a usage message for what is no metadata."""
    config: str | UnsetType | None = UNSET if default_config is None else None if default_config == NONE else default_config
    pairs: dict[str, str] | UnsetType = UNSET
    if metadata is not None:
        pairs = dict(_pair(text) for text in metadata if text != NONE)
    return DefaultChanges(config, UNSET if override is None else override, pairs)


def _limit(option: str, text: str, parse: Callable[[object], int]) -> int | None:
    if text == NONE:
        return None
    try:
        value = parse(text)
    except ValueError as error:
        raise leave(ExitCode.USAGE, f"{option} must be {error}, or none.") from error
    if value > _LARGEST:
        raise leave(ExitCode.USAGE, f"{option} must be at most {_LARGEST}.")
    return value


def _count(value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit():
        raise ValueError("a whole number from 0 upward")
    return int(text[:20])


def _rate(value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit() or int(text[:20]) == 0:
        raise ValueError("a whole number from 1 upward")
    return int(text[:20])


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or len(name) > _LONGEST_METADATA or len(value) > _LONGEST_METADATA:
        raise leave(ExitCode.USAGE, f"'{text[:80]}' is no metadata: use name=value, each at most {_LONGEST_METADATA} characters.")
    return name, value
