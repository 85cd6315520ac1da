"""A network of its own for a process, with cables that can be pulled: a network namespace, and pairs of virtual interfaces."""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from support.debian import require_program
from support.limits import may_mount, skip_or_fail

_NEW_NETWORK = 0x40000000
_PROGRAM = "ip"

T = TypeVar("T")


@dataclass(frozen=True)
class Cable:
    """``outside`` is the address of this machine's end, ``inside`` that of the namespace's."""

    interface: str
    outside: str
    inside: str

    def pull(self) -> None:
        """Whatever is sent either way is lost, and neither side is told."""
        _ip("link", "set", self.interface, "down")

    def plug_in(self) -> None:
        _ip("link", "set", self.interface, "up")


@dataclass(frozen=True)
class Namespace:
    """Made by :func:`namespace`."""

    name: str
    cables: tuple[Cable, ...]

    def run(self, call: Callable[[], T]) -> T:
        """What ``call`` returns; the processes that it starts stay inside."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._inside, call).result()

    def _inside(self, call: Callable[[], T]) -> T:
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            # Of this thread alone, which ends with the call.
            assert ctypes.CDLL(None, use_errno=True).setns(descriptor, _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
        finally:
            os.close(descriptor)
        return call()


@contextmanager
def namespace(cables: int) -> Iterator[Namespace]:
    """A namespace with so many cables to this machine, for the length of a block. Skips the test where there can be none."""
    if not may_mount():
        skip_or_fail("a network namespace takes root on Linux")
    require_program(_PROGRAM, "iproute2")
    name = f"{prefix_of(tempfile.gettempdir())}{secrets.token_hex(2)}"
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield Namespace(name, tuple(_cable(name, number) for number in range(cables)))
    finally:
        # Both ends of its cables go with it.
        _ip("netns", "delete", name)


def _cable(name: str, number: int) -> Cable:
    """In a network that is set aside for tests of network devices (RFC 2544), of which several runs may take a part at once."""
    network = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
    host = secrets.randbelow(64) * 4
    cable = Cable(f"{name}o{number}", f"{network}.{host + 1}", f"{network}.{host + 2}")
    inner = f"{name}i{number}"
    _ip("link", "add", cable.interface, "type", "veth", "peer", "name", inner, "netns", name)
    _ip("address", "add", f"{cable.outside}/30", "dev", cable.interface)
    _ip("-n", name, "address", "add", f"{cable.inside}/30", "dev", inner)
    _ip("link", "set", cable.interface, "up")
    _ip("-n", name, "link", "set", inner, "up")
    return cable


def prefix_of(temporary: str) -> str:
    """What the names of all of them begin with whose tests have this folder for what is temporary. Interfaces have short names."""
    return f"fp{zlib.crc32(temporary.encode()) & 0xFFFFF:05x}"


def _ip(*arguments: str) -> None:
    result = subprocess.run([require_program(_PROGRAM, "iproute2"), *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, f"ip {' '.join(arguments)}: {result.stderr}"
