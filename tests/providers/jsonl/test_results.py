"""Results of Bedrock and Vertex AI, as OpenAI's lines of output."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.bedrock import from_bedrock, to_bedrock
from fileplane.providers.jsonl.vertex import from_vertex, to_vertex
from support.transforms import BEDROCK_MODELS, VERTEX_MODELS, batch_line, objects, transformed, written

CLAUDE_OUTPUT = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-haiku",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "see."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome", "n": 1.0}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2},
}
GEMINI_OUTPUT = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "Blue."}]}, "finishReason": "STOP"},
        {"content": {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"n": 1.50}}}]}, "finishReason": "STOP"},
    ],
    "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 15},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "abc",
    "createTime": "2026-01-02T03:04:05.678Z",
}


def from_bedrock_line(output: Any, **settings: Any) -> dict[str, Any]:
    line = {"recordId": "Id 1", "modelInput": {"messages": []}, "modelOutput": output}
    (result,) = objects(transformed(from_bedrock, written(line), model="asked-for", **settings))
    assert (result["custom_id"], result["error"]) == ("Id 1", None)
    assert result["id"].startswith("batch_req_")
    return result["response"]


def from_vertex_line(**fields: Any) -> dict[str, Any]:
    line = {"status": "", "processed_time": "2026-01-02T03:04:05Z", "request": {"contents": []}, "key": "Id 1"} | fields
    (result,) = objects(transformed(from_vertex, written(line), model="asked-for"))
    assert result["custom_id"] == "Id 1"
    return result


def test_what_claude_answered_on_bedrock():
    assert from_bedrock_line(CLAUDE_OUTPUT) == {
        "status_code": 200,
        "request_id": "msg_bdrk_1",
        "body": {
            "id": "msg_bdrk_1",
            "object": "chat.completion",
            "created": 0,
            "model": "claude-3-haiku",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Let me see.",
                        "refusal": None,
                        "reasoning_content": "Hm.",
                        "tool_calls": [
                            {
                                "id": "toolu_1",
                                "type": "function",
                                "function": {"name": "weather", "arguments": '{"city": "Rome", "n": 1.0}'},
                            }
                        ],
                    },
                    "logprobs": None,
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 17, "completion_tokens": 20, "total_tokens": 37, "prompt_tokens_details": {"cached_tokens": 5}},
        },
    }


@pytest.mark.parametrize(
    ("output", "text", "finish", "tokens"),
    [
        (CLAUDE_OUTPUT | {"content": [{"type": "text", "text": "A"}], "stop_reason": "end_turn"}, "A", "stop", (17, 20)),
        ({"generation": "A", "prompt_token_count": 3, "generation_token_count": 4, "stop_reason": "length"}, "A", "length", (3, 4)),
        ({"generation": "A", "prompt_token_count": None, "stop_reason": "stop"}, "A", "stop", (0, 0)),
        (
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "A"}]}},
                "stopReason": "max_tokens",
                "usage": {"inputTokens": 5, "outputTokens": 6, "totalTokens": 11},
            },
            "A",
            "length",
            (5, 6),
        ),
        ({"outputs": [{"text": "A", "stop_reason": "stop"}]}, "A", "stop", None),
        (
            {"id": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "stop_reason": "length"}]},
            "A",
            "length",
            None,
        ),
    ],
)
def test_each_family_on_bedrock_is_told_by_the_form_of_its_answer(output: Any, text: str, finish: str, tokens: tuple[int, int] | None):
    body = from_bedrock_line(output)["body"]
    (choice,) = body["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, finish)
    usage = body.get("usage")
    assert tokens == (usage and (usage["prompt_tokens"], usage["completion_tokens"]))


def test_tools_that_nova_and_mistral_call():
    nova = {
        "output": {"message": {"content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}]}},
        "stopReason": "tool_use",
    }
    mistral = {"choices": [{"message": {"content": "", "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": '{"a": 1}'}}]}}]}
    for output in (nova, mistral):
        (call,) = from_bedrock_line(output)["body"]["choices"][0]["message"]["tool_calls"]
        assert (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) == ("t1", "f", {"a": 1})


def test_embeddings_keep_the_spelling_of_their_numbers():
    line = b'{"modelOutput":{"embedding":[0.10,-1e-05,1.0],"inputTextTokenCount":3},"recordId":"a"}\n'
    result = transformed(from_bedrock, line, model="titan")
    assert b'"embedding":[0.10,-1e-05,1.0]' in result
    assert objects(result)[0]["response"]["body"]["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_an_answer_of_an_unknown_form_is_passed_on_as_the_body():
    assert from_bedrock_line({"completions": [1]})["body"] == {"completions": [1]}
    assert from_bedrock_line({"content": "not blocks"})["body"] == {"content": "not blocks"}
    assert from_vertex_line(response={"predictions": [1]})["response"]["body"] == {"predictions": [1]}


@pytest.mark.parametrize(("code", "status"), [(400, 400), ("424", 424), (500, 500)])
def test_an_error_of_bedrock_with_a_status_is_a_response_with_it(code: int | str, status: int):
    line = {"recordId": "a", "modelInput": {}, "error": {"errorCode": code, "errorMessage": "bad request"}}
    (result,) = objects(transformed(from_bedrock, written(line), model=None))
    assert result["response"]["status_code"] == status
    assert result["response"]["body"]["error"]["message"] == "bad request"
    assert result["error"] is None


@pytest.mark.parametrize("code", [None, 0, 200, "Expired", "9" * 5_000], ids=lambda code: str(code)[:10])
def test_an_error_of_bedrock_without_a_status_is_an_error(code: Any):
    line = {"recordId": "a", "error": {"errorCode": code, "errorMessage": "expired"}}
    (result,) = objects(transformed(from_bedrock, written(line), model=None))
    assert result["response"] is None
    assert result["error"] == {"code": "provider_error" if code is None else str(code), "message": "expired"}


def test_what_gemini_answered():
    body = from_vertex_line(response=GEMINI_OUTPUT)["response"]["body"]
    assert (body["id"], body["model"], body["created"]) == ("abc", "gemini-2.5-flash", 1_767_323_045)
    first, second = body["choices"]
    assert first["message"] == {"role": "assistant", "content": "Blue.", "refusal": None, "reasoning_content": "Hm."}
    assert (first["index"], first["finish_reason"]) == (0, "stop")
    assert second["message"]["content"] is None
    assert second["message"]["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"n": 1.5}'}}
    ]
    assert (second["index"], second["finish_reason"]) == (1, "tool_calls")
    details = {"completion_tokens_details": {"reasoning_tokens": 4}}
    assert body["usage"] == {"prompt_tokens": 8, "completion_tokens": 7, "total_tokens": 15} | details


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"), (None, "stop")],
)
def test_why_gemini_ended(reason: str | None, finish: str):
    candidate = {"content": {"parts": [{"text": "A"}]}, "finishReason": reason}
    assert from_vertex_line(response={"candidates": [candidate]})["response"]["body"]["choices"][0]["finish_reason"] == finish


def test_a_prompt_that_gemini_did_not_let_through_has_a_choice_that_says_so():
    body = from_vertex_line(response={"promptFeedback": {"blockReason": "SAFETY"}})["response"]["body"]
    assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]) == (None, "content_filter")


def test_what_claude_answered_on_vertex():
    result = from_vertex_line(custom_id="Id 1", key=None, response=CLAUDE_OUTPUT)
    assert result["response"]["body"]["choices"][0]["message"]["content"] == "Let me see."


@pytest.mark.parametrize(
    "status",
    [
        'Bad Request: {"error": {"code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT"}}',
        '{"code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT"}',
    ],
)
def test_a_status_of_vertex_with_googles_error_in_it_is_a_response_with_it(status: str):
    result = from_vertex_line(status=status, response={})
    error = {"message": "no such thing", "type": "invalid_request_error", "param": None, "code": "INVALID_ARGUMENT"}
    assert (result["response"]["status_code"], result["response"]["body"], result["error"]) == (400, {"error": error}, None)


@pytest.mark.parametrize("status", ["Some trouble", "{", '{"a":1}', '{"error":"x"}'])
def test_any_other_status_of_vertex_is_an_error_in_its_words(status: str):
    result = from_vertex_line(status=status)
    assert (result["response"], result["error"]) == (None, {"code": "provider_error", "message": status})


def test_a_status_of_vertex_is_looked_through_once_however_many_braces_it_has():
    status = "{" * 400_000
    assert from_vertex_line(status=status)["error"]["message"] == status


@pytest.mark.parametrize("model", VERTEX_MODELS)
@given(custom_id=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=120))
def test_a_custom_id_comes_back_from_vertex_whichever_way_it_travelled(model: str, custom_id: str):
    (asked,) = objects(transformed(to_vertex, written(batch_line(custom_id)), model=model, purpose="batch"))
    results = [asked | {"response": GEMINI_OUTPUT, "status": ""}]
    if "key" in asked:
        results.append({"request": asked["request"], "response": GEMINI_OUTPUT, "status": ""})
    for line in objects(transformed(from_vertex, written(*results), model=model)):
        assert line["custom_id"] == custom_id


@pytest.mark.parametrize("model", BEDROCK_MODELS[:2])
@given(custom_id=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=120))
def test_a_custom_id_comes_back_from_bedrock(model: str, custom_id: str):
    (asked,) = objects(transformed(to_bedrock, written(batch_line(custom_id)), model=model, purpose="batch"))
    (line,) = objects(transformed(from_bedrock, written(asked | {"modelOutput": CLAUDE_OUTPUT}), model=model))
    assert line["custom_id"] == custom_id


@pytest.mark.parametrize("back", [from_bedrock, from_vertex])
def test_lines_that_are_no_results_go_on_as_they_are(back: Any):
    lines = [
        b"",
        b"not json",
        b'{ "totalRecordCount" : 10 }',
        b"[1.0]",
        b"\xff\xfe",
        b"null",
        b'{"recordId": 1, "modelOutput": {}}',
        b'{"recordId":"a"}',
        b'{"recordId":"a","modelOutput":null}',
        b'{"key":"a","response":null}',
        b'{"response":{"candidates":[]}}',
        b'{"recordId":"a","modelOutput":' + b"[" * 5_000 + b"}",
        b'{"recordId":"a","modelOutput":"\\ud800"}',
        b'{"recordId":"a","modelOutput":{"unknown":"\xff"}}',
        b'{"key":"a","response":{"unknown":"\xff"}}',
    ]
    assert transformed(back, b"\r\n".join(lines), [7] * 2_000, model=None).split(b"\n") == [*lines, b""]


def test_the_same_result_has_the_same_id_each_time_it_is_fetched():
    assert from_vertex_line(response=GEMINI_OUTPUT)["id"] == from_vertex_line(response=GEMINI_OUTPUT)["id"]


@given(st.lists(st.integers(1, 400), max_size=30))
def test_results_are_the_same_wherever_the_chunks_end(sizes: list[int]):
    bedrock = written(*({"recordId": f"é{n}", "modelInput": {}, "modelOutput": CLAUDE_OUTPUT} for n in range(3)), ending=b"\r\n")
    assert transformed(from_bedrock, bedrock, sizes, model=None) == transformed(from_bedrock, bedrock, model=None)
    vertex = written(*({"key": f"é{n}", "request": {}, "response": GEMINI_OUTPUT} for n in range(3)))
    assert transformed(from_vertex, vertex, sizes, model=None) == transformed(from_vertex, vertex, model=None)


def test_a_result_beyond_64_mib_is_refused_by_its_number():
    with pytest.raises(InvalidValue, match="Line 2 of the file cannot be used: it is longer than 67108864 bytes"):
        transformed(from_bedrock, b"x\n" + b"y" * ((64 << 20) + 1), model=None)
