"""The ids of objects: what is one, what is none, and that every spelling of one leads to the same object and no other."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import FileNotFound
from fileplane.providers.object_ids import canonical_id, is_below, is_object_key, object_of, parse_object_id
from fileplane.providers.remote_ids import file_path, is_file_id, is_remote_id

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(is_object_key)


@given(st.sampled_from(["s3", "gs"]), KEYS)
def test_an_id_and_its_uri_name_one_object_however_a_path_carried_it(scheme: str, key: str) -> None:
    uri = f"{scheme}://bucket/{key}"
    place = parse_object_id(uri)
    assert place is not None
    assert (place.scheme, place.bucket, place.key, place.uri) == (scheme, "bucket", key, uri)
    assert parse_object_id(place.id) == place
    assert canonical_id(uri) == canonical_id(place.id) == place.id
    in_a_path, by_an_sdk = place.id, quote(place.id, safe="!$&'()*+,;=:@")
    assert canonical_id(unquote(in_a_path)) == canonical_id(unquote(by_an_sdk)) == place.id


def test_an_id_is_written_as_portkey_writes_it() -> None:
    place = parse_object_id("s3://my-files/a b/naïve+(1)'!~.jsonl")
    assert place is not None
    assert place.id == "s3%3A%2F%2Fmy-files%2Fa%20b%2Fna%C3%AFve%2B(1)'!~.jsonl"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "s3:///key",
        "S3://bucket/key",
        "az://bucket/key",
        "s3://bucket/..",
        "s3://bucket/a/../b",
        "s3://bucket/a/./b",
        "s3://bucket/a\\..\\b",
        "s3://bucket/a/..",
        "s3://../key",
        "s3://bu..cket/key",
        "s3://bucket:80/key",
        "s3://user@bucket/key",
        "s3://BUCKET/key",
        "s3://bucket/a\nb",
        "s3://bucket/a\x00b",
        "s3://bucket/a\u2028b",
        "s3://bucket/a\u202eb",
        "s3://bucket/a%2Fb",
        "s3://bucket/%2e%2e/b",
        "s3%3A%2F%2Fbucket%2F..%2Fb",
        "s3%3A%2F%2Fbucket%2F%2e%2e%2Fb",
        "s3%3A%2F%2Fbucket%2F%252e%252e%252Fb",
        "s3%253A%252F%252Fbucket%252Fkey",
        "s3%3A%2F%2Fbucket%2Fa%ZZ",
        "s3%3A%2F%2Fbucket%2Fa%FF",
        "s3%3A%2F%2Fbucket/key",
        "s3%3A%2F%2Fbucket%2Fa b",
        "s3%3A%2F%2Fbucket%2Fa%0Ab",
        "s3://bucket/" + "x" * 1_025,
        "s3://bucket/" + "é" * 520,
        "\ud800",
        "s3://bucket/\ud800",
    ],
)
def test_what_climbs_hides_or_is_encoded_twice_is_no_id(text: str) -> None:
    assert parse_object_id(text) is None
    assert not is_file_id(text)
    assert canonical_id(text) == text


def test_no_id_of_an_object_ever_stands_in_the_path_of_another_provider() -> None:
    for text in ("s3://bucket/key", "s3%3A%2F%2Fbucket%2Fkey", "gs://bucket/key"):
        assert is_file_id(text)
        assert not is_remote_id(text)
        with pytest.raises(FileNotFound):
            file_path(text)


@pytest.mark.parametrize("text", ["s3://other/key", "gs://files/key", "file-abc", "s3://files-2/key", "s3://files/../other/key"])
def test_an_object_of_another_bucket_is_not_found(text: str) -> None:
    with pytest.raises(FileNotFound):
        object_of(text, "s3", "files")
    assert not is_below(text, "s3", "files", ("",))


def test_a_prefix_has_what_is_below_it_and_nothing_beside() -> None:
    below = ("results/a/",)
    assert is_below("s3://files/results/a/x.jsonl.out", "s3", "files", below)
    assert is_below("s3%3A%2F%2Ffiles%2Fresults%2Fa%2Fx", "s3", "files", below)
    for key in ("results/ab/x", "results/a", "results/b/x", "x/results/a/x", "results/a/../b/x", "Results/a/x"):
        assert not is_below(f"s3://files/{key}", "s3", "files", below), key
    assert not is_below("s3://files/results/a/x", "s3", "files", ())
