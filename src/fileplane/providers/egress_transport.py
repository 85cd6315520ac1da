"""What the settings say of the connections to providers: trusted authorities and the proxy."""

from __future__ import annotations

import base64
import ssl
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from fileplane.secrets.values import Secret
from fileplane.settings import Settings, SettingsError


def tls_context(settings: Settings) -> ssl.SSLContext:
    """What an encrypted connection has to satisfy: the system's authorities and those of ``egress_ca``.

    Raises :class:`~fileplane.settings.SettingsError` when that file cannot be used.
    """
    try:
        return _context(settings.egress_ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"The file that egress_ca names cannot be used: {error}.") from error


@cache
def _context(authorities: Path | None) -> ssl.SSLContext:
    """Reading the system's authorities takes a while, so it is done once."""
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(authorities)
    return context


def split_proxy(url: str | None) -> tuple[str | None, Secret | None]:
    """A proxy's URL without its user, and the user as the value of a header."""
    if url is None:
        return None, None
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    if not at:
        return url, None
    return f"{scheme}://{host}", Secret("Basic " + base64.b64encode(unquote(user).encode()).decode())
