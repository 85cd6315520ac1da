"""The URL that says where blobs are kept: what it may say, and that no credential is among it."""

from __future__ import annotations

import pytest

from fileplane.blob_location import BlobLocation, parse_blob_location
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("file:", BlobLocation()),
        ("s3://bucket", BlobLocation("s3", "bucket")),
        ("s3://my-bucket.x/a/b/?region=eu-central-1", BlobLocation("s3", "my-bucket.x", "a/b", {"region": "eu-central-1"})),
        (
            "s3://bucket?endpoint=http://[::1]:9000/&addressing=path&sse=kms&kms_key=arn:aws:kms:eu-central-1:1:key/2&checksum=sha256",
            BlobLocation(
                "s3",
                "bucket",
                "",
                {
                    "endpoint": "http://[::1]:9000",
                    "addressing": "path",
                    "sse": "kms",
                    "kms_key": "arn:aws:kms:eu-central-1:1:key/2",
                    "checksum": "sha256",
                },
            ),
        ),
        ("az://files/prefix?account=company", BlobLocation("az", "files", "prefix", {"account": "company"})),
        ("gs://bucket?kms_key=projects/p/locations/l", BlobLocation("gs", "bucket", "", {"kms_key": "projects/p/locations/l"})),
    ],
)
def test_a_location_is_read_from_its_url_and_written_as_one(url: str, location: BlobLocation):
    assert parse_blob_location(url) == location
    assert parse_blob_location(str(location)) == location


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (7, "a URL such as"),
        ("", "begins with s3://"),
        ("/var/lib/blobs", "begins with s3://"),
        ("file:///var/lib/blobs", "begins with s3://"),
        ("http://bucket", "begins with s3://"),
        ("s3:bucket", "without user"),
        ("s3://", "without user"),
        ("s3://bucket:9000", "without user"),
        ("s3://key:secret@bucket", "without user"),
        ("s3://bucket#part", "without user"),
        ("s3://bucket/../other", "whose path"),
        ("s3://bucket/a//b", "whose path"),
        ("s3://bucket/a b", "whose path"),
        ("s3://bucket?regoin=eu", "are among"),
        ("s3://bucket?region=a&region=b", "one value"),
        ("s3://bucket?region=", "one value"),
        ("s3://bucket?endpoint=localhost:9000", "base URL"),
        ("s3://bucket?endpoint=http://user:password@host", "base URL"),
        ("s3://bucket?addressing=dns", "path, virtual"),
        ("s3://bucket?sse=aes", "s3, kms, kms-dsse"),
        ("s3://bucket?kms_key=x", "sse=kms"),
        ("s3://bucket?sse=s3&kms_key=x", "sse=kms"),
        ("s3://bucket?access_key_id=AKIA", "without credentials"),
        ("az://bucket?account_key=x", "without credentials"),
        ("az://bucket?sas_token=x", "without credentials"),
        ("gs://bucket?credentials=none", "emulator"),
        ("gs://bucket?sse=s3", "are among"),
    ],
)
def test_what_is_no_location_is_refused_with_what_would_do(url: object, told: str):
    with pytest.raises(ValueError, match=told):
        parse_blob_location(url)


def test_a_refused_location_is_not_repeated_since_it_may_hold_a_secret():
    with pytest.raises(SettingsError) as refused:
        load_settings(environment={"FILEPLANE_BLOB_STORE": "s3://AKIA:hunter2@bucket"})
    assert "hunter2" not in str(refused.value)
    assert "blob_store must be" in str(refused.value)


def test_blobs_are_in_the_data_directory_unless_said_otherwise():
    assert Settings().blob_store.is_local
    assert str(Settings().blob_store) == "file:"
