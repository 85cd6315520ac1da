"""Forms as they are written for providers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import FileTooLarge, InvalidValue
from fileplane.providers.multipart_body import MultipartBody
from fileplane.providers.request_body import RequestBody, Watch
from fileplane.testing.provider_world import in_pieces


class Nobody(Watch):
    """Keeps no deadlines."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def waits_for_source(self) -> None:
        self.told.append("source")

    def waits_for_peer(self) -> None:
        self.told.append("peer")

    def has_ended(self) -> None:
        self.told.append("ended")


async def written(body: RequestBody) -> bytes:
    return b"".join([piece async for piece in body.pieces(Nobody())])


def form(content: AsyncIterator[bytes], **fields: Any) -> MultipartBody:
    return MultipartBody([("purpose", "batch")], **{"filename": "a.jsonl", "media_type": "application/jsonl", "content": content, **fields})


async def test_fields_come_before_the_file_and_the_length_is_exact():
    body = form(in_pieces(b"line\n" * 50_000), file_length=250_000)
    data = await written(body)
    assert (len(data), body.file_bytes, body.complete) == (body.length, 250_000, True)
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + body.content_type.encode() + b"\r\n\r\n" + data)
    parts = list(message.iter_parts())
    assert [part.get_param("name", header="content-disposition") for part in parts] == ["purpose", "file"]
    assert parts[1].get_content_type() == "application/jsonl"
    assert data.endswith(b"--\r\n")


@given(name=st.text(max_size=80), media_type=st.text(max_size=40))
async def test_no_name_or_type_escapes_its_header(name: str, media_type: str):
    data = await written(form(in_pieces(b"x"), filename=name, media_type=media_type, file_length=1))
    head = data.split(b"\r\n\r\nx\r\n")[0].rsplit(b"--", 1)[-1].decode()
    lines = head.split("\r\n")
    assert len(lines) == 3
    match = re.fullmatch(r'Content-Disposition: form-data; name="file"; filename="([^"\r\n\x00]*)"', lines[1])
    assert match
    assert lines[2].startswith("Content-Type: ")
    assert lines[2].isascii()


async def test_the_content_is_complete_only_once_its_last_byte_is_handed_on():
    body = form(in_pieces(b"x" * 10, 5), file_length=10)
    seen = [(piece, body.complete) async for piece in body.pieces(Nobody())]
    assert [complete for _, complete in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1][0].endswith(b"--\r\n")


@pytest.mark.parametrize("length", [9, 11])
async def test_a_file_of_another_length_has_no_closing_boundary(length: int):
    body = form(in_pieces(b"0123456789", 4), file_length=length)
    pieces = []
    with pytest.raises(InvalidValue):
        async for piece in body.pieces(Nobody()):
            pieces.append(piece)  # noqa: PERF401 - what came before the error is looked at
    assert not body.complete
    assert b"--\r\n" not in b"".join(pieces)


async def test_a_file_beyond_the_limit_is_cut_off():
    body = form(in_pieces(b"x" * 100, 10), most=50)
    with pytest.raises(FileTooLarge):
        await written(body)
    assert not body.complete
    assert body.file_bytes <= 60


async def test_a_source_that_fails_is_remembered():
    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("gone")

    body = form(source())
    with pytest.raises(KeyError):
        await written(body)
    assert isinstance(body.failure, KeyError)
    assert not body.complete
