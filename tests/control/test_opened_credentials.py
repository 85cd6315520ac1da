"""A virtual key that calls use is opened once for a moment, and a change of it is heeded soon, wherever it was made."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from control.conftest import NOBODY, Plane
from fileplane import errors
from fileplane.control.opened_credentials import CACHE_SECONDS, OpenedCredentials
from fileplane.credentials import VirtualKey
from support.polling import eventually_async


class Watched:
    """A plane's database that counts how often a virtual key is looked up, and keeps whoever does waiting at ``gate``."""

    def __init__(self, plane: Plane) -> None:
        self._metadata = plane.metadata
        self.lookups = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def get_virtual_key(self, slug: str) -> VirtualKey:
        self.lookups += 1
        found = await self._metadata.get_virtual_key(slug)
        await self.gate.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metadata, name)


async def secret(opened: OpenedCredentials, plane: Plane) -> str:
    return (await opened.get(plane.project.project_id, "mine")).secrets["api_key"].reveal()


async def test_many_calls_in_a_moment_look_it_up_once(plane: Plane) -> None:
    await plane.make(slug="mine")
    watched = Watched(plane)
    opened = OpenedCredentials(watched, plane.vault, plane.clock)
    assert {await secret(opened, plane) for _ in range(10)} == {"sk-standard"}
    assert watched.lookups == 1


async def test_a_change_is_heeded_at_once_where_it_was_made_and_elsewhere_within_seconds(plane: Plane) -> None:
    await plane.make(slug="mine")
    elsewhere = OpenedCredentials(plane.metadata, plane.vault, plane.clock)
    assert [await plane.secret("mine"), await secret(elsewhere, plane)] == ["sk-standard"] * 2
    await plane.change("mine", key="sk-other")
    assert [await plane.secret("mine"), await secret(elsewhere, plane)] == ["sk-other", "sk-standard"]
    assert CACHE_SECONDS <= 5
    plane.clock.advance(CACHE_SECONDS)
    assert await secret(elsewhere, plane) == "sk-other"
    await plane.virtual_keys.delete(plane.project, "mine", NOBODY)
    with pytest.raises(errors.RecordNotFound):
        await plane.secret("mine")
    plane.clock.advance(CACHE_SECONDS)
    with pytest.raises(errors.RecordNotFound):
        await secret(elsewhere, plane)


async def test_what_expires_while_it_is_remembered_is_used_no_longer(plane: Plane) -> None:
    end = datetime.fromtimestamp(plane.clock.now_ms() // 1000 + 1, UTC)
    await plane.make(slug="mine", expires_at=end.isoformat())
    assert await plane.secret("mine") == "sk-standard"
    plane.clock.advance(1)
    with pytest.raises(errors.InvalidValue, match="has expired"):
        await plane.secret("mine")


async def test_what_was_read_before_a_change_is_not_remembered_after_it(plane: Plane) -> None:
    await plane.make(slug="mine")
    watched = Watched(plane)
    opened = OpenedCredentials(watched, plane.vault, plane.clock)
    watched.gate.clear()
    early = asyncio.ensure_future(secret(opened, plane))
    await eventually_async(lambda: watched.lookups, "the record is being looked up")
    await plane.change("mine", key="sk-other")
    opened.forget()
    watched.gate.set()
    assert await early in {"sk-standard", "sk-other"}
    assert await secret(opened, plane) == "sk-other"


async def test_another_project_learns_nothing_from_what_is_remembered(plane: Plane) -> None:
    await plane.make(slug="mine")
    assert await plane.secret("mine") == "sk-standard"
    with pytest.raises(errors.RecordNotFound):
        await plane.secret("mine", caller=plane.other)
