"""``fileplane virtual-key create|list|show|update|delete``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileplane.access import DEFAULT_PROJECT
from fileplane.cli.credentials import opened_credentials, project_slugs, refusals_as_failures
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption, duration
from fileplane.cli.output import on_terminal, print_json, print_line, print_table, shown_time
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.cli.secret_input import pairs, read_secrets
from fileplane.model import Origin
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.control.wishes import Wishes
    from fileplane.credentials import VirtualKey

_STARS: Final = "********"

virtual_key = typer.Typer(
    help="Keep providers' credentials for projects to use, on the machine that has the data directory.", no_args_is_help=True
)

_Slug = Annotated[str, typer.Argument(help="The virtual key's slug, as `fileplane virtual-key list` shows it.")]
_Note = Annotated[str | None, typer.Option(help="What people should know of it.")]
_Host = Annotated[str | None, typer.Option(help="Base URL that the credential goes to, instead of the provider's own.")]
_Sharing = Annotated[str | None, typer.Option(help="What a project sees at the provider: its own files (project) or all (account).")]
_Projects = Annotated[list[str] | None, typer.Option("--project", help="Project that may use it, by slug or id; repeat for several.")]
_NoProject = Annotated[bool, typer.Option("--no-project", help="No project may use it, only virtual keys made with --integration.")]
_KeepCopy = Annotated[bool | None, typer.Option(help="Keep the bytes of uploads in the native store too.")]
_Expires = Annotated[str | None, typer.Option(help="Such as 30d, 12h, 45m.")]
_Fields = Annotated[list[str] | None, typer.Option("--field", help="NAME=VALUE, a field that is no secret; repeat for several.")]
_Files = Annotated[list[str] | None, typer.Option("--secret-file", help="FIELD=PATH, a secret field and the file that holds it.")]
_Stdin = Annotated[str | None, typer.Option("--secret-stdin", help="FIELD, the secret field that standard input holds.")]
_Prompts = Annotated[list[str] | None, typer.Option("--secret-prompt", help="FIELD, a secret field to be asked for.")]
_References = Annotated[list[str] | None, typer.Option("--secret-ref", help="FIELD=env:NAME or FIELD=file:/path, to be read at use.")]


@virtual_key.command("create")
def create_virtual_key(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What people call it.")],
    provider: Annotated[str | None, typer.Option(help="Provider that the credential is for, such as openai.")] = None,
    integration: Annotated[str | None, typer.Option(help="Slug of the virtual key whose credential it uses, instead of one.")] = None,
    slug: Annotated[str | None, typer.Option(help="Slug to address it by. Without it one is made.")] = None,
    note: _Note = None,
    custom_host: _Host = None,
    sharing: _Sharing = None,
    keep_copy: _KeepCopy = None,
    projects: _Projects = None,
    no_project: _NoProject = False,
    expires_in: _Expires = None,
    fields: _Fields = None,
    secret_files: _Files = None,
    secret_stdin: _Stdin = None,
    secret_prompts: _Prompts = None,
    secret_refs: _References = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a credential. Its secrets are asked for, or come from files, standard input or references, never from arguments."""
    prompts = list(secret_prompts or [])
    if not (integration or secret_files or secret_stdin or prompts or secret_refs) and on_terminal_input():
        prompts = _first_secrets(provider, fields or [])
    given: dict[str, object] = {
        "name": name,
        "provider": provider,
        "integration_id": integration,
        "slug": slug,
        "note": note,
        "custom_host": custom_host,
        "sharing": sharing,
        "keep_copy": keep_copy,
        "project_ids": _named_projects(projects, no_project=no_project, otherwise=[DEFAULT_PROJECT]),
        "expires_at": _end(expires_in),
    }
    wishes = _wishes(given, fields or [], read_secrets(secret_files or [], secret_stdin, prompts, secret_refs or []))

    async def create(runtime: Runtime, settings: Settings) -> dict[str, Any]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            return described(await credentials.virtual_keys.create(OPERATOR, wishes, Origin()), await project_slugs(metadata))

    made = asyncio.run(create(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(made)
    else:
        print_line(made["slug"])


@virtual_key.command("list")
def list_virtual_keys(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only those that this project may use.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List virtual keys, oldest first, without their secrets."""

    async def read(runtime: Runtime, settings: Settings) -> list[dict[str, Any]]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            slugs = await project_slugs(metadata)
            return [described(key, slugs) for key in await credentials.virtual_keys.list(OPERATOR, project=project)]

    found = asyncio.run(read(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(found)
        return
    rows = [[key["slug"], key["name"], key["provider"], " ".join(key["projects"]), key["sharing"], key["state"]] for key in found]
    print_table(["slug", "name", "provider", "projects", "sharing", "state"], rows)


@virtual_key.command("show")
def show_virtual_key(
    context: typer.Context, slug: _Slug, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show a virtual key without its secrets."""

    async def read(runtime: Runtime, settings: Settings) -> dict[str, Any]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            return described(await credentials.virtual_keys.get(OPERATOR, slug), await project_slugs(metadata))

    found = asyncio.run(read(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(found)
        return
    shown = found | {"projects": " ".join(found["projects"]), **{name: shown_time(found[name]) for name in _TIMES}}
    fields = shown.pop("fields")
    for name, value in {**shown, **{f"field {field}": text for field, text in fields.items()}}.items():
        print_line(f"{name}: {'-' if value in {None, ''} else value}")


@virtual_key.command("update")
def update_virtual_key(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    slug: _Slug,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    note: _Note = None,
    custom_host: _Host = None,
    sharing: _Sharing = None,
    keep_copy: _KeepCopy = None,
    projects: _Projects = None,
    no_project: _NoProject = False,
    expires_in: _Expires = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Let it work until it is deleted.")] = False,
    fields: _Fields = None,
    removed_fields: Annotated[list[str] | None, typer.Option("--remove-field", help="A field that is to be no more.")] = None,
    secret_files: _Files = None,
    secret_stdin: _Stdin = None,
    secret_prompts: _Prompts = None,
    secret_refs: _References = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is given, and leave the rest as it is. Another host, or what becomes part of one, needs the secrets again."""
    texts = {"name": name, "note": note, "custom_host": custom_host, "sharing": sharing}
    given: dict[str, object] = {field: text for field, text in texts.items() if text is not None}
    if keep_copy is not None:
        given["keep_copy"] = keep_copy
    if (named := _named_projects(projects, no_project=no_project, otherwise=None)) is not None:
        given["project_ids"] = named
    if never_expires or expires_in is not None:
        given["expires_at"] = None if never_expires else _end(expires_in)
    secrets = read_secrets(secret_files or [], secret_stdin, secret_prompts or [], secret_refs or [])
    wishes = _wishes(given, fields or [], secrets | dict.fromkeys(removed_fields or []))

    async def change(runtime: Runtime, settings: Settings) -> dict[str, Any]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            return described(await credentials.virtual_keys.update(OPERATOR, slug, wishes, Origin()), await project_slugs(metadata))

    after = asyncio.run(change(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(after)
    else:
        print_line(f"changed {slug}")


@virtual_key.command("delete")
def delete_virtual_key(
    context: typer.Context, slug: _Slug, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Remove a virtual key and its credential for good, unless something uses it."""

    async def remove(runtime: Runtime, settings: Settings) -> None:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, _):
            await credentials.virtual_keys.delete(OPERATOR, slug, Origin())

    asyncio.run(remove(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json({"slug": slug, "deleted": True})
    else:
        print_line(f"deleted {slug}")


_TIMES: Final = ("expires_at", "created_at", "updated_at")


def described(key: VirtualKey, slugs: Mapping[str, str]) -> dict[str, Any]:
    """A virtual key as the JSON output shows it. Times are seconds since the epoch; secrets are stars, references what they are."""
    expired = key.expires_at is not None and key.expires_at <= time.time()
    return {
        "id": key.id,
        "slug": key.slug,
        "name": key.name,
        "provider": key.provider,
        "note": key.note,
        "custom_host": key.custom_host,
        "sharing": key.sharing.value,
        "keep_copy": key.keep_copy,
        "projects": sorted(slugs.get(project_id, project_id) for project_id in key.project_ids),
        "integration": key.integration,
        "fields": {**key.clear, **key.references, **dict.fromkeys(sorted(key.sealed.fields), _STARS)},
        "state": "expired" if expired else "active",
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "updated_at": key.updated_at,
    }


def on_terminal_input() -> bool:
    """Whether somebody can be asked."""
    import sys

    return on_terminal(sys.stdin)


def _first_secrets(provider: str | None, fields: list[str]) -> list[str]:
    """The secret fields of the plainest complete credential, to be asked for."""
    from fileplane.routing.providers import PROVIDERS

    entry = PROVIDERS.get(provider or "")
    if entry is None:
        return []
    given = {text.partition("=")[0] for text in fields}
    return [name for name in entry.ways[0] if name in entry.fields and entry.fields[name].secret and name not in given]


def _wishes(given: Mapping[str, object], fields: list[str], secrets: Mapping[str, object]) -> Wishes:
    from fileplane.control.wishes import CREDENTIAL_NAMES, virtual_key_wishes
    from fileplane.routing.providers import PROVIDERS

    hidden = {name for entry in PROVIDERS.values() for one in entry.fields.values() if one.secret for name in (one.name, *one.aliases)}
    clear = dict(pairs(fields, "--field", "NAME=VALUE"))
    for name in clear:
        if name in hidden:
            raise CommandFailed(ExitCode.USAGE, f"{name} is a secret: use --secret-prompt, --secret-file, --secret-stdin or --secret-ref.")
    for name in (*clear, *secrets):
        if name not in CREDENTIAL_NAMES:
            raise CommandFailed(ExitCode.USAGE, f"No provider has a field '{name[:80]}'.")
    with refusals_as_failures():
        return virtual_key_wishes(
            {**{name: value for name, value in given.items() if value is not None or name == "expires_at"}, **clear, **secrets}
        )


def _named_projects(projects: list[str] | None, *, no_project: bool, otherwise: list[str] | None) -> list[str] | None:
    if no_project and projects:
        raise CommandFailed(ExitCode.USAGE, "--no-project and --project exclude each other.")
    if no_project:
        return []
    return projects or otherwise


def _end(expires_in: str | None) -> str | None:
    return None if expires_in is None else datetime.fromtimestamp(int(time.time()) + duration(expires_in), UTC).isoformat()
