"""A large file through the gateway to the buckets that Bedrock and Vertex AI read from: how fast, and what several add to memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import quote

import httpx2

from plan import MIB, SMALL_BYTES, Plan
from report import Bar, Row, Section
from sampling import in_turns, make_file, settle, watched_memory
from servers import REFERENCES, Fileplane, fileplane, new_key, remove
from support.object_servers import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectServer, fake_gcs, seaweedfs
from transfer import download, upload_form

MEMORY_BAR = Bar("≤", 64, "MB")
_AT_ONCE = 4
_ROUNDS = 3
_PART_BYTES = 8 * MIB
_VIRTUAL_KEY = "bucket"

METHOD = f"""\
A form with 300 MB of random bytes of purpose `user_data`, as they are, through a virtual key of the provider `bedrock` to SeaweedFS, where
signatures are checked, and through one of `vertex-ai` to fake-gcs-server, all on this machine; the way back by the id that was answered.
Both go in parts of 8 MiB, each sent before the next is gathered. The reference for S3 is a plain script that calls obstore's `put` and
`get` on the same SeaweedFS, which sends up to 12 parts at once and hashes nothing; for Cloud Storage one that calls Google's own library,
in parts of 8 MiB too. Memory is measured as for other transfers through the gateway: {_AT_ONCE} at once, above what a server has that has
just answered an upload and a download of {SMALL_BYTES} bytes."""


@dataclass(frozen=True)
class _Bucket:
    """A provider, the server that stands in for its store, and a credential for that."""

    provider: str
    title: str
    server: ObjectServer
    credential: Mapping[str, str]
    reference: str
    """The script that moves a file without a gateway, and who that is."""
    alone: str


def measure(plan: Plan) -> Section:
    """Throughput and memory for both."""
    section = Section("Gateway, buckets of Bedrock and Vertex AI", METHOD)
    source = make_file(plan.directory / "large.bin", plan.memory_bytes)
    with seaweedfs(plan.directory / "weed") as weed, fake_gcs(plan.directory / "gcs") as gcs:
        aws = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "aws_region": "us-east-1", "aws_s3_bucket": BUCKET}
        google = {"key": "token", "vertex_project_id": "bench", "vertex_region": "us-central1", "vertex_storage_bucket_name": BUCKET}
        for bucket in (
            _Bucket("bedrock", "S3", weed, aws, "obstore_transfer.py", "obstore"),
            _Bucket("vertex-ai", "Cloud Storage", gcs, google, "google_storage_transfer.py", "Google's library"),
        ):
            section.rows += _rows(plan, bucket, source)
            remove(plan.directory / bucket.provider)
    source.unlink()
    return section


def _rows(plan: Plan, bucket: _Bucket, source: Path) -> list[Row]:
    key = new_key()
    with _gateway(plan, bucket, key) as server:
        _make_virtual_key(server, bucket)
        ids: list[str] = []

        def up() -> float:
            settle(plan.memory_bytes)
            answer = upload_form(server, source)
            ids.append(json.loads(answer.body)["id"])
            return answer.seconds

        def down() -> float:
            return download(server, _content(ids[0])).seconds

        ups = in_turns(_ROUNDS, {"ours": up, "alone": partial(_alone, bucket, "up", source)})
        downs = in_turns(_ROUNDS, {"ours": down, "alone": partial(_alone, bucket, "down", source)})
    rows = [_speed(plan, bucket, way, taken) for way, taken in (("up", ups), ("down", downs))]
    return rows + [_memory(plan, bucket, key, source, ids[0], up=up) for up in (True, False)]


def _speed(plan: Plan, bucket: _Bucket, way: str, taken: Mapping[str, list[float]]) -> Row:
    ours, alone = median(taken["ours"]), median(taken["alone"])
    what = f"gateway, {plan.memory_bytes // 1_000_000} MB {way}, {bucket.title}"
    return Row(what, _shown(plan, ours), f"{bucket.alone} alone: {_shown(plan, alone)}", alone / ours)


def _shown(plan: Plan, seconds: float) -> str:
    return f"{seconds:.2f} s, {plan.memory_bytes / seconds / 1e6:,.0f} MB/s"


def _memory(plan: Plan, bucket: _Bucket, key: str, source: Path, file_id: str, *, up: bool) -> Row:
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    with _gateway(plan, bucket, key) as server:
        server.headers = _headers(server)
        download(server, _content(json.loads(upload_form(server, small).body)["id"]))
        settle(plan.memory_bytes)
        idle = server.resident_bytes()
        run = partial(upload_form, server, source) if up else partial(download, server, _content(file_id))
        with watched_memory(server) as peak, ThreadPoolExecutor(_AT_ONCE) as clients:
            for running in [clients.submit(run) for _ in range(_AT_ONCE)]:
                running.result()
    what = f"gateway memory, {bucket.title}, {_AT_ONCE} x {plan.memory_bytes // 1_000_000} MB {'up' if up else 'down'}"
    return Row(what, f"peak {peak.value / 1e6:.0f} MB", f"idle {idle / 1e6:.0f} MB", (peak.value - idle) / 1e6, "MB", MEMORY_BAR)


def _gateway(plan: Plan, bucket: _Bucket, key: str) -> AbstractContextManager[Fileplane]:
    return fileplane(plan.directory / bucket.provider, key, {"FILEPLANE_EGRESS_ALLOW": "127.0.0.1"})


def _make_virtual_key(server: Fileplane, bucket: _Bucket) -> None:
    body = {"name": _VIRTUAL_KEY, "slug": _VIRTUAL_KEY, "provider": bucket.provider, "custom_host": bucket.server.endpoint}
    made = httpx2.post(f"{server.url}/v1/virtual-keys", json={**body, **bucket.credential}, headers=server.headers, trust_env=False)
    made.raise_for_status()
    server.headers = _headers(server)


def _headers(server: Fileplane) -> dict[str, str]:
    return {**server.headers, "x-portkey-virtual-key": _VIRTUAL_KEY, "x-portkey-file-purpose": "upload"}


def _content(file_id: str) -> str:
    return f"/v1/files/{quote(file_id, safe='')}/content"


def _alone(bucket: _Bucket, way: str, source: Path) -> float:
    script = str(REFERENCES / bucket.reference)
    command = [sys.executable, script, way, bucket.server.endpoint, BUCKET, "alone/large", str(source), str(_PART_BYTES)]
    environment = {**os.environ, **bucket.server.environment}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[0])
