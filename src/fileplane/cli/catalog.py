"""``fileplane catalog ls|adopt|rm|reconcile``."""

from __future__ import annotations

import typer

from fileplane.cli.catalog_adopt import adopt
from fileplane.cli.catalog_ls import ls
from fileplane.cli.catalog_reconcile import reconcile
from fileplane.cli.catalog_rm import rm

catalog = typer.Typer(
    help="See, give away and find out about files at providers, on the machine that has the data directory.", no_args_is_help=True
)
catalog.command("ls")(ls)
catalog.command("adopt")(adopt)
catalog.command("rm")(rm)
catalog.command("reconcile")(reconcile)
