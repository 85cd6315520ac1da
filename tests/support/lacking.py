"""A provider that lacks something: the real adapter, before which something is taken away from what it can do and says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fileplane.providers.base import Capabilities, Provider, RemoteFile, RemotePage, RemoteQuery, RemoteUpload, Target


class LackingProvider:
    """``lacks`` are fields of the capabilities. With ``doubles`` every byte sent is there twice, as where lines are rewritten."""

    def __init__(self, inner: Provider, *, doubles: bool = False, **lacks: Any) -> None:
        self._inner = inner
        self._doubles = doubles
        self._lacks = lacks
        self.uploads: list[RemoteUpload] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def capabilities(self, target: Target) -> Capabilities:
        return replace(self._inner.capabilities(target), **self._lacks)

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        self.uploads.append(upload)
        if not self._doubles:
            return self._told(target, await self._inner.upload(target, upload))
        doubled = replace(upload, content=_doubled(upload.content), length=None, at_most=None)
        return self._told(target, replace(await self._inner.upload(target, doubled), transformed=True))

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        return self._told(target, await self._inner.get(target, file_id))

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        page = await self._inner.list(target, query)
        return replace(page, files=tuple(self._told(target, file) for file in page.files))

    def _told(self, target: Target, file: RemoteFile) -> RemoteFile:
        can = self.capabilities(target)
        return replace(
            file,
            bytes=file.bytes if can.keeps_bytes or file.transformed else None,
            filename=file.filename if can.keeps_filename else None,
            purpose=file.purpose if can.keeps_purpose else None,
        )


async def _doubled(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in content:
        yield bytes(byte for byte in piece for _ in range(2))
