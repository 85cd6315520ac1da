"""The fields of a request's body beside its messages: each is taken by the family, means nothing elsewhere, or is refused."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import FIELDS, NUMBER, TEXT, WHOLE, Fields, read

IGNORED: Final = frozenset(
    {
        "messages",
        "metadata",
        "model",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "stream_options",
        "user",
    }
)
"""Fields that do not change what is answered, or only promise to try, such as ``seed``; they are left out where nobody takes them."""

_NEUTRAL: Final = {
    "frequency_penalty": ("0", "0.0"),
    "logit_bias": ("{}",),
    "logprobs": ("false",),
    "modalities": ('["text"]', '[ "text" ]'),
    "n": ("1",),
    "parallel_tool_calls": ("true",),
    "presence_penalty": ("0", "0.0"),
    "stream": ("false",),
    "top_logprobs": ("0",),
    "tools": ("[]",),
    "functions": ("[]",),
}
"""Values that say what happens anyway."""

_NEUTRAL_TOOL_CHOICES: Final = ('"none"', '"auto"')


class Tool(Struct, gc=False):
    """A function that the model may call. The schema of its parameters stays as it was written."""

    name: str
    description: str | None = None
    parameters: Raw = Raw(b'{"type":"object","properties":{}}')
    strict: bool | None = None


class _Declared(Struct, gc=False):
    type: str
    function: Tool | None = None


class ToolChoice(Struct, frozen=True):
    """Which tools may be called: ``auto``, ``none``, ``required``, or ``function`` with a name."""

    mode: str
    name: str = ""


class _ChosenFunction(Struct, gc=False):
    name: str


class _Chosen(Struct, gc=False):
    type: str
    function: _ChosenFunction | None = None


class JsonSchema(Struct, gc=False):
    """The schema that an answer must follow, as it was written."""

    schema: Raw = Raw()


class ResponseFormat(Struct, gc=False):
    """The form of answers: ``text``, ``json_object``, or ``json_schema``."""

    type: str
    json_schema: JsonSchema | None = None


_TOOLS: Final = msgspec.json.Decoder(list[_Declared])
_CHOSEN: Final = msgspec.json.Decoder(str | _Chosen)
_STOP: Final = msgspec.json.Decoder(str | list[str])
_FLAG: Final = msgspec.json.Decoder(bool)
_FORMAT: Final = msgspec.json.Decoder(ResponseFormat)


class Parameters:
    """The body's fields, taken one by one; :meth:`finish` refuses what nobody took and what would be missed.

    Each method raises :class:`~fileplane.providers.jsonl.problems.Unusable` for a value of another type.
    """

    def __init__(self, body: Fields) -> None:
        self._body = body
        self._taken: set[str] = set()

    def number(self, *names: str) -> Raw | None:
        """The first of these fields that is there, a number in its own spelling. All of them count as taken."""
        return self._first(names, NUMBER)

    def whole(self, *names: str) -> Raw | None:
        """The same for whole numbers."""
        return self._first(names, WHOLE)

    def text(self, name: str) -> str | None:
        """A text."""
        value = self._take(name)
        return None if value is None else read(TEXT, value, f"body.{name}")

    def flag(self, name: str) -> bool | None:
        """A truth."""
        value = self._take(name)
        return None if value is None else read(_FLAG, value, f"body.{name}")

    def object(self, name: str) -> Raw | None:
        """Any object, as it was written."""
        value = self._take(name)
        if value is not None:
            read(FIELDS, value, f"body.{name}")
        return value

    def raw(self, name: str) -> Raw:
        """A field that is there, whatever it is."""
        self._taken.add(name)
        return self._body[name]

    def stops(self) -> list[str]:
        """Texts at which the answer ends; none if there are none."""
        value = self._take("stop")
        if value is None:
            return []
        stops = read(_STOP, value, "body.stop")
        return [stops] if isinstance(stops, str) else stops

    def tools(self) -> list[Tool]:
        """The functions that may be called; none if there are none."""
        value = self._take("tools")
        return [] if value is None else [_function(tool) for tool in read(_TOOLS, value, "body.tools")]

    def tool_choice(self) -> ToolChoice | None:
        """Which of them may be called."""
        value = self._take("tool_choice")
        if value is None:
            return None
        chosen = read(_CHOSEN, value, "body.tool_choice")
        if isinstance(chosen, str):
            if chosen not in {"auto", "none", "required"}:
                raise Unusable(f"body.tool_choice {quoted(chosen)} is none that can be carried over.")
            return ToolChoice(chosen)
        if chosen.type != "function" or chosen.function is None:
            raise Unusable(f"body.tool_choice of type {quoted(chosen.type)} cannot be carried over, only of functions.")
        return ToolChoice("function", chosen.function.name)

    def response_format(self) -> ResponseFormat | None:
        """The form of answers, or None for plain text."""
        value = self._take("response_format")
        if value is None:
            return None
        form = read(_FORMAT, value, "body.response_format")
        return None if form.type == "text" else form

    def finish(self) -> None:
        """Raises :class:`Unusable` for the first field that was not taken and cannot be left out without a change of meaning."""
        for name, value in self._body.items():
            if name in self._taken or name in IGNORED or _says_nothing(name, value):
                continue
            raise Unusable(f"body.{name[:60]} cannot be carried over to this model; leave it out.")

    def _take(self, name: str) -> Raw | None:
        self._taken.add(name)
        return self._body.get(name)

    def _first(self, names: tuple[str, ...], decoder: msgspec.json.Decoder[Any]) -> Raw | None:
        first: Raw | None = None
        for name in names:
            value = self._take(name)
            if value is not None and first is None:
                read(decoder, value, f"body.{name}")
                first = value
        return first


def declared_tools(fields: Fields) -> list[Tool]:
    """The tools of an example for fine-tuning. Raises :class:`Unusable`."""
    return [_function(tool) for tool in read(_TOOLS, fields["tools"], "tools")] if "tools" in fields else []


def put(target: dict[str, object], name: str, value: object) -> None:
    """Sets a field, unless the value is None or empty."""
    if value is not None and value not in ([], {}):
        target[name] = value


def given(value: Raw | None, default: int) -> Raw | int:
    """A number in its spelling, or the default."""
    return default if value is None else value


def _function(tool: _Declared) -> Tool:
    if tool.type != "function" or tool.function is None:
        raise Unusable(f"a tool of type {quoted(tool.type)} cannot be carried over, only functions.")
    return tool.function


def _says_nothing(name: str, value: Raw) -> bool:
    written = bytes(value).decode()
    if name == "tool_choice":
        return written in _NEUTRAL_TOOL_CHOICES
    if name == "response_format":
        return read(_FORMAT, value, "body.response_format").type == "text"
    return written in _NEUTRAL.get(name, ())
