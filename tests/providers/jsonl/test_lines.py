"""Streams of bytes cut into lines."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.lines import Lines, TooLong
from fileplane.providers.jsonl.problems import Unusable
from fileplane.providers.jsonl.stream import downloaded, uploaded
from support.transforms import cut, transformed

TEXT = "línea 日本語 🦉 عربي"


def lines_of(content: bytes, sizes: list[int], longest: int = 1 << 20) -> list[bytes]:
    lines, found, start = Lines(longest), [], 0
    for size in [*sizes, len(content)]:
        found += lines.feed(content[start : start + size])
        start += size
    return found + list(lines.finish())


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.lists(st.integers(0, 30), max_size=40))
def test_lines_are_the_same_wherever_the_chunks_end(texts: list[bytes], sizes: list[int]):
    content = b"\n".join(texts)
    expected = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    if not expected and content:
        expected = [b""]
    assert lines_of(content, sizes) == [line.removesuffix(b"\r") for line in expected]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_both_kinds_of_break_a_byte_order_mark_and_a_last_line_without_a_break_are_understood(size: int):
    content = b"\xef\xbb\xbf" + f"{TEXT}\r\nb\n\r\nc".encode()
    assert lines_of(content, [size] * 100) == [TEXT.encode(), b"b", b"", b"c"]


def test_a_byte_order_mark_counts_only_at_the_very_beginning():
    mark = b"\xef\xbb\xbf"
    assert lines_of(mark + b"a\n" + mark + b"b\n" + b"c" + mark, []) == [b"a", mark + b"b", b"c" + mark]


def test_a_carriage_return_alone_is_no_break():
    assert lines_of(b"a\rb\r\r\nc\r", []) == [b"a\rb\r", b"c"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_the_longest_line_is_allowed_and_a_byte_more_is_not(ending: bytes, size: int):
    allowed = b"\xef\xbb\xbf" + b"x" * 100 + ending
    assert lines_of(allowed, [size] * 200, longest=100) == [b"x" * 100]
    with pytest.raises(TooLong, match="longer than 100 bytes"):
        lines_of(b"\xef\xbb\xbf" + b"x" * 101 + ending, [size] * 200, longest=100)


def test_a_line_that_never_ends_is_not_held():
    lines = Lines(1000)
    list(lines.feed(b"first\n" + b"x" * 900))
    with pytest.raises(TooLong):
        list(lines.feed(b"x" * 1_000_000))
    assert lines.number == 2


def refused(content: bytes, sizes: list[int] = []) -> str:  # noqa: B006 - only read
    with pytest.raises(InvalidValue) as caught:
        transformed(lambda chunks: uploaded(chunks, bytes), content, sizes)
    assert caught.value.param == "file"
    assert caught.value.status == 400
    return caught.value.message


def test_blank_lines_at_the_end_are_left_out():
    assert transformed(lambda chunks: uploaded(chunks, bytes), b"a\nb\n\n \r\n\t\n") == b"a\nb\n"


def test_a_blank_line_before_others_is_refused_by_its_number():
    assert refused(b"a\n\n \nb\n").startswith("Line 2 of the file cannot be used: it is blank.")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_lines_is_refused(content: bytes):
    assert "the file" in refused(content)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", "é".encode("latin-1")])
@pytest.mark.parametrize("before", [0, 65_535, 65_536, 70_000])
def test_what_is_not_utf8_is_refused_by_its_line(bad: bytes, before: int):
    assert refused(b"good\n" + "日".encode() + b"x" * before + bad + b"\nmore\n") == "Line 2 of the file cannot be used: it is not UTF-8."


@pytest.mark.parametrize("before", range(5))
def test_characters_of_many_bytes_pass_wherever_they_stand_in_a_long_line(before: int):
    line = ("x" * before + "é日🦉" * 30_000).encode()
    assert transformed(lambda chunks: uploaded(chunks, bytes), line) == line + b"\n"


def test_a_line_beyond_32_mib_is_refused_by_its_number():
    assert refused(b"a\n" + b"x" * ((32 << 20) + 1) + b"\n").startswith(
        "Line 2 of the file cannot be used: it is longer than 33554432 bytes."
    )


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 1 << 30])
def test_nothing_of_a_line_after_a_bad_one_is_handed_on(size: int):
    turned: list[bytes] = []

    def turn(line: bytes) -> bytes:
        turned.append(line)
        if line == b"bad":
            raise Unusable("it is bad.")
        return line

    async def handed_on() -> bytes:
        out = bytearray()
        with pytest.raises(InvalidValue, match=r"Line 5001 of the file cannot be used: it is bad\."):
            async for piece in uploaded(cut(b"good\n" * 5_000 + b"bad\n" + b"later\n" * 5_000, [size] * 3), turn):
                out += piece
        return bytes(out)

    assert b"later" not in asyncio.run(handed_on())
    assert b"later" not in turned


def test_what_the_content_raises_is_raised_as_it_is():
    class Broken(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield b"a\nb"
        raise Broken

    async def collected() -> list[bytes]:
        return [piece async for piece in uploaded(broken(), bytes)]

    with pytest.raises(Broken):
        asyncio.run(collected())


def test_lines_of_a_result_that_are_refused_go_on_as_they_are():
    def turn(line: bytes) -> bytes:
        if line.startswith(b"{"):
            return b"turned"
        raise Unusable("it is no result.")

    content = b"{}\r\n\nplain\n\xff\xfe\n{}"
    assert transformed(lambda chunks: downloaded(chunks, turn), content, [1] * 100) == b"turned\n\nplain\n\xff\xfe\nturned\n"


def test_pieces_are_neither_small_nor_large():
    async def collected(content: bytes) -> list[int]:
        return [len(piece) async for piece in uploaded(cut(content, [4096] * 10_000), bytes)]

    small = asyncio.run(collected(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 50_000))
    assert all(64 << 10 <= size <= 66 << 10 for size in small[:-1])
    large = asyncio.run(collected(b"x" * (20 << 20) + b"\n"))
    assert max(large) <= (1 << 20) + (64 << 10)
    assert sum(large) == (20 << 20) + 1


@pytest.mark.parametrize("line", [b"x\n" * 4, b"x" * 999 + b"\n"])
def test_others_have_their_turn_while_a_single_large_chunk_is_turned(line: bytes):
    async def turns() -> tuple[int, int]:
        count, ended = 0, False

        async def other() -> None:
            nonlocal count
            while not ended:
                count += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        lines = sum([piece.count(b"\n") async for piece in uploaded(cut(line * 5_000), bytes)])
        ended = True
        await beside
        return count, lines

    count, lines = asyncio.run(turns())
    # Every 256 KiB, in which each line counts for 1 KiB more than it has.
    assert count >= lines * (1024 + len(line) // line.count(b"\n")) // (256 << 10) - 1


MANY_PARTS = b",".join([b'{"type":"text","text":"x"}'] * 40_000)
MANY_FIELDS = b",".join(b'"%x":1' % number for number in range(150_000))


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":[' + MANY_PARTS + b"]}]}",
        b"{" + MANY_FIELDS + b"}",
        b"[" * 200_000,
        b'""' * 300_000 + b"," * 100_001,
    ],
    ids=["parts", "fields", "nothing but brackets", "texts beside each other"],
)
def test_a_line_of_more_values_than_memory_is_kept_for_is_refused_by_its_number_before_it_is_decoded(body: bytes):
    def turned(_line: bytes) -> bytes:
        raise AssertionError("it was to be decoded")

    with pytest.raises(InvalidValue, match=r"Line 1 .*more than 100000 values") as caught:
        transformed(lambda chunks: uploaded(chunks, turned), body)
    assert caught.value.param == "file"


def test_a_text_with_more_commas_brackets_and_quotation_marks_than_a_line_may_have_values_is_none_of_them():
    content = 'a, [b], {c: \\"d\\"}, \\\\' * 50_000
    line = f'{{"text":"{content}","more":["", "\\\\", "\\\\\\\\", ","]}}'.encode()
    assert json.loads(line)["text"].count(",") > 100_000
    assert transformed(lambda chunks: uploaded(chunks, bytes), line) == line + b"\n"


@pytest.mark.parametrize(("count", "refused"), [(99_999, False), (100_000, True)])
def test_values_are_counted_to_the_one(count: int, *, refused: bool):
    line = b"[" + b",".join([b'","'] * count) + b"]"
    if refused:
        with pytest.raises(InvalidValue, match="more than 100000 values"):
            transformed(lambda chunks: uploaded(chunks, bytes), line)
    else:
        assert transformed(lambda chunks: uploaded(chunks, bytes), line) == line + b"\n"


def test_a_result_of_more_values_than_are_looked_at_goes_on_as_it_is():
    def turn(line: bytes) -> bytes:
        return b"turned" if len(line) < 400_000 else b"looked at"

    probabilities = b"[" + b",".join([b"1"] * 500_001) + b"]"
    few = b"[" + b",".join([b"1"] * 100_001) + b"]"
    got = transformed(lambda chunks: downloaded(chunks, turn), few + b"\n" + probabilities)
    assert got == b"turned\n" + probabilities + b"\n"


def test_a_line_of_many_values_is_turned_beside_the_event_loop_and_a_usual_one_in_it():
    where: list[bool] = []

    def turn(line: bytes) -> bytes:
        where.append(threading.current_thread() is threading.main_thread())
        return line

    transformed(lambda chunks: uploaded(chunks, turn), b'{"a":[1,2,3]}\n[' + b",".join([b"1"] * 6_000) + b"]")
    assert where == [True, False]


def test_memory_is_for_one_line_and_one_piece():
    async def source() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield ("é" * 32_768).encode() + b"\n"

    async def consumed() -> int:
        tracemalloc.start()
        try:
            async for _ in uploaded(source(), bytes):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(consumed()) < 2 << 20


@pytest.mark.full
def test_a_gibibyte_of_multi_byte_text_passes_bit_for_bit_in_bounded_memory():
    line = (TEXT * 40).encode() + b"\n"
    block = line * (1_000_000 // len(line))
    total = 1 << 30
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def source() -> AsyncIterator[bytes]:
        done, size = 0, 0
        while done < total:
            size = size % 65_521 + 4_099  # sizes that cut characters at every place
            for start in range(0, len(block), size):
                sent.update(block[start : start + size])
                yield block[start : start + size]
            done += len(block)

    async def consumed() -> int:
        tracemalloc.start()
        try:
            async for piece in uploaded(source(), bytes):
                received.update(piece)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(consumed()) < 8 << 20
    assert sent.digest() == received.digest()
