"""Batches for Vertex AI: requests for Gemini and Claude as Google's documents show them, and the ids that travel with them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.custom_ids import id_in, labels_of
from fileplane.providers.jsonl.vertex import to_vertex
from support.transforms import asked_of_gemini, batch_line, objects, transformed, written

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


def test_gemini_is_asked_as_generate_content_is():
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "What now?"},
    ]
    asked = asked_of_gemini(
        messages=messages,
        max_completion_tokens=256,
        temperature=0.9,
        top_p=1,
        seed=7,
        n=2,
        frequency_penalty=0.5,
        presence_penalty=0,
        stop="E",
    )
    assert asked == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Hi."}]},
            {"role": "user", "parts": [{"text": "What now?"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 256,
            "temperature": 0.9,
            "topP": 1,
            "seed": 7,
            "candidateCount": 2,
            "frequencyPenalty": 0.5,
            "presencePenalty": 0,
            "stopSequences": ["E"],
        },
    }


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/a/cat.JPEG"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "gs://bucket/a/cat.JPEG"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.webp?size=1"}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/cat.webp?size=1"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
        ),
    ],
)
def test_gemini_is_shown_images_documents_and_sound(part: dict[str, Any], expected: dict[str, Any]):
    assert asked_of_gemini(messages=[{"role": "user", "content": [part]}])["contents"] == [{"role": "user", "parts": [expected]}]


@pytest.mark.parametrize("url", ["https://example.com/cat", "http://example.com/cat.png", "file:///etc/passwd", "data:image/png,plain", ""])
def test_an_image_that_gemini_cannot_be_shown_is_refused(url: str):
    with pytest.raises(InvalidValue, match="Line 1 of the file cannot be used"):
        asked_of_gemini(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])


def test_gemini_is_given_tools_their_calls_and_their_results():
    call = {"id": "call_9", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome","big":12345678901234567890}'}}
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_9", "content": '{"sky": "blue"}'},
    ]
    asked = asked_of_gemini(messages=messages, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}})
    assert asked["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {"functionCall": {"name": "weather", "args": {"city": "Rome", "big": 12345678901234567890}}},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": '{"sky": "blue"}'}}}]},
    ]
    assert asked["tools"] == [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}]
    assert asked["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}


@pytest.mark.parametrize(
    ("form", "config"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"responseMimeType": "application/json"}),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
    ],
)
def test_gemini_is_told_the_form_of_its_answer(form: dict[str, Any], config: dict[str, Any] | None):
    assert asked_of_gemini(response_format=form).get("generationConfig") == config


def test_gemini_is_asked_for_probabilities():
    assert asked_of_gemini(logprobs=True, top_logprobs=3)["generationConfig"] == {"responseLogprobs": True, "logprobs": 3}


def test_claude_on_vertex_is_asked_by_the_messages_api_and_keeps_its_custom_id():
    line = batch_line("Any id é", max_tokens=50)
    for model in ("claude-sonnet-4-5@20250929", "publishers/anthropic/models/claude-3-5-haiku@20241022"):
        assert objects(transformed(to_vertex, written(line), model=model, purpose="batch")) == [
            {
                "custom_id": "Any id é",
                "request": {
                    "anthropic_version": "vertex-2023-10-16",
                    "max_tokens": 50,
                    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
                },
            }
        ]


@pytest.mark.parametrize(
    "model", ["", "gpt-4o", "gemini-embedding-001", "text-embedding-005", "publishers/meta/models/llama-3.3-70b", "notgemini-1"]
)
def test_a_model_of_no_known_family_is_refused(model: str):
    with pytest.raises(InvalidValue, match="Google Gemini and Anthropic Claude") as caught:
        transformed(to_vertex, b"not looked at", model=model, purpose="batch")
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    "model", ["gemini-2.5-pro", "google/gemini-2.0-flash-001", "projects/p/locations/l/publishers/google/models/gemini-2.5-flash"]
)
def test_gemini_is_told_by_its_short_and_its_long_names(model: str):
    assert b"contents" in transformed(to_vertex, written(batch_line()), model=model, purpose="batch")


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=250))
def test_every_custom_id_comes_back_from_labels_that_google_allows(custom_id: str):
    labels = labels_of(custom_id)
    assert len(labels) <= 64
    for name, value in labels.items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name)
        assert re.fullmatch(r"[a-z0-9_-]{1,63}", value)
    assert id_in({"team": "x", **labels}) == custom_id


@pytest.mark.parametrize("length", [1, 38, 39, 40, 62, 63, 64, 78, 79, 1023, 1024])
@pytest.mark.parametrize("letter", ["a", "A"])
def test_custom_ids_come_back_at_every_border_of_length(length: int, letter: str):
    assert id_in(labels_of(letter * length)) == letter * length


def test_a_custom_id_that_labels_cannot_hold_is_refused():
    with pytest.raises(InvalidValue, match="Line 1 of the file cannot be used: custom_id has more than 1024 bytes"):
        transformed(to_vertex, written(batch_line("é" * 513)), model="gemini-2.5-flash", purpose="batch")


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"team": "x"},
        {"fileplane_custom_id": 1},
        {"fileplane_custom_id_base32": "1"},
        {"fileplane_custom_id_base32": ""},
        {"fileplane_custom_id_base32": "74"},
    ],
)
def test_labels_without_an_id_of_ours_have_none(labels: dict[str, Any]):
    assert id_in(labels) is None
