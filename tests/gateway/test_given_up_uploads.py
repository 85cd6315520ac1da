"""An upload that was given up while it went on leaves nothing of its own at the provider, and takes nothing of anybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fileplane.errors import UploadLost
from fileplane.files.form import UploadEvent
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import Plan
from fileplane.testing.provider_world import SECRET
from gateway.test_every_point import LARGE_FORM, ORIGIN, Place, form, new_place


async def given_up_meanwhile(place: Place) -> AsyncIterator[UploadEvent]:
    async for event in form():
        yield event
    [row] = await place.store.unresolved_files(None, 10)
    await place.store.fail_upload(row.project_id, row.id, ORIGIN)


@pytest.mark.parametrize("same", [True, False], ids=["answered with a file that is there", "answered with a new file"])
async def test_only_what_nobody_has_is_deleted_after_an_upload_that_was_given_up(tmp_path: Path, same: bool) -> None:
    async with new_place(tmp_path / "place") as place:
        files = place.files(Plan({}))
        kept = await place.upload(files)
        if same:
            place.world.fake.plan(Fault("duplicate_id", operation="upload"))
        with pytest.raises(UploadLost):
            await files.create(place.route(), place.principal, ORIGIN, given_up_meanwhile(place), LARGE_FORM)
        assert set(place.world.fake.accounts.of(SECRET).files) == {kept}
        await place.check(kept)
