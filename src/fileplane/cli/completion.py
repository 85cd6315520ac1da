"""What a shell is offered for the word that is being typed.

A shell asks with every press of a key: nothing here fails, prints or takes longer than :data:`DEADLINE_SECONDS`, whatever the server
does. Only what is plain enough to need no quoting in any shell is offered; a server's answer is never more than that.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from fileplane.model import INPUT_PURPOSES, OUTPUT_PURPOSES
from fileplane.routing.headers import NATIVE_PROVIDER
from fileplane.routing.providers import PROVIDERS

DEADLINE_SECONDS: Final = 1.0
_PLAIN: Final = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._:/+-]{0,1023}")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9._/+-]{1,1024}")
_MOST_FILES: Final = 100
_MOST_PATHS: Final = 200


def complete_purpose(incomplete: str) -> list[str]:
    """Purposes that files can be uploaded with."""
    return _beginning(incomplete, INPUT_PURPOSES)


def complete_listed_purpose(incomplete: str) -> list[str]:
    """Purposes that files can have."""
    return _beginning(incomplete, (*INPUT_PURPOSES, *OUTPUT_PURPOSES))


def complete_file_id(incomplete: str) -> list[str]:
    """Ids of the newest files in the native store or wherever the project's calls go."""
    return _beginning(incomplete, _within_deadline(lambda: _file_ids({})))


def complete_virtual_key(incomplete: str) -> list[str]:
    """Slugs of virtual keys, where the API key may list them."""
    return _beginning(incomplete, _within_deadline(_virtual_keys))


def complete_provider(incomplete: str) -> list[str]:
    """Names of providers."""
    return _beginning(incomplete, PROVIDERS)


def complete_location(incomplete: str) -> list[str]:
    """Where `fileplane cp` can copy from or to: providers, virtual keys, files there, and local paths."""
    place, colon, _ = incomplete.partition(":")
    if colon and place == NATIVE_PROVIDER:
        return _beginning(incomplete, [f"{place}:{name}" for name in _within_deadline(lambda: _file_ids(_native()))])
    if colon and place.startswith("@"):
        headers = {"x-portkey-virtual-key": place[1:]}
        return _beginning(incomplete, [f"{place}:{name}" for name in _within_deadline(lambda: _file_ids(headers))])
    if incomplete.startswith("@"):
        return _beginning(incomplete, [f"@{slug}:" for slug in _within_deadline(_virtual_keys)])
    places = [f"{name}:" for name in (NATIVE_PROVIDER, *PROVIDERS)]
    return [*_beginning(incomplete, places), *_local_paths(incomplete)]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


def _local_paths(incomplete: str) -> Iterator[str]:
    folder, slash, begin = incomplete.rpartition("/")
    try:
        found = sorted(Path(folder + slash or ".").iterdir())[:_MOST_PATHS]
        names = [folder + slash + entry.name + ("/" if entry.is_dir() else "") for entry in found]
    except (OSError, ValueError):
        return
    hidden = begin.startswith(".")
    for name in names:
        shown = hidden or not name[len(folder + slash) :].startswith(".")
        if shown and name.startswith(incomplete) and _PLAIN_PATH.fullmatch(name):
            yield name


def _native() -> dict[str, str]:
    return {"x-portkey-provider": NATIVE_PROVIDER}


def _file_ids(headers: dict[str, str]) -> list[str]:
    page = _asked("/files", {"limit": str(_MOST_FILES)}, headers)
    return [file["id"] for file in page["data"] if _PLAIN.fullmatch(file["id"])]


def _virtual_keys() -> list[str]:
    page = _asked("/virtual-keys", {}, {})
    return [str(key["slug"]) for key in page["data"]]


def _asked(path: str, query: dict[str, str], headers: dict[str, str]) -> Any:
    from fileplane.cli.client import FilesClient
    from fileplane.setting_sources import load_settings

    client = FilesClient(load_settings(config=None).settings, headers)
    try:
        return client.document(path, query)
    finally:
        client.close()


def _within_deadline(ask: Callable[[], list[str]]) -> list[str]:
    """What a thread that nobody waits for any longer has found out until then; nothing for any failure."""
    found: list[str] = []

    def run() -> None:
        try:
            found.extend(ask())
        except Exception:  # noqa: BLE001 - no failure of a completion is worth a message in the middle of a line
            return

    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(DEADLINE_SECONDS)
    return list(found)
