"""The values that cross every seam: frozen, without I/O, importing nothing of ours.

Times are whole seconds since the Unix epoch, sizes are bytes, and a file is always named together with its project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT_PROJECT_NAME: Final = "default"


class Scope(StrEnum):
    """What an API key may do, in Portkey's dotted style."""

    FILES_READ = "files.read"
    FILES_WRITE = "files.write"
    FILES_DELETE = "files.delete"
    FILES_WRITE_OUTPUT = "files.write_output"


ALL_SCOPES: Final = frozenset(scope.value for scope in Scope)

INPUT_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""The purposes a caller may upload, as OpenAI's create call lists them."""

OUTPUT_PURPOSES: Final = ("assistants_output", "batch_output", "fine-tune-results")
"""The purposes of results; creating one takes the scope ``files.write_output``."""

SHORTEST_EXPIRY_SECONDS: Final = 3_600
LONGEST_EXPIRY_SECONDS: Final = 2_592_000


class FileStatus(StrEnum):
    """OpenAI's file states."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, after authentication."""

    project_id: str
    key_id: str
    scopes: frozenset[str]
    organisation: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """The unit of isolation and quota; every file belongs to exactly one."""

    id: str
    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's credential as it is kept: everything but the key itself, of which only ``hint`` (its last four) is known."""

    id: str
    project_id: str
    project_name: str
    name: str
    hint: str
    scopes: frozenset[str]
    organisation: bool
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def works_at(self, now: int) -> bool:
        """Whether a request made at ``now`` may use this key."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key about to be stored; ``key_hash`` is the SHA-256 of the whole key."""

    project_id: str
    name: str
    key_hash: bytes
    hint: str
    scopes: frozenset[str]
    organisation: bool = False
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What a committed blob turned out to be: its key, its size and the SHA-256 of its bytes in hex."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file about to be recorded. Its id, creation time and expiry are decided inside the create transaction."""

    blob: StoredBlob
    purpose: str
    filename: str
    media_type: str
    created_by: str
    expires_after: int | None = None
    status: FileStatus = FileStatus.PROCESSED
    status_details: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file as recorded. ``id`` is always the canonical UUID, whatever form callers see."""

    project_id: str
    id: str
    purpose: str
    filename: str
    bytes: int
    media_type: str
    sha256: str
    blob_key: str
    created_at: int
    expires_at: int | None
    status: str
    status_details: str | None


@dataclass(frozen=True, slots=True)
class FileQuery:
    """A page of a project's files. ``after`` (a canonical id) and ``offset`` are never both set."""

    limit: int
    purpose: str | None = None
    newest_first: bool = True
    after: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class FilePage:
    """One page in order; ``total`` counts every live file that the query's purpose admits, not only this page's."""

    files: tuple[File, ...]
    has_more: bool
    total: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project keeps: ``stored_bytes`` counts deleted files until their bytes are collected."""

    live_files: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes from ``start``; never empty, always within the blob it is used on."""

    start: int
    length: int
