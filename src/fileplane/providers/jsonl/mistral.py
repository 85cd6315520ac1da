"""Mistral's newer models on Bedrock, whose chats are much like OpenAI's.

Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-chat-completion.html.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.conversation import parts_of, texts_of
from fileplane.providers.jsonl.parameters import Parameters, Tool, ToolChoice, put
from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import Fields, object_in, read
from fileplane.providers.jsonl.requests import Message, Part, ToolCall, messages_of
from fileplane.providers.jsonl.results import Answer, Called, Usage

_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_TOOL_MODES: Final = {"auto": "auto", "none": "none", "required": "any"}


def mistral_chat_request(body: Fields) -> dict[str, Any]:
    """The request in Mistral's form. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    parameters = Parameters(body)
    request: dict[str, Any] = {"messages": [_message(message) for message in messages_of(body)]}
    put(request, "max_tokens", parameters.whole("max_completion_tokens", "max_tokens"))
    put(request, "temperature", parameters.number("temperature"))
    put(request, "top_p", parameters.number("top_p"))
    put(request, "tools", [_tool(tool) for tool in parameters.tools()])
    choice = parameters.tool_choice()
    if choice is not None:
        request["tool_choice"] = _tool_choice(choice)
    parameters.finish()
    return request


class _Function(Struct, gc=False):
    name: str
    arguments: str = "{}"


class _Called(Struct, gc=False):
    function: _Function
    id: str = ""


class _Said(Struct, gc=False):
    content: str | None = None
    tool_calls: list[_Called] | None = None


class _Choice(Struct, gc=False):
    message: _Said
    stop_reason: str | None = None
    finish_reason: str | None = None


class _Used(Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Response(Struct, gc=False):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    created: int = 0
    usage: _Used | None = None


_RESPONSE: Final = msgspec.json.Decoder(_Response)
_FINISHES: Final = ("stop", "length", "tool_calls", "content_filter")


def mistral_chat_answer(response: Raw) -> Answer:
    """What Mistral answered. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    answer = read(_RESPONSE, response)
    if not answer.choices:
        raise Unusable("choices is empty.")
    first, *others = (_answer(choice) for choice in answer.choices)
    first.id, first.model, first.created, first.others = answer.id, answer.model, answer.created, others
    if answer.usage is not None:
        first.usage = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    return first


def _answer(choice: _Choice) -> Answer:
    said, reason = choice.message, choice.stop_reason or choice.finish_reason or ""
    return Answer(
        text=said.content or "",
        has_text=said.content is not None,
        calls=[Called(call.id, call.function.name, object_in(call.function.arguments)) for call in said.tool_calls or []],
        finish=reason if reason in _FINISHES else "stop",
    )


def _message(message: Message) -> dict[str, Any]:
    if message.role not in _ROLES:
        raise Unusable(f"role {quoted(message.role)} is none that can be carried over.")
    written: dict[str, Any] = {"role": _ROLES[message.role]}
    if message.role == "tool":
        if message.tool_call_id is None:
            raise Unusable("a message of a tool has no tool_call_id.")
        written |= {"tool_call_id": message.tool_call_id, "content": "\n".join(texts_of(message))}
    elif message.role == "assistant":
        written["content"] = "\n".join(texts_of(message)) if message.content else message.refusal or ""
        put(written, "tool_calls", [_call(call) for call in message.tool_calls or []])
        if not message.content and not message.refusal and not message.tool_calls:
            raise Unusable("a message of the assistant has neither content nor calls of tools.")
    elif isinstance(message.content, str):
        written["content"] = message.content
    else:
        written["content"] = [_part(part) for part in parts_of(message)]
    return written


def _part(part: Part) -> dict[str, Any]:
    if part.type == "text" and part.text is not None:
        return {"type": "text", "text": part.text}
    if part.type == "image_url" and part.image_url is not None:
        return {"type": "image_url", "image_url": {"url": part.image_url.url}}
    raise Unusable(f"a message has a part of type {quoted(part.type)}, which this model does not take.")


def _call(call: ToolCall) -> dict[str, Any]:
    if call.type != "function" or call.function is None:
        raise Unusable(f"a call of a tool of type {quoted(call.type)} cannot be carried over, only of functions.")
    return {"id": call.id, "function": {"name": call.function.name, "arguments": call.function.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    put(function, "description", tool.description)
    function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> str:
    if choice.mode == "function":
        raise Unusable("body.tool_choice with the name of a function cannot be carried over to Mistral; 'required' can.")
    return _TOOL_MODES[choice.mode]
