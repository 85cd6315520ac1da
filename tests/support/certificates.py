"""The certificates that clients trust, read once a process: reading them costs 20 ms, which was half of what many a short test took."""

from __future__ import annotations

import importlib
import importlib.util
import os
import ssl
from collections.abc import Callable
from typing import Any, Final

# Where each library looks the function up when a client is made: ours, and that of most SDKs.
_TRANSPORTS: Final = ("httpx2._transports.default", "httpx._transports.default")


def read_certificates_once() -> None:
    """From now on clients that trust what everybody trusts share one context. Whoever names certificates gets a context as before."""
    for name in _TRANSPORTS:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            module: Any = importlib.import_module(name)
            module.create_ssl_context = _once(module.create_ssl_context)


def _once(create: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    known: dict[tuple[object, ...], ssl.SSLContext] = {}

    def shared(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return create(verify=verify, cert=cert, trust_env=trust_env)
        key = (trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if key not in known:
            known[key] = create(trust_env=trust_env)
        return known[key]

    return shared
