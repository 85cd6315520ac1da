"""Answers held against the server's own OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from support.expect import REQUEST_ID

_PARAMETER = re.compile(r"\\{[a-z_]+\\}")


class Contract:
    """A document; :meth:`check` is a response hook for a client, so that no test's answers escape it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._paths = {re.compile(_PARAMETER.sub("[^/]+", re.escape(path))): item for path, item in document["paths"].items()}

    def check(self, response: httpx2.Response) -> None:
        """Fails for a status, media type or body that the document does not show for the operation that was called."""
        response.read()
        request = response.request
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        item = next((item for pattern, item in self._paths.items() if pattern.fullmatch(path)), None)
        shown = f"{request.method} {path[:100]} → {response.status_code} {response.text[:500]}"
        assert REQUEST_ID.fullmatch(response.headers["x-request-id"]), shown
        if item is None:
            assert response.status_code == 404, shown
            return
        operation = item.get(request.method.lower()) or (item.get("get") if request.method == "HEAD" else None)
        if operation is None:
            assert response.status_code == 405, shown
            return
        described = operation["responses"].get(str(response.status_code))
        assert described is not None, f"not in the document: {shown}"
        if request.method == "HEAD" or "content" not in described:
            assert response.content == b"", shown
        else:
            self._check_body(response, described["content"])

    def _check_body(self, response: httpx2.Response, content: dict[str, Any]) -> None:
        media_type = response.headers["content-type"]
        described = content.get(media_type) or content.get("*/*")
        assert described is not None, f"{media_type} is not one of {sorted(content)}"
        if media_type == "application/json" and "$ref" in described["schema"]:
            self.validate(response.json(), described["schema"])

    def validate(self, value: object, schema: dict[str, Any]) -> None:
        """Fails unless ``value`` is what ``schema``, a part of the document, describes."""
        Draft202012Validator({**schema, "components": self.document["components"]}).validate(value)
