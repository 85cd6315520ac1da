"""Names that files may get here without anybody having asked for them."""

from __future__ import annotations

import re
from typing import Final

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.output import terminal_safe

_SEPARATORS: Final = re.compile(r"[/\\]")


def own_name(filename: object, advice: str) -> str:
    """The file's name as a server tells it, as far as it may name a file here. Raises :class:`CommandFailed`, ending in ``advice``.

    A name that begins with a dot is refused as well: in a home directory it could become the configuration of some program.
    """
    name = _SEPARATORS.split(filename)[-1] if isinstance(filename, str) else ""
    if not name or name.startswith(".") or terminal_safe(name) != name:
        raise CommandFailed(ExitCode.FAILED, f"The file's name '{name}' is not used here unasked. {advice}")
    return name
