"""What the fake provider keeps: an account a credential, with files on disk and jobs in memory."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

GENERATED: Final = "generated"
"""The purpose of files that nobody uploaded, at providers that let only these be downloaded."""


@dataclass(slots=True)
class KeptFile:
    """A file. ``number`` grows with every file, so that those of one second have an order."""

    id: str
    number: int
    filename: str
    purpose: str
    size: int
    media_type: str
    created_at: int
    expires_at: int | None
    path: Path
    seen: int = 0
    """How often it was described, for flavours whose files take a while to be ready."""


@dataclass(slots=True)
class KeptPart:
    """A part of an upload."""

    id: str
    size: int
    path: Path


@dataclass(slots=True)
class KeptUpload:
    """An upload in parts. ``document`` is what was asked for, ``status`` one of OpenAI's but expired, which follows from the time."""

    id: str
    document: dict[str, Any]
    created_at: int
    status: str = "pending"
    parts: dict[str, KeptPart] = field(default_factory=dict)
    file_id: str | None = None


@dataclass(slots=True)
class Account:
    """The files, uploads and jobs of one credential, by their ids, oldest first."""

    files: dict[str, KeptFile] = field(default_factory=dict)
    uploads: dict[str, KeptUpload] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    fine_tunings: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """Of fine-tuning jobs, by the job's id and ``events`` or ``checkpoints``, oldest first."""


class Accounts:
    """Every account. ``ahead_seconds`` moves the fake's clock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._accounts: dict[str, Account] = {}
        self._number = 0
        self.ahead_seconds = 0
        self.keeps_expired = False
        """Whether files that have expired go on being described."""

    def now(self) -> int:
        """The time at the fake, in whole seconds."""
        return int(time.time()) + self.ahead_seconds

    def date(self) -> str:
        """The same for a ``Date`` header."""
        return formatdate(self.now(), usegmt=True)

    def of(self, credential: str) -> Account:
        """The account of a credential, without the files that have expired."""
        account = self._accounts.setdefault(credential, Account())
        if self.keeps_expired:
            return account
        for file in [file for file in account.files.values() if file.expires_at is not None and file.expires_at <= self.now()]:
            self.remove(account, file.id)
        return account

    def new_path(self) -> Path:
        """Where the bytes of a file may go."""
        return self._directory / secrets.token_hex(16)

    def add(
        self,
        account: Account,
        file_id: str,
        path: Path,
        *,
        filename: str,
        purpose: str,
        media_type: str = "application/octet-stream",
        expires_after: int | None = None,
    ) -> KeptFile:
        """Records a file whose bytes are at ``path``."""
        self._number += 1
        now = self.now()
        expires_at = None if expires_after is None else now + expires_after
        file = KeptFile(file_id, self._number, filename, purpose, path.stat().st_size, media_type, now, expires_at, path)
        account.files[file_id] = file
        return file

    def generate(self, account: Account, file_id: str, content: bytes, **fields: Any) -> KeptFile:
        """Records a file as if the provider had made it; ``fields`` are those of :meth:`add`."""
        path = self.new_path()
        path.write_bytes(content)
        return self.add(account, file_id, path, **{"filename": "generated.jsonl", "purpose": GENERATED, **fields})

    def remove(self, account: Account, file_id: str) -> None:
        """Deletes a file and its bytes."""
        account.files.pop(file_id).path.unlink(missing_ok=True)


def hex_id(prefix: str, digits: int = 24) -> Callable[[], str]:
    """Makes ids such as ``file-<24 hex>``."""
    return lambda: prefix + secrets.token_hex(digits // 2)


def uuid_id(prefix: str = "") -> Callable[[], str]:
    """Makes ids such as ``file_<uuid>``."""
    return lambda: prefix + str(uuid.uuid4())
