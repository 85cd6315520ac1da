"""What Gemini answers, and how Vertex AI says that it did not.

Source: docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference (GenerateContentResponse).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.reading import read
from fileplane.providers.jsonl.results import Answer, Called, Usage


class _Call(Struct, gc=False):
    name: str = ""
    id: str = ""
    args: Raw = Raw(b"{}")


class _Part(Struct, gc=False):
    text: str | None = None
    thought: bool = False
    functionCall: _Call | None = None  # noqa: N815 - as it is written


class _Content(Struct, gc=False):
    parts: list[_Part] = []


class _Candidate(Struct, gc=False):
    content: _Content | None = None
    finishReason: str | None = None  # noqa: N815 - the same


class _Used(Struct, gc=False):
    promptTokenCount: int = 0  # noqa: N815 - the same
    candidatesTokenCount: int = 0  # noqa: N815 - the same
    thoughtsTokenCount: int = 0  # noqa: N815 - the same
    toolUsePromptTokenCount: int = 0  # noqa: N815 - the same
    cachedContentTokenCount: int = 0  # noqa: N815 - the same


class _Feedback(Struct, gc=False):
    blockReason: str | None = None  # noqa: N815 - the same


class _Response(Struct, gc=False):
    candidates: list[_Candidate] | None = None
    promptFeedback: _Feedback | None = None  # noqa: N815 - the same
    usageMetadata: _Used | None = None  # noqa: N815 - the same
    responseId: str | None = None  # noqa: N815 - the same
    modelVersion: str | None = None  # noqa: N815 - the same
    createTime: str | None = None  # noqa: N815 - the same


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_FILTERED: Final = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR", "IMAGE_SAFETY"})


def gemini_answer(response: Raw) -> Answer | None:
    """What Gemini answered, or None for an object that is no answer of its.

    Thoughts count among the answer's tokens, as with OpenAI. A request that was not let through has one choice, ``content_filter``.
    """
    answer = read(_RESPONSE, response)
    if not answer.candidates and answer.promptFeedback is None:
        return None
    first, *others = [_answer(candidate) for candidate in answer.candidates or []] or [Answer("", "content_filter", has_text=False)]
    first.usage = None if answer.usageMetadata is None else _usage(answer.usageMetadata)
    first.id, first.model, first.created, first.others = answer.responseId, answer.modelVersion, seconds_of(answer.createTime), others
    return first


def seconds_of(time: str | None) -> int:
    """Seconds since 1970 of a time in RFC 3339, or 0 when it is none."""
    try:
        return int(datetime.fromisoformat(time).timestamp()) if time else 0
    except (ValueError, OverflowError):
        return 0


def _answer(candidate: _Candidate) -> Answer:
    parts = candidate.content.parts if candidate.content is not None else []
    calls = [Called(part.functionCall.id, part.functionCall.name, part.functionCall.args) for part in parts if part.functionCall]
    said = [part.text for part in parts if part.text is not None and not part.thought]
    return Answer(
        text="".join(said),
        has_text=bool(said),
        reasoning="".join(part.text for part in parts if part.text is not None and part.thought),
        calls=calls,
        finish=_finish(candidate.finishReason, called=bool(calls)),
    )


def _usage(used: _Used) -> Usage:
    return Usage(
        used.promptTokenCount + used.toolUsePromptTokenCount,
        used.candidatesTokenCount + used.thoughtsTokenCount,
        used.cachedContentTokenCount,
        used.thoughtsTokenCount,
    )


def _finish(reason: str | None, *, called: bool) -> str:
    if reason in _FILTERED:
        return "content_filter"
    if reason == "MAX_TOKENS":
        return "length"
    return "tool_calls" if called else "stop"
