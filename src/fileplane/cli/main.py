"""The command ``fileplane``: every command on one page."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fileplane import __version__
from fileplane.cli.audit import audit
from fileplane.cli.backup import backup, restore
from fileplane.cli.cat import cat
from fileplane.cli.catalog import catalog
from fileplane.cli.check import OptionalReadData, check
from fileplane.cli.exits import EXIT_CODE_HELP, refusals_reported
from fileplane.cli.gc import gc
from fileplane.cli.get import get
from fileplane.cli.key import key
from fileplane.cli.ls import ls
from fileplane.cli.project import project
from fileplane.cli.rm import rm
from fileplane.cli.saved_config import saved_config
from fileplane.cli.secrets import secrets
from fileplane.cli.serve import serve
from fileplane.cli.settings import settings
from fileplane.cli.undelete import undelete
from fileplane.cli.upload import upload
from fileplane.cli.usage import usage
from fileplane.cli.virtual_key import virtual_key

_EPILOGUE = "EXIT STATUS: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in EXIT_CODE_HELP.items()) + "."
_CLIENT_EPILOGUE = (
    "ENVIRONMENT: FILEPLANE_BASE_URL and FILEPLANE_API_KEY say which server and with which key; without either, OPENAI_BASE_URL and "
    f"OPENAI_API_KEY do. HTTP_PROXY, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are honoured.\n\n{_EPILOGUE}"
)


class _Reporting(TyperGroup):
    """Every command below: whatever it fails with is reported in one way."""

    def invoke(self, ctx: Any) -> Any:
        with refusals_reported():
            return super().invoke(ctx)


cli = typer.Typer(
    name="fileplane",
    cls=_Reporting,
    help="One self-hosted /v1/files for AI work: the server, its administration, and a client for it.",
    epilog=_EPILOGUE,
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


cli.command(epilog=_EPILOGUE)(serve)
cli.command(epilog=_EPILOGUE)(settings)
cli.command(cls=OptionalReadData, epilog=_EPILOGUE)(check)
for administrative_command in (gc, backup, restore, audit, usage):
    cli.command(epilog=_EPILOGUE)(administrative_command)
for client_command in (upload, ls, get, cat, rm, undelete):
    cli.command(epilog=_CLIENT_EPILOGUE)(client_command)
cli.add_typer(project, name="project", epilog=_EPILOGUE)
cli.add_typer(key, name="key", epilog=_EPILOGUE)
cli.add_typer(secrets, name="secrets", epilog=_EPILOGUE)
cli.add_typer(virtual_key, name="virtual-key", epilog=_EPILOGUE)
cli.add_typer(saved_config, name="config", epilog=_EPILOGUE)
cli.add_typer(catalog, name="catalog", epilog=_EPILOGUE)
