"""Clients of two nodes that go to the other one when one fails, as SDKs do, and remember what they were told."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count

import httpx2

from support.history import History, Outcome, Record
from support.node_pair import NodePair
from support.polling import eventually

CLIENTS = 4
TENANT = "default"
SIZES = (0, 1, 4_096, 4_096, 70_000, 70_000, 1_200_000)
SETTLING_SECONDS = 60
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Answer:
    """What one attempt was told, by which node."""

    place: int
    operation: str
    status: int
    headers: httpx2.Headers


@dataclass
class Unsettled:
    """An upload of which nobody knows what became of it."""

    record: Record
    name: str


class Traffic:
    """All of it is in a project of its own.

    ``answers`` are in the order in which they came; ``refused`` and ``broken`` are of attempts that got none.

    A client that is ``refused`` a connection knows that nothing happened; one whose connection is ``broken`` knows nothing.
    ``overdue`` are those that a node has kept waiting for longer than any deadline of its own.
    """

    def __init__(self, pair: NodePair, *, seed: int = 1, keep_alive: bool = True, sizes: tuple[int, ...] = SIZES) -> None:
        self.pair, self.seed, self.sizes = pair, seed, sizes
        self.key = pair.nodes[0].create_key(project=f"traffic-{seed}")
        self.keep_alive = keep_alive
        self.history = History()
        self.answers: list[Answer] = []
        self.refused: list[str] = []
        self.broken: list[str] = []
        self.overdue: list[str] = []
        self.unsettled: list[Unsettled] = []
        self._numbers = count()
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Clients are at it for the length of the block."""
        print(f"seed {self.seed}")  # noqa: T201 - a failure is told apart by its seed
        self._stop.clear()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self._client, random.Random(f"{self.seed} {number}")) for number in range(CLIENTS)]
            try:
                yield
            finally:
                self._stop.set()
            for client in clients:
                client.result()

    def wait_for(self, number: int, *, status: int = 200, place: int | None = None, operation: str | None = None) -> None:
        """Until so many more answers like that have come."""
        start = len(self.answers)

        def come() -> bool:
            return sum(self._is_like(answer, status, place, operation) for answer in self.answers[start:]) >= number

        try:
            eventually(come, f"{number} answers of {status} from node {place} to a {operation or 'request'}", seconds=SETTLING_SECONDS)
        except AssertionError as error:
            error.add_note(f"since then: {self.told_since(start)}")
            raise

    def settle(self) -> None:
        """Sends every upload of unknown outcome again with its key, until it is answered."""
        with self._clients() as clients:
            for upload in self.unsettled:
                eventually(
                    lambda upload=upload: self._upload(clients, 0, upload.record, upload.name), upload.name, seconds=SETTLING_SECONDS
                )
        self.unsettled.clear()

    def check(self, *, settle: bool = True) -> None:
        """Whatever was answered holds at both nodes, and every upload is one file."""
        if settle:
            self.settle()
        for place in range(len(self.pair.nodes)):
            with self.pair.client(place, key=self.key) as client:
                names = self._look_at_everything(client)
                assert [name for name, times in Counter(names).items() if times > 1] == []
        self.history.check()
        assert self.overdue == []
        for answer in self.answers:
            assert answer.status != 503 or answer.headers.get("retry-after"), answer

    @property
    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}

    @property
    def told(self) -> str:
        return self.told_since(0)

    def told_since(self, start: int) -> str:
        answers = Counter((answer.place, answer.operation, answer.status) for answer in self.answers[start:])
        return f"{answers}, refused {self.refused}, broken {self.broken}, overdue {self.overdue}"

    def _is_like(self, answer: Answer, status: int, place: int | None, operation: str | None) -> bool:
        return answer.status == status and place in {None, answer.place} and operation in {None, answer.operation}

    @contextmanager
    def _clients(self) -> Iterator[list[httpx2.Client]]:
        with ExitStack() as stack:
            yield [stack.enter_context(self._connected(place)) for place in range(len(self.pair.nodes))]

    def _connected(self, place: int) -> httpx2.Client:
        return self.pair.client(place, key=self.key, keep_alive=self.keep_alive)

    def _client(self, chance: random.Random) -> None:
        with self._clients() as clients:
            while not self._stop.is_set():
                operation = chance.choice((self._create, self._create, self._create, self._delete, self._read, self._list))
                operation(clients, chance)

    def _create(self, clients: list[httpx2.Client], chance: random.Random) -> None:
        name = f"{self.seed}-{next(self._numbers)}.bin"
        with self.history.recording("create", TENANT, content=os.urandom(chance.choice(self.sizes))) as record:
            if not self._upload(clients, chance.randrange(len(clients)), record, name):
                self.unsettled.append(Unsettled(record, name))

    def _upload(self, clients: list[httpx2.Client], first: int, record: Record, name: str) -> bool:
        form = {"data": {"purpose": "user_data"}, "files": {"file": (name, record.content)}}
        answer, _ = self._send(clients, first, "create", lambda client: client.post("/files", headers={"idempotency-key": name}, **form))
        if answer is not None and answer.status_code == 200:
            record.file_id, record.outcome = answer.json()["id"], Outcome.OK
        return record.outcome is Outcome.OK

    def _delete(self, clients: list[httpx2.Client], chance: random.Random) -> None:
        file_id = self._one(chance)
        with self.history.recording("delete", TENANT, file_id=file_id) as record:
            answer, attempts = self._send(
                clients, chance.randrange(len(clients)), "delete", lambda client: client.delete(f"/files/{file_id}")
            )
            # Missing at a later attempt may be what an earlier one has done.
            record.outcome = Outcome.UNKNOWN if attempts > 1 and answer is not None and answer.status_code == 404 else outcome_of(answer)

    def _read(self, clients: list[httpx2.Client], chance: random.Random) -> None:
        file_id = self._one(chance)
        with self.history.recording("read", TENANT, file_id=file_id) as record:
            answer, _ = self._send(clients, chance.randrange(len(clients)), "read", lambda client: client.get(f"/files/{file_id}/content"))
            record.outcome = outcome_of(answer)
            record.content = answer.content if answer is not None else None

    def _list(self, clients: list[httpx2.Client], chance: random.Random) -> None:
        with self.history.recording("list", TENANT) as record:
            answer, _ = self._send(
                clients, chance.randrange(len(clients)), "list", lambda client: client.get("/files", params={"limit": 10_000})
            )
            record.outcome = outcome_of(answer)
            if answer is not None and answer.status_code == 200:
                record.seen = frozenset(file["id"] for file in answer.json()["data"])

    def _send(
        self, clients: list[httpx2.Client], first: int, operation: str, request: Callable[[httpx2.Client], httpx2.Response]
    ) -> tuple[httpx2.Response | None, int]:
        """The last answer if there was any, and after how many attempts."""
        answer = None
        for number in range(_ATTEMPTS):
            place = (first + number) % len(clients)
            answer = self._attempt(clients[place], place, operation, request)
            if answer is not None and answer.status_code < 500:
                return answer, number + 1
            self._stop.wait(_PAUSE_SECONDS)
        return answer, _ATTEMPTS

    def _attempt(
        self, client: httpx2.Client, place: int, operation: str, request: Callable[[httpx2.Client], httpx2.Response]
    ) -> httpx2.Response | None:
        try:
            answer = request(client)
        except httpx2.ConnectError as error:
            self.refused.append(f"{operation} at {place}: {error!r}")
        except httpx2.TimeoutException as error:
            self.overdue.append(f"{operation} at {place}: {error!r}")
        except httpx2.TransportError as error:
            self.broken.append(f"{operation} at {place}: {error!r}")
        else:
            self.answers.append(Answer(place, operation, answer.status_code, answer.headers))
            return answer
        return None

    def _one(self, chance: random.Random) -> str:
        """A file, deleted or not; or one that never was."""
        known = [str(record.file_id) for record in self.history.of("create", Outcome.OK)]
        return chance.choice(known) if known else "00000000-0000-7000-8000-000000000000"

    def _look_at_everything(self, client: httpx2.Client) -> list[str]:
        """The names of all files, each of which has been read."""
        with self.history.recording("list", TENANT) as listed:
            files = client.get("/files", params={"limit": 10_000}).json()["data"]
            listed.outcome, listed.seen = Outcome.OK, frozenset(file["id"] for file in files)
        for file in files:
            with self.history.recording("read", TENANT, file_id=file["id"]) as record:
                answer = client.get(f"/files/{file['id']}/content")
                assert answer.status_code == 200, (file, answer.text)
                record.content, record.outcome = answer.content, Outcome.OK
        return [file["filename"] for file in files]


def outcome_of(answer: httpx2.Response | None) -> Outcome:
    """Nothing is known but what was answered with 200 or 404."""
    return Outcome.UNKNOWN if answer is None else {200: Outcome.OK, 404: Outcome.FAIL}.get(answer.status_code, Outcome.UNKNOWN)
