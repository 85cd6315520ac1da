"""Files for Bedrock's batch inference and fine-tuning, and back.

A request's line is ``{"recordId": …, "modelInput": …}`` with the model's own body of InvokeModel, a result's line has ``modelOutput`` or
``error`` beside that. Sources: docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-data.html and …/batch-inference-results.html.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.anthropic import BEDROCK_VERSION, claude_answer, claude_example, claude_request
from fileplane.providers.jsonl.families import Family, bedrock_family
from fileplane.providers.jsonl.mistral import mistral_chat_answer, mistral_chat_request
from fileplane.providers.jsonl.nova import conversation_example, nova_answer, nova_request
from fileplane.providers.jsonl.one_model import OneModel
from fileplane.providers.jsonl.problems import Unusable
from fileplane.providers.jsonl.prompts import (
    LLAMA_3,
    LLAMA_4,
    llama_answer,
    llama_request,
    mistral_prompt_answer,
    mistral_prompt_request,
    titan_embedding_request,
    titan_example,
)
from fileplane.providers.jsonl.reading import FIELDS, Fields, encoded, is_given, one_line, read
from fileplane.providers.jsonl.requests import CHAT_URL, EMBEDDINGS_URL, batch_request, example_of
from fileplane.providers.jsonl.results import Answer, Failure, completed, embedded, failed, passed_on
from fileplane.providers.jsonl.stream import downloaded, uploaded

_CHATS: Final[Mapping[Family, Callable[[Fields], dict[str, Any]]]] = {
    Family.CLAUDE: lambda body: claude_request(body, BEDROCK_VERSION),
    Family.LLAMA_3: lambda body: llama_request(body, LLAMA_3),
    Family.LLAMA_4: lambda body: llama_request(body, LLAMA_4),
    Family.NOVA: nova_request,
    Family.MISTRAL_PROMPT: mistral_prompt_request,
    Family.MISTRAL_CHAT: mistral_chat_request,
}
_EMBEDDINGS: Final[Mapping[Family, Callable[[Fields], dict[str, Any]]]] = {
    Family.TITAN_EMBEDDINGS_1: lambda body: titan_embedding_request(body, takes_dimensions=False),
    Family.TITAN_EMBEDDINGS_2: lambda body: titan_embedding_request(body, takes_dimensions=True),
}
_EXAMPLES: Final[Mapping[Family, Callable[[Fields], dict[str, Any]]]] = {
    Family.CLAUDE: claude_example,
    Family.LLAMA_3: conversation_example,
    Family.NOVA: conversation_example,
    Family.TITAN_TEXT: titan_example,
}
_ANSWERS: Final[tuple[tuple[str, Callable[[Raw], Answer]], ...]] = (
    ("content", claude_answer),
    ("output", nova_answer),
    ("generation", llama_answer),
    ("outputs", mistral_prompt_answer),
    ("choices", mistral_chat_answer),
)
"""By the field that only this form has."""


def to_bedrock(content: AsyncIterator[bytes], *, model: str, purpose: str) -> AsyncIterator[bytes]:
    """OpenAI's lines as Bedrock reads them. ``purpose`` is ``batch`` or ``fine-tune``.

    Raises :class:`~fileplane.errors.InvalidValue`: at once with ``param`` ``model`` for a model of another family or one that cannot be
    fine-tuned, or ``purpose`` for another purpose; in passing with ``param`` ``file`` for the first line that cannot be carried over,
    naming it. That a custom_id occurs twice is not noticed, as it cannot be in constant memory.
    """
    family = bedrock_family(model)
    if purpose == "batch":
        if family not in _CHATS and family not in _EMBEDDINGS:
            raise InvalidValue(f"Batches for {family} cannot be made of OpenAI's lines.", param="model")
        models = OneModel()
        return uploaded(content, lambda line: _requested(line, family, models))
    if purpose != "fine-tune":
        raise InvalidValue("Only files of purpose 'batch' or 'fine-tune' can be put into Bedrock's form.", param="purpose")
    if family not in _EXAMPLES:
        raise InvalidValue(f"Examples for fine-tuning {family} on Bedrock cannot be made of OpenAI's lines.", param="model")
    return uploaded(content, lambda line: one_line(encoded(_EXAMPLES[family](example_of(line)))))


def from_bedrock(content: AsyncIterator[bytes], *, model: str | None) -> AsyncIterator[bytes]:
    """Bedrock's results as OpenAI's lines of output. The form of each answer is told by its fields; ``model`` is only named in them.

    A line that is no result goes on as it is, with a line feed behind it; an answer of a form that is not known is passed on as the body.
    Raises :class:`~fileplane.errors.InvalidValue` for a line of more than 64 MiB.
    """
    return downloaded(content, lambda line: one_line(_resulted(line, model)))


class _Error(Struct, gc=False):
    errorCode: int | str | None = None  # noqa: N815 - as it is written
    errorMessage: str = ""  # noqa: N815 - the same


class _Embedded(Struct, gc=False):
    embedding: Raw
    inputTextTokenCount: int = 0  # noqa: N815 - the same


class _Result(Struct, gc=False):
    recordId: str  # noqa: N815 - the same
    modelOutput: Raw = Raw()  # noqa: N815 - the same
    error: _Error | None = None


_RESULT: Final = msgspec.json.Decoder(_Result)
_EMBEDDED: Final = msgspec.json.Decoder(_Embedded)
_STATUS: Final = re.compile(r"[0-9]{3}")


def _requested(line: bytes, family: Family, models: OneModel) -> bytes:
    request = batch_request(line)
    forms = _CHATS if family in _CHATS else _EMBEDDINGS
    url = CHAT_URL if family in _CHATS else EMBEDDINGS_URL
    if request.url != url:
        raise Unusable(f"url must be '{url}': that is what {family} can be asked in a batch.")
    models.check(request.body)
    return one_line(encoded({"recordId": request.custom_id, "modelInput": forms[family](request.body)}))


def _resulted(line: bytes, model: str | None) -> bytes:
    result = read(_RESULT, line)
    if result.error is not None:
        return failed(result.recordId, _failure(result.error))
    if not is_given(result.modelOutput):
        raise Unusable("it is no result.")
    fields = read(FIELDS, result.modelOutput)
    if "embedding" in fields:
        answer = read(_EMBEDDED, result.modelOutput)
        return embedded(result.recordId, answer.embedding, answer.inputTextTokenCount, model)
    for field, answer_of in _ANSWERS:
        if field in fields:
            try:
                return completed(result.recordId, answer_of(result.modelOutput), model)
            except Unusable:
                break
    return passed_on(result.recordId, result.modelOutput)


def _failure(error: _Error) -> Failure:
    code = error.errorCode
    status = code if isinstance(code, int) else int(code) if code is not None and _STATUS.fullmatch(code) else None
    return Failure(error.errorMessage, status, None if code is None else str(code))
