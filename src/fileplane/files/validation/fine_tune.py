"""Training input: one example a line, all of one kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from fileplane.files.validation.checker import read_envelope
from fileplane.files.validation.examples import Chat, Completion, Preference, Reinforcement
from fileplane.files.validation.report import Code, Findings, Kind, reason_of

_DECODERS: Final[dict[Kind, Callable[[Any], Any]]] = {
    Kind.CHAT: msgspec.json.Decoder(Chat).decode,
    Kind.REINFORCEMENT: msgspec.json.Decoder(Reinforcement).decode,
    Kind.PREFERENCE: msgspec.json.Decoder(Preference).decode,
    Kind.COMPLETION: msgspec.json.Decoder(Completion).decode,
}
_MEANT: Final = {
    Kind.REINFORCEMENT: "chat or reinforcement",
    Kind.PREFERENCE: "preference",
    Kind.COMPLETION: "completion",
}
_UNKNOWN_FIELD: Final = "Object contains unknown field"
"""How msgspec's message begins; it has no type of its own for it."""

_NO_ANSWER: Final = "a chat example needs a message of the assistant to learn from"


class _Envelope(Struct, gc=False):
    """Any object, in order to see what it was meant to be."""

    messages: Raw = Raw()
    input: Raw = Raw()
    preferred_output: Raw = Raw()
    preferred_completion: Raw = Raw()
    prompt: Raw = Raw()
    completion: Raw = Raw()


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class FineTuneChecker:
    """Lines of purpose ``fine-tune``. The first valid line decides on the kind, and every later one must be of that kind.

    A line with ``messages`` is a chat example when the assistant speaks in it and it has no fields but ``tools``,
    ``parallel_tool_calls`` and ``functions`` beside them; otherwise it is an item of reinforcement training, where any further field is
    the grader's. So every chat example would do for reinforcement too, and is let pass in a file that began with reinforcement. With
    ``input`` or a preferred answer, and no ``messages``, a line is a preference; with ``prompt`` or ``completion`` a completion.
    """

    purpose: Final = "fine-tune"

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.kind: Kind | None = None
        self.decode: Callable[[Any], Any] = _DECODERS[Kind.CHAT]

    def accept(self, records: Iterable[object]) -> None:
        """See :meth:`LineChecker.accept`."""
        findings = self._findings
        for record in records:
            findings.line += 1
            if type(record) is Chat and self.kind is not Kind.REINFORCEMENT:
                self._accept_chat(record)

    def _accept_chat(self, example: Chat) -> None:
        if example.has_answer:
            self.kind = Kind.CHAT
        elif self.kind is None:
            self._settle(Kind.REINFORCEMENT)
        else:
            self._findings.add(Code.INVALID_EXAMPLE, _NO_ANSWER)

    def refuse(self, text: memoryview, error: Exception) -> None:
        """See :meth:`LineChecker.refuse`."""
        envelope = read_envelope(_ENVELOPE, text, self._findings)
        if envelope is None:
            return
        looks = _looks(envelope)
        if looks is None:
            message = "the line has neither messages, nor input with preferred_output, nor prompt with completion"
            self._findings.add(Code.UNKNOWN_KIND, message)
        elif looks is Kind.REINFORCEMENT and self.kind in {None, Kind.CHAT}:
            self._take_no_chat(text, error)
        elif self.kind in {None, looks}:
            self._take(text, looks)
        else:
            message = f"the line looks like a {_MEANT[looks]} example, but the file began with {self.kind} examples"
            self._findings.add(Code.MISMATCHED_KIND, message)

    def _take_no_chat(self, text: memoryview, error: Exception) -> None:
        """A line with messages that is no chat example because of ``error``: an item of reinforcement training, or broken."""
        if not str(error).startswith(_UNKNOWN_FIELD):
            self._findings.add(Code.INVALID_EXAMPLE, reason_of(error))
        elif self.kind is Kind.CHAT and _flaw(text, Kind.REINFORCEMENT) is None:
            message = f"only reinforcement examples have further fields, but the file began with chat examples: {reason_of(error)}"
            self._findings.add(Code.MISMATCHED_KIND, message)
        else:
            self._take(text, Kind.REINFORCEMENT)

    def _take(self, text: memoryview, kind: Kind) -> None:
        reason = _flaw(text, kind)
        if reason is None:
            self._settle(kind)
        else:
            self._findings.add(Code.INVALID_EXAMPLE, reason)

    def _settle(self, kind: Kind) -> None:
        self.kind = kind
        self.decode = _DECODERS[kind]


def _looks(envelope: _Envelope) -> Kind | None:
    """What a line that is no chat example was meant to be, by its fields."""
    if envelope.messages:
        return Kind.REINFORCEMENT
    if envelope.input or envelope.preferred_output or envelope.preferred_completion:
        return Kind.PREFERENCE
    if envelope.prompt or envelope.completion:
        return Kind.COMPLETION
    return None


def _flaw(text: memoryview, kind: Kind) -> str | None:
    try:
        _DECODERS[kind](text)
    except msgspec.ValidationError as error:
        return reason_of(error)
    return None
