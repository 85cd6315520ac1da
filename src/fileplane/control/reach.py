"""How far a caller reaches: its own project, or all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fileplane.access import Principal, Project
from fileplane.control.values import optional_text
from fileplane.errors import InvalidValue, OrganisationKeyNeeded
from fileplane.metadata.control import ControlStore, UnknownProject

_MOST_PROJECTS: Final = 1_000
_OWN_ONLY: Final = "An API key of a project reaches its own project alone."


async def project_named(metadata: ControlStore, caller: Principal, value: object, param: str) -> str | None:
    """The id of the project that a caller names by id or slug, or None when it names none.

    Raises :class:`~fileplane.errors.InvalidValue` for one that does not exist, and for any but its own, whether or not that exists,
    :class:`~fileplane.errors.OrganisationKeyNeeded` to a project's key.
    """
    text = optional_text(value, param)
    if text is None:
        return None
    try:
        # A project's key has its own looked up, so that not even the time it takes tells of others'.
        found: Project | None = await metadata.find_project(text if caller.organisation else caller.project_id)
    except UnknownProject:
        found = None
    if not caller.organisation and (found is None or text not in {found.id, found.slug}):
        raise OrganisationKeyNeeded(_OWN_ONLY, param=param)
    if found is None:
        raise InvalidValue(f"'{param}' names no project. Use the id or the slug of one.", param=param)
    return found.id


async def projects_named(metadata: ControlStore, caller: Principal, value: object, param: str) -> frozenset[str]:
    """The ids of a list of projects. Raises as :func:`project_named`."""
    if not isinstance(value, list | tuple) or len(value) > _MOST_PROJECTS or not all(isinstance(one, str) and one for one in value):
        raise InvalidValue(f"'{param}' must be a list of at most {_MOST_PROJECTS} ids or slugs of projects.", param=param)
    named = [await project_named(metadata, caller, one, f"{param}[{number}]") for number, one in enumerate(value)]
    return frozenset(one for one in named if one is not None)


def shown_projects(caller: Principal, project_ids: frozenset[str]) -> list[str]:
    """The projects of a record that the caller may know of."""
    return sorted(project_ids if caller.organisation else project_ids & {caller.project_id})


def owns(caller: Principal, project_ids: frozenset[str]) -> bool:
    """Whether a record of these projects is the caller's to change."""
    return caller.organisation or project_ids == {caller.project_id}


def single(given: Mapping[str, object], *names: str) -> object:
    """The value under the one of several names that was sent. Raises :class:`~fileplane.errors.InvalidValue` for two."""
    sent = [name for name in names if given.get(name) is not None]
    if len(sent) > 1:
        raise InvalidValue(f"'{sent[1]}' and '{sent[0]}' are the same. Send one of them.", param=sent[1])
    return given[sent[0]] if sent else None
