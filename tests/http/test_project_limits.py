"""The limits of projects and keys on real servers, of one worker and of two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import apsw
import httpx2
import pytest

from fileplane.access import UNLIMITED, Limits
from support.expect import assert_deleted, assert_file, assert_openai_error
from support.forms import FORM_TYPE, overhead, pieces, send, simple_form, upload, uploaded
from support.limited import change_limits, limited_key
from support.polling import eventually
from support.projects import Key, usage_of
from support.raw_http import Connection, form_begin, form_end, form_length, upload_head
from support.server import RunningServer, running_server
from support.stored import assert_nothing_left_behind, blob_files
from support.wire import answer_to, bearer, parsed_head, received_head, refusal_before_the_body, request_head

ROOM = 10
RACERS = 100
AT_ONCE = 25
LEASE_SECONDS = 2
DAY = overhead()


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp(f"limits-{request.param}") / "data"
    with running_server(directory, workers=request.param, upload_lease_seconds=LEASE_SECONDS, key_cache_seconds=1) as running:
        yield running


@pytest.fixture
def any_client(any_server: RunningServer) -> Iterator[Callable[[Key], httpx2.Client]]:
    with ExitStack() as stack:
        yield lambda key: stack.enter_context(any_server.client(key.plain))


def race(server: RunningServer, key: Key, times: int = RACERS) -> list[httpx2.Response]:
    """That many uploads on many connections at once, so that all workers take some."""
    body = simple_form(b"x")

    async def everyone() -> list[httpx2.Response]:
        bounds = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
        headers = {"Authorization": f"Bearer {key.plain}", "Content-Type": FORM_TYPE}
        # Without verifying, since loading the certificate authorities for plain HTTP would take longer than the race.
        async with httpx2.AsyncClient(
            base_url=server.base_url, headers=headers, limits=bounds, trust_env=False, verify=False, timeout=60
        ) as client:
            return await asyncio.gather(*[client.post("/files", content=body) for _ in range(times)])

    return asyncio.run(everyone())


def refused(response: httpx2.Response, code: str, words: str) -> None:
    if code == "rate_limit_exceeded":
        message = assert_openai_error(response, 429, code, type="rate_limit_error")
        assert 1 <= int(response.headers["retry-after"]) <= 60
    elif code == "file_too_large":
        message = assert_openai_error(response, 413, code, param="file")
    else:
        message = assert_openai_error(response, 400, code, param="file")
    assert words in message


STORAGE, FILES, RATE = "storage_quota_exceeded", "file_quota_exceeded", "rate_limit_exceeded"
RACES = {
    "bytes of a project": ({"project": Limits(storage_bytes=ROOM)}, STORAGE, "this project may keep 10 bytes"),
    "bytes of a key": ({"key": Limits(storage_bytes=ROOM)}, STORAGE, "this API key may keep 10 bytes"),
    "files of a project": ({"project": Limits(files=ROOM)}, FILES, "this project may have 10 files"),
    "files of a key": ({"key": Limits(files=ROOM)}, FILES, "this API key may have 10 files"),
}


@pytest.mark.parametrize(("limits", "code", "words"), RACES.values(), ids=RACES)
def test_of_a_hundred_uploads_that_race_for_room_for_ten_exactly_ten_are_admitted(
    any_server: RunningServer, limits: dict[str, Limits], code: str, words: str
):
    key = limited_key(any_server.data_dir, **limits)
    before = blob_files(any_server.data_dir)
    answers = race(any_server, key)
    made = [answer for answer in answers if answer.status_code == 200]
    assert len(made) == ROOM
    for answer in answers:
        if answer not in made:
            refused(answer, code, words)
    assert usage_of(any_server.data_dir, key.project_id).live_files == ROOM
    eventually(lambda: len(blob_files(any_server.data_dir) - before) == ROOM, "what was refused has left nothing")


LIMITS_OF_ZERO = {
    "storage_bytes": (STORAGE, "may keep 0 bytes"),
    "files": (FILES, "may have 0 files"),
    "file_bytes": ("file_too_large", "larger than 0 bytes"),
    "requests_per_minute": (RATE, "may make 0 requests a minute"),
    "upload_bytes_per_day": (RATE, "may send 0 bytes of uploads a day"),
    "concurrent_uploads": (RATE, "may have 0 uploads in progress"),
}


@pytest.mark.parametrize("whose", ["project", "key"])
@pytest.mark.parametrize("name", LIMITS_OF_ZERO)
def test_a_limit_of_zero_admits_nothing(any_server: RunningServer, any_client: Callable[[Key], httpx2.Client], whose: str, name: str):
    key = limited_key(any_server.data_dir, **{whose: Limits(**{name: 0})})
    before = blob_files(any_server.data_dir)
    refused(upload(any_client(key), b"x"), *LIMITS_OF_ZERO[name])
    assert_nothing_left_behind(any_server.data_dir, before)


@pytest.mark.parametrize("name", sorted(LIMITS_OF_ZERO.keys() - {"file_bytes"}))
def test_what_a_limit_of_the_day_or_of_room_has_no_place_for_is_refused_before_the_body(any_server: RunningServer, name: str):
    key = limited_key(any_server.data_dir, key=Limits(**{name: 0}))
    with Connection(any_server) as connection:
        connection.send(request_head("POST", "/v1/files", bearer(key.plain), ("Content-Type", FORM_TYPE), ("Content-Length", "100000")))
        refused(refusal_before_the_body(connection), *LIMITS_OF_ZERO[name])


@pytest.mark.parametrize("whose", ["project", "key"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_file_may_have_as_many_bytes_as_the_limit_says_and_not_one_more(
    any_server: RunningServer, any_client: Callable[[Key], httpx2.Client], whose: str, framing: str
):
    key = limited_key(any_server.data_dir, **{whose: Limits(file_bytes=100_000)})
    for size in (100_000, 100_001, 1_000_000):
        body = simple_form(bytes(size))
        answer = send(any_client(key), body if framing == "length" else pieces(body, 8_192))
        if size == 100_000:
            assert_file(answer, bytes=size)
        else:
            refused(answer, "file_too_large", f"the limit of this {'API key' if whose == 'key' else 'project'}")


@pytest.mark.parametrize("whose", ["project", "key"])
def test_the_bytes_of_a_day_count_whole_bodies_also_of_uploads_that_fail(
    any_server: RunningServer, any_client: Callable[[Key], httpx2.Client], whose: str
):
    day = 10 * DAY
    key = limited_key(any_server.data_dir, **{whose: Limits(upload_bytes_per_day=day)})
    client = any_client(key)
    uploaded(client, b"")
    bad = simple_form(b"", purpose="nonsense")
    assert_openai_error(send(client, bad), 400, "invalid_value", param="purpose")
    left = day - DAY - len(bad)
    words = f"This {'API key' if whose == 'key' else 'project'} may send {day} bytes of uploads a day"
    for body in (simple_form(bytes(left - DAY + 1)), pieces(simple_form(bytes(left)), 64)):
        refused(send(client, body), RATE, words)
    # The chunked one was stopped at what was left, and has used it up.
    refused(upload(client, b""), RATE, words)
    assert "00:00 UTC" in upload(client, b"").json()["error"]["message"]


def test_racing_uploads_never_make_files_of_more_bytes_than_the_day_has(any_server: RunningServer):
    key = limited_key(any_server.data_dir, project=Limits(upload_bytes_per_day=ROOM * (DAY + 1)))
    answers = race(any_server, key, 40)
    assert 1 <= len([answer for answer in answers if answer.status_code == 200]) <= ROOM
    for answer in answers:
        if answer.status_code != 200:
            refused(answer, RATE, "bytes of uploads a day")


def begun(server: RunningServer, key: Key, size: int = 10) -> Connection:
    """An upload that has been admitted, and of which the last bytes are missing."""
    connection = Connection(server)
    connection.send(upload_head(key.plain, form_length(size), Expect="100-continue"))
    assert parsed_head(received_head(connection)[0])[0] == 100
    connection.send(form_begin() + bytes(size - 1))
    return connection


@pytest.mark.parametrize("whose", ["project", "key"])
def test_as_many_uploads_go_on_at_once_as_the_limit_says(any_server: RunningServer, any_client: Callable[[Key], httpx2.Client], whose: str):
    key = limited_key(any_server.data_dir, **{whose: Limits(concurrent_uploads=3)})
    client = any_client(key)
    with ExitStack() as stack:
        connections = [stack.enter_context(begun(any_server, key)) for _ in range(3)]
        for answer in race(any_server, key, 20):
            refused(answer, RATE, "may have 3 uploads in progress at once")
        connections[0].send(b"x" + form_end())
        assert_file(answer_to(connections[0]), bytes=10)
        assert_file(upload(client, b"x"))
        connections[1].leave("reset")
        eventually(lambda: upload(client, b"x").status_code == 200, "the place of a client that left is free", seconds=1)
        connections[2].send(bytes(1 + len(form_end())))
        assert answer_to(connections[2]).status_code == 400
        with ExitStack() as others:
            for _ in range(3):
                others.enter_context(begun(any_server, key))
            refused(upload(client, b"x"), RATE, "may have 3 uploads")


def test_a_place_is_kept_for_as_long_as_its_upload_goes_on(any_server: RunningServer, any_client: Callable[[Key], httpx2.Client]):
    key = limited_key(any_server.data_dir, project=Limits(concurrent_uploads=1))
    with begun(any_server, key) as connection:
        ends = [place_of(any_server, key)]

        def renewed() -> bool:
            ends.append(place_of(any_server, key))
            return ends[-1] > ends[0]

        eventually(renewed, "the lease is renewed", seconds=4 * LEASE_SECONDS)
        refused(upload(any_client(key), b"x"), RATE, "may have 1 uploads")
        connection.send(b"x" + form_end())
        assert_file(answer_to(connection))


def place_of(server: RunningServer, key: Key) -> int:
    connection = apsw.Connection(str(server.data_dir / "fileplane.db"), flags=apsw.SQLITE_OPEN_READONLY)
    ((expires_at,),) = connection.execute("SELECT expires_at FROM uploads_in_progress WHERE project_id = ?", (key.project_id,)).fetchall()
    connection.close()
    return int(expires_at)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_killed_amid_uploads_frees_their_places_when_their_leases_end(
    workers: int, tmp_path_factory: pytest.TempPathFactory
):
    directory = tmp_path_factory.mktemp("killed") / "data"
    options = {"workers": workers, "upload_lease_seconds": LEASE_SECONDS}
    with running_server(directory, **options) as server:
        key = limited_key(directory, project=Limits(concurrent_uploads=2))
        with begun(server, key), begun(server, key):
            server.kill()
    with running_server(directory, key=server.api_key, **options) as server, server.client(key.plain) as client:
        eventually(lambda: upload(client, b"x").status_code == 200, "the leases of the dead have ended", seconds=2 * LEASE_SECONDS + 3)
        for answer in race(server, key, 4):
            if answer.status_code != 200:
                refused(answer, RATE, "may have 2 uploads")


def test_a_limit_below_what_is_used_refuses_only_what_is_new_and_a_raised_one_holds_within_seconds(
    any_server: RunningServer, any_client: Callable[[Key], httpx2.Client]
):
    key = limited_key(any_server.data_dir)
    client = any_client(key)
    files = [uploaded(client, bytes(10)) for _ in range(3)]

    def everywhere(status: int) -> Callable[[], bool]:
        return lambda: {answer.status_code for answer in race(any_server, key, 8)} == {status}

    change_limits(any_server.data_dir, key.project_id, Limits(storage_bytes=15, files=2))
    eventually(everywhere(400), "every worker holds the limit", seconds=5)
    assert client.get(f"/files/{files[0]['id']}/content").content == bytes(10)
    assert client.get("/files").status_code == 200
    assert_deleted(client.delete(f"/files/{files[0]['id']}"), files[0]["id"])
    change_limits(any_server.data_dir, key.project_id, UNLIMITED)
    eventually(everywhere(200), "no worker holds a limit", seconds=5)


def test_room_for_the_project_is_made_of_deleted_files_but_none_is_made_for_a_key(
    any_server: RunningServer, any_client: Callable[[Key], httpx2.Client]
):
    key = limited_key(any_server.data_dir, project=Limits(storage_bytes=30), key=Limits(storage_bytes=20))
    client = any_client(key)
    first, second = uploaded(client, bytes(10)), uploaded(client, bytes(10))
    refused(upload(client, b"x"), STORAGE, "this API key may keep 20 bytes")
    assert_deleted(client.delete(f"/files/{first['id']}"), first["id"])
    third = uploaded(client, bytes(10))
    assert usage_of(any_server.data_dir, key.project_id).stored_bytes == 30
    refused(client.post(f"/files/{first['id']}/restore"), STORAGE, "this API key may keep 20 bytes")
    assert_deleted(client.delete(f"/files/{second['id']}"), second["id"])
    uploaded(client, bytes(10))
    assert client.get("/files", params={"deleted": "true"}).json()["total"] == 1
    assert_openai_error(client.post(f"/files/{first['id']}/restore"), 404, None, param="id")
    assert assert_file(client.get(f"/files/{third['id']}")) == third


def test_requests_of_a_minute_are_never_more_than_the_limit_and_fewer_by_no_more_than_a_tenth(any_server: RunningServer):
    limit = 200
    answers = answers_of_one_minute(any_server, Limits(requests_per_minute=limit))
    assert limit * 0.9 < len([answer for answer in answers if answer.status_code == 200]) <= limit
    for answer in answers:
        assert answer.headers["x-ratelimit-limit-requests"] == str(limit)
        if answer.status_code != 200:
            refused(answer, RATE, "this project may make 200 requests a minute")
            assert answer.headers["x-ratelimit-remaining-requests"] == "0"


def answers_of_one_minute(server: RunningServer, project: Limits) -> list[httpx2.Response]:
    """300 requests of one project, of five clients at once. Begun again, with a new project, should the minute end within them."""
    minute = -1
    while int(time.time()) // 60 != minute:
        key = limited_key(server.data_dir, project=project, key=Limits(requests_per_minute=1_000))
        minute = int(time.time()) // 60
        answers = asyncio.run(asked_at_once(server, key))
    return answers


async def asked_at_once(server: RunningServer, key: Key) -> list[httpx2.Response]:
    headers = {"Authorization": f"Bearer {key.plain}"}

    async def ask() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=server.base_url, headers=headers, trust_env=False, verify=False, timeout=60) as client:
            return await asyncio.gather(*[client.get("/files") for _ in range(60)])

    return [answer for answers in await asyncio.gather(*[ask() for _ in range(5)]) for answer in answers]
