"""The ``x-portkey-*`` headers that say where a request goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fileplane.errors import UnsupportedProviderOperation

NATIVE_PROVIDER: Final = "fileplane"
PROVIDER_HEADER: Final = "x-portkey-provider"
UPSTREAM_HEADERS: Final = ("x-portkey-virtual-key", "x-portkey-config", "x-portkey-custom-host")


def require_native(headers: Mapping[str, str]) -> None:
    """Returns when the request is for the native store.

    A request that names a provider must never be answered by another store than the one it names, so it is refused with
    :class:`~fileplane.errors.UnsupportedProviderOperation`.
    """
    provider = headers.get(PROVIDER_HEADER)
    if provider is not None and provider.strip().lower() != NATIVE_PROVIDER:
        raise _unsupported(PROVIDER_HEADER)
    for name in UPSTREAM_HEADERS:
        if name in headers:
            raise _unsupported(name)


def _unsupported(header: str) -> UnsupportedProviderOperation:
    return UnsupportedProviderOperation(
        f"This server keeps files itself and does not pass them on to providers. Leave out {header}, or set {PROVIDER_HEADER} to "
        f"'{NATIVE_PROVIDER}'.",
        param=header,
    )
