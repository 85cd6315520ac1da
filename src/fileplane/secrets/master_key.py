"""Where the master key is: in the setting ``master_key``, or else in the data directory, in a file made at first start.

The file is never part of a backup: whoever has a backup and no key has no credentials. Which master key is in force, the database
says by its id, so that a key that is lost or wrong is told apart from a database that is damaged.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from pathlib import Path
from typing import Final

from fileplane.metadata.control import ControlStore
from fileplane.secrets.envelope import KEY_BYTES, MasterKey
from fileplane.setting_values import parse_key

MASTER_KEY_NAME: Final = "master.key"
_LONGEST_FILE: Final = 4_096


class MasterKeyUnusable(Exception):
    """There is no master key that opens the stored credentials. Nothing was changed; the message says what to do."""


class MasterKeyMissing(MasterKeyUnusable):
    """The master key is not where it was: lost, or not yet put beside a restored backup."""


class MasterKeyWrong(MasterKeyUnusable):
    """There is a master key, and it is not the one that the stored credentials need."""


class MasterKeyDamaged(MasterKeyUnusable):
    """A master key's file cannot be read, does not hold a key, or can be read by others."""


class MasterKeySource:
    """The place that a data directory's master key comes from. Its methods block, for the time of reading a small file."""

    def __init__(self, data_dir: Path, given: bytes | None = None, *, shared: bool = False) -> None:
        """``given`` is the setting ``master_key``; with it, the files of the data directory are not looked at.

        ``shared`` is for a database of several nodes, none of which may make a key that the others do not have.
        """
        self.path = data_dir / MASTER_KEY_NAME
        self._given = None if given is None else MasterKey(given)
        self._shared = shared

    @property
    def in_data_directory(self) -> bool:
        """Whether the key is kept in the data directory, where Fileplane itself can put another."""
        return self._given is None

    def present(self) -> MasterKey | None:
        """The key that is in its place, whether or not it is the right one. Raises :class:`MasterKeyDamaged`."""
        return self._given or read_key_file(self.path)

    def find(self, key_id: str) -> MasterKey | None:
        """The key of that id, which may be waiting to take its place, or have been replaced. Raises :class:`MasterKeyDamaged`."""
        present = self.present()
        if present is not None and present.id == key_id:
            return present
        beside = read_key_file(self._beside(key_id)) if self.in_data_directory else None
        return beside if beside is not None and beside.id == key_id else None

    def make(self) -> MasterKey:
        """A new key in the data directory, durable once this returns, or the one that somebody else has just put there.

        Raises :class:`MasterKeyMissing` where the database is shared.
        """
        if self._shared:
            raise MasterKeyMissing(
                "No master key is set, and database_url is: nodes that share a database encrypt the providers' credentials with one key. "
                "Make one with `python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'` and give the same to "
                "every node and command, in FILEPLANE_MASTER_KEY_FILE or FILEPLANE_MASTER_KEY. Nothing was changed."
            )
        write_key_file(self.path, MasterKey(os.urandom(KEY_BYTES)))
        made = read_key_file(self.path)
        assert made is not None
        return made

    def stage(self, key: MasterKey) -> None:
        """Puts a key beside the present one, durably, for :meth:`settle` to put it in its place once it is in force."""
        if self.in_data_directory and self.find(key.id) is None:
            write_key_file(self._beside(key.id), key)

    def settle(self, key_id: str) -> None:
        """Puts the key in force in its place. The one before stays beside it, under a name with its id: older backups need it.

        Idempotent. Whatever interrupts it, both keys are where :meth:`find` looks.
        """
        present, beside = self.present(), self._beside(key_id)
        if not self.in_data_directory or (present is not None and present.id == key_id) or read_key_file(beside) is None:
            return
        if present is not None:
            write_key_file(self._beside(present.id), present)
        beside.replace(self.path)
        _sync(self.path.parent)

    def _beside(self, key_id: str) -> Path:
        return self.path.with_name(f"{MASTER_KEY_NAME}.{key_id}")


async def unlock(metadata: ControlStore, source: MasterKeySource) -> tuple[MasterKey, bool]:
    """The master key in force, and whether it was made now, as it is at first start.

    As long as nothing is encrypted, any key will do. Otherwise raises :class:`MasterKeyMissing`, :class:`MasterKeyWrong` or
    :class:`MasterKeyDamaged`, and nothing was changed.
    """
    in_force = await metadata.master_key_id()
    if in_force is not None and (key := source.find(in_force)) is not None:
        source.settle(in_force)
        return key, False
    if in_force is not None and await metadata.list_data_keys():
        raise _unusable(source, in_force)
    present = source.present()
    key = source.make() if present is None else present
    if await metadata.adopt_master_key(key.id) != key.id:
        raise _unusable(source, await metadata.master_key_id())
    return key, present is None


def read_key_file(path: Path) -> MasterKey | None:
    """The key in a file, or None when there is no file. Raises :class:`MasterKeyDamaged`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MasterKeyDamaged(f"The master key {path} cannot be read: {error.strerror}. Make it readable and try again.") from error
    try:
        kind = os.fstat(descriptor)
        if not stat.S_ISREG(kind.st_mode):
            raise MasterKeyDamaged(f"The master key {path} is no file. Put the key's file there.")
        if kind.st_mode & 0o077:
            raise MasterKeyDamaged(f"The master key {path} can be read by others. Make it private: chmod 600 {path}")
        text = os.read(descriptor, _LONGEST_FILE)
    finally:
        os.close(descriptor)
    try:
        return MasterKey(parse_key(text.decode("ascii").strip()))
    except ValueError:
        # Its own message would show what the file holds.
        raise MasterKeyDamaged(
            f"The master key {path} does not hold a key: {KEY_BYTES} bytes in base64 or hex. Put your copy of the file back. Do not make a "
            "new one in its place: it would not open the stored credentials. If it is lost for good, move the file away and run "
            "`fileplane secrets forget`."
        ) from None


def write_key_file(path: Path, key: MasterKey) -> None:
    """Makes a file of mode 0600, durable with its name once this returns. One that exists stays as it is. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.text().reveal().encode("ascii") + b"\n")
            file.flush()
            _sync_descriptor(file.fileno())
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _unusable(source: MasterKeySource, needed: str | None) -> MasterKeyUnusable:
    present = source.present()
    ending = (
        "Nothing was changed, and no file is affected; but without that key the stored credentials of providers cannot be read by anybody. "
        "If it is lost for good, `fileplane secrets forget` says what would be given up, and gives it up with --yes, so that the server "
        "starts with a new one."
    )
    if present is None:
        return MasterKeyMissing(
            f"The master key {source.path} is missing, and the stored credentials are encrypted with it (its id is {needed}). Put your "
            f"copy of it there with mode 0600, or name it in FILEPLANE_MASTER_KEY_FILE; a backup never holds it. {ending}"
        )
    place = f"in {source.path}" if source.in_data_directory else "in FILEPLANE_MASTER_KEY or FILEPLANE_MASTER_KEY_FILE"
    return MasterKeyWrong(
        f"The master key {place} has the id {present.id}, and the stored credentials are encrypted with the one of the id {needed}. Give "
        f"the right one back. A backup needs the key that was in force when it was made. {ending}"
    )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _sync_descriptor(descriptor: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)
