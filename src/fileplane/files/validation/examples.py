"""The shapes of training examples, one type each.

They ask for what every provider asks for. Fields they do not name are let pass, except at the top of a chat example, where such a
field tells that the line is an item of reinforcement training.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from fileplane.files.validation.checker import AnyObject

_Name: TypeAlias = Annotated[str, Meta(min_length=1)]


class _Part(Struct, gc=False):
    """One part of a message's content, such as a text or an image."""

    type: _Name
    text: str | None = None

    def __post_init__(self) -> None:
        if self.type == "text" and self.text is None:
            raise ValueError("a part of type text needs a text")


_Content: TypeAlias = str | Annotated[list[_Part], Meta(min_length=1)]


class _Call(Struct, gc=False):
    name: _Name
    arguments: str


class _ToolCall(Struct, gc=False):
    id: _Name
    type: _Name
    function: _Call | None = None

    def __post_init__(self) -> None:
        if self.type == "function" and self.function is None:
            raise ValueError("a call of type function needs a function")


class _Function(Struct, gc=False):
    name: _Name
    parameters: AnyObject | None = None


class _Tool(Struct, gc=False):
    type: _Name
    function: _Function | None = None

    def __post_init__(self) -> None:
        if self.type == "function" and self.function is None:
            raise ValueError("a tool of type function needs a function")


class _SystemMessage(Struct, gc=False, tag_field="role", tag="system"):
    content: _Content


class _DeveloperMessage(Struct, gc=False, tag_field="role", tag="developer"):
    content: _Content


class _UserMessage(Struct, gc=False, tag_field="role", tag="user"):
    content: _Content


class AssistantMessage(Struct, gc=False, tag_field="role", tag="assistant"):
    """What the model says, or whom it calls; ``weight`` tells whether to learn from it."""

    content: _Content | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[_ToolCall], Meta(min_length=1)] | None = None
    function_call: _Call | None = None
    weight: Literal[0, 1] | None = None

    def __post_init__(self) -> None:
        if self.content is None and self.refusal is None and self.tool_calls is None and self.function_call is None:
            raise ValueError("a message of the assistant needs content or tool_calls")


class ToolMessage(Struct, gc=False, tag_field="role", tag="tool"):
    """What a called tool answered."""

    content: _Content
    tool_call_id: _Name


class _FunctionMessage(Struct, gc=False, tag_field="role", tag="function"):
    name: _Name
    content: str | None


_Messages: TypeAlias = Annotated[
    list[_SystemMessage | _DeveloperMessage | _UserMessage | AssistantMessage | ToolMessage | _FunctionMessage], Meta(min_length=1)
]
_Output: TypeAlias = Annotated[list[AssistantMessage | ToolMessage], Meta(min_length=1)]


class Chat(Struct, gc=False, forbid_unknown_fields=True):
    """A conversation to learn from."""

    messages: _Messages
    tools: list[_Tool] | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[_Function], Meta(min_length=1, max_length=128)] | None = None

    @property
    def has_answer(self) -> bool:
        """Whether the assistant says anything in it."""
        return any(type(message) is AssistantMessage for message in self.messages)


class Reinforcement(Struct, gc=False):
    """A conversation to answer, with any further fields for the grader."""

    messages: _Messages
    tools: list[_Tool] | None = None


class _PreferenceInput(Struct, gc=False):
    messages: _Messages
    tools: list[_Tool] | None = None
    parallel_tool_calls: bool | None = None


class Preference(Struct, gc=False):
    """A conversation with a better and a worse answer, under the newer names or the older ones."""

    input: _PreferenceInput
    preferred_output: _Output | None = None
    non_preferred_output: _Output | None = None
    preferred_completion: _Output | None = None
    non_preferred_completion: _Output | None = None

    def __post_init__(self) -> None:
        newer, older = (self.preferred_output, self.non_preferred_output), (self.preferred_completion, self.non_preferred_completion)
        for answers in newer if None in older else older:
            if answers is None:
                raise ValueError("an example of preference needs preferred_output and non_preferred_output")
            if not any(type(message) is AssistantMessage for message in answers):
                raise ValueError("preferred_output and non_preferred_output need a message of the assistant each")


class Completion(Struct, gc=False):
    """A prompt and what follows it."""

    prompt: str
    completion: str
