"""Limits and defaults, as projects and API keys keep them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from fileplane.access import Defaults, Limits
from fileplane.metadata.control import ReferenceMissing, UnknownProject
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements

SQL: Final = load_statements("projects.sql")


def require_project(connection: Connection, project_id: str) -> None:
    """Raises :class:`UnknownProject` for one that does not exist, or no longer."""
    if connection.execute(SQL["select_project"], {"id": project_id}).fetchone() is None:
        raise UnknownProject(project_id)


def require_config(connection: Connection, project_id: str, defaults: Defaults) -> None:
    """Raises :class:`ReferenceMissing` when the default config is none of the project's."""
    values = {"slug": defaults.config, "project_id": project_id}
    if defaults.config is not None and connection.execute(SQL["select_config_of_project"], values).fetchone() is None:
        raise ReferenceMissing("config", defaults.config)


def columns(limits: Limits, defaults: Defaults) -> dict[str, Any]:
    """Limits and defaults as the columns that projects and keys both have."""
    return {
        "limits": json.dumps({name: value for name, value in asdict(limits).items() if value is not None}),
        "default_config": defaults.config,
        "allow_override": defaults.allow_override,
        "default_metadata": json.dumps(dict(defaults.metadata)),
    }


def read(limits: str, config: str | None, allow_override: int, metadata: str) -> tuple[Limits, Defaults]:
    """The reverse of :func:`columns`."""
    return Limits(**json.loads(limits)), Defaults(config, bool(allow_override), json.loads(metadata))
