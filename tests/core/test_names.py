"""File names are kept to the letter, except for what no file name is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.files.names import OCTET_STREAM, SHOWN_TYPES, clean_filename, media_type_of
from fileplane.http.content import disposition_of


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("data.jsonl", "data.jsonl"),
        ("/etc/passwd", "passwd"),
        ("../../secret.txt", "secret.txt"),
        (r"C:\fakepath\report.pdf", "report.pdf"),
        ("  spaced .txt ", "  spaced .txt "),
        ("日本語.txt", "日本語.txt"),
        ("عربي.json", "عربي.json"),
        ("e\u0301.txt", "e\u0301.txt"),
        ("😀" * 63, "😀" * 63),
        ('say "hello".txt', 'say "hello".txt'),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_name_is_kept_to_the_letter_but_for_its_folders(raw: str, kept: str) -> None:
    assert clean_filename(raw) == kept


@pytest.mark.parametrize(
    "raw", ["", ".", "..", "a/", "a/..", "a\x00b", "a\nb", "a\rb", "a\x7fb", "a\x85b", "a\u2028b", "x" * 256, "é" * 128]
)
def test_what_is_no_file_name_is_refused(raw: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        clean_filename(raw)
    assert refused.value.param == "file"


@given(st.text(max_size=80))
def test_a_kept_name_never_breaks_a_header(raw: str) -> None:
    try:
        name = clean_filename(raw)
    except InvalidValue:
        return
    header = disposition_of(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@pytest.mark.parametrize(
    ("filename", "declared", "stored"),
    [
        ("a.jsonl", "text/html", "application/jsonl"),
        ("a.PDF", "application/octet-stream", "application/pdf"),
        ("noextension", "image/png", "image/png"),
        ("a.bin", "image/png; charset=x", "image/png"),
        ("a.html", "text/html", OCTET_STREAM),
        ("a.svg", "image/svg+xml", OCTET_STREAM),
        ("a.bin", "", OCTET_STREAM),
    ],
)
def test_a_type_that_a_browser_would_run_is_never_kept(filename: str, declared: str, stored: str) -> None:
    assert media_type_of(filename, declared) == stored
    assert stored in SHOWN_TYPES | {OCTET_STREAM}
