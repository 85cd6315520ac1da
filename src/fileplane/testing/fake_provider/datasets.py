"""What the fakes of providers have in common whose files are datasets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import KeptFile
from fileplane.testing.fake_provider.files import served
from fileplane.testing.fake_provider.wire import Answer, RecordedRequest

_MOST_JSON: Final = 1 << 20


async def read_through(body: AsyncIterator[bytes]) -> None:
    """Takes a body that nobody wants."""
    async for _ in body:
        pass


async def document_of(request: RecordedRequest, body: AsyncIterator[bytes]) -> Any:
    """The JSON of a body; None for what is none, or does not say that it is."""
    content = b"".join([piece async for piece in body])
    if request.headers.get("content-type") != "application/json" or len(content) > _MOST_JSON:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None


async def to_disk(body: AsyncIterator[bytes], path: Path) -> int:
    """Keeps a body; how many bytes it has."""
    size = 0
    with path.open("wb") as file:
        async for piece in body:
            file.write(piece)
            size += len(piece)
    return size


def page_of(files: Sequence[KeptFile], token: str, size: int) -> tuple[Sequence[KeptFile], str]:
    """So many files from where the token of the page before says, and the token of the next page, empty on the last."""
    start = int(token.removeprefix("after-") or "0") if token else 0
    end = start + size
    return files[start:end], f"after-{end}" if end < len(files) else ""


def content_of(file: KeptFile, request: RecordedRequest) -> Answer:
    """A download, of the part that is asked for."""
    return served(file, request, ranges=True)
