"""A refused upload is answered before its body is read, and a client that pushes its body gets the answer, not a reset."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest

from support.expect import assert_openai_error
from support.limits import MIB, Held, blobs_of, held_by, held_when_idle
from support.polling import eventually_equal
from support.raw_http import FORM_TYPE, LAST_CHUNK, Connection, chunk, form_begin, form_end, form_length, upload_head, zeros
from support.server import RunningServer, running_server

GIB = 1 << 30
QUOTA = 31 * MIB
PUSHED = 30 * MIB
MANY_GIB = 50 * GIB
WRONG_KEY = "fpk_wrong_0123456789abcdefghijklmnopqrstuvwxyzAB"


@dataclass(frozen=True)
class Refusal:
    """``declared`` is a length that is refused by itself; ``purpose`` and ``pushed`` make a body that is refused as it comes."""

    status: int
    code: str | None
    key: Callable[[RunningServer, str], str | None]
    type: str = "invalid_request_error"
    param: str | None = None
    declared: int = MANY_GIB
    purpose: str = "user_data"
    pushed: int = PUSHED

    def body(self) -> Iterator[bytes]:
        yield form_begin(purpose=self.purpose)
        yield from zeros(self.pushed)
        yield form_end()

    def push(self, connection: Connection, key: str | None, framing: str) -> None:
        """Sends the whole request, whatever is answered meanwhile."""
        connection.send(upload_head(key, None if framing == "chunked" else form_length(self.pushed, purpose=self.purpose)))
        for data in self.body():
            connection.send(chunk(data) if framing == "chunked" else data)
        if framing == "chunked":
            connection.send(LAST_CHUNK)

    def push_until_it_fails(self, connection: Connection, key: str | None, framing: str) -> None:
        try:
            self.push(connection, key, framing)
        except OSError:
            # The server has closed, after the answer that the other side of this connection has read.
            return

    def check(self, answer: httpx2.Response) -> None:
        assert_openai_error(answer, self.status, self.code, type=self.type, param=self.param)


REFUSALS = {
    "no key": Refusal(401, None, lambda _server, _reader: None),
    "wrong key": Refusal(401, "invalid_api_key", lambda _server, _reader: WRONG_KEY),
    "no scope": Refusal(403, "missing_scope", lambda _server, reader: reader, type="permission_error"),
    "too large": Refusal(413, "file_too_large", lambda server, _reader: server.api_key, param="file", purpose="batch"),
    "over quota": Refusal(
        400, "storage_quota_exceeded", lambda server, _reader: server.api_key, param="file", declared=2 * GIB, pushed=QUOTA + 2 * MIB
    ),
}
EACH_REFUSAL = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
FRAMINGS = pytest.mark.parametrize("framing", ["length", "chunked"])


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Refuses what is declared larger than 10 GiB, batch files above 4 MiB, and more than 31 MiB in a project."""
    settings = {"max_file_bytes": 10 * GIB, "max_batch_file_bytes": 4 * MIB, "project_quota_bytes": QUOTA}
    with running_server(tmp_path_factory.mktemp("strict") / "data", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def reader_key(strict_server: RunningServer) -> str:
    return strict_server.create_key(scopes=("files.read",))


@pytest.fixture(scope="module")
def baseline(strict_server: RunningServer) -> Held:
    return held_when_idle(strict_server)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(strict_server: RunningServer, baseline: Held) -> Iterator[None]:
    yield
    eventually_equal(lambda: held_by(strict_server), baseline, seconds=10)
    assert blobs_of(strict_server.data_dir) == []


@EACH_REFUSAL
def test_a_declared_length_is_refused_without_a_byte_of_the_body(strict_server: RunningServer, reader_key: str, refusal: Refusal):
    with Connection(strict_server) as connection:
        connection.send(upload_head(refusal.key(strict_server, reader_key), refusal.declared))
        refusal.check(connection.answer(to_the_end=False))


@EACH_REFUSAL
def test_a_client_that_asks_first_is_refused_without_being_told_to_go_on(strict_server: RunningServer, reader_key: str, refusal: Refusal):
    with Connection(strict_server) as connection:
        connection.send(upload_head(refusal.key(strict_server, reader_key), refusal.declared, Expect="100-continue"))
        refusal.check(connection.answer())


@pytest.mark.parametrize("name", ["no key", "wrong key", "no scope"])
def test_a_chunked_body_is_refused_for_its_key_without_a_byte_of_it(strict_server: RunningServer, reader_key: str, name: str):
    refusal = REFUSALS[name]
    with Connection(strict_server) as connection:
        connection.send(upload_head(refusal.key(strict_server, reader_key), None))
        refusal.check(connection.answer(to_the_end=False))


@EACH_REFUSAL
@FRAMINGS
def test_a_client_that_writes_everything_before_it_reads_gets_the_answer(
    strict_server: RunningServer, reader_key: str, refusal: Refusal, framing: str
):
    with Connection(strict_server) as connection:
        refusal.push(connection, refusal.key(strict_server, reader_key), framing)
        refusal.check(connection.answer())


@EACH_REFUSAL
@FRAMINGS
def test_a_client_that_reads_while_it_writes_gets_the_answer(strict_server: RunningServer, reader_key: str, refusal: Refusal, framing: str):
    with Connection(strict_server) as connection:
        key = refusal.key(strict_server, reader_key)
        pushing = threading.Thread(target=refusal.push_until_it_fails, args=(connection, key, framing))
        pushing.start()
        try:
            refusal.check(connection.answer())
        finally:
            connection.leave("reset")
            pushing.join()


@EACH_REFUSAL
def test_a_client_in_the_middle_of_pushing_many_gib_finds_the_answer(strict_server: RunningServer, reader_key: str, refusal: Refusal):
    with Connection(strict_server) as connection:
        connection.send(upload_head(refusal.key(strict_server, reader_key), refusal.declared) + form_begin())
        for data in zeros(PUSHED):
            connection.send(data)
        refusal.check(connection.answer(to_the_end=False))


def test_an_ordinary_client_library_gets_each_answer(strict_server: RunningServer, reader_key: str):
    for refusal in REFUSALS.values():
        with strict_server.client(refusal.key(strict_server, reader_key) or "none") as client:
            if refusal.code is None:
                del client.headers["authorization"]
            for content in (b"".join(refusal.body()), refusal.body()):
                refusal.check(client.post("/files", content=content, headers={"content-type": FORM_TYPE}))
