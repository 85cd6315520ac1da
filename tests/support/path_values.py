"""What the parameters of a path may name: things that a caller has, had, or never had.

The tests that go through the whole route table take them from here, so that an operation on something new is either covered or noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2

from fileplane.http.job_operations import JOB_PATHS
from fileplane.ids import uuid7
from support.forms import uploaded
from support.tus import create, place_of

Values = dict[str, str]

# A file that is validated, so that there is a verdict to ask for.
_LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "text"}}\n'
_PARAMETER = re.compile(r"\{(\w+)\}")


def parameters_of(path: str) -> list[str]:
    """The names in a path of the route table, from left to right."""
    return _PARAMETER.findall(path)


def existing(client: httpx2.Client, path: str) -> Values:
    """A value for every parameter of ``path``, made for this call in the client's project."""
    values: Values = {}
    for name in parameters_of(path):
        assert name in _MAKERS, f"no test knows how to make what {{{name}}} names: teach tests/support/path_values.py"
        values[name] = _MAKERS[name](client, values)
    return values


def is_of_providers(path: str) -> bool:
    """Whether a path of the route table is about what the native store has not, so that it answers 501 to whoever may ask at all."""
    return path.startswith(JOB_PATHS)


def ids_of(path: str) -> list[str]:
    """The parameters that name something, without those that are one of a few words."""
    return [name for name in parameters_of(path) if name not in _WORDS]


def deleted(client: httpx2.Client, path: str) -> Values:
    """As :func:`existing`, but gone again. What the client may not delete, or nobody can, stands for itself: another that never was."""
    values = existing(client, path)
    for name in reversed(ids_of(path)):
        answer = client.delete(filled(_PLACES[name], values))
        if answer.status_code in {_FORBIDDEN, _NO_SUCH_METHOD}:
            values |= {name: uuid7(1_700_000_000_002)}
        else:
            _require(answer)
    return values


def remove(client: httpx2.Client, values: Values) -> None:
    """Deletes what the values name, or cancels it, as far as it is still there and the client may."""
    for name in reversed([name for name in values if name in _PLACES]):
        place = filled(_PLACES[name], values)
        answer = client.post(f"{place}/cancel") if name in _CANCELLED else client.delete(place)
        assert answer.status_code < 500, answer.text


def is_there(client: httpx2.Client, values: Values) -> bool:
    """Whether what the values name exists for the client."""
    named = [filled(_PLACES[name], values) for name in values if name in _PLACES and name not in _LISTED_ONLY]
    return all(client.get(path).status_code == _OK for path in named)


def unknown(path: str, number: int = 0) -> Values:
    """Values of the right form that nothing has. Another ``number`` gives others."""
    return {name: _WORDS.get(name) or uuid7(1_700_000_000_000 + number) for name in parameters_of(path)}


def filled(path: str, values: Values) -> str:
    """The path with its parameters replaced."""
    return _PARAMETER.sub(lambda match: values[match[1]], path)


def _file(client: httpx2.Client, _: Values) -> str:
    return str(uploaded(client, _LINE, filename="data.jsonl", purpose="batch")["id"])


def _upload(client: httpx2.Client, _: Values) -> str:
    body = {"filename": "a.txt", "purpose": "user_data", "bytes": 1, "mime_type": "text/plain"}
    return str(_require(client.post("/uploads", json=body)).json()["id"])


def _resumable(client: httpx2.Client, _: Values) -> str:
    return place_of(create(client, 1)).removeprefix("/tus/")


def _hold(client: httpx2.Client, values: Values) -> str:
    return str(_require(client.post(f"/files/{values['file_id']}/holds", json={"reason": "test"})).json()["id"])


def _require(response: httpx2.Response) -> httpx2.Response:
    assert response.status_code == 200, response.text
    return response


def _virtual_key(client: httpx2.Client, _: Values) -> str:
    body = {"name": "test", "provider": "openai", "key": "sk-test"}
    return str(_require(client.post("/virtual-keys", json=body)).json()["slug"])


def _config(client: httpx2.Client, _: Values) -> str:
    return str(_require(client.post("/configs", json={"name": "test", "config": {"provider": "fileplane"}})).json()["slug"])


def _workspace(client: httpx2.Client, _: Values) -> str:
    """A new one for whoever may make one, else the client's own."""
    made = client.post("/admin/workspaces", json={"name": "test"})
    if made.status_code == _FORBIDDEN:
        return str(_require(client.get("/admin/workspaces")).json()["data"][0]["id"])
    return str(_require(made).json()["id"])


def _key(client: httpx2.Client, _: Values) -> str:
    return str(_require(client.post("/api-keys/workspace/service", json={"name": "test", "scopes": ["files.read"]})).json()["id"])


_OK, _FORBIDDEN, _NO_SUCH_METHOD = 200, 403, 405
_WORDS = {"type": "workspace", "sub_type": "service"}
_MAKERS: dict[str, Callable[[httpx2.Client, Values], str]] = {
    "file_id": _file,
    "hold_id": _hold,
    "upload_id": _upload,
    "resumable_id": _resumable,
    "workspace_id": _workspace,
    "key_id": _key,
    "virtual_key_slug": _virtual_key,
    "provider_slug": _virtual_key,
    "integration_slug": _virtual_key,
    "config_slug": _config,
    # What only providers have is there for nobody else, whatever its id.
    "batch_id": lambda _client, _values: "batch_0123456789abcdef",
    "fine_tuning_job_id": lambda _client, _values: "ftjob-0123456789abcdef",
    "type": lambda _client, _values: _WORDS["type"],
    "sub_type": lambda _client, _values: _WORDS["sub_type"],
}
_PLACES = {
    "file_id": "/files/{file_id}",
    "hold_id": "/files/{file_id}/holds/{hold_id}",
    "upload_id": "/uploads/{upload_id}",
    "resumable_id": "/uploads/{resumable_id}",
    "workspace_id": "/admin/workspaces/{workspace_id}",
    "key_id": "/api-keys/{key_id}",
    "virtual_key_slug": "/virtual-keys/{virtual_key_slug}",
    "provider_slug": "/providers/{provider_slug}",
    "integration_slug": "/integrations/{integration_slug}",
    "config_slug": "/configs/{config_slug}",
}
_LISTED_ONLY = {"hold_id"}
_CANCELLED = {"upload_id", "resumable_id"}
