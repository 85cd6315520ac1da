"""``fileplane settings``."""

from __future__ import annotations

import json
import os

import typer

from fileplane.cli.exits import complain
from fileplane.cli.options import ConfigOption, JsonOption
from fileplane.cli.output import print_table
from fileplane.setting_sources import load_settings, misspelt_variables, show


def settings(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting: its value, where that comes from, its default and what it does. Secrets are not shown."""
    rows = list(load_settings(config=config).rows())
    for complaint in misspelt_variables(os.environ):
        complain(complaint)
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {"name": row.name, "value": row.shown_value, "source": row.source, "default": show(row.default), "help": row.help}
                    for row in rows
                ],
                indent=2,
            )
        )
        return
    cells = [[row.name, row.shown_value, row.source, show(row.default), row.help] for row in rows]
    print_table(["name", "value", "source", "default", "help"], cells)
