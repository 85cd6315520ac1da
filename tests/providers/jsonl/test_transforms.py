"""What holds for every transform, whatever the lines are and however they arrive."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.providers.jsonl.bedrock import from_bedrock, to_bedrock
from fileplane.providers.jsonl.vertex import from_vertex, to_vertex
from support.transforms import MODELS, Transform, batch_line, cut, objects, pieces, transformed, written

WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="[<"), min_size=1, max_size=30)
"""Without the letters that special tokens begin with, which prompts refuse."""

EVERY = pytest.mark.parametrize(("transform", "model"), MODELS, ids=[model for _, model in MODELS])
TOOL_MODELS = [pair for pair in MODELS if "llama" not in pair[1] and "7b" not in pair[1]]


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """A request that every model can be asked."""
    messages = [{"role": "system", "content": draw(WORDS)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        messages += [{"role": "user", "content": draw(WORDS)}, {"role": "assistant", "content": draw(WORDS)}]
    parts = [{"type": "text", "text": draw(WORDS)} for _ in range(draw(st.integers(1, 2)))]
    messages.append({"role": "user", "content": parts})
    return batch_line(draw(WORDS), messages=messages, max_tokens=draw(st.integers(1, 9999)), temperature=draw(st.floats(0, 2)))


@EVERY
@given(lines=st.lists(chats(), min_size=1, max_size=4), sizes=st.lists(st.integers(1, 200), max_size=40), data=st.data())
def test_the_outcome_is_the_same_for_any_chunks_any_break_any_order_of_fields_and_any_spelling(
    transform: Transform, model: str, lines: list[dict[str, Any]], sizes: list[int], data: st.DataObject
):
    expected = transformed(transform, written(*lines), model=model, purpose="batch")
    assert len(objects(expected)) == len(lines)
    shuffle = random.Random(data.draw(st.integers(0, 1000)))

    def reordered(value: Any) -> Any:
        if isinstance(value, dict):
            names = list(value)
            shuffle.shuffle(names)
            return {name: reordered(value[name]) for name in names}
        return [reordered(each) for each in value] if isinstance(value, list) else value

    written_otherwise = [
        json.dumps(
            reordered(line), ensure_ascii=data.draw(st.booleans()), separators=data.draw(st.sampled_from([(",", ":"), (" , ", " :\t")]))
        )
        for line in lines
    ]
    content = written(*written_otherwise, ending=data.draw(st.sampled_from([b"\n", b"\r\n"])))
    if data.draw(st.booleans()):
        content = b"\xef\xbb\xbf" + content.rstrip(b"\r\n")
    assert transformed(transform, content, sizes, model=model, purpose="batch") == expected


@EVERY
@given(text=WORDS)
def test_texts_stay_to_the_letter(transform: Transform, model: str, text: str):
    (asked,) = objects(
        transformed(transform, written(batch_line(messages=[{"role": "user", "content": text}])), model=model, purpose="batch")
    )
    assert json.dumps(text) == json.dumps(_said(asked))


def _said(asked: dict[str, Any]) -> str:
    request = asked.get("modelInput") or asked["request"]
    if "prompt" in request:
        prompt = request["prompt"].removeprefix("<s>[INST] ").removesuffix(" [/INST]")
        for token in (
            "<|begin_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|header_start|>",
            "<|header_end|>",
            "<|eot|>",
        ):
            prompt = prompt.replace(token, "")
        return prompt if request["prompt"].startswith("<s>") else prompt.removeprefix("user\n\n").removesuffix("assistant\n\n")
    if "contents" in request:
        return request["contents"][0]["parts"][0]["text"]
    content = request["messages"][0]["content"]
    return content if isinstance(content, str) else content[0]["text"]


@EVERY
@pytest.mark.parametrize("number", ["0.70", "1.0", "1e-1", "0.1000000000000000055511151231257827", "1E0", "-0"])
def test_numbers_keep_their_spelling(transform: Transform, model: str, number: str):
    line = json.dumps(batch_line(temperature=12345)).replace("12345", number)
    assert f":{number}" in transformed(transform, written(line), model=model, purpose="batch").decode()


@pytest.mark.parametrize(("transform", "model"), TOOL_MODELS, ids=[model for _, model in TOOL_MODELS])
def test_schemas_and_arguments_stay_as_they_were_written(transform: Transform, model: str):
    schema = '{"type":"object","properties":{"n":{"maximum":1.50,"default":123456789012345678901234567890,"minimum":1e2}}}'
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"n":1.10e1,"big":98765432109876543210}'}}
    line = batch_line(
        messages=[{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}],
        tools=[{"type": "function", "function": {"name": "f", "parameters": "SCHEMA"}}],
    )
    out = transformed(transform, written(json.dumps(line).replace('"SCHEMA"', schema)), model=model, purpose="batch").decode()
    assert schema in out
    assert "1.10e1" in out
    assert "98765432109876543210" in out


@EVERY
def test_the_last_of_two_fields_of_one_name_counts(transform: Transform, model: str):
    line = '{"custom_id":"a","custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{},"body":{"messages":[],"messages":'
    line += '[{"role":"user","content":"first","content":"second"}]}}'
    out = transformed(transform, written(line), model=model, purpose="batch")
    assert b"second" in out
    assert b"first" not in out
    assert (objects(out)[0].get("recordId") or objects(out)[0].get("key") or objects(out)[0]["custom_id"]) == "b"


@pytest.mark.parametrize(("transform", "model"), TOOL_MODELS, ids=[model for _, model in TOOL_MODELS])
def test_no_line_is_broken_by_breaks_within_it(transform: Transform, model: str):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{\r\n\t"a":\n[1,\r2]}'}}
    messages = [{"role": "user", "content": "a\r\nb\u2028c\x85d"}, {"role": "assistant", "tool_calls": [call]}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "x": ["SPACE"]}}}]
    line = json.dumps(batch_line(messages=messages, tools=tools), ensure_ascii=False).replace('"SPACE"', "1,\r2")
    out = transformed(transform, written(line), model=model, purpose="batch")
    assert len(objects(out)) == 1
    assert b"\r" not in out
    assert out.count(b"\n") == 1


@pytest.mark.parametrize(("transform", "model"), [MODELS[0], MODELS[3], MODELS[6]], ids=["claude", "nova", "gemini"])
@pytest.mark.parametrize("size", [1 << 16, 8 << 20])
def test_a_line_with_an_image_of_many_mib_passes_bit_for_bit(transform: Transform, model: str, size: int):
    image = base64.b64encode(random.Random(7).randbytes(15 << 20)).decode()
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}]
    line = written(batch_line("large", messages=[{"role": "user", "content": content}]), batch_line("small"))
    given_out = pieces(transform, line, [size] * 1000, model=model, purpose="batch")
    assert max(map(len, given_out)) <= (1 << 20) + (64 << 10)
    large, small = b"".join(given_out).splitlines()
    assert f'"{image}"'.encode() in large
    assert b"small" in small


HOSTILE = (
    b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\\u", b"\\ud800", b"\x00", b"\xff", b"\xe2\x80", b"null", b"1e999", b"NaN", b"\n",
    b"\r", b" ", b'"messages"', b'"content"', b'{"a":', b"-", b"true", b'"tool_calls":[', b'"type"', b"[" * 3000,
)  # fmt: skip


def mutated(line: bytes, choose: random.Random) -> bytes:
    for _ in range(choose.randint(1, 6)):
        start = choose.randrange(len(line) + 1)
        match choose.randrange(4):
            case 0:
                line = line[:start] + choose.choice(HOSTILE) + line[start:]
            case 1:
                line = line[:start] + line[start + choose.randint(1, 30) :]
            case 2:
                line = line[:start] + bytes([choose.randrange(256)]) + line[start + 1 :]
            case _:
                end = choose.randrange(len(line) + 1)
                line = line[:start] + line[min(start, end) : max(start, end)] + line[start:]
    return line


def outcome(transform: Transform, content: bytes, sizes: list[int], **settings: Any) -> bytes | InvalidValue:
    try:
        return transformed(transform, content, sizes, **settings)
    except InvalidValue as error:
        return error


@pytest.mark.parametrize(
    ("transform", "model", "purpose"),
    [
        *((transform, model, "batch") for transform, model in MODELS),
        *((to_bedrock, model, "fine-tune") for model in ("amazon.nova-pro-v1:0", "anthropic.claude-3-haiku", "amazon.titan-text-lite-v1")),
        (to_vertex, "gemini-2.5-flash", "fine-tune"),
    ],
)
def test_hostile_lines_are_refused_by_number_or_carried_over_but_nothing_else_happens(transform: Transform, model: str, purpose: str):
    tools = (transform, model) in TOOL_MODELS
    example = {"messages": [{"role": "user", "content": "日本"}, {"role": "assistant", "content": "x"}]}
    good = written(example if purpose == "fine-tune" else _full_line() if tools else batch_line(temperature=0.5), ending=b"")
    choose = random.Random(f"{model} {purpose}")
    refused = 0
    for attempt in range(400):
        content = mutated(good, choose)
        came = outcome(transform, content, [choose.randint(1, 300)] * 9, model=model, purpose=purpose)
        if isinstance(came, InvalidValue):
            assert (came.message[:5], came.param) == ("Line ", "file"), (attempt, content)
            refused += 1
        else:
            assert all(isinstance(line, dict) for line in objects(came)), (attempt, content)
    assert 50 < refused < 400


@pytest.mark.parametrize("back", [from_bedrock, from_vertex])
def test_hostile_results_lose_no_line(back: Transform):
    answer = {"id": "m", "content": [{"type": "text", "text": "A"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}]}
    line = {
        "recordId": "a",
        "custom_id": "a",
        "request": {"labels": {"fileplane_custom_id": "a"}},
        "response": answer,
        "modelOutput": answer,
    }
    choose = random.Random(3)
    for attempt in range(1_500):
        content = mutated(written(line | {"status": "x"} if attempt % 5 == 0 else line), choose)
        out = transformed(back, content, [choose.randint(1, 300)] * 9, model=None)
        lines = content.removesuffix(b"\n").count(b"\n") + 1 if content else 0
        assert out.count(b"\n") == lines, (attempt, content)


def _full_line() -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":[1,{"b":2}]}'}}
    return batch_line(
        "Id-1",
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "日本"}]},
            {"role": "assistant", "content": "x"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "y"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        tool_choice="required",
        temperature=0.5,
        top_p=0.25,
    )


async def test_transforms_run_side_by_side_without_meeting():
    first, second = written(batch_line(model="one"), batch_line(model="one")), written(batch_line(model="two"), batch_line(model="two"))
    one = to_bedrock(cut(first, [5] * 99), model="amazon.nova-lite-v1:0", purpose="batch")
    two = to_vertex(cut(second, [5] * 99), model="gemini-2.5-flash", purpose="batch")
    assert [piece.count(b"\n") async for piece in one] == [piece.count(b"\n") async for piece in two] == [2]
