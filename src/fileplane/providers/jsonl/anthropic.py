"""Claude's Messages API, as Bedrock and Vertex AI take it.

Sources: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html and
docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/batch.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.conversation import Block, Blocks, conversation_of
from fileplane.providers.jsonl.parameters import Parameters, Tool, ToolChoice, given, put
from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import Fields, read
from fileplane.providers.jsonl.requests import example_messages, messages_of
from fileplane.providers.jsonl.results import Answer, Called, Usage
from fileplane.providers.jsonl.urls import Url

BEDROCK_VERSION: Final = "bedrock-2023-05-31"
VERTEX_VERSION: Final = "vertex-2023-10-16"
DEFAULT_MAX_TOKENS: Final = 4096
"""Claude must be told; this is what the oldest of the models that run batches can answer at most."""

_TOOL_MODES: Final = {"auto": "auto", "none": "none", "required": "any"}
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")


def claude_request(body: Fields, version: str) -> dict[str, Any]:
    """The request in the form of the Messages API. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    parameters = Parameters(body)
    chat = conversation_of(messages_of(body), _BLOCKS)
    request: dict[str, Any] = {
        "anthropic_version": version,
        "max_tokens": given(parameters.whole("max_completion_tokens", "max_tokens"), DEFAULT_MAX_TOKENS),
        "messages": [{"role": turn.role, "content": turn.blocks} for turn in chat.turns],
    }
    put(request, "system", [_text(text) for text in chat.system])
    for name in ("temperature", "top_p"):
        put(request, name, parameters.number(name))
    put(request, "top_k", parameters.whole("top_k"))
    put(request, "thinking", parameters.object("thinking"))
    put(request, "stop_sequences", parameters.stops())
    put(request, "tools", [_tool(tool) for tool in parameters.tools()])
    put(request, "tool_choice", _tool_choice(parameters))
    parameters.finish()
    return request


def claude_example(fields: Fields) -> dict[str, Any]:
    """An example for fine-tuning Claude 3 Haiku: texts only, user and assistant in turn, the user first.

    Source: docs.aws.amazon.com/bedrock/latest/userguide/preparing-text-data.html.
    """
    if "tools" in fields:
        raise Unusable("examples for Claude have no tools.")
    chat = conversation_of(example_messages(fields), Blocks(text=_text))
    if chat.turns[0].role != "user":
        raise Unusable("the first message beside instructions must be the user's.")
    example: dict[str, Any] = {}
    if chat.system:
        example["system"] = "\n\n".join(chat.system)
    example["messages"] = [{"role": turn.role, "content": "\n\n".join(block["text"] for block in turn.blocks)} for turn in chat.turns]
    return example


class _Content(Struct, gc=False):
    type: str
    text: str | None = None
    thinking: str | None = None
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Used(Struct, gc=False):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Response(Struct, gc=False):
    content: list[_Content]
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: _Used | None = None


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def claude_answer(response: Raw) -> Answer:
    """What Claude answered. Raises :class:`~fileplane.providers.jsonl.problems.Unusable` where it is no answer of the Messages API.

    Tokens of the cache count among the prompt's, as with OpenAI.
    """
    answer = read(_RESPONSE, response)
    return Answer(
        text="".join(block.text for block in answer.content if block.type == "text" and block.text is not None),
        has_text=any(block.type == "text" for block in answer.content),
        reasoning="".join(block.thinking for block in answer.content if block.thinking is not None),
        calls=[Called(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"],
        finish=_FINISH.get(answer.stop_reason or "", "stop"),
        usage=None if answer.usage is None else _usage(answer.usage),
        id=answer.id,
        model=answer.model,
    )


def _usage(used: _Used) -> Usage:
    cached = used.cache_read_input_tokens or 0
    return Usage(used.input_tokens + cached + (used.cache_creation_input_tokens or 0), used.output_tokens, cached)


def _tool(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name}
    put(declared, "description", tool.description)
    declared["input_schema"] = tool.parameters
    return declared


def _tool_choice(parameters: Parameters) -> dict[str, Any] | None:
    choice, parallel = parameters.tool_choice(), parameters.flag("parallel_tool_calls")
    if choice is None and parallel is not False:
        return None
    choice = choice or ToolChoice("auto")
    chosen: dict[str, Any] = {"type": "tool", "name": choice.name} if choice.mode == "function" else {"type": _TOOL_MODES[choice.mode]}
    if parallel is False and choice.mode != "none":
        chosen["disable_parallel_tool_use"] = True
    return chosen


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _image(url: Url) -> Block:
    media_type, data = url.must_be_data("an image")
    if media_type not in _IMAGES:
        raise Unusable(f"an image is of type {quoted(media_type)}, and Claude takes {', '.join(_IMAGES)}.")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document(url: Url) -> Block:
    media_type, data = url.must_be_data("a file")
    if media_type != "application/pdf":
        raise Unusable(f"a file is of type {quoted(media_type)}, and Claude takes application/pdf.")
    return {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _tool_call(call_id: str, name: str, arguments: Raw) -> Block:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def _tool_result(call_id: str, name: str, result: str) -> Block:  # noqa: ARG001 - the name is for others
    return {"type": "tool_result", "tool_use_id": call_id, "content": result}


_BLOCKS: Final = Blocks(_text, _image, _document, None, _tool_call, _tool_result)
