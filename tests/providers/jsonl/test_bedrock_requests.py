"""Batches for Bedrock: each family's requests as its documents show them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.bedrock import to_bedrock
from support.transforms import asked_of_bedrock, batch_line, objects, transformed, written

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
LLAMA_3 = "meta.llama3-3-70b-instruct-v1:0"
LLAMA_4 = "us.meta.llama4-maverick-17b-instruct-v1:0"
MISTRAL_7B = "mistral.mistral-7b-instruct-v0:2"
MISTRAL_LARGE = "mistral.mistral-large-2407-v1:0"
TITAN_1 = "amazon.titan-embed-text-v1"
TITAN_2 = "amazon.titan-embed-text-v2:0"

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Says it.", "parameters": SCHEMA, "strict": True}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{\n  "city": "Łódź"\n}'}}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": [{"type": "text", "text": "How"}, {"type": "text", "text": "are you?"}]},
]
TOOL_CHAT = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "call_2"}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "Still rain"}]},
    {"role": "user", "content": "Thanks"},
]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}


def test_claude_is_asked_by_the_messages_api():
    assert asked_of_bedrock(CLAUDE, messages=CHAT, max_tokens=1024, temperature=0.5, top_p=1, stop=["END"]) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1024,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
            {"role": "user", "content": [{"type": "text", "text": "How"}, {"type": "text", "text": "are you?"}]},
        ],
        "temperature": 0.5,
        "top_p": 1,
        "stop_sequences": ["END"],
    }


def test_claude_must_be_told_how_long_it_may_answer():
    assert asked_of_bedrock(CLAUDE)["max_tokens"] == 4096
    assert asked_of_bedrock(CLAUDE, max_completion_tokens=7, max_tokens=9)["max_tokens"] == 7


def test_claude_is_given_tools_their_calls_and_their_results():
    asked = asked_of_bedrock(CLAUDE, messages=TOOL_CHAT, tools=[TOOL])
    assert asked["tools"] == [{"name": "weather", "description": "Says it.", "input_schema": SCHEMA}]
    assert asked["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Łódź"}},
                {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Łódź"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "Rain"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "Still rain"},
                {"type": "text", "text": "Thanks"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, {"type": "tool", "name": "weather"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_claude_is_told_which_tools_to_call(fields: dict[str, Any], choice: dict[str, Any]):
    assert asked_of_bedrock(CLAUDE, tools=[TOOL], **fields)["tool_choice"] == choice


def test_claude_is_shown_images_and_documents():
    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    asked = asked_of_bedrock(CLAUDE, messages=[{"role": "user", "content": [IMAGE, document]}])
    assert asked["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
    ]


def test_slashes_may_be_written_with_backslashes_as_some_encoders_do():
    line = json.dumps(batch_line(messages=[{"role": "user", "content": [IMAGE]}])).replace("/", "\\/")
    (asked,) = objects(transformed(to_bedrock, written(line), model=CLAUDE, purpose="batch"))
    assert asked["modelInput"]["messages"][0]["content"][0]["source"]["data"] == "iVBORw0KGgo="


def test_nova_is_asked_in_its_own_form():
    assert asked_of_bedrock(NOVA, messages=CHAT, max_tokens=300, temperature=0.7, top_p=0.9, top_k=20, stop="END") == {
        "schemaVersion": "messages-v1",
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hello"}]},
            {"role": "assistant", "content": [{"text": "Hi."}]},
            {"role": "user", "content": [{"text": "How"}, {"text": "are you?"}]},
        ],
        "inferenceConfig": {"maxTokens": 300, "temperature": 0.7, "topP": 0.9, "topK": 20, "stopSequences": ["END"]},
    }


def test_nova_is_given_images_tools_their_calls_and_their_results():
    messages = [{"role": "user", "content": [IMAGE]}, *TOOL_CHAT[1:]]
    asked = asked_of_bedrock(NOVA, messages=messages, tools=[TOOL], tool_choice="required")
    assert asked["messages"][0]["content"] == [{"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}]
    assert asked["messages"][1]["content"][0] == {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Łódź"}}}
    assert asked["messages"][2]["content"][0] == {"toolResult": {"toolUseId": "call_1", "content": [{"text": "Rain"}]}}
    assert asked["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "weather", "description": "Says it.", "inputSchema": {"json": SCHEMA}}}],
        "toolChoice": {"any": {}},
    }


def test_llama_3_reads_one_prompt_with_its_special_tokens():
    assert asked_of_bedrock(LLAMA_3, messages=CHAT, max_tokens=512, temperature=0.5, top_p=0.9) == {
        "prompt": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHow\n\nare you?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "max_gen_len": 512,
        "temperature": 0.5,
        "top_p": 0.9,
    }


def test_llama_4_has_tokens_of_its_own():
    assert asked_of_bedrock(LLAMA_4) == {
        "prompt": "<|begin_of_text|><|header_start|>user<|header_end|>\n\nHello<|eot|><|header_start|>assistant<|header_end|>\n\n"
    }


def test_older_mistral_models_read_one_prompt():
    assert asked_of_bedrock(MISTRAL_7B, messages=CHAT, max_tokens=400, temperature=0.7, top_p=0.7, top_k=50, stop="X") == {
        "prompt": "<s>[INST] Be brief.\n\nHello [/INST] Hi.</s>[INST] How\n\nare you? [/INST]",
        "max_tokens": 400,
        "stop": ["X"],
        "temperature": 0.7,
        "top_p": 0.7,
        "top_k": 50,
    }


def test_newer_mistral_models_are_asked_much_as_openai_is():
    asked = asked_of_bedrock(
        MISTRAL_LARGE, messages=[CHAT[0] | {"role": "developer"}, *TOOL_CHAT[:4]], tools=[TOOL], tool_choice="required"
    )
    arguments = CALL["function"]["arguments"]
    assert asked == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": f"call_{n}", "function": {"name": "weather", "arguments": arguments}} for n in (1, 2)],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": "Still rain"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Says it.", "parameters": SCHEMA}}],
        "tool_choice": "any",
    }


def test_titan_makes_embeddings():
    line = batch_line() | {
        "url": "/v1/embeddings",
        "body": {"model": "any", "input": "Hello", "dimensions": 256, "encoding_format": "float"},
    }
    assert objects(transformed(to_bedrock, written(line), model=TITAN_2, purpose="batch")) == [
        {"recordId": "request-1", "modelInput": {"inputText": "Hello", "dimensions": 256}}
    ]
    line["body"] = {"input": ["Hello"]}
    assert objects(transformed(to_bedrock, written(line), model=TITAN_1, purpose="batch"))[0]["modelInput"] == {"inputText": "Hello"}


@pytest.mark.parametrize(
    ("model", "body", "reason"),
    [
        (TITAN_2, {"input": ["a", "b"]}, "one text"),
        (TITAN_2, {}, "body.input is missing"),
        (TITAN_2, {"input": [1, 2]}, "expected `str`"),
        (TITAN_2, {"input": "a", "encoding_format": "base64"}, "must be 'float'"),
        (TITAN_1, {"input": "a", "dimensions": 256}, "body.dimensions cannot be carried over"),
    ],
)
def test_embeddings_that_titan_cannot_make_are_refused(model: str, body: dict[str, Any], reason: str):
    with pytest.raises(InvalidValue, match=f"Line 1 of the file cannot be used: .*{reason}"):
        transformed(to_bedrock, written(batch_line() | {"url": "/v1/embeddings", "body": body}), model=model, purpose="batch")


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "eu.anthropic.claude-3-7-sonnet-20250219-v1:0",
        "global.anthropic.claude-sonnet-4-20250514-v1:0",
        "us-gov.anthropic.claude-3-5-sonnet-20240620-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:custom-model/anthropic.claude-3-haiku-20240307-v1:0:200k/abcdef123456",
    ],
)
def test_the_family_is_told_by_the_id_of_a_model_of_a_profile_or_of_an_arn(model: str):
    assert asked_of_bedrock(model)["anthropic_version"] == "bedrock-2023-05-31"


@pytest.mark.parametrize(
    "model",
    [
        "",
        "gpt-4o",
        "cohere.command-r-v1:0",
        "amazon.nova-canvas-v1:0",
        "meta.llama2-70b-chat-v1",
        "mistral.voxtral-small-24b-2507",
        "not-anthropic.claude",
        "notanthropic.claude-3",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
    ],
)
def test_a_model_of_no_known_family_is_refused_before_anything_is_read(model: str):
    with pytest.raises(InvalidValue, match="Anthropic Claude, Meta Llama 3 and 4, Amazon Nova, Mistral, and Amazon Titan") as caught:
        transformed(to_bedrock, b"not looked at", model=model, purpose="batch")
    assert caught.value.param == "model"


def test_another_purpose_is_refused():
    with pytest.raises(InvalidValue, match="'batch' or 'fine-tune'") as caught:
        transformed(to_bedrock, b"", model=CLAUDE, purpose="user_data")
    assert caught.value.param == "purpose"


def test_titan_text_has_no_batches_of_chats():
    with pytest.raises(InvalidValue, match="Amazon Titan Text"):
        transformed(to_bedrock, b"", model="amazon.titan-text-express-v1", purpose="batch")
