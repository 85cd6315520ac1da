"""Lines as OpenAI has them: requests of a batch, examples for fine-tuning, and the messages in both."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import FIELDS, TEXT, Fields, is_given, read

CHAT_URL: Final = "/v1/chat/completions"
EMBEDDINGS_URL: Final = "/v1/embeddings"


class Function(Struct, gc=False):
    """What a tool's call calls, with its arguments as JSON in a string."""

    name: str
    arguments: str = ""


class ToolCall(Struct, gc=False):
    """A call of a tool that the assistant made."""

    function: Function | None = None
    id: str = ""
    type: str = "function"


class ImageUrl(Struct, gc=False):
    """An image, as a data URL or an address, in the quotation marks it was written in: it may have many MiB."""

    url: Raw


class InputFile(Struct, gc=False):
    """A document; only those with their bytes in a data URL can be carried over. Written as an image's URL."""

    file_data: Raw = Raw()


class InputAudio(Struct, gc=False):
    """Sound in base64, and its format, such as ``wav``."""

    data: str
    format: str


class Part(Struct, gc=False):
    """One part of a message's content. Which field counts is for ``type`` to say."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None
    file: InputFile | None = None
    input_audio: InputAudio | None = None


class Message(Struct, gc=False):
    """A message of a chat. Fields that are not named here, such as ``name``, have no counterpart at other providers."""

    role: str
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    weight: int | None = None
    function_call: Raw = Raw()
    audio: Raw = Raw()


class BatchRequest(Struct, gc=False):
    """A line of a batch's input, checked for what every request has."""

    custom_id: str
    url: str
    body: Fields


class _Envelope(Struct, gc=False):
    custom_id: str
    method: str
    url: str
    body: Fields


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_MESSAGES: Final = msgspec.json.Decoder(list[Message])
_NATIVE: Final = ("recordId", "modelInput", "request", "contents", "schemaVersion")
_EXAMPLE_FIELDS: Final = frozenset({"messages", "tools", "parallel_tool_calls"})


def batch_request(line: bytes) -> BatchRequest:
    """The request on a line. Raises :class:`Unusable` where it is none."""
    try:
        envelope = read(_ENVELOPE, line)
    except Unusable:
        _refuse_native(line)
        raise
    if not envelope.custom_id:
        raise Unusable("custom_id is empty.")
    if envelope.method != "POST":
        raise Unusable(f"method must be 'POST', not {quoted(envelope.method)}.")
    url = envelope.url if envelope.url.startswith("/v1/") else f"/v1{envelope.url}"
    return BatchRequest(envelope.custom_id, url, {name: value for name, value in envelope.body.items() if is_given(value)})


def messages_of(fields: Fields, place: str = "body.messages") -> list[Message]:
    """The messages of a chat, at least one. Raises :class:`Unusable`."""
    if "messages" not in fields:
        raise Unusable(f"{place} is missing.")
    messages = read(_MESSAGES, fields["messages"], place)
    if not messages:
        raise Unusable(f"{place} is empty.")
    for message in messages:
        if is_given(message.function_call) or message.role == "function":
            raise Unusable(f"{place} has calls of functions in the form that tools have replaced; use tool_calls and the role 'tool'.")
        if is_given(message.audio):
            raise Unusable(f"{place} has answers in sound, which cannot be carried over.")
    return messages


def example_of(line: bytes) -> Fields:
    """The fields of a chat example for fine-tuning. Raises :class:`Unusable` for other kinds, and for fields that would be lost."""
    fields = {name: value for name, value in read(FIELDS, line).items() if is_given(value)}
    if "messages" not in fields:
        _refuse_native(line)
        raise Unusable("messages is missing: only chat examples for fine-tuning can be carried over.")
    for name in fields:
        if name not in _EXAMPLE_FIELDS:
            raise Unusable(f"{quoted(name)} has no counterpart in the provider's examples; leave it out.")
    return fields


def example_messages(fields: Fields) -> list[Message]:
    """The messages of an example: the last one is the assistant's, and all of the assistant's count. Raises :class:`Unusable`."""
    messages = messages_of(fields, "messages")
    for message in messages:
        if message.weight not in (None, 1):
            raise Unusable("messages has a weight other than 1, and the provider's examples have no weights.")
    if messages[-1].role != "assistant":
        raise Unusable("the last message must be the assistant's, which is what is learnt.")
    return messages


def text_field(fields: Fields, name: str) -> str | None:
    """A field of the body that is text, or None when it is missing. Raises :class:`Unusable`."""
    return read(TEXT, fields[name], f"body.{name}") if name in fields else None


def _refuse_native(line: bytes) -> None:
    fields = read(FIELDS, line)
    if any(name in fields for name in _NATIVE):
        raise Unusable(
            "it is not in OpenAI's form, but seems to be in the provider's own. Send such files with the header "
            "'x-portkey-file-purpose: upload', and they are stored as they are."
        )
