"""Models that read one prompt, in which special tokens say who speaks: Meta's Llama, and Mistral's older models.

Sources: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html, …/model-parameters-mistral-text-completion.html,
and for the tokens llama.com/docs/model-cards-and-prompt-formats and docs.mistral.ai.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.conversation import Blocks, Conversation, conversation_of
from fileplane.providers.jsonl.parameters import Parameters, put
from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import Fields, read
from fileplane.providers.jsonl.requests import example_messages, messages_of
from fileplane.providers.jsonl.results import Answer, Usage

_LLAMA_TOKENS: Final = re.compile(
    r"<\|(?:begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|eom_id|python_tag|header_start|header_end|eot|eom"
    r"|python_start|python_end|image|image_start|image_end|finetune_right_pad(?:_id)?)\|>"
)
_MISTRAL_TOKENS: Final = re.compile(r"\[/?INST\]|</?s>")
_TEXTS: Final = Blocks(text=lambda text: {"text": text})


class Tokens(Struct, frozen=True):
    """The special tokens of a generation of Llama."""

    header: str
    header_end: str
    end: str


LLAMA_3: Final = Tokens("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
LLAMA_4: Final = Tokens("<|header_start|>", "<|header_end|>", "<|eot|>")


def llama_request(body: Fields, tokens: Tokens) -> dict[str, Any]:
    """The request as a prompt for Llama. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`.

    A text with special tokens in it is refused: the model would take it for somebody else's words.
    """
    parameters = Parameters(body)
    chat = _chat_of(body, _LLAMA_TOKENS)
    said = [("system", text) for text in chat.system]
    said += [(turn.role, "\n\n".join(block["text"] for block in turn.blocks)) for turn in chat.turns]
    prompt = "".join(f"{tokens.header}{role}{tokens.header_end}\n\n{text}{tokens.end}" for role, text in said)
    request: dict[str, Any] = {"prompt": f"<|begin_of_text|>{prompt}{tokens.header}assistant{tokens.header_end}\n\n"}
    put(request, "max_gen_len", parameters.whole("max_completion_tokens", "max_tokens"))
    put(request, "temperature", parameters.number("temperature"))
    put(request, "top_p", parameters.number("top_p"))
    parameters.finish()
    return request


def mistral_prompt_request(body: Fields) -> dict[str, Any]:
    """The request as a prompt for Mistral 7B, Mixtral 8x7B or Mistral Small; instructions stand before the first message of the user.

    Raises :class:`~fileplane.providers.jsonl.problems.Unusable`, for texts with special tokens too.
    """
    parameters = Parameters(body)
    chat = _chat_of(body, _MISTRAL_TOKENS)
    if chat.turns[0].role != "user":
        raise Unusable("the first message beside instructions must be the user's.")
    prompt, before = "<s>", chat.system
    for turn in chat.turns:
        text = "\n\n".join([*before, *(block["text"] for block in turn.blocks)])
        prompt += f"[INST] {text} [/INST]" if turn.role == "user" else f" {text}</s>"
        before = []
    request: dict[str, Any] = {"prompt": prompt}
    put(request, "max_tokens", parameters.whole("max_completion_tokens", "max_tokens"))
    put(request, "stop", parameters.stops())
    put(request, "temperature", parameters.number("temperature"))
    put(request, "top_p", parameters.number("top_p"))
    put(request, "top_k", parameters.whole("top_k"))
    parameters.finish()
    return request


def titan_embedding_request(body: Fields, *, takes_dimensions: bool) -> dict[str, Any]:
    """The request of one embedding for Amazon Titan. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`.

    Source: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html.
    """
    parameters = Parameters(body)
    if "input" not in body:
        raise Unusable("body.input is missing.")
    texts = read(_INPUT, parameters.raw("input"), "body.input")
    texts = [texts] if isinstance(texts, str) else texts
    if len(texts) != 1:
        raise Unusable("body.input must be one text: Titan makes one embedding a request.")
    if parameters.text("encoding_format") not in {None, "float"}:
        raise Unusable("body.encoding_format must be 'float'.")
    request: dict[str, Any] = {"inputText": texts[0]}
    if takes_dimensions:
        put(request, "dimensions", parameters.whole("dimensions"))
    parameters.finish()
    return request


class _Generation(Struct, gc=False):
    generation: str
    prompt_token_count: int | None = None
    generation_token_count: int | None = None
    stop_reason: str | None = None


class _Output(Struct, gc=False):
    text: str
    stop_reason: str | None = None


class _Outputs(Struct, gc=False):
    outputs: list[_Output]


_INPUT: Final = msgspec.json.Decoder(str | list[str])
_GENERATION: Final = msgspec.json.Decoder(_Generation)
_OUTPUTS: Final = msgspec.json.Decoder(_Outputs)


def llama_answer(response: Raw) -> Answer:
    """What Llama answered. Raises :class:`~fileplane.providers.jsonl.problems.Unusable`."""
    answer = read(_GENERATION, response)
    usage = Usage(answer.prompt_token_count or 0, answer.generation_token_count or 0)
    return Answer(text=answer.generation, finish=_finish(answer.stop_reason), usage=usage)


def mistral_prompt_answer(response: Raw) -> Answer:
    """What one of Mistral's older models answered; it does not count tokens. Raises :class:`Unusable`."""
    outputs = read(_OUTPUTS, response).outputs
    if not outputs:
        raise Unusable("outputs is empty.")
    answers = [Answer(text=output.text, finish=_finish(output.stop_reason)) for output in outputs]
    answers[0].others = answers[1:]
    return answers[0]


def _chat_of(body: Fields, tokens: re.Pattern[str]) -> Conversation:
    chat = conversation_of(messages_of(body), _TEXTS)
    for text in [*chat.system, *(block["text"] for turn in chat.turns for block in turn.blocks)]:
        if found := tokens.search(text):
            raise Unusable(f"a message has {quoted(found[0])}, which this model would take for the end of a message.")
    return chat


def _finish(reason: str | None) -> str:
    return "length" if reason == "length" else "stop"


def titan_example(fields: Fields) -> dict[str, Any]:
    """An example of a prompt and its completion, for Amazon Titan Text: one question, one answer, texts only. Raises :class:`Unusable`."""
    chat = conversation_of(example_messages(fields), _TEXTS)
    if "tools" in fields or [turn.role for turn in chat.turns] != ["user", "assistant"]:
        raise Unusable("an example for this model is one message of the user and one of the assistant, without tools.")
    asked, answered = ("\n\n".join(block["text"] for block in turn.blocks) for turn in chat.turns)
    return {"prompt": "\n\n".join([*chat.system, asked]), "completion": answered}
