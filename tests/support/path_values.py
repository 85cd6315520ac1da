"""What the parameters of a path may name: things that a caller has, had, or never had.

The tests that go through the whole route table take them from here, so that an operation on something new is either covered or noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2

from fileplane.ids import uuid7
from support.forms import uploaded

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


def deleted(client: httpx2.Client, path: str) -> Values:
    """As :func:`existing`, but gone again."""
    values = existing(client, path)
    if "hold_id" in values:
        _require(client.delete(f"/files/{values['file_id']}/holds/{values['hold_id']}"))
    _require(client.delete(f"/files/{values['file_id']}"))
    return values


def unknown(path: str, number: int = 0) -> Values:
    """Values of the right form that nothing has. Another ``number`` gives others."""
    return {name: uuid7(1_700_000_000_000 + number) for name in parameters_of(path)}


def filled(path: str, values: Values) -> str:
    """The path with its parameters replaced."""
    return _PARAMETER.sub(lambda match: values[match[1]], path)


def _file(client: httpx2.Client, _: Values) -> str:
    return str(uploaded(client, _LINE, filename="data.jsonl", purpose="batch")["id"])


def _hold(client: httpx2.Client, values: Values) -> str:
    return str(_require(client.post(f"/files/{values['file_id']}/holds", json={"reason": "test"})).json()["id"])


def _require(response: httpx2.Response) -> httpx2.Response:
    assert response.status_code == 200, response.text
    return response


_MAKERS: dict[str, Callable[[httpx2.Client, Values], str]] = {"file_id": _file, "hold_id": _hold}
