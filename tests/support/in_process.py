"""The store without a server: the real use cases, edge and stores in this process, with faults between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
from starlette.types import Message

from fileplane import logs
from fileplane.access import ALL_SCOPES, Principal
from fileplane.blobs.local import LocalBlobStore
from fileplane.clock import SystemClock
from fileplane.control.api_keys import ApiKeys
from fileplane.control.opening import credentials_over, open_credentials
from fileplane.control.projects import Projects
from fileplane.control.routes import Routes
from fileplane.files.janitor import Janitor
from fileplane.files.native import NativeFiles
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_jobs import RemoteJobs
from fileplane.files.resumable import ResumableUploads
from fileplane.files.routed_uploads import RoutedUploads
from fileplane.files.settling import Settler
from fileplane.files.uploads import NativeUploads
from fileplane.http.auth import Authenticator, principal_of
from fileplane.http.call import Services
from fileplane.http.edge import Edge
from fileplane.http.request_limits import RequestLimits
from fileplane.http.routes import build_router
from fileplane.ids import hash_api_key
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.model import File, FileQuery
from fileplane.opening import BLOBS_NAME, DATABASE_NAME
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.secrets.vault import Vault
from fileplane.settings import Settings
from fileplane.testing.faults import NaughtyBlobStore, NaughtyMetadataStore, Plan
from fileplane.uploads import manifest_of
from support.limits import own_open_files
from support.polling import eventually_equal_async

KEY = "fpk_in_process_9f8e7d6c5b4a39281706f5e4d3c2b1a0"


@dataclass
class InProcess:
    """``files`` and ``app`` reach the stores through the faults; ``blobs`` and ``metadata`` are the stores themselves."""

    settings: Settings
    blobs: LocalBlobStore
    metadata: SqliteMetadataStore
    principal: Principal
    files: NativeFiles
    app: Edge
    vault: Vault
    settler: Settler
    uploads: NativeUploads
    janitor: Janitor
    resumable: ResumableUploads

    def with_faults(self, plan: Plan) -> InProcess:
        """The same stores, behind another plan."""
        return _assemble(self.settings, self.blobs, self.metadata, self.principal, plan, self.vault)

    async def recorded(self) -> list[File]:
        """Every live file of the project."""
        page = await self.metadata.list_files(self.principal.project_id, FileQuery(limit=10_000))
        return list(page.files)

    async def content(self, file: File) -> bytes:
        upload_id = manifest_of(file.blob_key)
        if upload_id is None:
            return await self._blob(file.blob_key)
        return b"".join([await self._blob(part.blob_key) for part in await self.metadata.manifest_parts(file.project_id, upload_id)])

    async def _blob(self, key: str) -> bytes:
        async with self.blobs.open(key) as reader:
            return b"".join([piece async for piece in reader])

    async def temporaries(self) -> list[str]:
        return [info.key async for info in self.blobs.walk(uncommitted_only=True)]

    async def blob_keys(self) -> set[str]:
        return {info.key async for info in self.blobs.walk() if info.committed}

    def open_files(self) -> list[str]:
        """What this process has open of the blob store."""
        return own_open_files(self.settings.data_dir / BLOBS_NAME)

    async def assert_everything_is_closed(self) -> None:
        """Soon at least: a thread may still be at it."""
        await eventually_equal_async(self.open_files, [])

    async def upload(self, body: AsyncIterator[bytes], content_type: str) -> httpx2.Response:
        """POST /v1/files with the pieces of ``body`` as they come."""
        return await self.request("POST", "/v1/files", body, [(b"content-type", content_type.encode()), (b"transfer-encoding", b"chunked")])

    async def download(self, file_id: str) -> httpx2.Response:
        """GET /v1/files/{id}/content. An answer that is broken off raises what broke it off."""
        return await self.request("GET", f"/v1/files/{file_id}/content", pieces(), [])

    async def request(self, method: str, path: str, body: AsyncIterator[bytes], headers: list[tuple[bytes, bytes]]) -> httpx2.Response:
        sent: list[Message] = []
        ended = asyncio.Event()

        async def receive() -> Message:
            # No server has the next bytes without going through its loop, which is where a deadline that has passed strikes.
            await asyncio.sleep(0)
            if ended.is_set():
                await asyncio.Event().wait()
            try:
                return {"type": "http.request", "body": await anext(body), "more_body": True}
            except StopAsyncIteration:
                ended.set()
                return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(_scope(method, path, headers), receive, send)
        return httpx2.Response(
            sent[0]["status"],
            headers=[(name, value) for name, value in sent[0]["headers"]],
            content=b"".join(message.get("body", b"") for message in sent[1:]),
        )


def _scope(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    own = (b"authorization", f"Bearer {KEY}".encode())
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers if any(name.lower() == b"authorization" for name, _ in headers) else [own, *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


@asynccontextmanager
async def in_process(directory: Path, plan: Plan | None = None, **settings: object) -> AsyncIterator[InProcess]:
    """The store in ``directory``, which it prepares when it is new."""
    chosen = Settings(**{"data_dir": directory, "min_free_disk_bytes": 0} | settings)
    directory.mkdir(exist_ok=True)
    prepare_database(directory / DATABASE_NAME)
    metadata = SqliteMetadataStore(directory / DATABASE_NAME, SystemClock(), deadline_seconds=chosen.metadata_deadline_seconds)
    blobs = LocalBlobStore(directory / BLOBS_NAME, deadline_seconds=chosen.storage_deadline_seconds)
    try:
        await metadata.bootstrap(hash_api_key(KEY), KEY[-4:], ALL_SCOPES)
        known = await metadata.find_api_key(hash_api_key(KEY))
        assert known is not None
        principal = principal_of(known)
        # Access lines go straight to standard error, past pytest, from a thread of their own.
        with patch.object(logs, "_threshold", logging.CRITICAL):
            vault = (await open_credentials(metadata, chosen)).vault
            yield _assemble(chosen, blobs, metadata, principal, plan or Plan({}), vault)
    finally:
        await blobs.close()
        await metadata.close()


def _assemble(
    settings: Settings, blobs: LocalBlobStore, metadata: SqliteMetadataStore, principal: Principal, plan: Plan, vault: Vault
) -> InProcess:
    naughty_blobs, naughty_metadata = NaughtyBlobStore(blobs, plan), NaughtyMetadataStore(metadata, plan)
    janitor = Janitor(naughty_metadata, naughty_blobs, SystemClock(), settings)
    files = NativeFiles(naughty_metadata, naughty_blobs, janitor, settings)
    settler = Settler(naughty_metadata, naughty_blobs, settings)
    uploads = NativeUploads(naughty_metadata, naughty_blobs, janitor, settler, settings, SystemClock())
    resumable = ResumableUploads(naughty_metadata, naughty_blobs, janitor, settler, uploads, settings, SystemClock())
    authenticator = Authenticator(naughty_metadata, SystemClock(), settings.key_cache_seconds)
    credentials = credentials_over(naughty_metadata, vault, settings)
    services = Services(
        settings,
        naughty_metadata,
        naughty_blobs,
        files,
        uploads,
        resumable,
        authenticator,
        RequestLimits(naughty_metadata, SystemClock()),
        Projects(naughty_metadata),
        ApiKeys(naughty_metadata, SystemClock()),
        credentials.virtual_keys,
        credentials.configs,
        Routes(credentials.configs, credentials.virtual_keys, Registry(Egress(settings))),
        remote := RemoteFiles(naughty_metadata, settings),
        RemoteJobs(naughty_metadata, remote),
        RoutedUploads(naughty_metadata, naughty_blobs, uploads, remote.uploads, settings, SystemClock()),
    )
    return InProcess(
        settings, blobs, metadata, principal, files, Edge(build_router(services), settings), vault, settler, uploads, janitor, resumable
    )


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    """A body that is there at once."""
    for piece in data:
        yield piece


async def pieces_with_a_stall(data: Iterable[bytes], stall_seconds: float) -> AsyncIterator[bytes]:
    """A body whose client takes a rest before the last piece."""
    *early, last = data
    for piece in early:
        yield piece
    await asyncio.sleep(stall_seconds)
    yield last
