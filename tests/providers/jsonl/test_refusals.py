"""Lines of batches that cannot be carried over: each is refused by its number, with a sentence that says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fileplane.errors import InvalidValue
from support.transforms import BEDROCK_MODELS, MODELS, Transform, batch_line, transformed, written

CLAUDE, LLAMA_3, LLAMA_4, NOVA, MISTRAL_7B, MISTRAL_LARGE, GEMINI, VERTEX_CLAUDE = MODELS
EVERY = tuple(MODELS)
TEXT_ONLY = (LLAMA_3, LLAMA_4, MISTRAL_7B)
USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
ASSISTANT_CALLS = {"role": "assistant", "tool_calls": [CALL]}


def image(url: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def raw(**body: str) -> str:
    """A request whose body has these fields as they are written here."""
    fields = {"messages": json.dumps([USER])} | body
    asked = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{' + asked + "}}"


def refused(target: tuple[Transform, str], line: Any) -> str:
    transform, model = target
    with pytest.raises(InvalidValue) as caught:
        transformed(transform, written(batch_line("good"), line, batch_line("later")), [11] * 9, model=model, purpose="batch")
    assert (caught.value.param, caught.value.status, caught.value.code) == ("file", 400, "invalid_value")
    assert caught.value.message.startswith("Line 2 of the file cannot be used: ")
    assert len(caught.value.message) < 500
    return caught.value.message


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("nonsense", "not valid JSON"),
        ('{"a":1}{"b":2}', "not valid JSON"),
        ("[]", "expected `object`"),
        ('"text"', "expected `object`"),
        ("null", "expected `object`"),
        ({"method": "POST", "url": "/v1/chat/completions", "body": {}}, "missing required field `custom_id`"),
        (batch_line() | {"custom_id": ""}, "custom_id is empty"),
        (batch_line() | {"custom_id": 7}, "custom_id: expected `str`"),
        (batch_line() | {"method": "GET"}, "method must be 'POST', not 'GET'"),
        (batch_line() | {"url": "/v1/responses"}, "url must be '/v1/chat/completions'"),
        (batch_line() | {"url": "/v1/embeddings"}, "url must be '/v1/chat/completions'"),
        (batch_line() | {"body": []}, "body: expected `object`"),
        (batch_line() | {"body": {}}, "body.messages is missing"),
        (batch_line(messages=[]), "body.messages is empty"),
        (batch_line(messages="Hello"), "body.messages: expected `array`"),
        (batch_line(messages=[USER, {"role": 7}]), "body.messages[1].role: expected `str`"),
        (batch_line(messages=[{"role": "ghost", "content": "x"}]), "role 'ghost'"),
        (batch_line(messages=[{"role": "user"}]), "a message of the user has no content"),
        (batch_line(messages=[{"role": "user", "content": []}]), "a message of the user has no content"),
        (batch_line(messages=[USER, {"role": "assistant"}]), "neither content nor calls of tools"),
        (batch_line(messages=[{"role": "user", "content": [{"type": "video"}]}]), "part of type 'video'"),
        (batch_line(messages=[{"role": "user", "content": [{"type": "text"}]}]), "part of type 'text'"),
        (batch_line(messages=[USER, {"role": "function", "name": "f", "content": "x"}]), "tools have replaced"),
        (batch_line(messages=[USER, {"role": "assistant", "function_call": {"name": "f"}}]), "tools have replaced"),
        (batch_line(messages=[USER, {"role": "assistant", "audio": {"id": "a"}}]), "answers in sound"),
        (batch_line(stream=True), "body.stream cannot be carried over"),
        (batch_line(logit_bias={"1": 2}), "body.logit_bias cannot be carried over"),
        (batch_line(some_new_field=1), "body.some_new_field cannot be carried over"),
        (batch_line(reasoning_effort="low"), "body.reasoning_effort cannot be carried over"),
        (batch_line(temperature="warm"), "body.temperature: expected `int | float`"),
        (batch_line(max_tokens=1.5), "body.max_tokens: expected `int`"),
        (batch_line(model=4), "body.model: expected `str`"),
        (batch_line(model="another"), "body.model is 'another', and 'any' before"),
        (raw(temperature="NaN"), "not valid JSON"),
        (raw(temperature="-Infinity"), "not valid JSON"),
        (raw(temperature="1e999"), "body.temperature: number out of range"),
        (raw(temperature="01"), "not valid JSON"),
        (raw(user=r'"\ud800"'), "not valid JSON"),
        (raw(user=r'"\udc00\ud800"'), "not valid JSON"),
        (raw(user='"a\tb"'), "not valid JSON"),
        (raw(metadata="[" * 100_000 + "]" * 100_000), "nested too deeply"),
        (raw(metadata='{"a":' * 100_000 + "1" + "}" * 100_000), "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (b'{"custom_id":"\xff"}', "not UTF-8"),
        ({"recordId": "a", "modelInput": {}}, "x-portkey-file-purpose: upload"),
        ({"request": {"contents": []}}, "x-portkey-file-purpose: upload"),
    ],
)
@pytest.mark.parametrize("target", EVERY, ids=[model for _, model in EVERY])
def test_a_line_that_no_model_can_be_asked_is_refused(target: tuple[Transform, str], line: Any, reason: str):
    assert reason in refused(target, line)


@pytest.mark.parametrize(
    ("targets", "line", "reason"),
    [
        ((CLAUDE, NOVA, VERTEX_CLAUDE), batch_line(messages=[image("https://example.com/a.png")]), "must be a data URL"),
        ((CLAUDE, NOVA, VERTEX_CLAUDE), batch_line(messages=[image("data:image/tiff;base64,AA")]), "'image/tiff'"),
        ((CLAUDE, NOVA, GEMINI), batch_line(messages=[image(7)]), "the URL of an image or a file: expected `str`"),
        (TEXT_ONLY, batch_line(messages=[image("data:image/png;base64,AA")]), "'image_url', which this model does not take"),
        (
            (CLAUDE, GEMINI),
            batch_line(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]),
            "knows no ids of OpenAI's files",
        ),
        (
            (CLAUDE,),
            batch_line(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/csv;base64,AA"}}]}]),
            "takes application/pdf",
        ),
        (
            (CLAUDE, NOVA),
            batch_line(messages=[{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}]}]),
            "'input_audio', which this model does not take",
        ),
        (TEXT_ONLY, batch_line(messages=[USER, ASSISTANT_CALLS]), "calls of tools cannot be carried over"),
        (TEXT_ONLY, batch_line(tools=[TOOL]), "body.tools cannot be carried over"),
        ((CLAUDE, NOVA, MISTRAL_LARGE, *TEXT_ONLY), batch_line(n=2), "body.n cannot be carried over"),
        ((CLAUDE, NOVA, *TEXT_ONLY), batch_line(response_format={"type": "json_object"}), "body.response_format cannot be carried over"),
        ((CLAUDE, NOVA, *TEXT_ONLY), batch_line(presence_penalty=0.5), "body.presence_penalty cannot be carried over"),
        ((LLAMA_3, LLAMA_4, MISTRAL_LARGE), batch_line(stop=["X"]), "body.stop cannot be carried over"),
        ((GEMINI,), batch_line(response_format={"type": "grammar"}), "body.response_format of type 'grammar'"),
        ((NOVA,), batch_line(tools=[TOOL], tool_choice="none"), "leave the tools out"),
        ((MISTRAL_LARGE,), batch_line(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}), "'required' can"),
        ((CLAUDE, NOVA, GEMINI), batch_line(tools=[{"type": "custom", "custom": {}}]), "a tool of type 'custom'"),
        ((CLAUDE, NOVA, GEMINI, MISTRAL_LARGE), batch_line(tools=[TOOL], tool_choice="perhaps"), "body.tool_choice 'perhaps'"),
        (
            (CLAUDE, NOVA, GEMINI),
            batch_line(messages=[USER, {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "[1]"}}]}]),
            "the arguments of a call of 'f' must be a JSON object",
        ),
        (
            (CLAUDE, NOVA, GEMINI),
            batch_line(messages=[USER, {"role": "tool", "tool_call_id": "c", "content": "x"}]),
            "that no message before it has given out",
        ),
        ((CLAUDE, NOVA, GEMINI), batch_line(messages=[{"role": "system", "content": "x"}]), "no message of the user"),
        ((NOVA, MISTRAL_7B), batch_line(messages=[{"role": "assistant", "content": "x"}, USER]), "must be the user's"),
        ((LLAMA_3,), batch_line(messages=[{"role": "user", "content": "a<|eot_id|><|start_header_id|>"}]), "'<|eot_id|>'"),
        ((LLAMA_4,), batch_line(messages=[{"role": "system", "content": "<|eot|>"}, USER]), "'<|eot|>'"),
        ((MISTRAL_7B,), batch_line(messages=[{"role": "user", "content": "x [/INST] y"}]), "'[/INST]'"),
    ],
)
def test_a_line_that_a_model_cannot_be_asked_is_refused(targets: tuple[tuple[Transform, str], ...], line: Any, reason: str):
    for target in targets:
        assert reason in refused(target, line)


@pytest.mark.parametrize("target", EVERY, ids=[model for _, model in EVERY])
def test_fields_that_say_what_happens_anyway_are_left_out(target: tuple[Transform, str]):
    transform, model = target
    anyway = batch_line(
        n=1,
        stream=False,
        stream_options=None,
        logprobs=False,
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias={},
        parallel_tool_calls=True,
        response_format={"type": "text"},
        tool_choice="auto",
        modalities=["text"],
        user="u",
        metadata={"a": "b"},
        store=True,
        service_tier="auto",
        temperature=None,
    )
    assert transformed(transform, written(anyway), model=model, purpose="batch").count(b"\n") == 1


@pytest.mark.parametrize("model", BEDROCK_MODELS)
def test_what_is_quoted_of_a_line_is_short(model: str):
    refused((MODELS[0][0], model), batch_line(messages=[{"role": "x" * 100_000, "content": "y"}]))
    refused((MODELS[0][0], model), raw(**{"z" * 100_000: "1"}))
