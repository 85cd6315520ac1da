"""Compressed bodies are decoded within bounds, to their end or not at all."""

from __future__ import annotations

import gzip
import zlib

import pytest

from fileplane.errors import UpstreamAnswerInvalid, UpstreamUnreachable
from fileplane.providers.decoding import decoded
from fileplane.testing.provider_world import in_pieces, pattern

BODY = pattern(300_000)


async def read(packed: bytes, size: int = 1_000) -> list[bytes]:
    return [piece async for piece in decoded(in_pieces(packed, size))]


@pytest.mark.parametrize("packed", [gzip.compress(BODY), zlib.compress(BODY)], ids=["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 1_000, 1 << 20])
async def test_what_was_packed_comes_out_in_bounded_pieces(packed: bytes, size: int):
    pieces = await read(packed, size)
    assert b"".join(pieces) == BODY
    assert max(map(len, pieces)) <= 1 << 17


@pytest.mark.parametrize("size", [1, 1_000, 1 << 20])
async def test_a_body_of_several_members_is_all_of_them(size: int):
    packed = b"".join(gzip.compress(part) for part in (BODY[:100_000], b"", BODY[100_000:]))
    assert b"".join(await read(packed, size)) == BODY
    with pytest.raises(UpstreamUnreachable):
        await read(packed[:-1], size)


async def test_an_empty_body_is_empty():
    assert await read(b"") == []


async def test_a_bomb_goes_off_piece_by_piece():
    packed = gzip.compress(bytes(64 << 20))
    stream = decoded(in_pieces(packed, len(packed)))
    assert len(await anext(stream)) <= 1 << 17
    await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kept", [1, 5, 100, -9, -1])
async def test_a_stream_that_ends_too_early_is_no_whole_body(kept: int):
    with pytest.raises(UpstreamUnreachable):
        await read(gzip.compress(BODY)[:kept])


@pytest.mark.parametrize(
    "packed", [b"plain text", gzip.compress(BODY) + b"more", gzip.compress(BODY)[:-8] + bytes(8)], ids=["plain", "more", "damaged"]
)
async def test_what_is_no_such_stream_is_refused(packed: bytes):
    with pytest.raises(UpstreamAnswerInvalid):
        await read(packed)
