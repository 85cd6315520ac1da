from __future__ import annotations

import unicodedata

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.disposition import parse_disposition
from support.expect import assert_file, assert_list, assert_openai_error
from support.forms import as_sent, field, form, part, send, upload
from support.stored import assert_nothing_left_behind, blob_files
from support.tenants import Tenant

LONGEST = 255


def assert_kept_as(api: httpx2.Client, sent: str | bytes, name: str) -> None:
    """Uploads under ``sent``; the file is called ``name`` wherever it is shown."""
    file = assert_file(upload(api, filename=sent), filename=name)
    assert_file(api.get(f"/files/{file['id']}"), filename=name)
    assert api.get("/files", params={"limit": 1}).json()["data"][0]["filename"] == name
    content = api.get(f"/files/{file['id']}/content")
    assert content.status_code == 200
    shown = parse_disposition(content.headers["content-disposition"])
    assert (shown.type, shown.filename) == ("attachment", name)
    assert len(shown.plain) == len(name)
    assert {"/", "\\", '"'}.isdisjoint(shown.plain)


@pytest.mark.parametrize(
    "name",
    [
        "data.jsonl",
        "без имени.txt",
        "報告書.pdf",
        "보고서.csv",
        "تقرير.txt",
        "דוח.txt",
        "รายงาน.txt",
        "रिपोर्ट.txt",
        "📄🔥.png",
        "mixed ελληνικά \u2013 日本.txt",
        "e\u0301 decomposed.txt",
        "\u00e9 composed.txt",
        "\ufeffmarked.txt",
        "right\u202eto left.txt",
        "zero\u200dwidth.txt",
        "no extension",
        ".hidden",
        "...",
        "..data",
        "two  spaces",
        " leading and trailing ",
        "100%.txt",
        "%41%2F%00.txt",
        "a;b=c,d.txt",
        "it's.txt",
        "a+b&c=d.txt",
        "<img src=x onerror=alert(1)>.html",
        "$(reboot)`id`|;.sh",
        "CON",
        "-rf",
        "~",
        "*?.txt",
        "filename*=UTF-8''evil.txt",
    ],
)
def test_a_name_in_any_script_is_kept_to_the_letter(api: httpx2.Client, name: str):
    assert_kept_as(api, name, name)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"say %22hello%22.txt", 'say "hello".txt'),
        (b'say \\"hello\\".txt', 'say "hello".txt'),
        (b"%22", '"'),
        (b"half %2.txt", "half %2.txt"),
        (b"%2522.txt", "%2522.txt"),
    ],
)
def test_quotes_are_understood_as_browsers_and_as_older_clients_send_them(api: httpx2.Client, sent: bytes, name: str):
    assert_kept_as(api, sent, name)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"/etc/passwd", "passwd"),
        (b"../../../../etc/passwd", "passwd"),
        (b"..\\..\\windows\\system32\\config", "config"),
        (b"C:\\Users\\me\\report.pdf", "report.pdf"),
        (b"C:/Users/me/report.pdf", "report.pdf"),
        (b"a/b\\c/d.txt", "d.txt"),
        (b"a\\b/c\\d.txt", "d.txt"),
        (b"\\\\server\\share\\file.txt", "file.txt"),
        (b"dir/..hidden", "..hidden"),
        ("папка/файл.txt".encode(), "файл.txt"),
        (b"x" * 400 + b"/short.txt", "short.txt"),
    ],
)
def test_of_a_path_only_the_last_part_is_kept(api: httpx2.Client, sent: bytes, name: str):
    assert_kept_as(api, sent, name)


@pytest.mark.parametrize("sent", [b"", b".", b"..", b"/", b"a/", b"a/..", b"a\\.", b"../..", b"/."])
def test_a_name_that_is_no_name_is_refused(tenant: Tenant, sent: bytes):
    assert_name_refused(tenant, sent)


@pytest.mark.parametrize(
    "name",
    ["x" * LONGEST, "é" * 127 + "x", "日" * 85, "🔥" * 63 + "abc"],
    ids=["ascii", "two bytes", "three bytes", "four bytes"],
)
def test_a_name_may_have_exactly_255_bytes(tenant: Tenant, name: str):
    assert len(name.encode()) == LONGEST
    assert_kept_as(tenant.client, name, name)
    assert "255" in assert_name_refused(tenant, as_sent(name + "x"))


@pytest.mark.parametrize(
    "character",
    [*(chr(code) for code in range(0x20) if code not in {10, 13}), "\x7f", *map(chr, range(0x80, 0xA0)), "\u2028", "\u2029"],
    ids=lambda character: f"U+{ord(character):04X}",
)
def test_a_control_character_is_refused(tenant: Tenant, character: str):
    for sent in (f"a{character}b.txt", f"{character}.txt", f"a{character}"):
        assert_name_refused(tenant, sent.encode())


@pytest.mark.parametrize(
    "sent", [b"a%0Db.txt", b"a%0Ab.txt", b"a%0D%0Ab.txt", b"a%0d%0ab.txt", b"x%0D%0ASet-Cookie: a=b%0D%0A%0D%0A<html>"]
)
def test_a_line_break_as_the_sdks_send_it_is_refused(tenant: Tenant, sent: bytes):
    assert_name_refused(tenant, sent)


@pytest.mark.parametrize(
    "sent", [b"\xff.txt", b"a\xc3", b"\xed\xa0\x80.txt", b"\xc0\xaf.txt", "é.txt".encode("latin-1"), "é.txt".encode("utf-16")]
)
def test_a_name_that_is_not_utf_8_is_refused(tenant: Tenant, sent: bytes):
    assert_name_refused(tenant, sent)


def test_an_extended_name_is_ignored_beside_a_plain_one_and_none_by_itself(tenant: Tenant):
    extended = b"filename*=UTF-8''evil.txt"
    both = form(field("purpose", "user_data"), part(b'name="file"; filename="plain.txt"; ' + extended, b"x"))
    assert_file(send(tenant.client, both), filename="plain.txt")
    alone = form(field("purpose", "user_data"), part(b'name="file"; ' + extended, b"x"))
    assert_openai_error(send(tenant.client, alone), 400, "invalid_value", param="file")


def assert_name_refused(tenant: Tenant, sent: bytes) -> str:
    before = blob_files(tenant.server.data_dir)
    message = assert_openai_error(upload(tenant.client, filename=sent), 400, "invalid_value", param="file")
    assert_nothing_left_behind(tenant.server.data_dir, before)
    return message


def is_keepable(name: str) -> bool:
    """By the promise: no control character, no line separator, no lone surrogate, a name at all, at most 255 bytes."""
    if name in {"", ".", ".."} or any(unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"} for character in name):
        return False
    return len(name.encode()) <= LONGEST


ODD = st.sampled_from("aé日🔥\"'%;=*. \t\r\n\0\x7f\u2028")
ANYTHING = st.characters(exclude_categories=["Cs"])
NAMES = st.one_of(st.text(ODD, max_size=12), st.text(ANYTHING, max_size=90), st.text(ANYTHING, min_size=200, max_size=260))


def means_itself(name: str) -> bool:
    """Whether a name is sent as it is: one with a separator or one of the three escapes is read, as it must be, for something else."""
    return not any(special in name.lower() for special in ("/", "\\", "%22", "%0d", "%0a"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES.filter(means_itself), directory=st.sampled_from(["", "/", "a/b/", "..\\", "C:\\x\\"]))
@example(name="x" * 255, directory="../")
@example(name="日" * 86, directory="")
def test_every_name_is_either_kept_to_the_letter_or_refused_by_name(api: httpx2.Client, name: str, directory: str):
    response = upload(api, b"", filename=directory + name)
    if not is_keepable(name):
        assert_openai_error(response, 400, "invalid_value", param="file")
        return
    file = assert_file(response, filename=name)
    header = api.head(f"/files/{file['id']}/content").headers["content-disposition"]
    assert parse_disposition(header).filename == name


def test_two_files_may_have_the_same_name(api: httpx2.Client):
    ids = sorted(upload(api, filename="same.txt").json()["id"] for _ in range(2))
    assert_list(api.get("/files", params={"order": "asc"}), ids, total=2)
