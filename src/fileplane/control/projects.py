"""Projects: who may see and change them, and how they are made."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fileplane import errors
from fileplane.access import UNLIMITED, Defaults, NewProject, Principal, Project, Scope
from fileplane.control.authority import require_scope
from fileplane.control.changes import ATTEMPTS, DefaultChanges, LimitChanges, either, repeated
from fileplane.control.values import require_one_line
from fileplane.errors import InvalidValue, RecordInUse, RecordNotFound
from fileplane.ids import parse_file_id
from fileplane.metadata.control import ControlStore, ReferenceMissing, SlugTaken, StillInUse, UnknownProject
from fileplane.model import Origin
from fileplane.routing.slugs import is_slug, slug_from_name
from fileplane.unset import UNSET, UnsetType

KIND: Final = "workspace"
"""What callers know a project as."""
_SLUG_PREFIX: Final = "ws-"
_SUFFIX_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class ProjectChanges:
    """What a caller wants of a project, checked for form. ``description`` None removes it."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    limits: LimitChanges = field(default_factory=LimitChanges)
    defaults: DefaultChanges = field(default_factory=DefaultChanges)


class Projects:
    """The use cases. A project's own key sees its own project alone; another is to it as one that never was."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def create(self, caller: Principal, name: str, slug: str | None, wanted: ProjectChanges, origin: Origin) -> Project:
        """Makes a project; without ``slug``, under one that is made from its name.

        Raises :class:`~fileplane.errors.MissingScope`, :class:`InvalidValue` or :class:`~fileplane.errors.SlugTaken`.
        """
        require_scope(caller, Scope.WORKSPACES_CREATE)
        require_one_line(name)
        if slug is not None:
            _check_slug(slug)
        attempts = 1 if slug is not None else ATTEMPTS
        for left in reversed(range(attempts)):
            chosen = slug or slug_from_name(name, secrets.token_hex(_SUFFIX_BYTES), prefix=_SLUG_PREFIX)
            description = either(wanted.description, None)
            new = NewProject(chosen, name, description, wanted.limits.applied(UNLIMITED), wanted.defaults.applied(Defaults()))
            try:
                return await self._store.create_project(new, origin)
            except SlugTaken as error:
                if not left:
                    raise errors.SlugTaken(chosen) from error
            except ReferenceMissing as error:
                raise _no_such_config(error) from error
        raise AssertionError("the last attempt returns or raises")

    async def every(self, caller: Principal) -> Sequence[Project]:
        """The projects that the caller may see, oldest first. Raises MissingScope."""
        require_scope(caller, Scope.WORKSPACES_LIST)
        return await self._store.list_projects() if caller.organisation else [await self._own(caller)]

    async def get(self, caller: Principal, id_or_slug: str) -> Project:
        """Raises MissingScope or :class:`RecordNotFound`."""
        require_scope(caller, Scope.WORKSPACES_READ)
        return await self.visible(caller, id_or_slug)

    async def visible(self, caller: Principal, id_or_slug: str) -> Project:
        """The project that a caller names, whatever it is for. Raises :class:`RecordNotFound` for one it may not see."""
        try:
            if caller.organisation:
                return await self._store.find_project(id_or_slug)
            own = await self._own(caller)
        except UnknownProject as error:
            raise not_found(id_or_slug) from error
        if id_or_slug not in (own.id, own.slug):
            raise not_found(id_or_slug)
        return own

    async def update(self, caller: Principal, id_or_slug: str, changes: ProjectChanges, origin: Origin) -> Project:
        """Changes what is named and leaves the rest. Raises as :meth:`get`, InvalidValue or RecordChanged."""
        require_scope(caller, Scope.WORKSPACES_UPDATE)
        if not isinstance(changes.name, UnsetType):
            require_one_line(changes.name)

        async def change() -> Project:
            before = await self.visible(caller, id_or_slug)
            after = replace(
                before,
                name=either(changes.name, before.name),
                description=either(changes.description, before.description),
                limits=changes.limits.applied(before.limits),
                defaults=changes.defaults.applied(before.defaults),
            )
            try:
                return await self._store.update_project(after, origin)
            except UnknownProject as error:
                raise not_found(id_or_slug) from error
            except ReferenceMissing as error:
                raise _no_such_config(error) from error

        return await repeated(KIND, change)

    async def delete(self, caller: Principal, id_or_slug: str, name: str | None, origin: Origin, *, force: bool) -> Project:
        """Removes a project and returns what it was. ``name`` has to be its name, if it is given, against mistakes.

        Raises as :meth:`get`, InvalidValue, or :class:`RecordInUse` while it has live files or organisation keys work in it, or, without
        ``force``, while it has anything else.
        """
        require_scope(caller, Scope.WORKSPACES_DELETE)
        project = await self.visible(caller, id_or_slug)
        if name is not None and name != project.name:
            raise InvalidValue("'name' is not the name of this workspace. Nothing was removed.", param="name")
        try:
            await self._store.delete_project(project.id, origin, force=force)
        except UnknownProject as error:
            raise not_found(id_or_slug) from error
        except StillInUse as error:
            raise RecordInUse(KIND, error.users, param="workspace_id") from error
        return project

    async def _own(self, caller: Principal) -> Project:
        return await self._store.find_project(caller.project_id)


def not_found(id_or_slug: str) -> RecordNotFound:
    """No such project, or none that the caller may see."""
    return RecordNotFound(KIND, id_or_slug, param="workspace_id")


def _no_such_config(error: ReferenceMissing) -> InvalidValue:
    return InvalidValue(
        f"There is no config '{error.slug[:80]}' in this workspace. Save it there first, then make it the default.",
        param="defaults.config_id",
    )


def _check_slug(slug: str) -> None:
    # A slug that looks like an id could stand for another project.
    if not is_slug(slug) or parse_file_id(slug) is not None:
        raise InvalidValue(
            "Invalid 'slug': use 1 to 128 lower-case letters, digits, - and _, a letter or digit first, and nothing that looks like an id.",
            param="slug",
        )
