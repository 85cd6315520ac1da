"""``fileplane cp``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fileplane.cli.completion import complete_location, complete_purpose
from fileplane.cli.connection import unwound_when_terminated
from fileplane.cli.content import standard_output
from fileplane.cli.copying import Checked, blamed, local_content, remote_content, verified_at_destination
from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.local_names import own_name
from fileplane.cli.locations import LocalPlace, Place, RemotePlace, read_place, way_to
from fileplane.cli.options import ConfigOption, JsonOption, QuietOption, duration
from fileplane.cli.output import print_json, print_line
from fileplane.cli.progress import Moving, Transfers
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient
    from fileplane.client.exchange import Buffer


Receive = Callable[[Checked, str, Moving], dict[str, Any]]
"""Takes the content, its purpose at the source, and who is told how far it is; gives the copy's part of the JSON output."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the copy is to be; None leaves it as it is at the source."""

    purpose: str | None
    filename: str | None
    expires_seconds: int | None
    force: bool


def cp(  # noqa: PLR0913, PLR0917 - each is an option
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="What to copy; see below.", autocompletion=complete_location)],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="Where to: a place without an ID, a path, or -.", autocompletion=complete_location)
    ],
    purpose: Annotated[
        str | None, typer.Option(help="Purpose of the copy. Without it, the source's.", autocompletion=complete_purpose)
    ] = None,
    filename: Annotated[str | None, typer.Option(help="Name of the copy. Without it, the source's.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d or 12h. Without it, the destination's rule.")] = None,
    custom_host: Annotated[
        list[str] | None,
        typer.Option(metavar="PROVIDER=URL", help="Base URL of a provider that is called with its own key; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite a file that exists here.")] = False,
    quiet: QuietOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a file between the native store, providers and this machine; the original stays.

    A place is fileplane:ID in Fileplane's own store, @SLUG:ID at a virtual key, PROVIDER:ID at a provider with the key that the
    environment has for it, a local path, or - for standard input or output. A DESTINATION that is remote has no ID: the file gets a
    new one, which is printed.

    Content passes through this process piece by piece, also from one provider to another, and is compared with the length and the
    SHA-256 that the source announced before the destination is told that it is complete. Name and purpose are kept. What the
    destination says that it has is compared as well.

    With --json: an object with source, destination, bytes, sha256, verified, and file, or path for a local copy.
    """
    origin, target = _places(source, destination)
    if isinstance(origin, LocalPlace) and purpose is None:
        raise leave(ExitCode.USAGE, "A local file has no purpose: give it one with --purpose.")
    if isinstance(origin, LocalPlace) and origin.is_stream and filename is None:
        raise leave(ExitCode.USAGE, "Standard input has no name: give it one with --filename.")
    if as_json and isinstance(target, LocalPlace) and target.is_stream:
        raise leave(ExitCode.USAGE, "--json and the content cannot both go to standard output.")
    wishes = Wishes(purpose, filename, None if expires_in is None else duration(expires_in), force)
    unwound_when_terminated()
    settings, hosts = load_settings(config=config).settings, _hosts(custom_host or [])
    transfers = Transfers(wanted=not quiet and not (isinstance(target, LocalPlace) and target.is_stream and os.isatty(1)))
    with (
        _receiver(target, settings, hosts, wishes) as receive,
        _opened(origin, settings, hosts, filename) as (content, kept_purpose),
        transfers.one(content.name, content.size) as moving,
        blamed(str(target)),
    ):
        made = receive(content, kept_purpose, moving)
    shown = {"source": str(origin), "destination": str(target), "bytes": content.passed, "sha256": content.sha256, **made}
    if as_json:
        print_json(shown)
    elif isinstance(target, RemotePlace):
        print_line(f"{target.name}:{made['file'].get('id')}  {content.name}")
    elif not target.is_stream:
        print_line(f"{made['path']}  {content.passed} bytes")


def _places(source: str, destination: str) -> tuple[Place, Place]:
    origin, target = read_place(source), read_place(destination)
    if isinstance(origin, LocalPlace) and isinstance(target, LocalPlace):
        raise leave(ExitCode.USAGE, "Both are places on this machine: use the system's own cp.")
    if isinstance(origin, RemotePlace) and not origin.file_id:
        raise leave(ExitCode.USAGE, f"Which file? Name it, such as {origin.name}:ID.")
    if isinstance(target, RemotePlace) and target.file_id:
        raise leave(ExitCode.USAGE, f"The copy gets an id of its own there: the DESTINATION is {target.name}:")
    return origin, target


def _hosts(given: list[str]) -> dict[str, str]:
    hosts = {}
    for text in given:
        name, equals, url = text.partition("=")
        if not equals or not url.startswith(("https://", "http://")) or not isinstance(read_place(f"{name}:"), RemotePlace):
            raise leave(ExitCode.USAGE, f"'{text}' is not such as openai=https://files.example.com/v1.")
        hosts[name] = url
    return hosts


@contextmanager
def _client(place: RemotePlace, settings: Settings, hosts: Mapping[str, str]) -> Iterator[FilesClient]:
    """Raises :class:`CommandFailed`, as everything in the block that fails because of this place, saying which place it is."""
    from fileplane.cli.client import FilesClient

    with blamed(str(place)):
        client = FilesClient(settings, way_to(place, os.environ, (settings.api_key or "").strip(), hosts))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _opened(origin: Place, settings: Settings, hosts: Mapping[str, str], filename: str | None) -> Iterator[tuple[Checked, str]]:
    """The content of the source, and its purpose. The name and the purpose are empty where the source does not tell them."""
    if isinstance(origin, LocalPlace):
        with blamed(str(origin)), local_content(origin.path, filename) as content:
            yield content, ""
        return
    with _client(origin, settings, hosts) as client:
        described = client.retrieve(origin.file_id)
        name, purpose = filename or described.get("filename"), described.get("purpose")
        with remote_content(client, origin, name if isinstance(name, str) else "") as content:
            yield content, purpose if isinstance(purpose, str) else ""


@contextmanager
def _receiver(target: Place, settings: Settings, hosts: Mapping[str, str], wishes: Wishes) -> Iterator[Receive]:
    """What the content is given to, once it is known that the destination can be called."""
    if isinstance(target, LocalPlace):
        yield lambda content, _, moving: _written(content, target, wishes, moving)
        return
    with _client(target, settings, hosts) as client:
        yield lambda content, purpose, moving: _sent(client, content, target, wishes, purpose, moving)


def _sent(client: FilesClient, content: Checked, target: RemotePlace, wishes: Wishes, kept_purpose: str, moving: Moving) -> dict[str, Any]:
    purpose = wishes.purpose or kept_purpose
    for value, option in ((content.name, "filename"), (purpose, "purpose")):
        if not value:
            raise leave(ExitCode.USAGE, f"The source does not tell the file's {option}: give it one with --{option}.")
    fields = {"purpose": purpose}
    if wishes.expires_seconds is not None:
        fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(wishes.expires_seconds)}
    file = client.create(fields, content.name, content.size, _counted(content, moving))
    return {"file": file, "verified": verified_at_destination(file, content, changes_content=target.may_change(purpose))}


def _written(content: Checked, target: LocalPlace, wishes: Wishes, moving: Moving) -> dict[str, Any]:
    if target.is_stream:
        _write(standard_output(), content, moving)
        return {"path": target.path, "verified": content.expected is not None}
    path = Path(target.path)
    if path.is_dir():
        path /= own_name(content.name, "Choose one with --filename.")
    from fileplane.cli.client import failures_told
    from fileplane.client.landing import appearing_whole

    with failures_told(), appearing_whole(path, overwrite=wishes.force) as descriptor:
        _write(descriptor, content, moving)
    return {"path": str(path), "verified": content.expected is not None}


def _write(descriptor: int, content: Checked, moving: Moving) -> None:
    from fileplane.client.landing import write_all

    for piece in _counted(content, moving):
        write_all(descriptor, memoryview(piece))


def _counted(content: Checked, moving: Moving) -> Iterator[Buffer]:
    for piece in content.pieces():
        yield piece
        moving.advance(len(piece))
