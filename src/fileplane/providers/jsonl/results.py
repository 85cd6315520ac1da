"""Lines of a batch's output, as OpenAI has them."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Raw, Struct

from fileplane.providers.jsonl.problems import Unusable
from fileplane.providers.jsonl.reading import encoded


class Called(Struct):
    """A tool that the model calls. The arguments are an object, as it was written."""

    id: str
    name: str
    arguments: Raw


class Usage(Struct):
    """Tokens: those of the prompt, with what came from a cache, and those of the answer, with what was only thought."""

    prompt: int
    answer: int
    cached: int = 0
    thought: int = 0


class Answer(Struct):
    """One answer to a chat, whoever gave it."""

    text: str
    finish: str
    usage: Usage | None = None
    has_text: bool = True
    reasoning: str = ""
    calls: list[Called] = []
    id: str | None = None
    model: str | None = None
    created: int = 0
    others: list[Answer] = []
    """Further answers to the same request."""


class Failure(Struct):
    """Why there is no answer. The status is HTTP's where the provider gives one."""

    message: str
    status: int | None = None
    code: str | None = None


def completed(custom_id: str, answer: Answer, model: str | None) -> bytes:
    """The line of a request that was answered. ``created`` is 0 where the provider does not say when it was."""
    line_id = _id_of(custom_id)
    body = {
        "id": answer.id or line_id.replace("batch_req_", "chatcmpl-"),
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model or model or "",
        "choices": [_choice(index, each) for index, each in enumerate([answer, *answer.others])],
    }
    if answer.usage is not None:
        body["usage"] = _usage(answer.usage)
    return _line(line_id, custom_id, {"status_code": 200, "request_id": answer.id or line_id, "body": body}, None)


def embedded(custom_id: str, embedding: Raw, tokens: int, model: str | None) -> bytes:
    """The line of a request for an embedding that was answered; the numbers keep their spelling."""
    line_id = _id_of(custom_id)
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": embedding}],
        "model": model or "",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return _line(line_id, custom_id, {"status_code": 200, "request_id": line_id, "body": body}, None)


def passed_on(custom_id: str, body: Raw) -> bytes:
    """The line of a request whose answer is in OpenAI's form already, or in one that nobody here knows."""
    line_id = _id_of(custom_id)
    return _line(line_id, custom_id, {"status_code": 200, "request_id": line_id, "body": body}, None)


def failed(custom_id: str, failure: Failure) -> bytes:
    """The line of a request that was not answered: a response with its status where there is one, otherwise an error."""
    line_id = _id_of(custom_id)
    code = failure.code or "provider_error"
    if failure.status is None or not 400 <= failure.status <= 599:  # noqa: PLR2004 - HTTP's statuses of errors
        return _line(line_id, custom_id, None, {"code": code, "message": failure.message})
    kind = "invalid_request_error" if failure.status < 500 else "server_error"  # noqa: PLR2004 - the same
    error = {"message": failure.message, "type": kind, "param": None, "code": failure.code}
    return _line(line_id, custom_id, {"status_code": failure.status, "request_id": line_id, "body": {"error": error}}, None)


def _line(line_id: str, custom_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    return encoded({"id": line_id, "custom_id": custom_id, "response": response, "error": error})


def _id_of(custom_id: str) -> str:
    """The same for the same custom_id, so that a file reads the same each time it is fetched."""
    return f"batch_req_{hashlib.blake2b(custom_id.encode(), digest_size=12).hexdigest()}"


def _choice(index: int, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text if answer.has_text else None, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [_call(number, call) for number, call in enumerate(answer.calls)]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish}


def _call(number: int, call: Called) -> dict[str, Any]:
    try:
        arguments = bytes(call.arguments).decode()
    except UnicodeDecodeError:
        raise Unusable("it is not UTF-8.") from None
    return {"id": call.id or f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(usage: Usage) -> dict[str, Any]:
    tokens: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.answer,
        "total_tokens": usage.prompt + usage.answer,
    }
    if usage.cached:
        tokens["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    if usage.thought:
        tokens["completion_tokens_details"] = {"reasoning_tokens": usage.thought}
    return tokens
