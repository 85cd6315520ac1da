"""Files for Vertex AI's batch inference and tuning, and back.

A line for Gemini is ``{"key": …, "request": …}``, one for Claude ``{"custom_id": …, "request": …}``; a result's line has ``response`` or
a ``status`` that is not empty beside that. Sources: docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/
batch-prediction-from-cloud-storage and …/partner-models/claude/batch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.anthropic import VERTEX_VERSION, claude_answer, claude_request
from fileplane.providers.jsonl.custom_ids import id_in, labels_of
from fileplane.providers.jsonl.families import Family, vertex_family
from fileplane.providers.jsonl.gemini import gemini_example, gemini_request
from fileplane.providers.jsonl.gemini_answers import gemini_answer
from fileplane.providers.jsonl.one_model import OneModel
from fileplane.providers.jsonl.problems import Unusable
from fileplane.providers.jsonl.reading import FIELDS, encoded, is_given, one_line, read
from fileplane.providers.jsonl.requests import CHAT_URL, batch_request, example_of
from fileplane.providers.jsonl.results import Failure, completed, failed, passed_on
from fileplane.providers.jsonl.stream import downloaded, uploaded


def to_vertex(content: AsyncIterator[bytes], *, model: str, purpose: str) -> AsyncIterator[bytes]:
    """OpenAI's lines as Vertex AI reads them. ``purpose`` is ``batch`` or ``fine-tune``.

    Raises :class:`~fileplane.errors.InvalidValue`: at once with ``param`` ``model`` for a model of another family or one that cannot be
    fine-tuned, or ``purpose`` for another purpose; in passing with ``param`` ``file`` for the first line that cannot be carried over,
    naming it. That a custom_id occurs twice is not noticed, as it cannot be in constant memory.
    """
    family = vertex_family(model)
    if purpose == "batch":
        models = OneModel()
        return uploaded(content, lambda line: _requested(line, family, models))
    if purpose != "fine-tune":
        raise InvalidValue("Only files of purpose 'batch' or 'fine-tune' can be put into Vertex AI's form.", param="purpose")
    if family is not Family.GEMINI:
        raise InvalidValue(f"Vertex AI does not fine-tune {family}, only Google Gemini.", param="model")
    return uploaded(content, lambda line: one_line(encoded(gemini_example(example_of(line)))))


def from_vertex(content: AsyncIterator[bytes], *, model: str | None) -> AsyncIterator[bytes]:
    """Vertex AI's results as OpenAI's lines of output. The form of each answer is told by its fields; ``model`` is only named in them.

    A line that is no result goes on as it is, with a line feed behind it, and so does one from which the custom_id cannot be had; an
    answer of a form that is not known is passed on as the body. Raises :class:`~fileplane.errors.InvalidValue` for a line of more than
    64 MiB.
    """
    return downloaded(content, lambda line: one_line(_resulted(line, model)))


class _Result(Struct, gc=False):
    request: Raw = Raw()
    response: Raw = Raw()
    status: str | None = None
    custom_id: str | None = None
    key: str | None = None
    requestId: str | None = None  # noqa: N815 - as other gateways write it


class _Labelled(Struct, gc=False):
    labels: dict[str, str] | None = None


class _Problem(Struct, gc=False):
    code: int | None = None
    message: str = ""
    status: str | None = None


_RESULT: Final = msgspec.json.Decoder(_Result)
_LABELLED: Final = msgspec.json.Decoder(_Labelled)
_PROBLEM: Final = msgspec.json.Decoder(_Problem)


def _requested(line: bytes, family: Family, models: OneModel) -> bytes:
    request = batch_request(line)
    if request.url != CHAT_URL:
        raise Unusable(f"url must be '{CHAT_URL}': nothing else can be carried over to {family}.")
    models.check(request.body)
    if family is Family.CLAUDE:
        asked: dict[str, Any] = {"custom_id": request.custom_id, "request": claude_request(request.body, VERTEX_VERSION)}
    else:
        asked = {"key": request.custom_id, "request": gemini_request(request.body) | {"labels": labels_of(request.custom_id)}}
    return one_line(encoded(asked))


def _resulted(line: bytes, model: str | None) -> bytes:
    result = read(_RESULT, line)
    custom_id = _custom_id(result)
    if custom_id is None:
        raise Unusable("it has no custom_id.")
    if (failure := _failure(result)) is not None:
        return failed(custom_id, failure)
    if not is_given(result.response):
        raise Unusable("it is no result.")
    try:
        fields = read(FIELDS, result.response)
        answer = claude_answer(result.response) if "content" in fields else gemini_answer(result.response)
    except Unusable:
        answer = None
    return passed_on(custom_id, result.response) if answer is None else completed(custom_id, answer, model)


def _custom_id(result: _Result) -> str | None:
    for given in (result.custom_id, result.key, result.requestId):
        if given is not None:
            return given
    if not is_given(result.request):
        return None
    return id_in(read(_LABELLED, result.request).labels or {})


def _failure(result: _Result) -> Failure | None:
    if not result.status:
        return None
    problem = _problem_in(result.status)
    return Failure(problem.message or result.status, problem.code, problem.status)


def _problem_in(status: str) -> _Problem:
    """What is said in JSON within a status, such as ``Bad Request: {"error": {"code": 400, …}}``."""
    found = status[max(0, status.find("{")) : status.rfind("}") + 1].encode()
    try:
        outer = read(FIELDS, found)
        return read(_PROBLEM, outer.get("error", found))
    except Unusable:
        return _Problem()
