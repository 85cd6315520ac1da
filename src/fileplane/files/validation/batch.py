"""Batch input: one request a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from fileplane.files.validation.checker import AnyObject, decoded, read_envelope
from fileplane.files.validation.report import Code, Findings, Kind, quoted
from fileplane.files.validation.rules import ValidationRules


class _Body(Struct, gc=False):
    model: str | None = None


class _Request(Struct, gc=False):
    """A good line. The rest of the body is checked to be JSON and skipped, without being held."""

    custom_id: Annotated[str, Meta(min_length=1)]
    method: Literal["POST"]
    url: str
    body: _Body


class _Envelope(Struct, gc=False):
    """Any object, in order to say what is wrong with it."""

    custom_id: Raw = Raw()
    method: Raw = Raw()
    url: Raw = Raw()
    body: Raw = Raw()


class BatchChecker:
    """Lines of purpose ``batch``: custom_id, method, url and body each, and what must hold among them.

    Each custom_id is remembered with its line by its hash: 64 bits of SipHash under the process's own random key. So two different ids
    are taken for one with a probability of 7 in 10^11 in a batch of 50,000, and nobody can make it happen to another. At 50,000 lines
    this takes 6 MiB, however long the ids are.
    """

    purpose: Final = "batch"
    kind: Final = Kind.BATCH
    decode = staticmethod(msgspec.json.Decoder(_Request).decode)

    def __init__(self, findings: Findings, rules: ValidationRules) -> None:
        self._findings = findings
        self._most_lines = rules.max_batch_lines
        self._allowed_urls = rules.batch_urls
        self._lines_by_id: dict[int, int] = {}
        self._url: str | None = None
        self._model: str | None = None
        self._warned = False

    def accept(self, records: Iterable[_Request]) -> None:
        """See :meth:`LineChecker.accept`."""
        findings, most_lines, first_line_of = self._findings, self._most_lines, self._lines_by_id.setdefault
        line = findings.line
        try:
            for request in records:
                line += 1
                if line > most_lines or first_line_of(hash(request.custom_id), line) != line:
                    findings.line = line
                    self._check_count()
                    self._check_id(request.custom_id)
                if request.url != self._url or request.body.model != self._model:
                    findings.line = line
                    self._check_url(request.url)
                    self._check_model(request.body.model)
        finally:
            findings.line = line

    def refuse(self, text: memoryview, error: Exception) -> None:  # noqa: ARG002 - the protocol's; the envelope tells more
        """See :meth:`LineChecker.refuse`."""
        findings = self._findings
        self._check_count()
        envelope = read_envelope(_ENVELOPE, text, findings)
        if envelope is None:
            return
        if not envelope.custom_id:
            findings.add(Code.MISSING_CUSTOM_ID, "custom_id is missing")
        elif custom_id := decoded(_TEXT, envelope.custom_id):
            self._check_id(custom_id)
        else:
            findings.add(Code.INVALID_CUSTOM_ID, "custom_id must be a string that is not empty")
        if decoded(_TEXT, envelope.method) != "POST":
            findings.add(Code.INVALID_METHOD, "method must be 'POST'")
        self._check_url(decoded(_TEXT, envelope.url))
        if decoded(_OBJECT, envelope.body) is None:
            findings.add(Code.INVALID_BODY, "body must be an object")
        elif (body := decoded(_BODY, envelope.body)) is not None:
            self._check_model(body.model)

    def _check_count(self) -> None:
        if self._findings.line > self._most_lines:
            self._findings.add_last(Code.TOO_MANY_LINES, f"a batch may have {self._most_lines} requests; split the file")

    def _check_id(self, custom_id: str) -> None:
        first = self._lines_by_id.setdefault(hash(custom_id), self._findings.line)
        if first != self._findings.line:
            self._findings.add(Code.DUPLICATE_CUSTOM_ID, f"custom_id {quoted(custom_id)} is already that of line {first}")

    def _check_url(self, url: str | None) -> None:
        example = self._allowed_urls[0]
        if url is None:
            self._findings.add(Code.INVALID_URL, f"url must be a string such as '{example}'")
        elif url not in self._allowed_urls:
            self._findings.add(Code.INVALID_URL, f"url {quoted(url)} is none that a batch may have, such as '{example}'")
        elif self._url is None:
            self._url = url
        elif url != self._url:
            self._findings.add(Code.MISMATCHED_URL, f"url '{url}' differs from '{self._url}' of the lines before; a file may have one")

    def _check_model(self, model: str | None) -> None:
        if model is None or self._warned:
            return
        if self._model is None:
            self._model = model
        elif model != self._model:
            self._warned = True
            message = f"model {quoted(model)} differs from {quoted(self._model)} of the lines before; most providers run one model a file"
            self._findings.warn(Code.MISMATCHED_MODEL, message)


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_TEXT: Final = msgspec.json.Decoder(str)
_OBJECT: Final = msgspec.json.Decoder(AnyObject)
_BODY: Final = msgspec.json.Decoder(_Body)
