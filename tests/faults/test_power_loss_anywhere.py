"""Power that goes at any moment of mixed traffic leaves a store that keeps everything it has said."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from support.history import History, Outcome
from support.injection import kill_at_once
from support.limits import temporaries_of
from support.oracle import assert_consistent
from support.polling import eventually
from support.power_loss import KINDS, Disk, disk_with_power
from support.server import RunningServer, start_server

pytestmark = [pytest.mark.needs_root, pytest.mark.full]

SEEDS_A_DISK = 10
CLIENTS = 4
FEWEST_OPERATIONS = 12
LONGEST_RUN_SECONDS = 0.6
SIZES = (0, 1, 4096, 4096, 70_000, 70_000, 1_200_000)


@dataclass
class Machine:
    """A server whose data directory is on a disk of its own, and what its clients were told."""

    disk: Disk
    server: RunningServer
    keys: dict[str, str]
    history: History = field(default_factory=History)

    def lose_power_amid_traffic(self, seed: int) -> None:
        """Afterwards the server runs again, on what the disk has kept, and everything has been looked at."""
        ended = threading.Event()
        chances = [random.Random(f"{seed} {number}") for number in range(CLIENTS)]
        clients = [threading.Thread(target=traffic, args=(self.server, self.keys, self.history, chance, ended)) for chance in chances]
        before = len(self.history.records)
        for client in clients:
            client.start()
        eventually(lambda: len(self.history.records) >= before + FEWEST_OPERATIONS, "traffic is under way", seconds=60)
        ended.wait(random.Random(seed).uniform(0, LONGEST_RUN_SECONDS))
        moment = time.monotonic()
        self.disk.cut()
        ended.set()
        for client in clients:
            client.join()
        # The server does not lose its power with the disk, and a sync that the cut overtakes may be told that it was done.
        self.history.forget_answers_since(moment)
        kill_at_once(self.server)
        self.disk.power_up()
        assert_consistent(self.server.data_dir, orphans_allowed=True)
        self.server = start_server(self.server.data_dir, key=self.keys["default"])
        assert temporaries_of(self.server) == []
        for tenant, key in self.keys.items():
            with self.server.client(key) as files:
                look_at_everything(files, tenant, self.history)
        self.history.check()


@pytest.mark.parametrize("first_seed", range(0, 50, SEEDS_A_DISK))
@pytest.mark.parametrize("kind", KINDS)
def test_power_that_goes_at_any_moment_leaves_everything_that_was_answered(tmp_path: Path, kind: str, first_seed: int):
    with disk_with_power(tmp_path, kind) as disk:
        server = start_server(disk.path / "data")
        machine = Machine(disk, server, {"default": server.api_key, "other": server.create_key(project="other")})
        history = machine.history
        try:
            for seed in range(first_seed, first_seed + SEEDS_A_DISK):
                print(f"{kind}, seed {seed}, {len(history.records)} operations")  # noqa: T201 - a failure is told apart by its seed
                machine.lose_power_amid_traffic(seed)
        finally:
            kill_at_once(machine.server)
    outcomes = {outcome.value: sum(record.outcome is outcome for record in history.records) for outcome in Outcome}
    print(f"{kind}: {outcomes}")  # noqa: T201 - how much was shown belongs to the report
    assert all(history.of(operation, Outcome.OK) for operation in ("create", "delete", "list", "read"))


def traffic(server: RunningServer, keys: dict[str, str], history: History, chance: random.Random, ended: threading.Event) -> None:
    """Any operation by any tenant, one after the other, until the power is gone."""
    with ExitStack() as stack:
        clients = {tenant: stack.enter_context(server.client(key)) for tenant, key in keys.items()}
        while not ended.is_set():
            tenant = chance.choice(sorted(keys))
            operation = chance.choice((create, create, create, delete, show, read))
            with suppress(httpx2.TransportError):
                operation(clients[tenant], tenant, history, chance)


def create(files: httpx2.Client, tenant: str, history: History, chance: random.Random) -> None:
    content = os.urandom(chance.choice(SIZES))
    with history.recording("create", tenant, content=content) as record:
        answer = files.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)})
        if answer.status_code == 200:
            record.file_id, record.outcome = answer.json()["id"], Outcome.OK


def delete(files: httpx2.Client, tenant: str, history: History, chance: random.Random) -> None:
    file_id = one_of(history, tenant, chance)
    with history.recording("delete", tenant, file_id=file_id) as record:
        record.outcome = outcome_of(files.delete(f"/files/{file_id}"))


def read(files: httpx2.Client, tenant: str, history: History, chance: random.Random) -> None:
    read_one(files, tenant, history, one_of(history, tenant, chance))


def show(files: httpx2.Client, tenant: str, history: History, _: random.Random) -> None:
    with history.recording("list", tenant) as record:
        answer = files.get("/files", params={"limit": 10_000})
        record.outcome = outcome_of(answer)
        if record.outcome is Outcome.OK:
            record.seen = frozenset(file["id"] for file in answer.json()["data"])


def read_one(files: httpx2.Client, tenant: str, history: History, file_id: str) -> None:
    with history.recording("read", tenant, file_id=file_id) as record:
        answer = files.get(f"/files/{file_id}/content")
        record.content, record.outcome = answer.content, outcome_of(answer)


def look_at_everything(files: httpx2.Client, tenant: str, history: History) -> None:
    show(files, tenant, history, random.Random())
    for file_id in history.records[-1].seen:
        read_one(files, tenant, history, file_id)
        assert history.records[-1].outcome is Outcome.OK, file_id


def one_of(history: History, tenant: str, chance: random.Random) -> str:
    """A file of the tenant, deleted or not; or one that never was."""
    known = [str(record.file_id) for record in history.of("create", Outcome.OK) if record.tenant == tenant]
    return chance.choice(known) if known else "00000000-0000-7000-8000-000000000000"


def outcome_of(answer: httpx2.Response) -> Outcome:
    """Of a server whose disk is failing nothing is known but what it has answered with 200 or 404."""
    return {200: Outcome.OK, 404: Outcome.FAIL}.get(answer.status_code, Outcome.UNKNOWN)
