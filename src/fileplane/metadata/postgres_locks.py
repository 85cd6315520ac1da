"""What each change locks, so that several nodes over one PostgreSQL change it as if one after another.

Locks are PostgreSQL's advisory locks, held until the transaction ends: they need no session, so that they work behind a pooler too.
A project's files, counters, holds, idempotency keys and catalog change under the project's own lock; its creation times and ids are
read off the clock while it is held, so that they grow in the order in which files become visible, and no page skips one.
What concerns several projects, such as keys, configs and credentials, excludes every change of any project: it is rare and short.
A change of one project holds that lock too, together with all other projects' changes. What is a single statement needs no lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from fileplane.model import Remains

_EVERYTHING: Final = "everything"


@dataclass(frozen=True, slots=True)
class Locks:
    """``everything`` excludes all changes of projects; ``names`` are locked each by itself; ``beside`` waits for ``everything``."""

    everything: bool = False
    names: tuple[str, ...] = ()
    beside: bool = False

    def statements(self) -> list[str]:
        """What takes them in a transaction, in an order that all transactions keep to."""
        keys = sorted({lock_key(name) for name in self.names})
        whole = lock_key(_EVERYTHING)
        first = [f"SELECT pg_advisory_xact_lock({whole})"] if self.everything else []
        first += [f"SELECT pg_advisory_xact_lock_shared({whole})"] if self.beside else []
        return first + [f"SELECT pg_advisory_xact_lock({key})" for key in keys]

    def turns(self) -> tuple[str, ...]:
        """What only one change of a process at a time can be busy with, in the same order everywhere."""
        return (_EVERYTHING,) if self.everything else tuple(sorted(set(self.names)))


NONE: Final = Locks()
EVERYTHING: Final = Locks(everything=True)
TAKEN: Final[ContextVar[Locks]] = ContextVar("locks", default=EVERYTHING)
"""What the change that is about to begin locks. Whatever says nothing excludes everything else."""

Rule = Callable[..., Locks]


def lock_key(name: str) -> int:
    """The number of a lock. Two names that share one wait for each other without need, and that is all."""
    return int.from_bytes(hashlib.blake2b(f"fileplane {name}".encode(), digest_size=8).digest(), "big", signed=True)


def _projects(project_ids: Iterable[str]) -> Locks:
    return Locks(names=tuple(f"project {project_id}" for project_id in project_ids), beside=True)


def _project(project_id: str, *_: object, **__: object) -> Locks:
    return _projects([project_id])


def _projects_of(files: Sequence[Remains]) -> Locks:
    return _projects({file.project_id for file in files})


def _subject(subject: str, *_: object, **__: object) -> Locks:
    return Locks(names=(f"requests {subject}",))


def _places(_: str, project_id: str, key_id: str, *__: object, **___: object) -> Locks:
    return Locks(names=(f"uploads of {project_id}", f"uploads of {key_id}"))


def _everything(*_: Any, **__: Any) -> Locks:
    return EVERYTHING


def _none(*_: Any, **__: Any) -> Locks:
    return NONE


_METHODS: Final[Mapping[Rule, str]] = {
    _project: """
        create_file delete_file purge_file restore_file hold_file release_hold give_up_oldest_deleted
        reserve_upload bind_upload mark_upload_unknown fail_upload renew_claim put_off_unresolved_file
        refresh_catalog_file begin_catalog_delete
        finish_catalog_delete cancel_catalog_delete close_catalog_file
        begin_job bind_job mark_job_unknown fail_job refresh_job close_job
        create_upload put_off_upload add_part complete_upload cancel_upload settle_file settle_again
        create_routed_upload add_routed_part begin_completion finish_completion abandon_completion cancel_routed_upload
        create_resumable take_turn ask_turn keep_turn end_turn append_part merge_parts
    """,
    _projects_of: "mark_ended expire_uploads forget_parts",
    _subject: "take_requests",
    _places: "begin_upload",
    _everything: """
        create_project update_project delete_project create_api_key update_api_key rotate_api_key revoke_api_key bootstrap
        create_config update_config delete_config adopt_master_key replace_data_key rewrap_data_keys drop_unused_data_keys
        forget_ciphertexts create_virtual_key update_virtual_key delete_virtual_key reseal_record
        condemn_blobs drop_files adopt_catalog_file claim_unresolved_files claim_held_catalog_files expire_catalog_files
        claim_unresolved_jobs
    """,
    _none: """
        note_key_use renew_upload end_upload claim_collectable mark_collected forget_files forget_old_entries
        take_lease release_lease set_bookmark store_identity
    """,
}

RULES: Final[Mapping[str, Rule]] = {name: rule for rule, names in _METHODS.items() for name in names.split()}
"""By the method of :class:`~fileplane.metadata.base.MetadataStore`, what it locks, from its arguments."""
