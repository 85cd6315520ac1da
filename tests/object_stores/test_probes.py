"""A store that does not keep a promise is refused before anything depends on it, and told which one it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.blobs.probes import Examination, ProbeFailed
from support.memory_bucket import LIES, PART, MemoryBucket
from support.object_servers import ObjectServer, rclone
from support.server import run_fileplane

PROBES = ["missing", "write", "range", "empty", "abandon", "multipart", "list", "delete"]


async def examine(bucket: MemoryBucket) -> list[str]:
    examination = Examination(ObjectBlobStore(bucket), part_bytes=PART, shows_unfinished=True)
    try:
        return [probe.name async for probe in examination.run()]
    finally:
        await examination.close()


async def test_an_honest_store_passes_every_probe_and_is_left_empty():
    bucket = MemoryBucket()
    assert await examine(bucket) == PROBES
    assert (bucket.kept, bucket.uploads) == ({}, {})


@pytest.mark.parametrize("lie", LIES)
async def test_a_store_that_lies_is_refused_by_the_probe_for_it(lie: str):
    with pytest.raises(ProbeFailed) as refused:
        await examine(MemoryBucket(lie))
    assert refused.value.probe == LIES[lie], str(refused.value)


async def test_what_an_examination_that_was_killed_has_left_is_removed():
    bucket = MemoryBucket("has a wrong clock")  # what is there seems old
    bucket.kept["aa/" + "0" * 30] = b"left"
    bucket.listed["aa/" + "0" * 30] = 4
    with pytest.raises(ProbeFailed):
        await examine(bucket)
    assert bucket.kept == {}


@pytest.fixture(params=["seaweed", pytest.param("azure", marks=pytest.mark.full), pytest.param("gcs", marks=pytest.mark.full)])
def server(request: pytest.FixtureRequest) -> ObjectServer:
    return request.getfixturevalue(request.param)


def test_the_doctor_finds_real_stores_fit_and_says_what_it_tried(server: ObjectServer):
    result = run_fileplane("doctor", FILEPLANE_BLOB_STORE=server.location, **server.environment)
    assert result.returncode == 0, result.stderr
    assert [line.partition(":")[0] for line in result.stdout.splitlines()[:-1]] == PROBES
    assert result.stdout.splitlines()[-1].endswith("is fit for files.")


@pytest.fixture
def liar(own_directory: Path):
    with rclone(own_directory) as server:
        yield server


@pytest.mark.full
def test_a_gateway_that_ignores_ranges_is_refused_by_the_doctor_and_at_start(liar: ObjectServer, tmp_path: Path):
    result = run_fileplane("doctor", FILEPLANE_BLOB_STORE=liar.location, **liar.environment)
    assert result.returncode == 1
    assert "fails the probe 'range'" in result.stderr
    start = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), FILEPLANE_BLOB_STORE=liar.location, **liar.environment)
    assert start.returncode == 1
    assert "is not fit for files. It fails the probe 'range'" in start.stderr
    assert liar.location.partition("?")[0] in start.stderr


@pytest.mark.full
def test_a_store_that_is_not_there_is_refused_with_what_was_seen(tmp_path: Path):
    location = "s3://fileplane/files?endpoint=http://127.0.0.1:9&region=us-east-1"
    result = run_fileplane(
        "serve",
        "--data-dir",
        str(tmp_path / "data"),
        FILEPLANE_BLOB_STORE=location,
        FILEPLANE_STORAGE_DEADLINE_SECONDS="2",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret-that-is-shown-nowhere",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert result.returncode == 1
    assert "http://127.0.0.1:9" in result.stderr
    assert "secret-that-is-shown-nowhere" not in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("s3://fileplane?region=us-east-1", "AWS_ACCESS_KEY_ID"),
        pytest.param("az://fileplane", "names no storage account", marks=pytest.mark.full),
        pytest.param("gs://fileplane", "GOOGLE_APPLICATION_CREDENTIALS", marks=pytest.mark.full),
    ],
)
def test_a_store_without_credentials_is_refused_with_where_to_put_them(location: str, told: str, tmp_path: Path):
    nowhere = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    result = run_fileplane("doctor", FILEPLANE_BLOB_STORE=location, **nowhere)
    assert result.returncode == 1, result.stdout
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_has_nothing_to_say_of_a_data_directory():
    result = run_fileplane("doctor")
    assert result.returncode == 2
    assert "fileplane check" in result.stderr


async def test_what_a_store_makes_of_an_aborted_upload_is_removed():
    bucket = MemoryBucket("publishes what is aborted")
    store = ObjectBlobStore(bucket)
    async with store.writer("aa/" + "0" * 30) as writer:
        await writer.write(bytes(PART))
    await store.close()
    assert bucket.kept == {}
