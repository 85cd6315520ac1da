"""Cohere's datasets, strictly: what the query may say, one part ``data``, types as they are, pages by limit and offset.

Facts: https://docs.cohere.com/reference/create-dataset and the SDK 7.3.1. Bytes are at signed URLs, those that were sent only where that
was asked for; the rows are there as well, in a form of its own.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import Accounts, KeptFile
from fileplane.testing.fake_provider.datasets import content_of, read_through
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.forms import read_form
from fileplane.testing.fake_provider.renderings import rfc3339
from fileplane.testing.fake_provider.wire import Answer, Handler, RecordedRequest, answer_of

_TYPES: Final = frozenset(
    {
        "embed-input", "embed-result", "cluster-result", "cluster-outliers", "reranker-finetune-input",
        "single-label-classification-finetune-input", "chat-finetune-input", "multi-label-classification-finetune-input",
        "batch-chat-input", "batch-openai-chat-input", "batch-embed-v2-input", "batch-chat-v2-input",
    }
)  # fmt: skip
_SAYS: Final = frozenset(
    {"name", "type", "keep_original_file", "skip_malformed_input", "keep_fields", "optional_fields", "text_separator", "csv_delimiter"}
)
_LOOKS_UNTIL_VALIDATED: Final = 2
_MOST_ON_A_PAGE: Final = 3
"""Fewer than anybody asks for, without a word about it."""


@dataclass(slots=True)
class Part:
    """One file of a dataset, at a URL of its own."""

    file: KeptFile
    content: bytes | None = None
    """None: the bytes as they were uploaded."""


class CohereApi:
    """See the module. ``made`` puts parts that a job has made in the place of a dataset's own, by its id."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts
        self._signed: dict[str, tuple[str, Part]] = {}
        self._keeps_original: set[str] = set()
        self.made: dict[str, list[bytes]] = {}

    def credential(self, request: RecordedRequest) -> str | None:
        """Signed URLs let in whoever has them, and nobody who shows something else as well."""
        signed = self._signed_for(request)
        return None if signed is None or "authorization" in request.headers else signed[0]

    def route(self, request: RecordedRequest, segments: list[str]) -> tuple[str, Handler | None]:
        """See :class:`~fileplane.testing.fake_provider.own_apis.OwnApi`."""
        if segments[0] == "signed" and self._signed_for(request) is not None:
            return ("content", self._content) if request.method == "GET" else ("", None)
        if segments == ["datasets"]:
            return {"POST": ("upload", self._upload), "GET": ("list", self._list)}.get(request.method, ("", None))
        if len(segments) == 2 and segments[0] == "datasets":
            known: dict[str, tuple[str, Callable[..., Any]]] = {"GET": ("get", self._get), "DELETE": ("delete", self._delete)}
            name, answering = known.get(request.method, ("", None))
            return (name, self._on(segments[1], answering)) if answering is not None else ("", None)
        return "", None

    def _on(self, dataset_id: str, answering: Callable[..., Any]) -> Handler:
        async def handle(request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
            await read_through(body)
            file = self._accounts.of(credential).files.get(dataset_id)
            if file is None:
                return _refused(404, f"dataset with id {dataset_id} not found")
            answer: Answer = answering(request, credential, file)
            return answer

        return handle

    async def _upload(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
        path, query = self._accounts.new_path(), request.query
        kept = False
        try:
            form = await read_form(request.headers.get("content-type", ""), body, path)
            request.fields = [(name, form.fields.get(name, form.filename or "")) for name in form.order]
            if not query.get("name") or query.get("type") not in _TYPES or not set(query) <= _SAYS:
                return _refused(400, "invalid request: name and a valid type are required")
            if form.order != ["data"] or not form.filename:
                return _refused(400, "invalid request: data is required")
            dataset_id = str(fault.body) if fault is not None and fault.kind == "odd_id" else self._flavour.new_id()
            account = self._accounts.of(credential)
            self._accounts.add(account, dataset_id, path, filename=query["name"], purpose=query["type"], media_type=form.media_type)
            kept = True
        finally:
            if not kept:
                path.unlink(missing_ok=True)
        if query.get("keep_original_file") == "true":
            self._keeps_original.add(dataset_id)
        return _json({"id": dataset_id})

    async def _list(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        """Newest first."""
        await read_through(body)
        if not set(request.query) <= {"limit", "offset", "datasetType", "validationStatus", "before", "after"}:
            return _refused(400, "invalid request: unknown parameter")
        files = sorted(self._accounts.of(credential).files.values(), key=lambda file: -file.number)
        start = int(request.query.get("offset", "0"))
        size = min(int(request.query.get("limit", "25")), _MOST_ON_A_PAGE)
        rows = [self._render(request, credential, file) for file in files[start : start + size]]
        return _json({"datasets": rows})

    def _get(self, request: RecordedRequest, credential: str, file: KeptFile) -> Answer:
        file.seen += 1
        return _json({"dataset": self._render(request, credential, file)})

    def _delete(self, _request: RecordedRequest, credential: str, file: KeptFile) -> Answer:
        self._accounts.remove(self._accounts.of(credential), file.id)
        return _json({})

    async def _content(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        signed = self._signed_for(request)
        if signed is None or signed[1].file.id not in self._accounts.of(credential).files:
            return answer_of(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        part = signed[1]
        return content_of(part.file, request) if part.content is None else answer_of(200, part.content, "application/avro")

    def _render(self, request: RecordedRequest, credential: str, file: KeptFile) -> dict[str, Any]:
        made = self.made.get(file.id)
        parts = [Part(file, b"rows in a form of its own")] if made is None else [Part(file, content) for content in made]
        originals = [Part(file)] if made is None and file.id in self._keeps_original else []
        return {
            "id": file.id,
            "name": file.filename,
            "created_at": rfc3339(file.created_at).replace("Z", ".123456Z"),
            "updated_at": rfc3339(file.created_at),
            "dataset_type": file.purpose,
            "validation_status": "validated" if file.seen >= _LOOKS_UNTIL_VALIDATED or made is not None else "processing",
            "dataset_parts": [
                {
                    "id": f"part-{index}",
                    "name": f"{file.filename}-{index}",
                    "index": index,
                    "size_bytes": len(part.content or b""),
                    "url": self._sign(request, credential, part),
                    **({"original_url": self._sign(request, credential, original)} if original is not None else {}),
                }
                for index, (part, original) in enumerate(zip_longest(parts, originals))
            ][::-1],
        }

    def _sign(self, request: RecordedRequest, credential: str, part: Part) -> str:
        """A URL at this fake, which stands for a bucket somewhere else."""
        token = secrets.token_hex(16)
        self._signed[token] = (credential, part)
        return f"http://{request.headers['host']}{self._flavour.prefix}/signed/{part.file.id}?X-Goog-Signature={token}"

    def _signed_for(self, request: RecordedRequest) -> tuple[str, Part] | None:
        return self._signed.get(request.query.get("X-Goog-Signature", "")) if "/signed/" in request.path else None


def _refused(status: int, message: str) -> Answer:
    return _json({"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "message": message}, status)


def _json(value: Any, status: int = 200) -> Answer:
    return answer_of(status, json.dumps(value).encode())
