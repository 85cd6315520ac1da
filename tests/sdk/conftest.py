"""One server of each kind, one set of input files, and each SDK's process run once: the tests look at what it saw."""

from __future__ import annotations

import base64
import functools
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from sdk.inputs import MEBIBYTE, write_inputs
from sdk.processes import CLIENTS, OPENAI_CLIENTS, PORTKEY_CLIENTS, Job, Outcome, perform
from support.object_servers import seaweedfs
from support.polling import eventually
from support.postgres import PostgresServer
from support.projects import new_key
from support.server import RunningServer, running_server

LOG_SECONDS = 10
LISTED_FILES = 25
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
CLUSTER = pytest.param("cluster", marks=[pytest.mark.full, pytest.mark.cluster])


@dataclass(frozen=True)
class Keys:
    """API keys by what they are for: one that may only read, one of a project that is only listed, one of a project that stays empty."""

    reader: str
    pages: str
    untouched: str


@pytest.fixture(scope="session")
def input_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files that the SDKs upload, by name; all in one folder."""
    return write_inputs(tmp_path_factory.mktemp("input"))


@pytest.fixture(scope="session", params=["disk", CLUSTER])
def sdk_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on SQLite and the disk, or on PostgreSQL and SeaweedFS.

    Its batch files must be small, so that a file can be too large without being huge.
    """
    folder = tmp_path_factory.mktemp("sdk-server")
    with ExitStack() as stack:
        engines: dict[str, object] = {}
        if request.param == "cluster":
            postgres: PostgresServer = request.getfixturevalue("postgres")
            store = stack.enter_context(seaweedfs(folder / "weed"))
            engines = {"database_url": postgres.url(postgres.new_database()), "master_key": MASTER_KEY}
            engines |= {"blob_store": store.location, "variables": store.environment}
        yield stack.enter_context(running_server(folder / "data", max_batch_file_bytes=MEBIBYTE, **engines))


@pytest.fixture(scope="session")
def server(sdk_server: RunningServer) -> RunningServer:
    """In this folder, that one."""
    return sdk_server


@pytest.fixture(scope="session")
def keys(sdk_server: RunningServer) -> Keys:
    """Keys of projects that no other test uses."""
    database_url = sdk_server.settings.get("FILEPLANE_DATABASE_URL")
    reader = new_key(sdk_server.data_dir, scopes=frozenset({"files.read"}), database_url=database_url)
    pages, untouched = (new_key(sdk_server.data_dir, database_url=database_url) for _ in range(2))
    return Keys(reader.plain, pages.plain, untouched.plain)


@pytest.fixture(scope="session")
def listed_ids(sdk_server: RunningServer, keys: Keys) -> list[str]:
    """The files of the project that the SDKs page through, oldest first."""
    with sdk_server.client(keys.pages) as client:
        uploads = (
            client.post("/files", data={"purpose": "user_data"}, files={"file": (f"{number}.txt", b"x")}) for number in range(LISTED_FILES)
        )
        return [upload.json()["id"] for upload in uploads]


@pytest.fixture(scope="session")
def outcome_of(sdk_server: RunningServer, keys: Keys, listed_ids: list[str], input_files: dict[str, Path]) -> Callable[[str], Outcome]:
    """Runs a client, the first time it is asked for."""
    assert len(set(listed_ids)) == LISTED_FILES
    folder = input_files["sample.bin"].parent
    job = Job(sdk_server.base_url, sdk_server.api_key, keys.reader, keys.pages, keys.untouched, str(folder))
    return functools.cache(lambda client: perform(client, job))


@pytest.fixture(scope="session", params=CLIENTS)
def outcome(request: pytest.FixtureRequest, outcome_of: Callable[[str], Outcome]) -> Outcome:
    """What each client of every SDK saw."""
    return outcome_of(request.param)


@pytest.fixture(scope="session", params=OPENAI_CLIENTS)
def openai_outcome(request: pytest.FixtureRequest, outcome_of: Callable[[str], Outcome]) -> Outcome:
    """What each of OpenAI's own clients saw."""
    return outcome_of(request.param)


@pytest.fixture(scope="session", params=PORTKEY_CLIENTS)
def portkey_outcome(request: pytest.FixtureRequest, outcome_of: Callable[[str], Outcome]) -> Outcome:
    """What each of Portkey's clients saw."""
    return outcome_of(request.param)


@pytest.fixture
def statuses_of(sdk_server: RunningServer) -> Callable[[str], list[int]]:
    """The statuses that the access log has for a request id: an SDK that sends a request again sends the same id again."""

    def logged(request_id: str) -> list[int]:
        lines = (json.loads(line) for line in sdk_server.log.splitlines() if request_id in line)
        return [line["status"] for line in lines if line["event"] == "request" and line["request_id"] == request_id]

    def statuses(request_id: str) -> list[int]:
        eventually(lambda: logged(request_id), f"{request_id} in the access log", seconds=LOG_SECONDS)
        # The log is in order: what was answered before this request stands before it.
        marker = uuid.uuid4().hex
        httpx2.get(f"{sdk_server.url}/healthz", headers={"x-request-id": marker}, timeout=LOG_SECONDS, trust_env=False)
        eventually(lambda: logged(marker), f"{marker} in the access log", seconds=LOG_SECONDS)
        return logged(request_id)

    return statuses
