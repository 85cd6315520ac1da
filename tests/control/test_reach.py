"""How far a project's key reaches, and what it can tell of others by how long that takes."""

from __future__ import annotations

import pytest

from control.conftest import Plane
from fileplane import errors
from fileplane.control.reach import project_named


@pytest.mark.parametrize("named", ["other", "nowhere"])
async def test_anothers_project_is_not_even_looked_for(plane: Plane, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    asked = []
    find_project = plane.metadata.find_project

    async def noted(id_or_slug: str) -> object:
        asked.append(id_or_slug)
        return await find_project(id_or_slug)

    monkeypatch.setattr(plane.metadata, "find_project", noted)
    with pytest.raises(errors.OrganisationKeyNeeded):
        await project_named(plane.metadata, plane.project, named, "workspace_id")
    assert await project_named(plane.metadata, plane.project, "one", "workspace_id") == plane.project.project_id
    assert set(asked) == {plane.project.project_id}
