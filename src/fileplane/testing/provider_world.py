"""What the conformance suite of providers runs in: a provider, a target, and the fake that the target leads to."""

from __future__ import annotations

import asyncio
import hashlib
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from fileplane.providers.base import ByteRange, Capabilities, Provider, RemoteFile, RemotePage, RemoteQuery, RemoteUpload, Target
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, fake_provider

SECRET: Final = "sk-canary-0123456789abcdefghijklmnop"  # noqa: S105 - a canary: nothing that anybody sees may have it
LOOPBACK: Final = ("127.0.0.1",)
_PIECE: Final = 1 << 16
_WAIT_SECONDS: Final = 5.0
_SAID: Final = 100 << 20
"""What is said to be the length of a file of which a test says none, where one has to be said."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a test needs."""

    fake: FakeProvider
    provider: Provider
    target: Target
    egress: Egress

    @property
    def capabilities(self) -> Capabilities:
        """Of the provider at the target."""
        return self.provider.capabilities(self.target)

    @property
    def reads_back(self) -> bool:
        """Whether what is uploaded can be downloaded."""
        return self.capabilities.download and self.capabilities.downloads_uploads

    @property
    def purpose(self) -> str:
        """One that the provider takes."""
        purposes = self.capabilities.purposes
        return "batch" if purposes is None or "batch" in purposes else min(purposes)

    async def upload(
        self, content: bytes = b"content", *, filename: str = "some.jsonl", announced: bool = True, pieces: int = _PIECE, **fields: Any
    ) -> RemoteFile:
        """Uploads bytes; ``announced`` with their length, and with what else a provider must be told before."""
        source = fields.pop("source", None)
        length = fields.pop("length", len(content) if announced else None)
        if length is None and self.capabilities.needs_length:
            length = len(content) if source is None else _SAID
        if self.capabilities.needs_lines:
            fields.setdefault("lines", content.count(b"\n") + (not content.endswith(b"\n")))
        upload = RemoteUpload(
            purpose=fields.pop("purpose", self.purpose),
            filename=filename,
            media_type=fields.pop("media_type", "application/octet-stream"),
            content=source or in_pieces(content, pieces),
            length=length,
            **fields,
        )
        return await self.provider.upload(self.target, upload)

    async def download(self, file_id: str, span: ByteRange | None = None) -> bytes:
        """The bytes of a download."""
        async with self.provider.open(self.target, file_id, span) as content:
            return b"".join([piece async for piece in content])

    async def downloadable(self, content: bytes, media_type: str = "application/octet-stream") -> str:
        """The id of a file that can be downloaded: uploaded, or where uploads cannot be, one as if the provider had made it."""
        if self.reads_back:
            return (await self.upload(content, media_type=media_type)).id
        account = self.fake.accounts.of(SECRET)
        return self.fake.accounts.generate(account, self.fake.flavour.new_id(), content, media_type=media_type).id

    async def stored(self) -> list[bytes]:
        """The contents of all files at the fake, oldest first."""
        account = self.fake.accounts.of(SECRET)
        return [file.path.read_bytes() for file in account.files.values()]

    async def every_page(self, query: RemoteQuery) -> list[RemotePage]:
        """Pages until there is no more, each asked for by the cursor of the one before."""
        pages = [await self.provider.list(self.target, query)]
        while pages[-1].has_more:
            assert len(pages) < 100, "the pages never end"
            pages.append(await self.provider.list(self.target, replace(query, after=pages[-1].next_cursor)))
        return pages


@asynccontextmanager
async def new_world(flavour: str, fields: Mapping[str, str] | None = None, *, jobs: str = "auto", **settings: Any) -> AsyncIterator[World]:
    """A running fake of that flavour, whose jobs go on as ``jobs`` says, with its adapter. ``settings`` are those of the egress."""
    async with fake_provider(flavour, jobs=jobs) as fake:
        egress = Egress(Settings(egress_allow=LOOPBACK, **settings))
        name = fake.flavour.provider_name
        secrets = {secret: Secret(text) for secret, text in fake.flavour.secrets(SECRET).items()}
        target = Target(name, secrets, dict(fields or {}), custom_host=fake.base_url)
        try:
            yield World(fake, Registry(egress).get(name), target, egress)
        finally:
            await egress.close()


async def in_pieces(content: bytes, size: int = _PIECE) -> AsyncIterator[bytes]:
    """Bytes as they come from a client."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def pattern(size: int) -> bytes:
    """That many bytes which repeat nothing within 64 KiB."""
    block = b"".join(hashlib.sha256(bytes([number & 255, number >> 8])).digest() for number in range(2_048))
    return (block * (size // len(block) + 1))[:size]


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Returns as soon as ``condition`` holds."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def assert_tells_no_secret(error: BaseException) -> None:
    """Neither what a caller is told of an error nor what the log gets of it has the credential."""
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert SECRET not in told
    assert SECRET[3:] not in told
