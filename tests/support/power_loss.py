"""A disk that loses its power: a file system of its own on an image, cut off in one moment with everything that was not synced.

The cut is the kernel's own test facility (``EXT4_IOC_SHUTDOWN``, ``XFS_IOC_GOINGDOWN``): from then on nothing more reaches the image,
not even the journal, and mounting it again recovers it as after a power failure. What the image has been given it keeps: a drive that
loses what it says it has flushed is beyond this.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.debian import require_program
from support.limits import MIB, skip_or_fail
from support.polling import eventually

KINDS = ("ext4", "xfs")
_SIZES = {"ext4": 128 * MIB, "xfs": 320 * MIB}  # xfs takes no less than 300 MiB
_MAKERS = {"ext4": ("mkfs.ext4", "e2fsprogs", "-q", "-F"), "xfs": ("mkfs.xfs", "xfsprogs", "-q", "-f")}
_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), the same on both
_WITHOUT_FLUSHING_THE_LOG = 2
_UNMOUNT_SECONDS = 20


@dataclass
class Disk:
    """``path`` is where it is mounted."""

    kind: str
    image: Path
    path: Path

    def cut(self) -> None:
        """The power is gone: every call on the disk fails from now on."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING_THE_LOG))
        finally:
            os.close(descriptor)

    def power_up(self) -> None:
        """Mounts it again, which recovers it. Nobody may use it any more."""
        self.unmount()
        self.mount()

    def mount(self) -> None:
        mounted = subprocess.run(
            ["mount", "-t", self.kind, "-o", "loop", str(self.image), str(self.path)], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            skip_or_fail(f"{self.kind} cannot be mounted from an image: {mounted.stderr}")

    def unmount(self) -> None:
        """Waits for those who have just died to let go of it."""

        def unmounted() -> bool:
            return subprocess.run(["umount", str(self.path)], capture_output=True, check=False).returncode == 0

        eventually(unmounted, f"{self.path} is unmounted", seconds=_UNMOUNT_SECONDS)


@contextmanager
def disk_with_power(directory: Path, kind: str, *, at: Path | None = None) -> Iterator[Disk]:
    """A new disk with a file system of that ``kind``, its image in ``directory``, mounted ``at`` a place for the length of a block."""
    program, package, *options = _MAKERS[kind]
    maker = require_program(program, package)
    disk = Disk(kind, directory / f"{kind}.img", at or directory / kind)
    disk.path.mkdir(parents=True)
    with disk.image.open("wb") as image:
        image.truncate(_SIZES[kind])
    subprocess.run([maker, *options, str(disk.image)], check=True, stdout=subprocess.DEVNULL)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
        disk.image.unlink()
