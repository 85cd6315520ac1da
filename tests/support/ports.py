"""Ports for servers, of which no connection and no other process of the tests takes one before it is listened on.

All are below those that Linux gives to clients and to whoever asks for any, and each process of the tests has a share of them.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque
from typing import Final

GRPC_OFFSET: Final = 10_000
"""What SeaweedFS adds to a port for gRPC."""
_ANY: Final = range(2_000, 10_000)
_WITH_GRPC: Final = range(10_000, 20_000)
_BAD: Final = frozenset({2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080})
"""What browsers and Node.js refuse to connect to, of these (Fetch standard, "Port blocking")."""
_recently_given: Final = deque[int](maxlen=100)


def free_port() -> int:
    """A port that nobody listens on."""
    return _given(_ANY, 0)


def port_with_grpc() -> int:
    """A free port of which the one that SeaweedFS adds for gRPC is free as well."""
    return _given(_WITH_GRPC, 0, GRPC_OFFSET)


def _given(ports: range, *offsets: int) -> int:
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = ports.start + secrets.randbelow(len(ports) // processes) * processes + own
        if port not in _BAD and port not in _recently_given and all(_is_free(port + offset) for offset in offsets):
            _recently_given.append(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
