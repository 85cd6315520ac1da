"""A client that leaves, at whatever point, ends the call to the provider, and nothing is left there."""

from __future__ import annotations

import os

import pytest

from gateway.conftest import Fake, Project, as_header
from support.limits import MIB
from support.polling import eventually
from support.raw_http import Connection, chunk, form_begin, form_end, form_length, head, upload_head

SIZE = 2 * MIB
CONTENT = os.urandom(SIZE)
STAGES = {
    "after the head": b"",
    "within the form's head": form_begin()[:40],
    "at the file": form_begin(),
    "within the file": form_begin() + CONTENT[: MIB + 1],
    "before the closing boundary": form_begin() + CONTENT,
    "within the closing boundary": form_begin() + CONTENT + form_end()[:-4],
}
WAYS = pytest.mark.parametrize("way", ["fin", "reset"])
SECONDS = 10


def _headers(project: Project, path: str) -> dict[str, str]:
    if path == "spooled":
        target = {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url, "retry": {"attempts": 1}}
        return {"X_Portkey_Api_Key": project.key, "X_Portkey_Config": as_header(target)["x-portkey-config"]}
    if path == "catalogued":
        return {"X_Portkey_Api_Key": project.key, "X_Portkey_Virtual_Key": project.virtual_key()}
    return {"X_Portkey_Api_Key": project.key} | {name.replace("-", "_"): value for name, value in project.own.items()}


def _open_uploads(fake: Fake) -> int:
    """Calls that have been made and are neither answered nor over."""
    return fake.state()["open_connections"]


def _assert_left(project: Project, fake: Fake, before: int) -> None:
    eventually(lambda: _open_uploads(fake) <= before, "the call to the provider has ended", seconds=SECONDS)
    assert fake.files(project.credential) == []
    assert not any(request["body_complete"] for request in fake.requests("upload"))
    spool = project.server.data_dir / "spool"
    eventually(lambda: not spool.exists() or not list(spool.iterdir()), "the spool is empty", seconds=SECONDS)


@WAYS
@pytest.mark.parametrize("path", ["straight", "catalogued", "spooled"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_whose_client_leaves_is_over_at_the_provider_and_has_left_nothing(
    project: Project, fake: Fake, way: str, path: str, framing: str
) -> None:
    headers = _headers(project, path)
    slug = headers.get("X_Portkey_Virtual_Key")
    for body in STAGES.values():
        before = _open_uploads(fake)
        with Connection(project.server) as connection:
            connection.send(upload_head(None, None if framing == "chunked" else form_length(SIZE), Expect="100-continue", **headers))
            assert connection.receive_line().startswith(b"HTTP/1.1 100 ")
            assert connection.receive_line() == b"\r\n"
            connection.send(chunk(body) if framing == "chunked" and body else body)
            if path != "spooled" and body.startswith(form_begin()) and len(body) > MIB:
                eventually(lambda: fake.requests("upload"), "the provider is being sent the file", seconds=SECONDS)
            connection.leave(way)
        _assert_left(project, fake, before)
        fake.reset()
    if slug is not None:
        assert project.client.get("/files", headers={"x-portkey-virtual-key": slug}).json()["total"] == 0


@WAYS
@pytest.mark.parametrize("path", ["straight", "spooled"])
def test_an_upload_whose_client_leaves_before_the_answer_is_given_up(project: Project, fake: Fake, way: str, path: str) -> None:
    fake.plan("hang_before", "upload")
    before = _open_uploads(fake)
    with Connection(project.server) as connection:
        connection.send(upload_head(None, form_length(SIZE), **_headers(project, path)))
        connection.send(form_begin() + CONTENT + form_end())
        eventually(lambda: any(one["body_complete"] for one in fake.requests("upload")), "the provider has it all", seconds=SECONDS)
        connection.leave(way)
    eventually(lambda: _open_uploads(fake) <= before, "the call to the provider has ended", seconds=SECONDS)
    assert len(fake.requests("upload")) == 1


@WAYS
@pytest.mark.parametrize("taken", [0, 1, MIB])
def test_a_download_whose_client_leaves_is_over_at_the_provider(project: Project, fake: Fake, way: str, taken: int) -> None:
    file_id = fake.put(project.credential, CONTENT * 8, "application/octet-stream")
    if not taken:
        fake.plan("hang_before", "content")
    before = _open_uploads(fake)
    with Connection(project.server, receive_buffer=4096) as connection:
        connection.send(head("GET", f"/v1/files/{file_id}/content", None, **_headers(project, "straight")))
        eventually(lambda: fake.requests("content"), "the provider is asked", seconds=SECONDS)
        connection.receive(taken)
        connection.leave(way)
    eventually(lambda: _open_uploads(fake) <= before, "the call to the provider has ended", seconds=SECONDS)


@WAYS
@pytest.mark.parametrize(
    ("method", "operation", "path"), [("GET", "list", ""), ("GET", "get", "/file-some"), ("HEAD", "get", "/file-some/content")]
)
def test_a_call_whose_client_leaves_is_over_at_the_provider(
    project: Project, fake: Fake, way: str, method: str, operation: str, path: str
) -> None:
    fake.plan("hang_before", operation)
    before = _open_uploads(fake)
    with Connection(project.server) as connection:
        connection.send(head(method, f"/v1/files{path}", None, **_headers(project, "straight")))
        eventually(lambda: fake.requests(operation), "the provider is asked", seconds=SECONDS)
        connection.leave(way)
    eventually(lambda: _open_uploads(fake) <= before, "the call to the provider has ended", seconds=SECONDS)
