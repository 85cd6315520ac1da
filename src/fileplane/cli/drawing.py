"""What is drawn on a terminal, by Rich. Imported only when there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table
from rich.text import Text

_WIDEST_NAME: Final = 40


def draw_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """On standard output. The cells are taken to the letter, not as markup."""
    table = Table(*headings)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@contextmanager
def drawn_bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar of bytes on standard error for the length of a block, gone afterwards; what it gives is told of each piece."""
    name = TextColumn("{task.description}", markup=False, table_column=Column(max_width=_WIDEST_NAME, no_wrap=True, overflow="ellipsis"))
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def drawn_status() -> Iterator[Callable[[str], None]]:
    """A line on standard error for the length of a block, gone afterwards; what it gives replaces its text, taken to the letter."""
    with Console(stderr=True).status(Text("")) as status:
        yield lambda text: status.update(Text(text))
