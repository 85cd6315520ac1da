"""Gemini's requests and answers on Vertex AI, and the examples it is tuned with.

Sources: docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, …/multimodal/batch-prediction-from-cloud-storage,
…/models/gemini-supervised-tuning-prepare; names of fields as the SDK google-genai 3.4.0 sends them to Vertex AI.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from fileplane.providers.jsonl.conversation import Block, Blocks, Conversation, conversation_of
from fileplane.providers.jsonl.parameters import Parameters, Tool, ToolChoice, declared_tools, put
from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import Fields
from fileplane.providers.jsonl.requests import example_messages, messages_of
from fileplane.providers.jsonl.urls import Url

_ROLES: Final = {"user": "user", "assistant": "model"}
_TOOL_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_MEDIA_TYPES: Final = {
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "webp": "image/webp",
}


def gemini_request(body: Fields) -> dict[str, Any]:
    """The request in the form of generateContent. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    parameters = Parameters(body)
    chat = conversation_of(messages_of(body), _BLOCKS)
    request = _contents(chat)
    put(request, "tools", _tools(parameters.tools()))
    choice = parameters.tool_choice()
    if choice is not None:
        request["toolConfig"] = {"functionCallingConfig": _calling(choice)}
    put(request, "generationConfig", _generation(parameters))
    parameters.finish()
    return request


def gemini_example(fields: Fields) -> dict[str, Any]:
    """An example for supervised tuning. Bytes cannot stand in it, only addresses in Cloud Storage.

    Raises :class:`~fileplane.providers.jsonl.problems.Unusable`.
    """
    example = _contents(conversation_of(example_messages(fields), _EXAMPLE_BLOCKS))
    put(example, "tools", _tools(declared_tools(fields)))
    return example


def _contents(chat: Conversation) -> dict[str, Any]:
    request: dict[str, Any] = {}
    if chat.system:
        request["systemInstruction"] = {"parts": [_text(text) for text in chat.system]}
    request["contents"] = [{"role": _ROLES[turn.role], "parts": turn.blocks} for turn in chat.turns]
    return request


def _generation(parameters: Parameters) -> dict[str, Any]:
    config: dict[str, Any] = {}
    put(config, "maxOutputTokens", parameters.whole("max_completion_tokens", "max_tokens"))
    put(config, "temperature", parameters.number("temperature"))
    put(config, "topP", parameters.number("top_p"))
    put(config, "topK", parameters.number("top_k"))
    put(config, "candidateCount", parameters.whole("n"))
    put(config, "seed", parameters.whole("seed"))
    put(config, "frequencyPenalty", parameters.number("frequency_penalty"))
    put(config, "presencePenalty", parameters.number("presence_penalty"))
    put(config, "stopSequences", parameters.stops())
    if parameters.flag("logprobs"):
        config["responseLogprobs"] = True
        put(config, "logprobs", parameters.whole("top_logprobs"))
    form = parameters.response_format()
    if form is not None:
        config["responseMimeType"] = "application/json"
    if form is not None and form.json_schema is not None:
        put(config, "responseJsonSchema", form.json_schema.schema or None)
    elif form is not None and form.type != "json_object":
        raise Unusable(f"body.response_format of type {quoted(form.type)} cannot be carried over.")
    return config


def _tools(tools: list[Tool]) -> list[dict[str, Any]]:
    return [{"functionDeclarations": [_tool(tool) for tool in tools]}] if tools else []


def _tool(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name}
    put(declared, "description", tool.description)
    declared["parametersJsonSchema"] = tool.parameters
    return declared


def _calling(choice: ToolChoice) -> dict[str, Any]:
    if choice.mode == "function":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": _TOOL_MODES[choice.mode]}


def _text(text: str) -> Block:
    return {"text": text}


def _image(url: Url) -> Block:
    data = url.data()
    if data is None:
        return _at_address(str(url))
    return {"inlineData": {"mimeType": data[0], "data": data[1]}}


def _at_address(url: str) -> Block:
    if not url.startswith(("gs://", "https://")):
        raise Unusable(f"{quoted(url)} is neither a data URL nor an address that Gemini can read, beginning with gs:// or https://.")
    extension = url.partition("?")[0].rpartition(".")[2].lower()
    if extension not in _MEDIA_TYPES:
        raise Unusable(
            f"the address {quoted(url)} does not end in one of {', '.join(sorted(_MEDIA_TYPES))}, and Gemini must be told the type."
        )
    return {"fileData": {"mimeType": _MEDIA_TYPES[extension], "fileUri": url}}


def _image_of_example(url: Url) -> Block:
    if not str(url).startswith("gs://"):
        raise Unusable("an image in an example must be an address in Cloud Storage, beginning with gs://.")
    return _at_address(str(url))


def _document(url: Url) -> Block:
    media_type, data = url.must_be_data("a file")
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _audio(data: str, form: str) -> Block:
    return {"inlineData": {"mimeType": f"audio/{form}", "data": data}}


def _tool_call(call_id: str, name: str, arguments: Raw) -> Block:  # noqa: ARG001 - Gemini matches calls by name and order
    return {"functionCall": {"name": name, "args": arguments}}


def _tool_result(call_id: str, name: str, result: str) -> Block:  # noqa: ARG001 - the same
    return {"functionResponse": {"name": name, "response": {"output": result}}}


_BLOCKS: Final = Blocks(_text, _image, _document, _audio, _tool_call, _tool_result)
_EXAMPLE_BLOCKS: Final = Blocks(_text, _image_of_example, None, None, _tool_call, _tool_result)
