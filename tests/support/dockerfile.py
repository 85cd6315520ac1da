"""The project's Dockerfile, taken apart."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from support.documents import ROOT

_FLAG = re.compile(r"--([\w-]+)=(\S+)\s+")


@dataclass(frozen=True)
class Instruction:
    """One instruction with its flags; ``words`` are its arguments, of the JSON form as well as of the plain one."""

    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        return json.loads(self.text) if self.text.startswith("[") else self.text.split()


@dataclass
class Stage:
    image: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.name == name]

    def only(self, name: str) -> Instruction:
        [found] = self.all(name)
        return found

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for instruction in self.all("ENV") for word in instruction.words)


def stages(text: str | None = None) -> list[Stage]:
    """Of the project's Dockerfile, in its order."""
    text = (ROOT / "Dockerfile").read_text("utf-8") if text is None else text
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        name, _, rest = line.partition(" ")
        flags: dict[str, str] = {}
        rest = rest.strip()
        while match := _FLAG.match(rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if name == "FROM":
            image, *named = rest.split()
            found.append(Stage(image, named[-1] if named else None))
        else:
            found[-1].instructions.append(Instruction(name, flags, rest))
    return found


def command_of(instruction: Instruction) -> list[str]:
    """What a HEALTHCHECK runs, in exec form."""
    return Instruction("CMD", {}, instruction.text.partition("CMD")[2].strip()).words
