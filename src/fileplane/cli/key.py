"""``fileplane key create|list|show|update|rotate|revoke``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from fileplane.access import ALL_SCOPES, DEFAULT_PROJECT, FILE_SCOPES, ApiKey, KeyKind, Scope
from fileplane.cli.access_options import (
    NONE,
    ConcurrencyOption,
    DefaultConfigOption,
    DescriptionOption,
    FileSizeOption,
    FilesOption,
    MetadataOption,
    OverrideOption,
    RequestsOption,
    StorageOption,
    UploadOption,
    defaults_given,
    limits_given,
)
from fileplane.cli.administration import with_metadata
from fileplane.cli.exits import ExitCode, complain, leave
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption, duration
from fileplane.cli.output import print_json, print_line, print_table, shown_time
from fileplane.cli.project import shown_bounds
from fileplane.clock import SystemClock
from fileplane.control.api_keys import DEFAULT_OVERLAP_MS, LONGEST_OVERLAP_MS, ApiKeys, KeyChanges, Rotated
from fileplane.control.authority import OPERATOR
from fileplane.errors import RecordNotFound
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.control import UnknownProject
from fileplane.model import Origin
from fileplane.unset import UNSET, UnsetType

_LONGEST_NAME: Final = 100
_USUAL_SCOPES: Final = FILE_SCOPES | {Scope.AUDIT_LOGS_VIEW.value, Scope.USAGE_VIEW.value}
_AT_ONCE: Final = "0"

KeyIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `fileplane key list` shows it.")]

key = typer.Typer(help="Make, list, change and revoke API keys, on the machine that has the data directory.", no_args_is_help=True)


@key.command("create")
def create_key(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    project: Annotated[str, typer.Option(help="Project that the key belongs to.")] = DEFAULT_PROJECT,
    organisation: Annotated[
        bool, typer.Option("--organisation", help="A key of the organisation, for what concerns all projects.")
    ] = False,
    user: Annotated[str | None, typer.Option(help="Whose key it is; without it, it is a service's.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the key may do; repeat for several. Without it: everything with files, the audit log and usage; of an "
            "organisation's key everything."
        ),
    ] = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d, 12h, 45m. Without it the key does not expire.")] = None,
    description: DescriptionOption = None,
    storage: StorageOption = None,
    files: FilesOption = None,
    file_size: FileSizeOption = None,
    requests_per_minute: RequestsOption = None,
    upload_per_day: UploadOption = None,
    concurrent_uploads: ConcurrencyOption = None,
    default_config: DefaultConfigOption = None,
    override: OverrideOption = None,
    metadata: MetadataOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and show it, this once."""
    _require_output()
    if organisation and user is not None:
        raise leave(ExitCode.USAGE, "The organisation has service keys only: leave --user out.")
    kind = KeyKind.ORGANISATION_SERVICE if organisation else KeyKind.WORKSPACE_SERVICE if user is None else KeyKind.WORKSPACE_USER
    wanted = KeyChanges(
        _checked_name(name),
        description,
        sorted(_checked_scopes(scope) or (ALL_SCOPES if organisation else _USUAL_SCOPES)),
        None if expires_in is None else int(time.time()) + duration(expires_in),
        limits_given(storage, files, file_size, requests_per_minute, upload_per_day, concurrent_uploads),
        defaults_given(default_config, override, metadata),
    )
    made, plain = with_metadata(context, config, data_dir, lambda store: _create(store, kind, project, wanted, user))
    with _shown_or_told(made):
        if as_json:
            print_json({**describe(made), "key": plain})
            return
        typer.echo(plain)
    typer.echo(f"This is shown once. Revoke it with: fileplane key revoke {made.id}", err=True)


async def _create(store: MetadataStore, kind: KeyKind, project: str, wanted: KeyChanges, user: str | None) -> tuple[ApiKey, str]:
    try:
        await store.find_project(project)
    except UnknownProject as error:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{project}'. Make it with: fileplane project create {project}") from error
    return await ApiKeys(store, SystemClock()).create(OPERATOR, kind, project, wanted, user, Origin())


@key.command("list")
def list_keys(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only the keys of this project.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List API keys, oldest first; of the keys themselves only the last four characters are known."""
    keys = with_metadata(context, config, data_dir, lambda store: _every(store, project))
    if as_json:
        print_json([describe(entry) for entry in keys])
        return
    rows = [
        [entry.id, entry.project_slug, entry.name, f"…{entry.hint}", entry.kind.value, _shown_scopes(entry), state_of(entry)]
        for entry in keys
    ]
    print_table(["id", "project", "name", "key", "kind", "scopes", "state"], rows)


async def _every(store: MetadataStore, project: str | None) -> list[ApiKey]:
    """Those that have been revoked too, which the API does not show."""
    try:
        return await store.list_api_keys(None if project is None else (await store.find_project(project)).id)
    except UnknownProject as error:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{project}'.") from error


@key.command("show")
def show_key(
    context: typer.Context,
    key_id: KeyIdArgument,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an API key with its limits and defaults."""
    entry = with_metadata(context, config, data_dir, lambda store: _known(store, key_id))
    if as_json:
        print_json(describe(entry))
        return
    for title, value in (
        ("id", entry.id),
        ("project", entry.project_slug),
        ("name", entry.name),
        ("description", entry.description or "-"),
        ("key", f"…{entry.hint}"),
        ("kind", entry.kind.value),
        ("user", entry.user_id or "-"),
        ("scopes", _shown_scopes(entry)),
        ("without meaning here", " ".join(sorted(entry.other_scopes)) or "-"),
        ("state", state_of(entry)),
        ("created", shown_time(entry.created_at)),
        ("changed", shown_time(entry.updated_at)),
        ("expires", shown_time(entry.expires_at)),
        ("last used", shown_time(entry.last_used_at)),
        *shown_bounds(entry),
    ):
        print_line(f"{title}: {value}")


@key.command("update")
def update_key(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    key_id: KeyIdArgument,
    name: Annotated[str | None, typer.Option(help="What the key is for.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="What the key may do, instead of what it could; repeat for several.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d, 12h, 45m from now; none for never.")] = None,
    description: DescriptionOption = None,
    storage: StorageOption = None,
    files: FilesOption = None,
    file_size: FileSizeOption = None,
    requests_per_minute: RequestsOption = None,
    upload_per_day: UploadOption = None,
    concurrent_uploads: ConcurrencyOption = None,
    default_config: DefaultConfigOption = None,
    override: OverrideOption = None,
    metadata: MetadataOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is named of an API key, and leave the rest. Running servers heed it within 5 seconds."""
    expires_at: int | UnsetType | None = UNSET
    if expires_in is not None:
        expires_at = None if expires_in == NONE else int(time.time()) + duration(expires_in)
    changes = KeyChanges(
        UNSET if name is None else _checked_name(name),
        UNSET if description is None else description or None,
        sorted(_checked_scopes(scope)) if scope else UNSET,
        expires_at,
        limits_given(storage, files, file_size, requests_per_minute, upload_per_day, concurrent_uploads),
        defaults_given(default_config, override, metadata),
    )

    async def update(store: MetadataStore) -> ApiKey:
        await _known(store, key_id)
        return await ApiKeys(store, SystemClock()).update(OPERATOR, key_id, changes, Origin())

    entry = with_metadata(context, config, data_dir, update)
    if as_json:
        print_json(describe(entry))
    else:
        print_line(f"updated {entry.id}")


@key.command("rotate")
def rotate_key(
    context: typer.Context,
    key_id: KeyIdArgument,
    overlap: Annotated[
        str, typer.Option(help="How long the key goes on working in the form that it has now, such as 1h, at most 30d; 0 ends it at once.")
    ] = f"{DEFAULT_OVERLAP_MS // 3_600_000}h",
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an API key a new form, with the same id and rights, and show it, this once."""
    _require_output()
    overlap_ms = 0 if overlap == _AT_ONCE else duration(overlap) * 1_000
    if overlap_ms > LONGEST_OVERLAP_MS:
        raise leave(ExitCode.USAGE, "--overlap must be at most 30d.")

    async def rotate(store: MetadataStore) -> Rotated:
        await _known(store, key_id)
        return await ApiKeys(store, SystemClock()).rotate(OPERATOR, key_id, overlap_ms, Origin())

    rotated = with_metadata(context, config, data_dir, rotate)
    with _shown_or_told(rotated.key):
        if as_json:
            print_json({**describe(rotated.key), "key": rotated.plain, "former_ends_at": rotated.former_ends_at})
            return
        typer.echo(rotated.plain)
    typer.echo(f"This is shown once. The key works in its former form until {shown_time(rotated.former_ends_at)}.", err=True)


@key.command("revoke")
def revoke_key(
    context: typer.Context,
    key_id: KeyIdArgument,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Revoke an API key. Running servers stop accepting it within 5 seconds."""
    if not with_metadata(context, config, data_dir, lambda store: store.revoke_api_key(key_id, Origin())):
        raise _unknown(key_id)
    print_line(f"revoked {key_id}")


def _require_output() -> None:
    """A key that is shown to nobody would be in force all the same."""
    if sys.stdout is None:
        raise leave(ExitCode.FAILED, "There is no standard output to show the key on. Nothing was changed.")


@contextmanager
def _shown_or_told(made: ApiKey) -> Iterator[None]:
    """For the printing of a key: where nothing takes it, such as a full disk, it is said what is in force now without anybody having it."""
    try:
        yield
    except OSError:
        complain(f"The key {made.id} cannot be shown, now or later. Revoke it with: fileplane key revoke {made.id}")
        raise


async def _known(store: MetadataStore, key_id: str) -> ApiKey:
    try:
        return await ApiKeys(store, SystemClock()).get(OPERATOR, key_id)
    except RecordNotFound as error:
        raise _unknown(key_id) from error


def _unknown(key_id: str) -> typer.Exit:
    return leave(ExitCode.NOT_FOUND, f"There is no API key with the id '{key_id}'. See: fileplane key list")


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= _LONGEST_NAME:
        raise leave(ExitCode.USAGE, f"A key's name has 1 to {_LONGEST_NAME} characters.")
    return name


def _checked_scopes(scopes: Iterable[str] | None) -> frozenset[str]:
    """On the command line, a name without meaning is most likely a typing error, and so is refused."""
    given = frozenset(scopes or ())
    if unknown := sorted(given - ALL_SCOPES):
        raise leave(ExitCode.USAGE, f"Unknown scope '{unknown[0]}'. Scopes: {', '.join(sorted(ALL_SCOPES))}.")
    return given


def _shown_scopes(entry: ApiKey) -> str:
    return " ".join(sorted(entry.scopes))


def describe(entry: ApiKey) -> dict[str, Any]:
    """An API key as the JSON output shows it."""
    return {
        "id": entry.id,
        "project": entry.project_slug,
        "name": entry.name,
        "description": entry.description,
        "hint": entry.hint,
        "kind": entry.kind.value,
        "organisation": entry.organisation,
        "user_id": entry.user_id,
        "scopes": sorted(entry.scopes),
        "other_scopes": sorted(entry.other_scopes),
        "limits": asdict(entry.limits),
        "defaults": {**asdict(entry.defaults), "metadata": dict(entry.defaults.metadata)},
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
        "expires_at": entry.expires_at,
        "revoked_at": entry.revoked_at,
        "last_used_at": entry.last_used_at,
        "state": state_of(entry),
    }


def state_of(entry: ApiKey) -> str:
    """``active``, ``expired`` or ``revoked``."""
    if entry.revoked_at is not None:
        return "revoked"
    return "active" if entry.works_at(int(time.time())) else "expired"
