"""There is no engine to build an image with here: what the Dockerfile says is done by hand."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.documents import read
from support.image import Image, image_by_hand
from support.polling import eventually
from support.ports import free_port

pytestmark = pytest.mark.full

# The packages of the extras by the names that they are imported by.
IMPORTED = ("botocore", "google.auth", "obstore", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk", "psycopg", "urllib3")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not pytest's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="fileplane-image-"))
    try:
        folder.chmod(0o755)
        yield image_by_hand(folder)
    finally:
        shutil.rmtree(folder)


def test_a_container_serves_is_found_healthy_and_stops_when_it_is_told_to(image: Image, tmp_path: Path):
    port, key = str(free_port()), f"fpk_{secrets.token_urlsafe(32)}"
    given = {"FILEPLANE_PORT": port, "FILEPLANE_BOOTSTRAP_API_KEY": key, "FILEPLANE_METRICS_ADDRESS": f"127.0.0.1:{free_port()}"}
    assert image.run(image.healthcheck, FILEPLANE_PORT=port).returncode != 0
    container = image.start(environment=given, log=tmp_path / "log")
    try:
        eventually(lambda: image.run(image.healthcheck, FILEPLANE_PORT=port).returncode == 0, "the container is healthy", seconds=30)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}/v1", headers={"Authorization": f"Bearer {key}"}, trust_env=False) as client:
            file = client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.txt", b"content")}).json()
            assert client.get(f"/files/{file['id']}/content").content == b"content"
        shown = image.run([*image.entrypoint, "project", "list", "--json"])
        assert (shown.returncode, "default" in shown.stdout) == (0, True), shown.stderr
        container.terminate()
        assert container.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        container.kill()
        container.wait(30)


def test_every_extra_can_be_loaded(image: Image):
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert extras
    result = image.run(["python", "-c", f"import {', '.join(IMPORTED)}"])
    assert result.returncode == 0, result.stderr


def test_nothing_that_installs_or_builds_is_left(image: Image):
    packages = image.root / "opt" / "fileplane" / ".venv"
    for name in ("pip", "setuptools", "wheel", "hatchling"):
        assert list(packages.glob(f"lib/*/site-packages/{name}")) == []
    assert list(packages.glob("bin/pip*")) == []
    assert list((image.root / "opt" / "fileplane").glob("requirements")) == []


def test_everything_is_compiled_so_that_the_root_may_be_read_only(image: Image):
    source = image.root / "opt" / "fileplane" / "src"
    modules = list(source.rglob("*.py"))
    assert modules
    compiled = {path.name.partition(".")[0] for path in source.rglob("*.pyc")}
    assert {path.stem for path in modules} <= compiled
