"""Training examples are of one kind a file, which the first good line tells."""

from __future__ import annotations

import json

import pytest

from fileplane.files.validation import Code, Kind, Verdict, new_validator

USER = {"role": "user", "content": "What is 2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "4"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CHAT = {"messages": [USER, ASSISTANT]}
REINFORCEMENT = {"messages": [USER], "reference_answer": "4"}
PREFERENCE = {
    "input": {"messages": [USER]},
    "preferred_output": [ASSISTANT],
    "non_preferred_output": [{"role": "assistant", "content": "5"}],
}
OLDER_PREFERENCE = {"input": {"messages": [USER]}, "preferred_completion": [ASSISTANT], "non_preferred_completion": [ASSISTANT]}
COMPLETION = {"prompt": "2 + 2 =", "completion": " 4"}
EXAMPLES = {
    Kind.CHAT: CHAT,
    Kind.REINFORCEMENT: REINFORCEMENT,
    Kind.PREFERENCE: PREFERENCE,
    Kind.COMPLETION: COMPLETION,
}


def verdict_of(*examples: object) -> Verdict:
    validator = new_validator("fine-tune")
    assert validator is not None
    validator.feed(b"\n".join(json.dumps(example).encode() for example in examples))
    return validator.finish()


def found(verdict: Verdict) -> list[tuple[int, Code]]:
    return [(problem.line, problem.code) for problem in verdict.problems]


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        (Kind.CHAT, CHAT),
        (Kind.CHAT, {"messages": [{"role": "system", "content": "Be terse."}, {"role": "developer", "content": "Yes."}, USER, ASSISTANT]}),
        (Kind.CHAT, {"messages": [USER, ASSISTANT | {"weight": 0}, USER, ASSISTANT | {"weight": 1}]}),
        (Kind.CHAT, {"messages": [ASSISTANT | {"weight": None, "name": "Ada", "unknown": {"x": [1]}}]}),
        (Kind.CHAT, {"messages": [USER, {"role": "assistant", "refusal": "No."}]}),
        (Kind.CHAT, {"messages": [USER, {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}}]}),
        (
            Kind.CHAT,
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [CALL]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "4"},
                    ASSISTANT,
                ],
                "tools": [TOOL],
                "parallel_tool_calls": False,
            },
        ),
        (
            Kind.CHAT,
            {"messages": [USER, {"role": "function", "name": "add", "content": "4"}, ASSISTANT], "functions": [TOOL["function"]]},
        ),
        (
            Kind.CHAT,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "data:"}}]},
                    ASSISTANT,
                ]
            },
        ),
        (Kind.REINFORCEMENT, REINFORCEMENT),
        (Kind.REINFORCEMENT, CHAT | {"answer": {"nested": [1]}}),
        (Kind.REINFORCEMENT, {"messages": [USER]}),
        (Kind.REINFORCEMENT, {"messages": [USER], "tools": [TOOL], "prompt": 1, "input": 2}),
        (Kind.PREFERENCE, PREFERENCE),
        (Kind.PREFERENCE, OLDER_PREFERENCE),
        (Kind.PREFERENCE, PREFERENCE | {"input": {"messages": [USER], "tools": [TOOL], "parallel_tool_calls": True}}),
        (
            Kind.PREFERENCE,
            PREFERENCE
            | {
                "preferred_output": [
                    {"role": "assistant", "tool_calls": [CALL]},
                    {"role": "tool", "content": "4", "tool_call_id": "call_1"},
                    ASSISTANT,
                ]
            },
        ),
        (Kind.COMPLETION, COMPLETION),
        (Kind.COMPLETION, COMPLETION | {"id": 7}),
    ],
)
def test_a_good_example_of_each_kind_is_recognised(kind: Kind, example: dict[str, object]) -> None:
    assert verdict_of(example, example) == Verdict(kind, 2, (), 0, (), complete=True)


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        ({"messages": []}, "messages: expected array of length >= 1"),
        ({"messages": "hello"}, "messages: expected array, got string"),
        ({"messages": ["hello"]}, "messages[0]: expected object, got string"),
        ({"messages": [{"content": "x"}]}, "messages[0]: object missing required field role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role: invalid value 'robot'"),
        ({"messages": [{"role": "user"}, ASSISTANT]}, "messages[0]: object missing required field content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content: expected string | array, got null"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content: expected array of length >= 1"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]: a part of type text needs a text"),
        ({"messages": [USER, {"role": "assistant"}]}, "messages[1]: a message of the assistant needs content or tool_calls"),
        (
            {"messages": [USER, {"role": "assistant", "content": None}]},
            "messages[1]: a message of the assistant needs content or tool_calls",
        ),
        ({"messages": [USER, ASSISTANT | {"weight": 2}]}, "messages[1].weight: invalid enum value 2"),
        ({"messages": [USER, ASSISTANT | {"weight": 0.5}]}, "messages[1].weight: expected int | null, got float"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": []}]}, "messages[1].tool_calls: expected array of length >= 1"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "x", "type": "function"}]}]},
            "messages[1].tool_calls[0]: a call of type function needs a function",
        ),
        (
            {"messages": [{"role": "tool", "content": "4"}, ASSISTANT]},
            "messages[0]: object missing required field tool_call_id",
        ),
        (CHAT | {"tools": [{"type": "function"}]}, "tools[0]: a tool of type function needs a function"),
        (CHAT | {"tools": {}}, "tools: expected array | null, got object"),
        (CHAT | {"parallel_tool_calls": "yes"}, "parallel_tool_calls: expected bool | null, got string"),
        (CHAT | {"functions": []}, "functions: expected array of length >= 1"),
        (CHAT | {"functions": [{"name": "f"}] * 129}, "functions: expected array of length <= 128"),
        (REINFORCEMENT | {"messages": [{"role": "user"}]}, "messages[0]: object missing required field content"),
        ({"reference": 1, "messages": []}, "messages: expected array of length >= 1"),
        ({"input": {"messages": [USER]}}, "an example of preference needs preferred_output and non_preferred_output"),
        (PREFERENCE | {"input": {}}, "input: object missing required field messages"),
        (PREFERENCE | {"input": "What?"}, "input: expected object, got string"),
        (PREFERENCE | {"preferred_output": []}, "preferred_output: expected array of length >= 1"),
        (PREFERENCE | {"preferred_output": [USER]}, "preferred_output[0].role: invalid value 'user'"),
        (
            PREFERENCE | {"non_preferred_output": [{"role": "tool", "content": "4", "tool_call_id": "x"}]},
            "preferred_output and non_preferred_output need a message of the assistant each",
        ),
        (
            {"input": {"messages": [USER]}, "preferred_output": [ASSISTANT], "non_preferred_completion": [ASSISTANT]},
            "an example of preference needs preferred_output and non_preferred_output",
        ),
        ({"prompt": "2 + 2 ="}, "object missing required field completion"),
        ({"completion": "4"}, "object missing required field prompt"),
        ({"prompt": "2 + 2 =", "completion": 4}, "completion: expected string, got int"),
    ],
)
def test_a_broken_example_is_told_where_it_is_broken(example: dict[str, object], reason: str) -> None:
    verdict = verdict_of(example)
    assert [(problem.line, problem.code, problem.message) for problem in verdict.problems] == [(1, Code.INVALID_EXAMPLE, reason)]
    assert verdict.kind is None


def test_fields_of_no_kind_are_of_no_kind() -> None:
    verdict = verdict_of({}, {"text": "x"}, {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {}})
    assert (found(verdict), verdict.kind) == ([(line, Code.UNKNOWN_KIND) for line in (1, 2, 3)], None)


@pytest.mark.parametrize("first", EXAMPLES)
@pytest.mark.parametrize("second", EXAMPLES)
def test_a_file_is_of_one_kind(first: Kind, second: Kind) -> None:
    verdict = verdict_of(EXAMPLES[first], EXAMPLES[second], EXAMPLES[first])
    assert verdict.kind is first
    if first is second or (first, second) == (Kind.REINFORCEMENT, Kind.CHAT):
        assert verdict.valid
    else:
        assert found(verdict) == [(2, Code.MISMATCHED_KIND)]


def test_the_first_good_line_decides() -> None:
    verdict = verdict_of({"messages": []}, {"prompt": 1}, COMPLETION, CHAT, {"messages": []}, {"prompt": 1}, COMPLETION)
    assert verdict.kind is Kind.COMPLETION
    assert found(verdict) == [
        (1, Code.INVALID_EXAMPLE),
        (2, Code.INVALID_EXAMPLE),
        (4, Code.MISMATCHED_KIND),
        (5, Code.MISMATCHED_KIND),
        (6, Code.INVALID_EXAMPLE),
    ]


def test_a_chat_example_needs_an_answer() -> None:
    verdict = verdict_of(CHAT, {"messages": [USER]}, CHAT)
    assert [(problem.line, problem.code) for problem in verdict.problems] == [(2, Code.INVALID_EXAMPLE)]
    assert verdict.problems[0].message == "a chat example needs a message of the assistant to learn from"


def test_a_further_field_in_a_chat_file_is_named() -> None:
    verdict = verdict_of(CHAT, CHAT | {"answer": 4})
    assert verdict.problems[0].message == (
        "only reinforcement examples have further fields, but the file began with chat examples: object contains unknown field answer"
    )


def test_reinforcement_may_begin_with_a_line_without_further_fields() -> None:
    verdict = verdict_of({"messages": [USER]}, REINFORCEMENT, CHAT, {"messages": [USER]}, {"messages": []})
    assert (verdict.kind, found(verdict)) == (Kind.REINFORCEMENT, [(5, Code.INVALID_EXAMPLE)])


def test_a_file_that_began_with_reinforcement_stays_so() -> None:
    verdict = verdict_of({"messages": [USER]}, CHAT, {"messages": [USER]}, CHAT)
    assert verdict == Verdict(Kind.REINFORCEMENT, 4, (), 0, (), complete=True)


def test_both_spellings_of_preference_go_together() -> None:
    assert verdict_of(PREFERENCE, OLDER_PREFERENCE, PREFERENCE).valid


def test_a_field_name_from_the_file_is_shown_short_and_printable() -> None:
    verdict = verdict_of(CHAT, CHAT | {"\x1b[2J" + "x" * 10_000: 4})
    message = verdict.problems[0].message
    assert message.isprintable()
    assert len(message) < 500
