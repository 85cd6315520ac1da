"""Forms mean the same however the network cuts them, and nothing that is not a form does harm."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fileplane.errors import ClientDisconnected, FileplaneError, InvalidValue, MalformedForm, UnsupportedMediaType
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.http.multipart import boundary_of, read_form
from fileplane.settings import Settings

BOUNDARY = "----formdata-undici-012345678901"
FORM = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="file"; filename="naïve %22file%22.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n'
    f"\r\n--{BOUNDARY[:-1]}\r\n-- not a boundary\r\n\r\n"
    f"\r\n--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="expires_after[seconds]"\r\n\r\n3600\r\n'
    f"--{BOUNDARY}--\r\n"
).encode()
CONTENT = f"\r\n--{BOUNDARY[:-1]}\r\n-- not a boundary\r\n\r\n".encode()


async def _pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(body)), len(body)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            yield body[start:end]


def parse(body: bytes, cuts: list[int] | None = None, boundary: str = BOUNDARY, settings: Settings | None = None) -> list[UploadEvent]:
    async def collect() -> list[UploadEvent]:
        return [event async for event in read_form(_pieces(body, cuts or []), boundary.encode(), settings or Settings())]

    return asyncio.run(collect())


def gathered(events: list[UploadEvent]) -> tuple[list[UploadEvent], bytes]:
    """The events but for the file's pieces, and the file."""
    return [event for event in events if not isinstance(event, bytes)], b"".join(event for event in events if isinstance(event, bytes))


EXPECTED = (
    [FormField("purpose", "batch"), FileBegins('naïve "file".jsonl', "application/jsonl"), FormField("expires_after[seconds]", "3600")],
    CONTENT,
)


@given(st.lists(st.integers(1, len(FORM) - 1), max_size=12))
@example([])
def test_a_form_means_the_same_however_it_is_cut(cuts: list[int]) -> None:
    assert gathered(parse(FORM, cuts)) == EXPECTED


def test_a_form_means_the_same_byte_by_byte() -> None:
    assert gathered(parse(FORM, list(range(len(FORM))))) == EXPECTED


@given(st.binary(max_size=300), st.lists(st.integers(1, 500), max_size=6))
def test_any_bytes_come_through_unchanged(content: bytes, cuts: list[int]) -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
    body = head + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    assert gathered(parse(body, cuts)) == ([FileBegins("x", "")], content)


@given(st.integers(0, len(FORM) - 5))
def test_a_form_that_ends_too_early_is_malformed(length: int) -> None:
    with pytest.raises(MalformedForm, match="ended before the form"):
        parse(FORM[:length])


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_nothing_else_happens(body: bytes) -> None:
    with pytest.raises(FileplaneError):
        parse(body)


@given(st.binary(min_size=1, max_size=40), st.integers(0, len(FORM) - 1))
def test_a_form_with_garbage_inside_is_parsed_or_refused(garbage: bytes, at: int) -> None:
    try:
        events = parse(FORM[:at] + garbage + FORM[at + len(garbage) :])
    except (MalformedForm, InvalidValue):
        return
    assert sum(isinstance(event, FormField | FileBegins) for event in events) <= 10


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ('form-data; name="file"; filename="a.txt"', "a.txt"),
        ("form-data; name=file; filename=a.txt", "a.txt"),
        ('FORM-DATA;NAME="file";FILENAME="a.txt"', "a.txt"),
        ('form-data; filename="a.txt"; name="file"', "a.txt"),
        ('form-data; name="file"; filename="日本語 😀.txt"', "日本語 😀.txt"),
        ('form-data; name="file"; filename="a%22b%0Dc%0Ad.txt"', 'a"b\rc\nd.txt'),
        ('form-data; name="file"; filename="100%25 %2F.txt"', "100%25 %2F.txt"),
        (r'form-data; name="file"; filename="a\"b\\c.txt"', r'a"b\c.txt'),
        (r'form-data; name="file"; filename="a\b.txt"', r"a\b.txt"),
        ('form-data; name="file"; filename="a;b=c.txt"', "a;b=c.txt"),
        ('form-data; name="file"; filename="plain.txt"; filename*=UTF-8\'\'evil.txt', "plain.txt"),
        ('form-data; name="file"; filename="first"; filename="second"', "first"),
        ('form-data; name="file"; filename=""', ""),
    ],
)
def test_file_names_are_read_as_clients_write_them(header: str, filename: str) -> None:
    body = f"--{BOUNDARY}\r\nContent-Disposition: {header}\r\n\r\nx\r\n--{BOUNDARY}--".encode()
    assert gathered(parse(body)) == ([FileBegins(filename, "")], b"x")


def _part(headers: str, content: str = "x") -> bytes:
    return f"--{BOUNDARY}\r\n{headers}\r\n\r\n{content}\r\n".encode()


_END = f"--{BOUNDARY}--\r\n".encode()
_FIELD = 'Content-Disposition: form-data; name="purpose"'


@pytest.mark.parametrize(
    "body",
    [
        _part("Content-Type: text/plain") + _END,
        _part("Content-Disposition: form-data") + _END,
        _part('Content-Disposition: attachment; name="file"') + _END,
        _part(_FIELD + "\r\n" + _FIELD) + _END,
        _part(_FIELD + "\r\nContent-Transfer-Encoding: base64") + _END,
        _part(_FIELD) * 11 + _END,
        _part(_FIELD + "".join(f"\r\nX-{number}: y" for number in range(16))) + _END,
        _part(_FIELD + "\r\nX: " + "y" * 8_200) + _END,
        _part(_FIELD) + b"junk" + _END,
        b"\r\n" * 40_000 + FORM,
        FORM + b"epilogue" * 10_000,
    ],
    ids=[
        "no disposition",
        "no name",
        "attachment",
        "header twice",
        "base64",
        "too many parts",
        "too many headers",
        "header too long",
        "junk between parts",
        "long preamble",
        "long epilogue",
    ],
)
def test_a_form_beyond_its_limits_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        parse(body, list(range(0, len(body), 10_000)))


def test_a_field_beyond_its_limit_is_named() -> None:
    with pytest.raises(InvalidValue) as refused:
        parse(_part(_FIELD, "x" * 5_000) + _END)
    assert refused.value.param == "purpose"


def test_a_field_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(InvalidValue) as refused:
        parse(_part(_FIELD, "@").replace(b"@", b"\xff\xfe") + _END)
    assert refused.value.param == "purpose"


def test_what_the_file_has_is_not_counted_as_overhead() -> None:
    content = "x" * 300_000
    body = _part('Content-Disposition: form-data; name="file"; filename="x"', content) + _END
    settings = replace(Settings(), max_form_overhead_bytes=200)
    assert gathered(parse(body, list(range(0, len(body), 10_000)), settings=settings))[1] == content.encode()


def test_a_large_piece_of_the_file_is_handed_on_without_a_copy() -> None:
    body = _part('Content-Disposition: form-data; name="file"; filename="x"', "x" * 300_000) + _END
    chunk = body[1_000:200_000]

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:1_000]
        yield chunk
        yield body[200_000:]

    async def collect() -> list[UploadEvent]:
        return [event async for event in read_form(chunks(), BOUNDARY.encode(), Settings())]

    assert any(event is chunk for event in asyncio.run(collect()))


def test_a_client_that_leaves_is_not_told_of_a_malformed_form() -> None:
    async def leaving() -> AsyncIterator[bytes]:
        yield FORM[:100]
        raise ClientDisconnected

    async def collect() -> None:
        async for _ in read_form(leaving(), BOUNDARY.encode(), Settings()):
            continue

    with pytest.raises(ClientDisconnected):
        asyncio.run(collect())


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data;boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_a_boundary_is_read_in_every_form(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", [None, "", "application/json", "multipart/mixed; boundary=abc", "text/plain; boundary=abc"])
def test_another_media_type_is_unsupported(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        boundary_of(content_type)


@pytest.mark.parametrize("parameter", ["", "; boundary=", '; boundary=""', "; boundary=" + "x" * 71, '; boundary="a "', '; boundary="a{b"'])
def test_a_boundary_that_cannot_be_used_is_refused(parameter: str) -> None:
    with pytest.raises(InvalidValue):
        boundary_of("multipart/form-data" + parameter)
