"""Amazon Nova's messages, and the conversations that Bedrock fine-tunes with.

Sources: docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html and
docs.aws.amazon.com/bedrock/latest/userguide/preparing-text-data.html.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.conversation import Block, Blocks, conversation_of
from fileplane.providers.jsonl.parameters import Parameters, Tool, ToolChoice, put
from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import Fields, read
from fileplane.providers.jsonl.requests import example_messages, messages_of
from fileplane.providers.jsonl.results import Answer, Called, Usage
from fileplane.providers.jsonl.urls import Url

_IMAGES: Final = {"image/jpeg": "jpeg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}


def nova_request(body: Fields) -> dict[str, Any]:
    """The request in Nova's form. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    parameters = Parameters(body)
    chat = conversation_of(messages_of(body), _BLOCKS)
    if chat.turns[0].role != "user":
        raise Unusable("the first message beside instructions must be the user's.")
    request: dict[str, Any] = {"schemaVersion": "messages-v1"}
    put(request, "system", [_text(text) for text in chat.system])
    request["messages"] = [{"role": turn.role, "content": turn.blocks} for turn in chat.turns]
    inference: dict[str, Any] = {}
    put(inference, "maxTokens", parameters.whole("max_completion_tokens", "max_tokens"))
    put(inference, "temperature", parameters.number("temperature"))
    put(inference, "topP", parameters.number("top_p"))
    put(inference, "topK", parameters.whole("top_k"))
    put(inference, "stopSequences", parameters.stops())
    put(request, "inferenceConfig", inference)
    put(request, "toolConfig", _tools(parameters))
    parameters.finish()
    return request


def conversation_example(fields: Fields) -> dict[str, Any]:
    """An example of the schema ``bedrock-conversation-2024``, which Nova and Llama are fine-tuned with: texts only."""
    if "tools" in fields:
        raise Unusable("tools in examples cannot be carried over to this model.")
    chat = conversation_of(example_messages(fields), Blocks(text=_text))
    if chat.turns[0].role != "user":
        raise Unusable("the first message beside instructions must be the user's.")
    example: dict[str, Any] = {"schemaVersion": "bedrock-conversation-2024"}
    put(example, "system", [_text(text) for text in chat.system])
    example["messages"] = [{"role": turn.role, "content": turn.blocks} for turn in chat.turns]
    return example


class _ToolUse(Struct, gc=False):
    name: str
    toolUseId: str = ""  # noqa: N815 - as it is written
    input: Raw = Raw(b"{}")


class _ReasoningText(Struct, gc=False):
    text: str = ""


class _Reasoning(Struct, gc=False):
    reasoningText: _ReasoningText | None = None  # noqa: N815 - the same


class _Content(Struct, gc=False):
    text: str | None = None
    toolUse: _ToolUse | None = None  # noqa: N815 - the same
    reasoningContent: _Reasoning | None = None  # noqa: N815 - the same


class _Said(Struct, gc=False):
    content: list[_Content]


class _Output(Struct, gc=False):
    message: _Said


class _Used(Struct, gc=False):
    inputTokens: int = 0  # noqa: N815 - the same
    outputTokens: int = 0  # noqa: N815 - the same
    cacheReadInputTokenCount: int | None = None  # noqa: N815 - the same


class _Response(Struct, gc=False):
    output: _Output
    stopReason: str | None = None  # noqa: N815 - the same
    usage: _Used | None = None


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}


def nova_answer(response: Raw) -> Answer:
    """What Nova answered, or any model by Bedrock's Converse. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    answer = read(_RESPONSE, response)
    content, used = answer.output.message.content, answer.usage
    thoughts = [block.reasoningContent.reasoningText for block in content if block.reasoningContent is not None]
    return Answer(
        text="".join(block.text for block in content if block.text is not None),
        has_text=any(block.text is not None for block in content),
        reasoning="".join(thought.text for thought in thoughts if thought is not None),
        calls=[Called(block.toolUse.toolUseId, block.toolUse.name, block.toolUse.input) for block in content if block.toolUse],
        finish=_FINISH.get(answer.stopReason or "", "stop"),
        usage=None if used is None else Usage(used.inputTokens, used.outputTokens, used.cacheReadInputTokenCount or 0),
    )


def _tools(parameters: Parameters) -> dict[str, Any]:
    tools: dict[str, Any] = {}
    put(tools, "tools", [{"toolSpec": _tool(tool)} for tool in parameters.tools()])
    choice = parameters.tool_choice()
    if choice is not None:
        put(tools, "toolChoice", _tool_choice(choice))
    return tools


def _tool(tool: Tool) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name}
    put(spec, "description", tool.description)
    spec["inputSchema"] = {"json": tool.parameters}
    return spec


def _tool_choice(choice: ToolChoice) -> dict[str, Any]:
    if choice.mode == "none":
        raise Unusable("body.tool_choice 'none' cannot be carried over to Nova; leave the tools out instead.")
    if choice.mode == "function":
        return {"tool": {"name": choice.name}}
    return {"any": {}} if choice.mode == "required" else {"auto": {}}


def _text(text: str) -> Block:
    return {"text": text}


def _image(url: Url) -> Block:
    media_type, data = url.must_be_data("an image")
    if media_type not in _IMAGES:
        raise Unusable(f"an image is of type {quoted(media_type)}, and Nova takes {', '.join(_IMAGES)}.")
    return {"image": {"format": _IMAGES[media_type], "source": {"bytes": data}}}


def _tool_call(call_id: str, name: str, arguments: Raw) -> Block:
    return {"toolUse": {"toolUseId": call_id, "name": name, "input": arguments}}


def _tool_result(call_id: str, name: str, result: str) -> Block:  # noqa: ARG001 - the name is for others
    return {"toolResult": {"toolUseId": call_id, "content": [{"text": result}]}}


_BLOCKS: Final = Blocks(_text, _image, None, None, _tool_call, _tool_result)
