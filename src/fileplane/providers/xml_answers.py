"""XML of providers, read without what makes XML dangerous: no document type, and so no entities, and bounds for depth and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from fileplane.errors import UpstreamAnswerInvalid

_DEEPEST: Final = 12
_MOST_ELEMENTS: Final = 50_000
"""A page of a thousand objects has some eight thousand."""


@dataclass(slots=True)
class Element:
    """An element without its namespace and attributes."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def value(self, name: str) -> str | None:
        """The text of the first child of that name."""
        return next((child.text for child in self.all(name)), None)


class _Refused(Exception):
    """Ends the parsing."""


def parse_xml(body: bytes) -> Element:
    """The root of a document in UTF-8. Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for everything that is none."""
    top = Element("")
    open_elements = [top]
    texts: list[list[str]] = [[]]
    count = 0

    def begin(name: str, _attributes: object) -> None:
        nonlocal count
        count += 1
        if len(open_elements) > _DEEPEST or count > _MOST_ELEMENTS:
            raise _Refused
        element = Element(name.rpartition("}")[2])
        open_elements[-1].children.append(element)
        open_elements.append(element)
        texts.append([])

    def end(_name: str) -> None:
        # Joined once: between thousands of children, a text that grows is copied as often.
        open_elements.pop().text = "".join(texts.pop())

    def text(data: str) -> None:
        texts[-1].append(data)

    def refuse(*_: object) -> None:
        raise _Refused

    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ProcessingInstructionHandler = refuse
    try:
        parser.Parse(body.lstrip(), True)  # servers keep a long call alive with white space, also before the declaration
    except (expat.ExpatError, _Refused, ValueError) as error:
        raise UpstreamAnswerInvalid("The provider's answer is no XML that can be read.") from error
    return top.children[0]
