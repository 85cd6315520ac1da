"""A chat as most providers have it: instructions apart, and turns of user and assistant that alternate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Raw, Struct

from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import is_given, object_in
from fileplane.providers.jsonl.requests import Message, Part, ToolCall
from fileplane.providers.jsonl.urls import Url

Block = Mapping[str, Any]
"""One part of a turn, in the provider's form."""

_SYSTEM: Final = ("system", "developer")


class Blocks(Struct, frozen=True):
    """How a provider writes the parts of a turn. What it cannot write is None, and refused with the name of the part."""

    text: Callable[[str], Block]
    image: Callable[[Url], Block] | None = None
    document: Callable[[Url], Block] | None = None
    audio: Callable[[str, str], Block] | None = None
    """Made of base64 and a format."""
    tool_call: Callable[[str, str, Raw], Block] | None = None
    """Made of an id, a name and the arguments as an object."""
    tool_result: Callable[[str, str, str], Block] | None = None
    """Made of the call's id, the tool's name and the result."""


class Turn(Struct):
    """What one side says before the other does."""

    role: str
    blocks: list[Block]


class Conversation(Struct):
    """A chat: the texts of the system's messages, in their order, and turns that alternate between ``user`` and ``assistant``."""

    system: list[str]
    turns: list[Turn]


def conversation_of(messages: Iterable[Message], blocks: Blocks) -> Conversation:
    """Gathers messages into turns; those in a row that are on one side become one turn.

    The system's messages are taken out wherever they stand, and the results of tools are the user's. Raises :class:`Unusable`.
    """
    conversation = Conversation([], [])
    names: dict[str, str] = {}
    for message in messages:
        if message.role in _SYSTEM:
            conversation.system.extend(texts_of(message))
        elif message.role == "user":
            _add(conversation, "user", [_block(part, blocks) for part in parts_of(message)])
        elif message.role == "assistant":
            _add(conversation, "assistant", _of_assistant(message, blocks, names))
        elif message.role == "tool":
            _add(conversation, "user", [_tool_result(message, blocks, names)])
        else:
            raise Unusable(f"role {quoted(message.role)} is none that can be carried over.")
    if not conversation.turns:
        raise Unusable("it has instructions, but no message of the user.")
    return conversation


def parts_of(message: Message) -> list[Part]:
    """A message's content as parts; a text is one part. Raises :class:`Unusable` when there is none."""
    if isinstance(message.content, str):
        return [Part("text", text=message.content)]
    if not message.content:
        raise Unusable(f"a message of the {message.role} has no content.")
    return message.content


def texts_of(message: Message) -> list[str]:
    """The texts of a message that may have nothing else. Raises :class:`Unusable`."""
    return [_text(part, f"a message of the {message.role}") for part in parts_of(message)]


def _of_assistant(message: Message, blocks: Blocks, names: dict[str, str]) -> list[Block]:
    calls = message.tool_calls or []
    if message.content:
        said = [_block(part, blocks) for part in parts_of(message)]
    elif message.refusal:
        said = [blocks.text(message.refusal)]
    elif calls:
        said = []
    else:
        raise Unusable("a message of the assistant has neither content nor calls of tools.")
    return said + [_tool_call(call, blocks, names) for call in calls]


def _tool_call(call: ToolCall, blocks: Blocks, names: dict[str, str]) -> Block:
    if blocks.tool_call is None:
        raise Unusable("calls of tools cannot be carried over to this model.")
    if call.type != "function" or call.function is None:
        raise Unusable(f"a call of a tool of type {quoted(call.type)} cannot be carried over, only of functions.")
    names[call.id] = call.function.name
    try:
        return blocks.tool_call(call.id, call.function.name, object_in(call.function.arguments))
    except Unusable as problem:
        raise Unusable(f"the arguments of a call of {quoted(call.function.name)} must be a JSON object, but {problem}") from None


def _tool_result(message: Message, blocks: Blocks, names: Mapping[str, str]) -> Block:
    if blocks.tool_result is None:
        raise Unusable("results of tools cannot be carried over to this model.")
    if message.tool_call_id is None or message.tool_call_id not in names:
        raise Unusable("a message of a tool has a tool_call_id that no message before it has given out.")
    return blocks.tool_result(message.tool_call_id, names[message.tool_call_id], "\n".join(texts_of(message)))


def _block(part: Part, blocks: Blocks) -> Block:
    if part.type == "image_url" and part.image_url is not None and blocks.image is not None:
        return blocks.image(Url(part.image_url.url))
    if part.type == "file" and part.file is not None and blocks.document is not None:
        if not is_given(part.file.file_data):
            raise Unusable("a file must be given by file_data: the provider knows no ids of OpenAI's files.")
        return blocks.document(Url(part.file.file_data))
    if part.type == "input_audio" and part.input_audio is not None and blocks.audio is not None:
        return blocks.audio(part.input_audio.data, part.input_audio.format)
    return blocks.text(_text(part, "a message"))


def _text(part: Part, where: str) -> str:
    if part.type == "text" and part.text is not None:
        return part.text
    if part.type == "refusal" and part.refusal is not None:
        return part.refusal
    if part.type in {"text", "refusal", "image_url", "file", "input_audio"} and getattr(part, part.type) is None:
        raise Unusable(f"{where} has a part of type {quoted(part.type)} without {part.type}.")
    raise Unusable(f"{where} has a part of type {quoted(part.type)}, which this model does not take.")


def _add(conversation: Conversation, role: str, blocks: list[Block]) -> None:
    if conversation.turns and conversation.turns[-1].role == role:
        conversation.turns[-1].blocks.extend(blocks)
    else:
        conversation.turns.append(Turn(role, blocks))
