"""What is drawn on a terminal, by Rich. Imported only when there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fileplane.cli.meter import Meter
from fileplane.cli.progress_line import progress_line

_BLOCKS: Final = "━─"
_SIMPLE_BLOCKS: Final = "#-"


def draw_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """On standard output. The cells are taken to the letter, not as markup."""
    table = Table(*headings)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@contextmanager
def drawn_meters(meters: Sequence[tuple[str, Meter]]) -> Iterator[None]:
    """A line on standard error for each name and meter, for the length of a block and gone afterwards, as wide as the terminal is."""
    console = Console(stderr=True)
    blocks = _SIMPLE_BLOCKS if console.legacy_windows or not console.encoding.startswith("utf") else _BLOCKS

    def lines() -> Text:
        # A terminal that is filled to the last column may have moved to the next line by itself.
        texts = (progress_line(name, meter, console.width - 1, blocks=blocks) for name, meter in meters)
        return Text("\n".join(texts), no_wrap=True, overflow="crop")

    with Live(get_renderable=lines, console=console, transient=True, refresh_per_second=8, redirect_stdout=False, redirect_stderr=False):
        yield


@contextmanager
def drawn_status() -> Iterator[Callable[[str], None]]:
    """A line on standard error for the length of a block, gone afterwards; what it gives replaces its text, taken to the letter."""
    with Console(stderr=True).status(Text("")) as status:
        yield lambda text: status.update(Text(text))
