"""Calls to providers from commands: beside a server, through the same rules as the server's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fileplane.settings import Settings

if TYPE_CHECKING:  # loading encryption and HTTP client takes time that other commands have no use for
    from fileplane.control.opening import Credentials
    from fileplane.control.routes import Routes


@asynccontextmanager
async def opened_routes(credentials: Credentials, settings: Settings) -> AsyncIterator[Routes]:
    """The routes to providers; every connection is closed at the end of the block."""
    from fileplane.control.routes import Routes
    from fileplane.providers.egress import Egress
    from fileplane.providers.registry import Registry

    egress = Egress(settings)
    try:
        yield Routes(credentials.configs, credentials.virtual_keys, Registry(egress, settings.provider_overrides))
    finally:
        await egress.close()
