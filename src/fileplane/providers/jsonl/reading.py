"""JSON as callers wrote it: only what is looked at is decoded, the rest stays the bytes it was, and every failure has a sentence."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from fileplane.providers.jsonl.problems import Unusable

T = TypeVar("T")

Fields = dict[str, Raw]
"""An object's fields, each as it was written. Of a name that occurs twice the last counts, as in most readers."""


class Object(Struct, gc=False):
    """Any JSON object, whatever it holds."""


FIELDS: Final = msgspec.json.Decoder(Fields)
TEXT: Final = msgspec.json.Decoder(str)
WHOLE: Final = msgspec.json.Decoder(int)
NUMBER: Final = msgspec.json.Decoder(int | float)
_OBJECT: Final = msgspec.json.Decoder(Object)
_ENCODER: Final = msgspec.json.Encoder()

encoded: Final = _ENCODER.encode
"""Compact JSON. What is :class:`msgspec.Raw` in it goes out as it came in, so numbers keep their spelling."""


def is_given(value: Raw) -> bool:
    """Whether a field that may be missing, an empty :class:`~msgspec.Raw`, or null is neither."""
    return bool(value) and bytes(value) != b"null"


def read(decoder: msgspec.json.Decoder[T], text: bytes | Raw, place: str = "") -> T:
    """What ``decoder`` makes of the text. Raises :class:`Unusable`, which names ``place``, a field such as ``body``, if there is one.

    Not JSON are halves of surrogate pairs, NaN and Infinity too. JSON that is nested beyond what the decoder follows is refused.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise Unusable(f"{_located(str(error), place)}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unusable(f"it is not valid JSON: {error}.") from None
    except RecursionError:
        raise Unusable("its JSON is nested too deeply.") from None


def one_line(text: bytes) -> bytes:
    """The same JSON without white space between its parts, where that might hold a break. Raises :class:`Unusable` if nested too deeply.

    What follows when a carriage return stands alone within a line is for readers to say, and some begin a new line.
    """
    if b"\n" not in text and b"\r" not in text:
        return text
    try:
        return msgspec.json.format(text, indent=-1)
    except RecursionError:
        raise Unusable("its JSON is nested too deeply.") from None


def object_in(text: str) -> Raw:
    """JSON that somebody wrote into a string, such as the arguments of a tool's call, as an object. It may have breaks: :func:`one_line`.

    Raises :class:`Unusable` for anything but an object. An empty string stands for an object without fields, as with OpenAI.
    """
    if not text.strip():
        return Raw(b"{}")
    content = text.encode()
    read(_OBJECT, content)
    return Raw(content)


def text_of(value: Any) -> str:
    """A value as the JSON text that stands for it, in one line."""
    return encoded(value).decode()


def _located(message: str, place: str) -> str:
    problem, _, path = message.partition(" - at `$")
    where = (place + path.removesuffix("`")).removeprefix(".")
    problem = problem[:1].lower() + problem[1:]
    return f"{where}: {problem}" if where else problem
