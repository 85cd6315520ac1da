"""The tools by which the fault tests judge: each finds what it is there to find."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.database import run_sql
from support.expect import assert_file
from support.history import History, Outcome, Record
from support.limits import blobs_of
from support.oracle import assert_consistent
from support.server import running_server
from support.strace_log import read_calls
from support.tcp_proxy import Way, tcp_proxy

SENT = b"to the server " * 10_000
ANSWER = b"to the client " * 10_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("oracle") / "data"
    with running_server(data_dir) as server, server.client() as client:
        for content in (b"one", b"two"):
            assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)}))
    return data_dir


def _orphan(blob: Path) -> Callable[[], None]:
    path = blob.with_name("0" * 30)
    path.write_bytes(b"nobody's")
    return path.unlink


def _replaced(blob: Path, content: bytes | None) -> Callable[[], None]:
    kept = blob.read_bytes()
    blob.unlink() if content is None else blob.write_bytes(content)
    return lambda: (blob.write_bytes(kept), None)[1]


BREAKS: dict[str, Callable[[Path], Callable[[], None]]] = {
    "missing": lambda blob: _replaced(blob, None),
    "empty": lambda blob: _replaced(blob, b""),
    "another byte": lambda blob: _replaced(blob, b"onE"),
    "a blob without a file": _orphan,
}


@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS)
def test_the_oracle_finds_what_is_wrong_with_a_blob(sound: Path, break_it: Callable[[Path], Callable[[], None]]):
    assert_consistent(sound)
    mend = break_it(blobs_of(sound)[0])
    with pytest.raises(AssertionError):
        assert_consistent(sound)
    mend()
    assert_consistent(sound)


def test_the_oracle_finds_counters_that_count_wrong(sound: Path):
    run_sql(sound / "fileplane.db", "UPDATE usage SET live_files = live_files + 1")
    with pytest.raises(AssertionError, match="counter_drift"):
        assert_consistent(sound)
    run_sql(sound / "fileplane.db", "UPDATE usage SET live_files = live_files - 1")
    assert_consistent(sound)


CREATED = Record("create", "a", 1, "f", b"bytes", end=2, outcome=Outcome.OK)
DELETED = Record("delete", "a", 3, "f", end=4, outcome=Outcome.OK)
IMPOSSIBLE = {
    "a lost file in a list": [CREATED, Record("list", "a", 5, end=6, outcome=Outcome.OK)],
    "a lost file": [CREATED, Record("read", "a", 5, "f", end=6, outcome=Outcome.FAIL)],
    "other bytes": [CREATED, Record("read", "a", 5, "f", b"byte", end=6, outcome=Outcome.OK)],
    "a deleted file in a list": [CREATED, DELETED, Record("list", "a", 5, seen=frozenset("f"), end=6, outcome=Outcome.OK)],
    "a deleted file": [CREATED, DELETED, Record("read", "a", 5, "f", b"bytes", end=6, outcome=Outcome.OK)],
    "another tenant's file": [CREATED, Record("list", "b", 5, seen=frozenset("f"), end=6, outcome=Outcome.OK)],
    "a file from nowhere": [Record("read", "a", 5, "f", b"bytes", end=6, outcome=Outcome.OK)],
}
POSSIBLE = {
    "a delete under way, seen": [CREATED, Record("delete", "a", 3, "f"), Record("read", "a", 5, "f", b"bytes", end=6, outcome=Outcome.OK)],
    "a delete under way, gone": [CREATED, Record("delete", "a", 3, "f"), Record("list", "a", 5, end=6, outcome=Outcome.OK)],
    "a list during the create": [CREATED, Record("list", "a", 1.5, end=6, outcome=Outcome.OK)],
    "an upload that nobody answered": [Record("create", "a", 1, None, b"x"), Record("read", "a", 5, "g", b"x", end=6, outcome=Outcome.OK)],
}


@pytest.mark.parametrize("records", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_history_that_breaks_a_promise_is_found_out(records: list[Record]):
    with pytest.raises(AssertionError):
        History(records).check()


@pytest.mark.parametrize("records", POSSIBLE.values(), ids=POSSIBLE)
def test_a_history_that_may_have_been_is_accepted(records: list[Record]):
    History(records).check()


def test_calls_that_others_interrupt_are_put_together():
    file, name = read_calls(
        "7 fsync(3</a> <unfinished ...>\n8 write(4</b>, 5) = 5\n7 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)\n"
    )
    assert (file.name, file.path, file.began, file.ended, file.injected) == ("fsync", "/a", 0, 2, True)
    assert (name.name, name.path, name.began, name.ended, name.injected) == ("write", "/b", 1, 1, False)


@contextmanager
def echoing(received: bytearray) -> Iterator[int]:
    """The port of a server that takes everything up to the end, then answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve_one, args=(listener, received))
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _serve_one(listener: socket.socket, received: bytearray) -> None:
    connection, _ = listener.accept()
    with connection:
        try:
            while piece := connection.recv(65_536):
                received += piece
            connection.sendall(ANSWER)
        except ConnectionError:
            return


WAYS = {
    "untouched": (Way(), Way(), len(SENT), len(ANSWER), None),
    "half-closed": (Way(cut_after=100, cut="half-close"), Way(), 100, len(ANSWER), None),
    "the answer dropped": (Way(), Way(cut_after=0, cut="drop"), len(SENT), 0, None),
    "the answer cut": (Way(), Way(cut_after=20_000, cut="fin"), len(SENT), 20_000, None),
    "the answer reset": (Way(), Way(cut_after=20_000, cut="reset"), len(SENT), None, ConnectionResetError),
}


@pytest.mark.parametrize(("to_server", "to_client", "arrives", "comes_back", "error"), WAYS.values(), ids=WAYS)
def test_the_proxy_does_to_a_connection_what_it_is_told(
    to_server: Way, to_client: Way, arrives: int, comes_back: int | None, error: type[OSError] | None
):
    received, answered = bytearray(), bytearray()
    raised = None
    with (
        echoing(received) as port,
        tcp_proxy(port, to_server=to_server, to_client=to_client) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        try:
            client.sendall(SENT)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65_536):
                answered += piece
        except OSError as met:
            raised = type(met)
    assert len(received) == arrives
    assert raised is error
    assert comes_back is None or len(answered) == comes_back


def test_the_proxy_paces_what_it_passes_on():
    way = Way(latency_seconds=0.05, bytes_per_second=len(ANSWER) * 4)
    with (
        echoing(bytearray()) as port,
        tcp_proxy(port, to_client=way) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        began = time.monotonic()
        client.shutdown(socket.SHUT_WR)
        answered = 0
        while piece := client.recv(65_536):
            answered += len(piece)
        # Never sooner: a machine under load may well be slower.
        assert time.monotonic() - began > 0.25
    assert answered == len(ANSWER)
