"""What an integrity check can find: each kind with how severe it is, and one finding of it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fileplane.errors import StorageUnavailable


class Severity(StrEnum):
    """An error is a promise broken; a warning is something left over that the server clears away by itself."""

    ERROR = "error"
    WARNING = "warning"


class Kind(StrEnum):
    """What is wrong."""

    MISSING_BLOB = "missing_blob"
    WRONG_SIZE = "wrong_size"
    WRONG_CONTENT = "wrong_content"
    UNREADABLE_BLOB = "unreadable_blob"
    INVALID_KEY = "invalid_key"
    COUNTER_DRIFT = "counter_drift"
    DATABASE = "database"
    ORPHAN_BLOB = "orphan_blob"
    STALE_TEMPORARY = "stale_temporary"

    @property
    def severity(self) -> Severity:
        """The same for every finding of the kind."""
        return Severity.WARNING if self in _LEFT_OVER else Severity.ERROR


_LEFT_OVER: Final = frozenset({Kind.ORPHAN_BLOB, Kind.STALE_TEMPORARY})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``words`` say what and how it shows; the ids are those of what it concerns, where there is one."""

    kind: Kind
    words: str
    project_id: str | None = None
    file_id: str | None = None
    blob_key: str | None = None

    @property
    def severity(self) -> Severity:
        """That of its kind."""
        return self.kind.severity


_NOT_OF_THE_BLOB: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})


def is_unreadable(error: StorageUnavailable) -> bool:
    """Whether the system refused to read this blob, as opposed to a store that did not answer, or a process without descriptors."""
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, TimeoutError) and cause.errno not in _NOT_OF_THE_BLOB
