"""A process of its own that sends or takes one large file, and prints how much memory that took: its peak above its rest, in bytes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import psutil

from fileplane.providers.base import RemoteUpload, Target
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider.flavours import FLAVOURS

PIECE = bytes(1 << 16)
LOOK_EVERY = 0.02
FIELDS = {
    "bedrock": {"aws_region": "us-east-1", "aws_s3_bucket": "files", "file_purpose": "upload"},
    "fireworks-ai": {"fireworks_account_id": "my-account"},
    "vertex-ai": {"vertex_storage_bucket_name": "fake-bucket", "file_purpose": "upload"},
}


async def zeros(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, len(PIECE)):
        yield bytes(min(len(PIECE), size - start))


async def watch(peak: list[int]) -> None:
    process = psutil.Process()
    while True:
        peak[0] = max(peak[0], process.memory_info().rss)
        await asyncio.sleep(LOOK_EVERY)


async def transfer(flavour: str, name: str, base_url: str, size: int, rest_seconds: float, *, announced: bool) -> dict[str, object]:
    egress = Egress(Settings(egress_allow=("127.0.0.1",)))
    provider = Registry(egress).get(name)
    secrets = {secret: Secret(text) for secret, text in FLAVOURS[flavour].secrets("sk-memory").items()}
    target = Target(name, secrets, FIELDS.get(name, {}), custom_host=base_url)
    warm = await provider.upload(target, RemoteUpload("batch", "warm", "", zeros(10), length=10, lines=1))
    await provider.get(target, warm.id)
    rest = psutil.Process().memory_info().rss
    peak = [rest]
    watching = asyncio.ensure_future(watch(peak))
    file = await provider.upload(target, RemoteUpload("batch", "large", "", zeros(size), length=size if announced else None, lines=1))
    up, peak[0] = peak[0] - rest, rest
    if not provider.capabilities(target).downloads_uploads:
        await egress.close()
        return {"up": up, "down": 0}
    received = 0
    async with provider.open(target, file.id) as content:
        async for piece in content:
            assert piece.count(0) == len(piece)
            received += len(piece)
            if rest_seconds and received >= len(PIECE):
                await asyncio.sleep(rest_seconds)
                rest_seconds = 0.0
    assert received == size
    watching.cancel()
    await egress.close()
    return {"up": up, "down": peak[0] - rest}


if __name__ == "__main__":
    kind, provider_name, base, size_text, seconds, known = sys.argv[1:]
    sys.stdout.write(
        json.dumps(asyncio.run(transfer(kind, provider_name, base, int(size_text), float(seconds), announced=known == "known")))
    )
