"""API keys: who may make, see, change, rotate and revoke them.

One rule stands above all others: nobody gets hold of more than they have. A key gives others at most its own scopes, within its own
limits, until its own end and by its own route, and changes or rotates only keys that may do no more than itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fileplane.access import ORGANISATION_SCOPES, UNLIMITED, ApiKey, Defaults, KeyKind, NewApiKey, Principal, Project
from fileplane.clock import Clock
from fileplane.control.authority import (
    EVERYTHING,
    OPERATOR,
    Rights,
    has_scope,
    inherited,
    require_power_over,
    require_scope,
    require_within,
    rights_of,
)
from fileplane.control.changes import DefaultChanges, LimitChanges, either, repeated
from fileplane.control.projects import Projects, not_found
from fileplane.control.scopes import scope_of_kind, scopes_of_kinds, told_apart
from fileplane.control.values import require_one_line
from fileplane.errors import AboveMaximum, BelowMinimum, InvalidApiKey, InvalidValue, MissingParameter, RecordNotFound
from fileplane.ids import hash_api_key, new_api_key
from fileplane.metadata.control import ApiKeyNotFound, ControlStore, RecordChanged, ReferenceMissing, UnknownProject
from fileplane.model import Origin
from fileplane.unset import UNSET, UnsetType

KIND: Final = "API key"
DEFAULT_OVERLAP_MS: Final = 3_600_000
"""An hour, in which whoever uses a rotated key can be given the new one."""
LONGEST_OVERLAP_MS: Final = 30 * 86_400_000
_HINT: Final = 4


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What a caller wants of a key, checked for form. ``expires_at`` in seconds since the epoch; None is never."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    scopes: Sequence[str] | UnsetType = UNSET
    expires_at: int | UnsetType | None = UNSET
    limits: LimitChanges = field(default_factory=LimitChanges)
    defaults: DefaultChanges = field(default_factory=DefaultChanges)


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key that got a new form: ``plain`` is shown once; the one before works until ``former_ends_at``."""

    key: ApiKey
    plain: str
    former_ends_at: int


class ApiKeys:
    """The use cases. What a caller may not see is to it as what never was. Revoked keys do not exist here."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._projects = Projects(store)

    async def create(
        self, caller: Principal, kind: KeyKind, project: str | None, wanted: KeyChanges, user_id: str | None, origin: Origin
    ) -> tuple[ApiKey, str]:
        """A new key and its plain text, which is known nowhere else. Without ``project`` it works where the caller does.

        ``wanted`` has to have a name and scopes. What the caller's own key is bound by, the new one is bound by too.
        Raises :class:`~fileplane.errors.MissingScope`, :class:`~fileplane.errors.BeyondOwnRights`, :class:`RecordNotFound` or
        :class:`InvalidValue`.
        """
        own_key, own = await self._own_rights(caller)
        require_scope(self._as_of_now(caller, own), scope_of_kind(kind, "create"))
        home = await self._projects.visible(caller, caller.project_id if project is None else project)
        if kind is KeyKind.WORKSPACE_USER and user_id is None:
            raise MissingParameter("Missing required parameter: 'user_id'. A user's key says whose it is.", param="user_id")
        assert not isinstance(wanted.name, UnsetType)
        require_one_line(wanted.name)
        scopes, others = told_apart(either(wanted.scopes, ()))
        _refuse_scopes_of_the_organisation(scopes, kind)
        plain = new_api_key()
        new = NewApiKey(
            project_id=home.id,
            name=wanted.name,
            key_hash=hash_api_key(plain),
            hint=plain[-_HINT:],
            scopes=scopes,
            kind=kind,
            expires_at=self._expiry(wanted.expires_at, None),
            description=either(wanted.description, None),
            user_id=user_id,
            other_scopes=others,
            limits=wanted.limits.applied(UNLIMITED),
            defaults=wanted.defaults.applied(Defaults()),
        )
        if own_key is not None:
            new = inherited(new, own, own_key.defaults)
        require_within(rights_of(new, kind is KeyKind.ORGANISATION_SERVICE, home), own)
        try:
            return await self._store.create_api_key(new, origin), plain
        except UnknownProject as error:
            raise not_found(home.id) from error
        except ReferenceMissing as error:
            raise _no_such_config(error) from error

    async def every(self, caller: Principal, project: str | None = None) -> Sequence[ApiKey]:
        """The keys that the caller may list, oldest first: of one project, of its own, or with the organisation's key of all.

        Raises MissingScope or :class:`RecordNotFound`.
        """
        require_scope(caller, *scopes_of_kinds("list"))
        bounds = None if project is None and caller.organisation else caller.project_id
        if project is not None:
            bounds = (await self._projects.visible(caller, project)).id
        return [
            key
            for key in await self._store.list_api_keys(bounds, with_revoked=False)
            if _visible(caller, key) and has_scope(caller, scope_of_kind(key.kind, "list"))
        ]

    async def get(self, caller: Principal, key_id: str) -> ApiKey:
        """Raises MissingScope or :class:`RecordNotFound`."""
        require_scope(caller, *scopes_of_kinds("read"))
        return await self._found(caller, key_id, "read")

    async def update(self, caller: Principal, key_id: str, changes: KeyChanges, origin: Origin) -> ApiKey:
        """Changes what is named and leaves the rest. Raises as :meth:`create` and :meth:`get`, or RecordChanged."""

        async def change() -> ApiKey:
            before, own = await self._changeable(caller, key_id)
            home = await self._home(before)
            require_power_over(rights_of(before, before.organisation, home), own)
            after = self._changed(before, changes)
            require_within(rights_of(after, after.organisation, home), own)
            try:
                return await self._store.update_api_key(after, origin)
            except ApiKeyNotFound as error:
                raise _not_found(key_id) from error
            except ReferenceMissing as error:
                raise _no_such_config(error) from error

        return await repeated(KIND, change)

    async def rotate(self, caller: Principal, key_id: str, overlap_ms: int | None, origin: Origin) -> Rotated:
        """Gives a key a new form. The one before works for ``overlap_ms`` more, rounded up to whole seconds; 0 ends it at once.

        Raises as :meth:`get`, :class:`~fileplane.errors.BeyondOwnRights`, InvalidValue or RecordChanged.
        """
        overlap = -(-_checked_overlap(overlap_ms) // 1000)

        async def change() -> Rotated:
            before, own = await self._changeable(caller, key_id)
            require_power_over(rights_of(before, before.organisation, await self._home(before)), own)
            plain = new_api_key()
            try:
                key = await self._store.rotate_api_key(before, hash_api_key(plain), plain[-_HINT:], overlap, origin)
            except ApiKeyNotFound as error:
                raise _not_found(key_id) from error
            ends_at = key.updated_at + overlap
            return Rotated(key, plain, ends_at if key.expires_at is None else min(ends_at, key.expires_at))

        return await repeated(KIND, change)

    async def revoke(self, caller: Principal, key_id: str, origin: Origin) -> ApiKey:
        """Ends a key, with everything that rotations have replaced, and returns what it was. Raises as :meth:`get`."""
        _, own = await self._own_rights(caller)
        caller = self._as_of_now(caller, own)
        require_scope(caller, *scopes_of_kinds("delete"))
        key = await self._found(caller, key_id, "delete")
        await self._store.revoke_api_key(key.id, origin)
        return key

    def now(self) -> int:
        """Seconds since the epoch, by the clock that decides which keys have expired."""
        return self._clock.now_ms() // 1000

    async def _own_rights(self, caller: Principal) -> tuple[ApiKey | None, Rights]:
        """What the caller's key gives at this moment, which a worker may still remember otherwise."""
        if caller is OPERATOR:
            return None, EVERYTHING
        try:
            key, home, works_until = await self._own_key(caller)
        except (ApiKeyNotFound, UnknownProject) as error:
            raise InvalidApiKey("This API key has expired or been revoked. Ask the operator for a new one.") from error
        own = rights_of(key, key.organisation, home)
        ends = [end for end in (own.expires_at, works_until) if end is not None]
        return key, replace(own, expires_at=min(ends, default=None))

    async def _own_key(self, caller: Principal) -> tuple[ApiKey, Project, int | None]:
        """The caller's key, its project, and when the form that was sent ends. Raises ApiKeyNotFound or UnknownProject."""
        if caller.key_hash is None:
            key = await self._store.get_api_key(caller.key_id)
            return key, await self._store.find_project(key.project_id), caller.works_until
        # A worker may still remember a form that a rotation has ended since; whoever has that one must not get what lasts.
        known = await self._store.find_api_key(caller.key_hash)
        if known is None or not known.works_at(self.now()):
            raise ApiKeyNotFound(caller.key_id)
        return known.key, known.project, known.works_until

    @staticmethod
    def _as_of_now(caller: Principal, own: Rights) -> Principal:
        return caller if caller is OPERATOR else replace(caller, scopes=own.scopes)

    async def _changeable(self, caller: Principal, key_id: str) -> tuple[ApiKey, Rights]:
        """The key to be changed, and what the caller's own gives; to be asked for anew with every attempt.

        Raises as :meth:`get`, or RecordChanged.
        """
        own_key, own = await self._own_rights(caller)
        caller = self._as_of_now(caller, own)
        require_scope(caller, *scopes_of_kinds("update"))
        before = await self._found(caller, key_id, "update")
        if own_key is not None and own_key.id == before.id and own_key.version != before.version:
            # What has just been taken from a key, it cannot give itself back.
            raise RecordChanged(before.id)
        return before, own

    async def _found(self, caller: Principal, key_id: str, verb: str) -> ApiKey:
        try:
            key = await self._store.get_api_key(key_id, None if caller.organisation else caller.project_id)
        except ApiKeyNotFound as error:
            raise _not_found(key_id) from error
        if not _visible(caller, key):
            raise _not_found(key_id)
        require_scope(caller, scope_of_kind(key.kind, verb))
        return key

    async def _home(self, key: ApiKey) -> Project:
        try:
            return await self._store.find_project(key.project_id)
        except UnknownProject as error:
            raise _not_found(key.id) from error

    def _changed(self, before: ApiKey, changes: KeyChanges) -> ApiKey:
        scopes, others = before.scopes, before.other_scopes
        if not isinstance(changes.name, UnsetType):
            require_one_line(changes.name)
        if not isinstance(changes.scopes, UnsetType):
            scopes, others = told_apart(changes.scopes)
            _refuse_scopes_of_the_organisation(scopes - before.scopes, before.kind)
        return replace(
            before,
            name=either(changes.name, before.name),
            description=either(changes.description, before.description),
            scopes=scopes,
            other_scopes=others,
            expires_at=self._expiry(changes.expires_at, before.expires_at),
            limits=changes.limits.applied(before.limits),
            defaults=changes.defaults.applied(before.defaults),
        )

    def _expiry(self, wanted: int | UnsetType | None, kept: int | None) -> int | None:
        if isinstance(wanted, UnsetType):
            return kept
        if wanted is not None and wanted <= self.now():
            raise InvalidValue("Invalid 'expires_at': it has to be in the future. To end a key now, delete it.", param="expires_at")
        return wanted


def _visible(caller: Principal, key: ApiKey) -> bool:
    """The organisation's keys are its own affair, also those that work in the caller's project."""
    return caller.organisation or (key.project_id == caller.project_id and not key.organisation)


def _refuse_scopes_of_the_organisation(scopes: frozenset[str], kind: KeyKind) -> None:
    if kind is not KeyKind.ORGANISATION_SERVICE and (useless := sorted(scopes & ORGANISATION_SCOPES)):
        raise InvalidValue(f"The scope '{useless[0]}' is for keys of the organisation: no workspace's key can use it.", param="scopes")


def _checked_overlap(overlap_ms: int | None) -> int:
    if overlap_ms is None:
        return DEFAULT_OVERLAP_MS
    param = "key_transition_period_ms"
    if overlap_ms < 0:
        raise BelowMinimum(f"Invalid '{param}': expected a value >= 0, but got {overlap_ms} instead.", param=param)
    if overlap_ms > LONGEST_OVERLAP_MS:
        raise AboveMaximum(f"Invalid '{param}': expected a value <= {LONGEST_OVERLAP_MS} (30 days), but got {overlap_ms}.", param=param)
    return overlap_ms


def _not_found(key_id: str) -> RecordNotFound:
    return RecordNotFound(KIND, key_id, param="id")


def _no_such_config(error: ReferenceMissing) -> InvalidValue:
    return InvalidValue(
        f"There is no config '{error.slug[:80]}' in the workspace of this key. Save it there first, then make it the default.",
        param="defaults.config_id",
    )
