"""The log of ``strace -f -y``, call by call."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"(?P<thread>\d+) +(?P<text>.*)")
_BEGIN = re.compile(r"(?P<name>\w+)\((?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_UNFINISHED = "<unfinished ...>"
_DESCRIPTOR = re.compile(r"(?P<number>\d+)<(?P<path>[^>]*)>")


@dataclass
class Call:
    """One system call. ``began`` and ``ended`` count the log's lines, so that of two calls it can be told which was over first."""

    thread: int
    name: str
    text: str
    began: int
    ended: int | None = None

    @property
    def injected(self) -> bool:
        """Whether it was failed on purpose."""
        return self.text.endswith("(INJECTED)")

    @property
    def path(self) -> str:
        """What its first descriptor was a descriptor of."""
        match = _DESCRIPTOR.search(self.text)
        return "" if match is None else match["path"]


def read_calls(log: str) -> list[Call]:
    """Every call, in the order in which they began. One that never came back has no end."""
    calls: list[Call] = []
    unfinished: dict[int, Call] = {}
    for number, line in enumerate(log.splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        thread, text = int(match["thread"]), match["text"]
        if resumed := _RESUMED.fullmatch(text):
            call = unfinished.pop(thread)
            call.text += resumed["rest"]
            call.ended = number
        elif begun := _BEGIN.fullmatch(text):
            call = Call(thread, begun["name"], text.removesuffix(_UNFINISHED), number)
            calls.append(call)
            if text.endswith(_UNFINISHED):
                unfinished[thread] = call
            else:
                call.ended = number
    return calls
