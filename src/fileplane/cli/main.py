"""The command ``fileplane``: every command on one page."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from fileplane import __version__
from fileplane.cli.audit import audit
from fileplane.cli.backup import backup, restore
from fileplane.cli.cat import cat
from fileplane.cli.catalog import catalog
from fileplane.cli.check import OptionalReadData, check
from fileplane.cli.cp import cp
from fileplane.cli.doctor import doctor
from fileplane.cli.exits import refusals_reported
from fileplane.cli.gc import gc
from fileplane.cli.get import get
from fileplane.cli.help_command import help_command
from fileplane.cli.key import key
from fileplane.cli.ls import ls
from fileplane.cli.manual import epilogue
from fileplane.cli.migrate_store import migrate_store
from fileplane.cli.output import wait_for_readers
from fileplane.cli.project import project
from fileplane.cli.rm import rm
from fileplane.cli.saved_config import saved_config
from fileplane.cli.secrets import secrets
from fileplane.cli.serve import serve
from fileplane.cli.settings import settings
from fileplane.cli.shells import completion, install_completion, show_completion
from fileplane.cli.undelete import undelete
from fileplane.cli.upload import upload
from fileplane.cli.usage import usage
from fileplane.cli.virtual_key import virtual_key

_COMPLETION: Final = {"show_completion": show_completion, "install_completion": install_completion}


class _Reporting(TyperGroup):
    """Every command below: whatever it fails with is reported in one way."""

    def get_params(self, ctx: Any) -> Any:
        """With what is ours in place of what Typer's own options for completion do."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            if parameter.name in _COMPLETION:
                parameter.callback = _COMPLETION[parameter.name]
        return parameters

    def invoke(self, ctx: Any) -> Any:
        wait_for_readers()
        with refusals_reported():
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            return super().invoke(ctx)


cli = typer.Typer(
    name="fileplane",
    cls=_Reporting,
    help="One self-hosted /v1/files for AI work: the server, its administration, and a client for it.",
    epilog=epilogue(""),
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fileplane {__version__}")
        raise typer.Exit


@cli.callback()
def _fileplane(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """See the commands below."""


_BEFORE: Final[tuple[Callable[..., None], ...]] = (serve, settings)
_AFTER: Final[tuple[Callable[..., None], ...]] = (
    doctor, gc, backup, restore, migrate_store, audit, usage, upload, ls, get, cat, cp, rm, undelete, completion,
)  # fmt: skip

for command in _BEFORE:
    cli.command(epilog=epilogue(command.__name__))(command)
cli.command(cls=OptionalReadData, epilog=epilogue("check"))(check)
for command in _AFTER:
    cli.command(epilog=epilogue(command.__name__.replace("_", "-")))(command)
cli.command(name="help", epilog=epilogue("help"))(help_command)
for group, name in (
    (project, "project"),
    (key, "key"),
    (secrets, "secrets"),
    (virtual_key, "virtual-key"),
    (saved_config, "config"),
    (catalog, "catalog"),
):
    for registered in group.registered_commands:
        registered.epilog = epilogue(f"{name} {registered.name}")
    cli.add_typer(group, name=name, epilog=epilogue(name))
