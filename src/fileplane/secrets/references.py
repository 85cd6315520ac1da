"""Secrets kept elsewhere: ``env:NAME`` and ``file:/path``, read when they are used.

An organisation's administrator may set a reference, and only one that the operator has allowed by the setting ``secret_refs_allow``:
otherwise whoever may store credentials could have any file of the server sent to a host of their choice.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fileplane.secrets.envelope import LONGEST_VALUE_BYTES
from fileplane.secrets.values import Secret
from fileplane.settings import ENVIRONMENT_PREFIX

_SCHEMES: Final = ("env:", "file:")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_PATH: Final = re.compile(r"(?:/[^/\x00-\x1f\x7f]+)+")
_LONGEST_PATH: Final = 4_096
_SECONDS: Final = 5.0


class ReferenceInvalid(ValueError):
    """A text begins like a reference and is none. The message says what one looks like."""


class ReferenceNotAllowed(Exception):
    """No pattern of ``secret_refs_allow`` admits the reference."""


class ReferenceUnreadable(Exception):
    """What a reference names cannot be read now. The message names the reference and never what it holds."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is kept: an environment variable (``env``) or a file (``file``), as ``kind``, and its name or absolute path."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def parse_reference(text: str) -> Reference | None:
    """The reference that ``text`` is, or None when it is a secret itself. Raises :class:`ReferenceInvalid`."""
    if not text.startswith(_SCHEMES):
        return None
    kind, _, name = text.partition(":")
    if kind == "env" and not _NAME.fullmatch(name):
        raise ReferenceInvalid("a reference such as env:NAME, with letters, digits and _")
    if kind == "file" and not (_PATH.fullmatch(name) and len(name) <= _LONGEST_PATH and not {".", ".."} & set(name.split("/"))):
        raise ReferenceInvalid("a reference such as file:/run/secrets/name, an absolute path without . and ..")
    return Reference(kind, name)


class References:
    """Decides which references may be set, and reads them.

    A pattern is ``env:`` or ``file:`` and a name or path in which ``*`` stands for any characters but ``/``. Fileplane's own
    environment variables and whatever is in the data directory are never read, whatever the patterns say.
    """

    def __init__(self, allow: Sequence[str], data_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self._patterns = [re.compile("[^/]*".join(re.escape(part) for part in pattern.split("*"))) for pattern in allow]
        self._data_dir = data_dir
        self._environment = os.environ if environment is None else environment

    def require_allowed(self, reference: Reference) -> None:
        """Raises :class:`ReferenceNotAllowed`. Does not look whether there is anything."""
        own = reference.kind == "env" and reference.name.upper().startswith(ENVIRONMENT_PREFIX)
        if own or not any(pattern.fullmatch(str(reference)) for pattern in self._patterns):
            raise ReferenceNotAllowed(
                f"The secret reference {reference} is not allowed. The operator allows references by the setting secret_refs_allow "
                "(FILEPLANE_SECRET_REFS_ALLOW), such as env:OPENAI_* or file:/run/secrets/*."
            )

    async def read(self, reference: Reference) -> Secret:
        """The secret as it is now, without the line end that follows it. The event loop goes on meanwhile.

        Raises :class:`ReferenceNotAllowed`, also for one that was allowed once, and :class:`ReferenceUnreadable`.
        """
        self.require_allowed(reference)
        if reference.kind == "env":
            return _checked(reference, self._environment.get(reference.name, ""))
        try:
            async with asyncio.timeout(_SECONDS):
                return _checked(reference, await asyncio.to_thread(self._read_file, reference))
        except TimeoutError:
            raise ReferenceUnreadable(f"The secret reference {reference} cannot be read: its file system does not answer.") from None

    def _read_file(self, reference: Reference) -> str:
        path = Path(reference.name)
        try:
            if path.resolve().is_relative_to(self._data_dir.resolve()):
                raise ReferenceNotAllowed(f"The secret reference {reference} leads into the data directory, which holds no such secrets.")
            # Without O_NONBLOCK, a named pipe would keep the thread for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ReferenceUnreadable(f"The secret reference {reference} names no regular file.")
                raw = os.read(descriptor, LONGEST_VALUE_BYTES + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ReferenceUnreadable(f"The secret reference {reference} cannot be read: {error.strerror}.") from None
        if len(raw) > LONGEST_VALUE_BYTES:
            raise ReferenceUnreadable(f"The secret reference {reference} names a file of more than {LONGEST_VALUE_BYTES} bytes.")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ReferenceUnreadable(f"The secret reference {reference} names a file that is no text in UTF-8.") from None


def _checked(reference: Reference, value: str) -> Secret:
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise ReferenceUnreadable(f"The secret reference {reference} names nothing, or something empty.")
    return Secret(value)
