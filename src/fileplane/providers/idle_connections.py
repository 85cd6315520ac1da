"""How many connections may be kept that no call has just now: the client itself would keep one of every credential."""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class IdleConnections:
    """For one event loop. Beyond ``most`` the one that has been idle the longest is closed.

    The client keeps connections, and gives them to calls; here is only counted which of them are between two calls. One that the client or
    its peer has closed meanwhile is let go of when it is the oldest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._callers: dict[asyncio.WriteTransport, object] = {}
        self._idle: OrderedDict[asyncio.WriteTransport, None] = OrderedDict()

    def take(self, connection: asyncio.WriteTransport, caller: object) -> None:
        """``caller`` has it now."""
        self._callers[connection] = caller
        self._idle.pop(connection, None)

    def leave(self, connection: asyncio.WriteTransport, caller: object) -> None:
        """``caller`` is done with it. Another may have it already, since it is free as soon as an answer was read."""
        if self._callers.get(connection) is not caller:
            return
        del self._callers[connection]
        if connection.is_closing():
            return
        self._idle[connection] = None
        while next(iter(self._idle)).is_closing():
            self._idle.popitem(last=False)
        if len(self._idle) > self._most:
            # Closed, it would wait for its peer's last word, which somebody who opened many need not say.
            self._idle.popitem(last=False)[0].abort()
