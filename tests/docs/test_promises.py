from __future__ import annotations

import ast
import re

import pytest

from support.documents import ROOT, read

COLUMNS = ["id", "promise", "how it is kept", "tests", "not promised"]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def table() -> list[list[str]]:
    """The cells of docs/promises.md, without those of the heading."""
    lines = [line for line in read("docs/promises.md").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == COLUMNS
    return cells[2:]


def named_tests() -> list[tuple[str, str]]:
    return sorted({match for cells in table() for match in TEST.findall(cells[COLUMNS.index("tests")])})


def functions_of(path: str) -> set[str]:
    """The names of a module's tests, whether or not it can be imported here."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))) if isinstance(node, functions)}


def test_every_promise_has_an_id_of_its_own_and_every_cell_filled():
    ids = [cells[0] for cells in table()]
    assert ids
    assert ids == sorted(set(ids), key=lambda name: int(name.removeprefix("R")))
    for cells in table():
        assert len(cells) == len(COLUMNS)
        assert all(cells), cells[0]


@pytest.mark.parametrize("cells", table(), ids=lambda cells: cells[0])
def test_every_promise_names_tests_and_nothing_else_in_their_cell(cells: list[str]):
    cell = cells[COLUMNS.index("tests")]
    assert TEST.search(cell)
    assert TEST.sub("", cell).replace("<br>", "").strip() == ""


@pytest.mark.parametrize(("path", "name"), named_tests(), ids=map("::".join, named_tests()))
def test_every_test_that_a_promise_names_exists(path: str, name: str):
    assert name.startswith("test_")
    assert name in functions_of(path)
