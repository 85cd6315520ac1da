"""Fireworks' datasets, strictly: ids, counts of lines, one file each, signed URLs that take no credential and exactly what was signed.

Facts: https://docs.fireworks.ai/api-reference/create-dataset and its neighbours, and ``fireworks.lib.dataset_upload`` of the SDK 1.2.30.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import Accounts, KeptFile
from fileplane.testing.fake_provider.datasets import content_of, document_of, page_of, read_through, to_disk
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.forms import read_form
from fileplane.testing.fake_provider.renderings import rfc3339
from fileplane.testing.fake_provider.wire import PIECE, Answer, Handler, RecordedRequest, answer_of

_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOOKS_UNTIL_READY: Final = 2
_MOST_AT_ONCE: Final = 150_000_000
_MOST_ON_A_PAGE: Final = 200
_SHOWN_NAME: Final = 64
_STATUSES: Final = {3: 400, 5: 404, 6: 409, 9: 400}


@dataclass(slots=True)
class Dataset:
    """What is known of one besides its bytes."""

    file: KeptFile
    examples: int
    shown: str | None
    names: dict[str, bytes | None] = field(default_factory=dict)
    """Of its files; with bytes where they are not the dataset's own."""
    state: str = "UPLOADING"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a URL was signed for."""

    credential: str
    dataset_id: str
    method: str
    name: str
    size: int


class FireworksApi:
    """See the module. ``signed`` has what was signed so far, by its token."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts
        self.datasets: dict[tuple[str, str], Dataset] = {}
        """By credential and id. Those whose file is gone are gone."""
        self.signed: dict[str, Signed] = {}
        self.encryption_state: str | None = None

    def credential(self, request: RecordedRequest) -> str | None:
        """Signed URLs let in whoever has them, and nobody who shows something else as well."""
        signed = self._signed_for(request)
        return None if signed is None or "authorization" in request.headers else signed.credential

    def route(self, request: RecordedRequest, segments: list[str]) -> tuple[str, Handler | None]:
        """See :class:`~fileplane.testing.fake_provider.own_apis.OwnApi`. What an upload takes besides is ``create``, ``endpoint``,
        ``validate``; ``place`` is asked where the bytes are.
        """  # noqa: D205 - one sentence
        if segments[0] == "signed" and self._signed_for(request) is not None:
            return {"PUT": ("upload", self._put), "GET": ("content", self._content)}.get(request.method, ("", None))
        if len(segments) < 3 or segments[0] != "accounts" or segments[1] != "my-account" or segments[2] != "datasets":
            return "", None
        if len(segments) == 3:
            return {"POST": ("create", self._create), "GET": ("list", self._list)}.get(request.method, ("", None))
        dataset_id, _, call = segments[3].partition(":")
        known: dict[tuple[str, str], tuple[str, Callable[..., Any]]] = {
            ("GET", ""): ("get", self._get),
            ("DELETE", ""): ("delete", self._delete),
            ("POST", "upload"): ("upload", self._upload),
            ("POST", "getUploadEndpoint"): ("endpoint", self._endpoint),
            ("POST", "validateUpload"): ("validate", self._validate),
            ("GET", "getDownloadEndpoint"): ("place", self._place),
        }
        name, answering = known.get((request.method, call), ("", None))
        return (name, self._on(dataset_id, answering)) if answering is not None and len(segments) == 4 else ("", None)

    def _on(self, dataset_id: str, answering: Callable[..., Any]) -> Handler:
        async def handle(request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
            dataset = self._dataset(credential, dataset_id)
            if dataset is None:
                await read_through(body)
                return _refused(5, f"dataset {dataset_id} not found")
            answer: Answer = await answering(request, body, dataset, credential, fault)
            return answer

        return handle

    async def _create(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        document = request.document = await document_of(request, body)
        dataset = document.get("dataset") if isinstance(document, dict) else None
        if not isinstance(dataset, dict) or set(document) != {"datasetId", "dataset"} or dataset.get("userUploaded") != {}:
            return _refused(3, "invalid dataset")
        dataset_id, examples, shown = document["datasetId"], dataset.get("exampleCount"), dataset.get("displayName")
        if not isinstance(dataset_id, str) or not _ID.fullmatch(dataset_id):
            return _refused(3, "invalid dataset id")
        if not isinstance(examples, str) or not examples.isdigit() or examples == "0":
            return _refused(3, "example_count must be positive")
        if shown is not None and not (isinstance(shown, str) and 0 < len(shown) < _SHOWN_NAME):
            return _refused(3, "display_name must be fewer than 64 characters long")
        account = self._accounts.of(credential)
        if dataset_id in account.files:
            return _refused(6, f"dataset {dataset_id} already exists")
        path = self._accounts.new_path()
        path.touch()
        file = self._accounts.add(account, dataset_id, path, filename=shown or "", purpose="")
        made = self.datasets[credential, dataset_id] = Dataset(file, int(examples), shown)
        return _json(self._render(made))

    async def _upload(
        self, request: RecordedRequest, body: AsyncIterator[bytes], dataset: Dataset, _credential: str, fault: Fault | None
    ) -> Answer:
        path = self._accounts.new_path()
        try:
            form = await read_form(request.headers.get("content-type", ""), body, path)
            request.fields = [(name, form.fields.get(name, form.filename or "")) for name in form.order]
            if form.order != ["file"] or not (form.filename or "").endswith(".jsonl") or not 0 < form.size <= _MOST_AT_ONCE:
                return _refused(3, "one non-empty .jsonl file of at most 150 MB is expected")
            if dataset.names:
                return _refused(9, "the dataset has its file already")
            path.replace(dataset.file.path)
        finally:
            path.unlink(missing_ok=True)
        refused = self._taken(dataset, form.filename or "", form.size, form.media_type)
        dataset_id = str(fault.body) if fault is not None and fault.kind == "odd_id" else dataset.file.id
        told = {"id": dataset_id, "bytes": form.size, "created_at": dataset.file.created_at, "filename": form.filename}
        return refused or _json({**told, "object": "file", "purpose": "fine-tune"})

    def _taken(self, dataset: Dataset, name: str, size: int, media_type: str) -> Answer | None:
        lines = _lines(dataset.file)
        if lines != dataset.examples:
            dataset.file.path.write_bytes(b"")
            return _refused(3, f"example_count is {dataset.examples}, but the file has {lines} lines")
        dataset.names = {name: None}
        dataset.file.size, dataset.file.media_type = size, media_type
        dataset.state = "PROCESSING"
        return None

    async def _endpoint(
        self, request: RecordedRequest, body: AsyncIterator[bytes], dataset: Dataset, credential: str, _fault: Fault | None
    ) -> Answer:
        document = request.document = await document_of(request, body)
        sizes = document.get("filenameToSize") if isinstance(document, dict) and set(document) == {"filenameToSize"} else None
        if not isinstance(sizes, dict) or len(sizes) != 1:
            return _refused(3, "filename_to_size is required")
        [(name, size)] = sizes.items()
        if not name.endswith(".jsonl") or not isinstance(size, str) or not size.isdigit() or size == "0":
            return _refused(3, "a non-empty .jsonl file is expected")
        return _json({"filenameToSignedUrls": {name: self.sign(request, credential, dataset.file.id, "PUT", name, int(size))}})

    async def _put(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        signed = self._signed_for(request)
        assert signed is not None, "or it has no such operation"
        expected = {"content-type": "application/octet-stream", "x-goog-content-length-range": f"{signed.size},{signed.size}"}
        path = self._accounts.new_path()
        size = await to_disk(body, path)
        dataset = self._dataset(credential, signed.dataset_id)
        if dataset is None or signed.method != "PUT" or any(request.headers.get(name) != value for name, value in expected.items()):
            path.unlink()
            return answer_of(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml")
        if size != signed.size or request.headers.get("content-length") != str(size):
            path.unlink()
            return answer_of(400, b"<Error><Code>EntityTooSmall</Code></Error>", "application/xml")
        path.replace(dataset.file.path)
        dataset.names = {signed.name: None}
        return answer_of(200, b"", "text/html")

    async def _validate(
        self, request: RecordedRequest, body: AsyncIterator[bytes], dataset: Dataset, _credential: str, _fault: Fault | None
    ) -> Answer:
        request.document = await document_of(request, body)
        if request.document != {} or dataset.state != "UPLOADING" or not dataset.names:
            return _refused(9, "nothing was uploaded")
        [name] = dataset.names
        return self._taken(dataset, name, dataset.file.path.stat().st_size, "application/octet-stream") or _json({})

    async def _get(
        self, _request: RecordedRequest, body: AsyncIterator[bytes], dataset: Dataset, _credential: str, _fault: Fault | None
    ) -> Answer:
        await read_through(body)
        dataset.file.seen += 1
        if dataset.state == "PROCESSING" and dataset.file.seen >= _LOOKS_UNTIL_READY:
            dataset.state = "READY"
        return _json(self._render(dataset))

    async def _list(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        """By name, as it is without ``orderBy``."""
        await read_through(body)
        size = min(int(request.query.get("pageSize", "50")), _MOST_ON_A_PAGE)
        files = sorted(self._accounts.of(credential).files.values(), key=lambda file: file.id)
        page, token = page_of(files, request.query.get("pageToken", ""), size)
        rows = [self._render(dataset) for file in page if (dataset := self._dataset(credential, file.id)) is not None]
        return _json({**({"datasets": rows} if rows else {}), "nextPageToken": token, "totalSize": len(files)})

    async def _place(
        self, request: RecordedRequest, body: AsyncIterator[bytes], dataset: Dataset, credential: str, _fault: Fault | None
    ) -> Answer:
        await read_through(body)
        file_id = dataset.file.id
        return _json({"filenameToSignedUrls": {name: self.sign(request, credential, file_id, "GET", name, 0) for name in dataset.names}})

    async def _content(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        signed = self._signed_for(request)
        dataset = None if signed is None else self._dataset(credential, signed.dataset_id)
        if dataset is None or signed is None or signed.method != "GET":
            return answer_of(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        other = dataset.names.get(signed.name)
        return content_of(dataset.file, request) if other is None else answer_of(200, other, "application/octet-stream")

    async def _delete(
        self, _request: RecordedRequest, body: AsyncIterator[bytes], dataset: Dataset, credential: str, _fault: Fault | None
    ) -> Answer:
        await read_through(body)
        self._accounts.remove(self._accounts.of(credential), dataset.file.id)
        return _json({})

    def sign(self, request: RecordedRequest, credential: str, dataset_id: str, method: str, name: str, size: int) -> str:
        """A URL at this fake, which stands for a bucket somewhere else."""
        token = secrets.token_hex(16)
        self.signed[token] = Signed(credential, dataset_id, method, name, size)
        return f"http://{request.headers['host']}{self._flavour.prefix}/signed/{token}/{dataset_id}?X-Goog-Expires=3600&X-Goog-Signature={token}"

    def _signed_for(self, request: RecordedRequest) -> Signed | None:
        return self.signed.get(request.query.get("X-Goog-Signature", "")) if "/signed/" in request.path else None

    def _dataset(self, credential: str, dataset_id: str) -> Dataset | None:
        return self.datasets.get((credential, dataset_id)) if dataset_id in self._accounts.of(credential).files else None

    def _render(self, dataset: Dataset) -> dict[str, Any]:
        value = {
            "name": f"accounts/my-account/datasets/{dataset.file.id}",
            "displayName": dataset.shown or "",
            "createTime": rfc3339(dataset.file.created_at).replace("Z", ".123456Z"),
            "state": "READY" if dataset.state == "READY" else "UPLOADING",
            "status": {"code": "OK", "message": ""},
            "exampleCount": str(dataset.examples),
            "userUploaded": {},
            "format": "FORMAT_UNSPECIFIED",
            "createdBy": "somebody@example.com",
        }
        return value if self.encryption_state is None else {**value, "encryptionState": self.encryption_state}


def _refused(code: int, message: str) -> Answer:
    return _json({"code": code, "message": message, "details": []}, _STATUSES[code])


def _json(value: Any, status: int = 200) -> Answer:
    return answer_of(status, json.dumps(value).encode())


def _lines(file: KeptFile) -> int:
    count, last = 0, b""
    with file.path.open("rb") as content:
        while piece := content.read(PIECE):
            count += piece.count(b"\n")
            last = piece[-1:]
    return count + (last != b"\n")
