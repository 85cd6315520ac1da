"""The ``x-portkey-*`` headers that say where a request goes."""

from __future__ import annotations

from typing import Final

NATIVE_PROVIDER: Final = "fileplane"
"""Always the native store."""
PROVIDER_HEADER: Final = "x-portkey-provider"
