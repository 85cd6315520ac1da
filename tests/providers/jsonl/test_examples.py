"""Examples for fine-tuning, as Bedrock's and Google's documents show them."""

from __future__ import annotations

from typing import Any

import pytest

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.bedrock import to_bedrock
from fileplane.providers.jsonl.vertex import to_vertex
from support.transforms import Transform, objects, transformed, written

MESSAGES = [
    {"role": "system", "content": "You are friendly."},
    {"role": "user", "content": "What is the capital of Mars?"},
    {"role": "assistant", "content": "Mars has no capital.", "weight": 1},
]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def example(transform: Transform, model: str, messages: Any = MESSAGES, **fields: Any) -> dict[str, Any]:
    (line,) = objects(transformed(transform, written({"messages": messages} | fields), model=model, purpose="fine-tune"))
    return line


@pytest.mark.parametrize("model", ["amazon.nova-lite-v1:0:300k", "meta.llama3-2-1b-instruct-v1:0:128k"])
def test_nova_and_llama_learn_from_bedrocks_conversations(model: str):
    assert example(to_bedrock, model) == {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "You are friendly."}],
        "messages": [
            {"role": "user", "content": [{"text": "What is the capital of Mars?"}]},
            {"role": "assistant", "content": [{"text": "Mars has no capital."}]},
        ],
    }


def test_claude_learns_from_messages_of_text():
    assert example(to_bedrock, "anthropic.claude-3-haiku-20240307-v1:0:200k") == {
        "system": "You are friendly.",
        "messages": [
            {"role": "user", "content": "What is the capital of Mars?"},
            {"role": "assistant", "content": "Mars has no capital."},
        ],
    }


def test_titan_text_learns_from_prompts_and_completions():
    assert example(to_bedrock, "amazon.titan-text-lite-v1:0:4k") == {
        "prompt": "You are friendly.\n\nWhat is the capital of Mars?",
        "completion": "Mars has no capital.",
    }


def test_gemini_learns_from_contents():
    assert example(to_vertex, "gemini-2.5-flash") == {
        "systemInstruction": {"parts": [{"text": "You are friendly."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "What is the capital of Mars?"}]},
            {"role": "model", "parts": [{"text": "Mars has no capital."}]},
        ],
    }


def test_gemini_learns_to_call_tools_and_from_images_in_cloud_storage():
    image = {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}}
    messages = [{"role": "user", "content": [image]}, {"role": "assistant", "tool_calls": [CALL]}]
    learnt = example(
        to_vertex, "gemini-2.5-flash", messages, tools=[{"type": "function", "function": {"name": "f"}}], parallel_tool_calls=True
    )
    assert learnt["contents"] == [
        {"role": "user", "parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/a.png"}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
    ]
    assert learnt["tools"][0]["functionDeclarations"][0]["name"] == "f"


NOVA = (to_bedrock, "amazon.nova-lite-v1:0")
CLAUDE = (to_bedrock, "anthropic.claude-3-haiku-20240307-v1:0")
TITAN = (to_bedrock, "amazon.titan-text-lite-v1")
GEMINI = (to_vertex, "gemini-2.5-flash")
EVERY = (NOVA, CLAUDE, TITAN, GEMINI)
DATA_IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}, MESSAGES[2]]


@pytest.mark.parametrize(
    ("targets", "line", "reason"),
    [
        (EVERY, {"input": {}, "preferred_output": []}, "messages is missing"),
        (EVERY, {"prompt": "a", "completion": "b"}, "messages is missing"),
        (EVERY, {"schemaVersion": "bedrock-conversation-2024", "system": []}, "the provider's own"),
        (EVERY, {"messages": MESSAGES, "reference_answer": 1}, "'reference_answer' has no counterpart"),
        (EVERY, {"messages": MESSAGES[:2]}, "the last message must be the assistant's"),
        (EVERY, {"messages": [*MESSAGES[:2], MESSAGES[2] | {"weight": 0}]}, "weight other than 1"),
        (EVERY, {"messages": []}, "messages is empty"),
        (EVERY, {"messages": {}}, "messages: expected `array`"),
        (EVERY, {"messages": DATA_IMAGE}, "image|must be an address in Cloud Storage"),
        ((NOVA, CLAUDE, TITAN), {"messages": MESSAGES, "tools": []}, "tools"),
        (
            (NOVA, CLAUDE, TITAN),
            {"messages": [MESSAGES[1], {"role": "assistant", "tool_calls": [CALL]}]},
            "calls of tools cannot be carried over",
        ),
        ((NOVA, CLAUDE), {"messages": [MESSAGES[2], MESSAGES[1], MESSAGES[2]]}, "must be the user's"),
        ((TITAN,), {"messages": [*MESSAGES, *MESSAGES[1:]]}, "one message of the user and one of the assistant"),
    ],
)
def test_an_example_that_cannot_be_carried_over_is_refused_by_its_number(targets: Any, line: Any, reason: str):
    for transform, model in targets:
        with pytest.raises(InvalidValue, match=f"Line 2 of the file cannot be used: .*({reason})") as caught:
            transformed(transform, written({"messages": MESSAGES}, line), model=model, purpose="fine-tune")
        assert caught.value.param == "file"


@pytest.mark.parametrize(
    ("transform", "model"),
    [
        (to_bedrock, "mistral.mistral-large-2407-v1:0"),
        (to_bedrock, "amazon.titan-embed-text-v2:0"),
        (to_vertex, "claude-3-haiku@20240307"),
    ],
)
def test_a_model_that_the_provider_does_not_fine_tune_is_refused(transform: Transform, model: str):
    with pytest.raises(InvalidValue) as caught:
        transformed(transform, b"", model=model, purpose="fine-tune")
    assert caught.value.param == "model"
