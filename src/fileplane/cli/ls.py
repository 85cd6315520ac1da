"""``fileplane ls``."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileplane.cli.connection import connected
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, JsonOption
from fileplane.cli.output import JsonArray, Listing, print_json, shown_time, terminal_safe

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient

_COLUMNS: Final = {"ID": 36, "CREATED": 20, "BYTES": 12, "PURPOSE": 12, "EXPIRES": 20, "NAME": 0}


class Order(StrEnum):
    """By time of creation."""

    ASC = "asc"
    DESC = "desc"


def ls(
    purpose: Annotated[str | None, typer.Option(help="Only files of this purpose.")] = None,
    limit: Annotated[int | None, typer.Option(help="Files in one page. Without it, the server's default.")] = None,
    order: Annotated[Order | None, typer.Option(help="By time of creation; newest first without it.")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Begin after this file.")] = None,
    every_page: Annotated[bool, typer.Option("--all", help="Fetch page after page, to the end.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="Of the deleted files that can still be taken back instead.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List files: id, time of creation, bytes, purpose, time of expiry and name; for programs, separated by tabs.

    With --json: the list as the server sends it; with --all as well, one list of everything.
    """
    given = {"purpose": purpose, "limit": limit, "order": order, "after": after, "deleted": "true" if deleted else None}
    query = {name: str(value) for name, value in given.items() if value is not None}
    with connected(config) as client:
        if not every_page:
            _show_page(client.page(query), as_json)
        elif as_json:
            with JsonArray('{"object": "list", "data": ', ', "has_more": false}') as array:
                for file in _every_file(client, query):
                    array.add(file)
        else:
            _show(_every_file(client, query))


def _show_page(page: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(page)
        return
    _show(iter(page["data"]))
    if page["data"] and page.get("has_more"):
        typer.echo(terminal_safe(f"There are more: --after {page['data'][-1]['id']} shows the next page, --all every page."), err=True)


def _every_file(client: FilesClient, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    while True:
        page = client.page(query)
        yield from page["data"]
        if not page["data"] or not page.get("has_more"):
            return
        last = page["data"][-1]["id"]
        if last == query.get("after"):
            raise CommandFailed(ExitCode.UNAVAILABLE, "The server sends the same page again and again.")
        query = {**query, "after": last}


def _show(files: Iterator[dict[str, Any]]) -> None:
    listing = Listing(tuple(_COLUMNS), tuple(_COLUMNS.values()))
    for file in files:
        created, expires = shown_time(file.get("created_at")), shown_time(file.get("expires_at"))
        values = (file["id"], created, file.get("bytes", ""), file.get("purpose", ""), expires, file.get("filename", ""))
        listing.row([str(value) for value in values])
