"""Large objects are read over connections of their own, and whatever goes wrong with these, the reader has every byte or an error."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fileplane.blobs.direct_reads import FAILURES, WORTH_IT, DirectRead, DirectReads
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.ids import new_blob_key
from fileplane.model import Span
from support.http_proxy import HttpProxy, http_proxy
from support.object_servers import ObjectServer
from support.object_stores import OpenStore
from support.polling import eventually_async

MIB = 1 << 20
LARGE = 9 * MIB + 7
BODY = (bytes(range(251)) * (LARGE // 251 + 1))[:LARGE]
AT_ONCE = 16
ONCE, FOR_GOOD = 1, 1_000
TLS = Path(__file__).parents[1] / "support" / "tls"
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def proxy(seaweed: ObjectServer) -> AsyncIterator[HttpProxy]:
    async with http_proxy(seaweed.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def store(seaweed: ObjectServer, proxy: HttpProxy, open_store: OpenStore) -> AsyncIterator[ObjectBlobStore]:
    async with open_store(seaweed, endpoint=proxy.endpoint, deadline_seconds=4) as store:
        yield store


async def put_large(store: ObjectBlobStore) -> str:
    key = new_blob_key()
    async with store.writer(key) as writer:
        for start in range(0, LARGE, MIB):
            await writer.write(BODY[start : start + MIB])
        await writer.commit()
    return key


async def read(store: ObjectBlobStore, key: str, span: Span | None = None, expected: int | None = LARGE) -> bytes:
    async with store.open(key, span, expected) as reader:
        assert reader.size == LARGE
        return b"".join([piece async for piece in reader])


def direct_gets(proxy: HttpProxy) -> int:
    """Requests signed in their URL, which is how they are made past the library."""
    return sum(line.startswith("GET") and "authorization" not in {name.lower() for name in head} for line, head in proxy.heads)


@pytest.mark.parametrize("span", [None, Span(1, WORTH_IT), Span(5, LARGE - 5)], ids=["whole", "a part", "the rest"])
async def test_a_large_object_is_read_over_a_connection_of_its_own(store: ObjectBlobStore, proxy: HttpProxy, span: Span | None):
    key = await put_large(store)
    expected = BODY if span is None else BODY[span.start : span.start + span.length]
    assert await read(store, key, span) == expected
    assert direct_gets(proxy) == 1


async def test_what_is_small_or_of_unknown_size_is_not(store: ObjectBlobStore, proxy: HttpProxy):
    key = await put_large(store)
    assert await read(store, key, expected=None) == BODY
    assert await read(store, key, Span(7, 100)) == BODY[7:107]
    assert direct_gets(proxy) == 0


@pytest.mark.parametrize("times", [ONCE, FOR_GOOD], ids=["once", "for good"])
@pytest.mark.parametrize("fault", ["refused", "lost", "error", "cut"])
async def test_whichever_request_fails_the_bytes_are_whole_or_an_error(store: ObjectBlobStore, proxy: HttpProxy, fault: str, times: int):
    key = await put_large(store)
    failing, struck = 1, True
    while struck:
        proxy.plan(fault, failing, times)
        try:
            assert await read(store, key) == BODY
        except (StorageUnavailable, StorageIntegrityError):
            assert times == FOR_GOOD
        struck = proxy.struck
        failing += 1
    assert failing > 2


async def test_an_object_that_is_smaller_than_expected_is_found_out(store: ObjectBlobStore):
    key = await put_large(store)
    async with store.open(key, None, 2 * LARGE) as reader:
        assert reader.size == LARGE
    with pytest.raises(StorageIntegrityError):
        await read(store, key, Span(0, LARGE + 1), 2 * LARGE)


async def test_no_more_than_a_few_are_read_so_at_once_and_all_are_read(store: ObjectBlobStore, proxy: HttpProxy):
    key = await put_large(store)
    for _ in range(2):
        before = direct_gets(proxy)
        together = asyncio.Barrier(AT_ONCE + 4)

        async def one(together: asyncio.Barrier = together) -> bool:
            async with store.open(key, None, LARGE) as reader:
                await together.wait()
                return b"".join([piece async for piece in reader]) == BODY

        assert all(await asyncio.gather(*(one() for _ in range(AT_ONCE + 4))))
        assert direct_gets(proxy) - before == AT_ONCE


async def test_readers_that_leave_early_give_their_places_back(store: ObjectBlobStore, proxy: HttpProxy):
    key = await put_large(store)
    for _ in range(AT_ONCE + 1):
        async with store.open(key, None, LARGE) as reader:
            assert await anext(aiter(reader))
        async with store.open(key, None, LARGE):
            pass
    assert direct_gets(proxy) == 2 * (AT_ONCE + 1)


@asynccontextmanager
async def serving(answering: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of something that answers so."""
    async with await asyncio.start_server(answering, "127.0.0.1", 0, ssl=tls) as server:
        yield f"{'http' if tls is None else 'https'}://localhost:{server.sockets[0].getsockname()[1]}/object?signature=s"


def answering_with(body: bytes, announced: int = LARGE, *, stalling: bool = False) -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-{announced - 1}/{announced}\r\nContent-Length: {announced}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        if stalling:
            await reader.read()
        writer.close()

    return answer


async def begin(reads: DirectReads, url: str) -> DirectRead | None:
    async def sign() -> str:
        return url

    return await reads.begin(sign, Span(0, LARGE))


@pytest.fixture
async def reads() -> AsyncIterator[DirectReads]:
    reads = DirectReads(ca=str(TLS / "cert.pem"), deadline_seconds=60)
    yield reads
    await asyncio.to_thread(reads.close)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fileplane-reads")]


@pytest.mark.parametrize("encrypted", [False, True])
async def test_bytes_come_whole_and_in_order_with_and_without_encryption(reads: DirectReads, *, encrypted: bool):
    async with serving(answering_with(BODY), server_tls() if encrypted else None) as url:
        read = await begin(reads, url)
        assert read is not None
        assert read.size == LARGE
        assert b"".join([piece async for piece in read]) == BODY


async def test_a_store_whose_certificate_nobody_vouches_for_is_sent_nothing():
    reads = DirectReads(ca=None, deadline_seconds=60)
    async with serving(answering_with(BODY), server_tls()) as url:
        assert await begin(reads, url) is None
    await asyncio.to_thread(reads.close)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("sent", [0, 1, 3 * MIB, LARGE - 1])
async def test_bytes_that_end_too_early_never_end_as_if_they_were_all(reads: DirectReads, sent: int, *, encrypted: bool):
    async with serving(answering_with(BODY[:sent]), server_tls() if encrypted else None) as url:
        read = await begin(reads, url)
        assert read is not None
        received = bytearray()
        with pytest.raises(FAILURES):
            async for piece in read:
                received += piece
        assert BODY.startswith(received)
        await read.aclose()


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("sent", [0, MIB], ids=["before the first byte", "in the middle"])
async def test_whoever_stops_waiting_for_a_store_that_stalls_leaves_no_thread_behind(reads: DirectReads, sent: int, *, encrypted: bool):
    async with serving(answering_with(BODY[:sent], stalling=True), server_tls() if encrypted else None) as url:
        read = await begin(reads, url)
        assert read is not None
        waiting = asyncio.ensure_future(anext(read))
        await asyncio.wait([waiting], timeout=0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        await read.aclose()
        await asyncio.wait_for(asyncio.to_thread(reads.close), 20)


async def test_whoever_stops_waiting_for_a_store_that_never_answers_leaves_no_thread_behind(reads: DirectReads):
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()
        writer.close()

    async with serving(silent) as url:
        beginning = asyncio.ensure_future(begin(reads, url))
        await arrived.wait()
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        await asyncio.wait_for(asyncio.to_thread(reads.close), 20)


async def test_a_store_that_stalls_is_given_up_at_the_deadline():
    reads = DirectReads(ca=None, deadline_seconds=0.4)
    async with serving(answering_with(b"", stalling=True)) as url:
        read = await begin(reads, url)
        assert read is not None
        with pytest.raises(FAILURES):
            await anext(read)
        await read.aclose()
    await asyncio.to_thread(reads.close)


async def test_where_a_proxy_is_to_be_used_there_are_no_connections_past_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    reads = DirectReads(ca=None, deadline_seconds=60)
    async with serving(answering_with(BODY)) as url:
        assert await begin(reads, url) is None
    await asyncio.to_thread(reads.close)


async def test_no_signature_is_logged_when_a_read_fails(reads: DirectReads, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with serving(refusing) as url:
        assert await begin(reads, url) is None
    await eventually_async(lambda: "usual way" in caplog.text, "it is told")
    assert "signature" not in caplog.text


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return context
