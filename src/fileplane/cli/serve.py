"""``fileplane serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fileplane.cli.options import ConfigOption, DataDirOption
from fileplane.cli.runtime import runtime_of
from fileplane.setting_sources import load_settings


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data_dir: DataDirOption = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.")] = None,
    config: ConfigOption = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate chain.", dir_okay=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with the private key.", dir_okay=False)] = None,
) -> None:
    """Serve the API until stopped; SIGTERM lets transfers in flight finish first.

    The first start makes the data directory and prints the first API key, once. Every setting that has no option here is set in the
    configuration file or the environment: see `fileplane settings`.
    """
    options = {
        "host": host,
        "port": port,
        "data_dir": str(data_dir) if data_dir else None,
        "workers": workers,
        "tls_cert": str(tls_cert) if tls_cert else None,
        "tls_key": str(tls_key) if tls_key else None,
    }
    runtime_of(context).serve(load_settings(config=config, options=options).settings)
