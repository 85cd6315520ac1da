"""Forms whose length is announced although the file may turn out a little shorter."""

from __future__ import annotations

import pytest
from python_multipart.multipart import MultipartParser

from fileplane.errors import InvalidValue
from fileplane.providers.multipart_body import MultipartBody
from fileplane.providers.request_body import Watch
from fileplane.settings import Settings
from fileplane.testing.provider_world import in_pieces, pattern

CONTENT = pattern(200_000)


async def sent(body: MultipartBody) -> bytes:
    return b"".join([piece async for piece in body.pieces(Watch(Settings(), 1e9))])


def new_body(at_most: int | None, file_length: int | None = None) -> MultipartBody:
    content = in_pieces(CONTENT)
    fields = [("purpose", "batch")]
    return MultipartBody(fields, filename="a", media_type="", content=content, at_most=at_most, file_length=file_length)


@pytest.mark.parametrize("lacking", [0, 1, 2, 3, 7, 60_000])
async def test_a_body_has_the_announced_length_and_holds_exactly_the_file(lacking: int):
    body = new_body(len(CONTENT) + lacking)
    whole = await sent(body)
    assert len(whole) == body.length
    received = bytearray()
    parts = 0
    ended = False

    def begin() -> None:
        nonlocal parts
        parts += 1

    def data(piece: bytes, start: int, end: int) -> None:
        if parts == 2:
            received.extend(piece[start:end])

    def end() -> None:
        nonlocal ended
        ended = True

    boundary = body.content_type.partition("boundary=")[2].encode()
    parser = MultipartParser(boundary, {"on_part_begin": begin, "on_part_data": data, "on_end": end})
    parser.write(whole)
    assert (bytes(received), parts, ended) == (CONTENT, 2, True)


async def test_a_body_with_the_usual_line_break_at_its_end_looks_as_one_of_known_length():
    filled, known = await sent(new_body(len(CONTENT) + 2)), await sent(new_body(None, len(CONTENT)))
    assert len(filled) == len(known)
    assert filled.endswith(b"--\r\n")


async def test_a_file_longer_than_it_can_be_leaves_a_form_without_an_end():
    body = new_body(len(CONTENT) - 1)
    with pytest.raises(InvalidValue):
        await sent(body)
    assert not body.complete
