"""Directories and patterns stand for the same files on every platform, and what is passed over is a decision."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.command_line import CommandLine
from fileplane.cli.finding import Finder, Found, Problem, Skipped
from fileplane.cli.patterns import Wanted, name_pattern, path_pattern


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with files, hidden ones, links, a loop and a pipe."""
    for name in ("d/b.txt", "d/a.jsonl", "d/sub/c.jsonl", "d/sub/.hidden", "d/.git/config", "d/sub/deep/e.jsonl", "[x].txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "d/link").symlink_to("a.jsonl")
    (tmp_path / "d/sub/up").symlink_to("..")
    os.mkfifo(tmp_path / "d/pipe")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*paths: str, include: list[str] | None = None, exclude: list[str] | None = None, **options: bool) -> list[str]:
    finder = Finder(Wanted(include or [], exclude or []), **options)
    return [finding.path for finding in finder.find(list(paths)) if isinstance(finding, Found)]


def problems(*paths: str) -> list[tuple[str, str]]:
    return [(one.path, str(one.failure)) for one in Finder(Wanted([], [])).find(list(paths)) if isinstance(one, Problem)]


@pytest.mark.usefixtures("tree")
def test_a_directory_stands_for_the_regular_files_below_it_in_the_order_of_names() -> None:
    assert found("d") == ["d/a.jsonl", "d/b.txt", "d/sub/c.jsonl", "d/sub/deep/e.jsonl"]
    assert found("d/sub/") == ["d/sub/c.jsonl", "d/sub/deep/e.jsonl"]


@pytest.mark.usefixtures("tree")
def test_links_and_pipes_in_a_directory_are_named_and_passed_over() -> None:
    skipped = [one.path for one in Finder(Wanted([], [])).find(["d"]) if isinstance(one, Skipped)]
    assert skipped == ["d/link", "d/pipe", "d/sub/up"]
    assert found("d/link", "d/pipe", "d/sub/.hidden") == ["d/link", "d/pipe", "d/sub/.hidden"]


@pytest.mark.usefixtures("tree")
def test_links_that_are_followed_do_not_lead_in_circles() -> None:
    assert found("d", follow=True) == ["d/a.jsonl", "d/b.txt", "d/link", "d/sub/c.jsonl", "d/sub/deep/e.jsonl"]


@pytest.mark.usefixtures("tree")
def test_what_begins_with_a_dot_is_found_on_demand() -> None:
    assert found("d", hidden=True)[0] == "d/.git/config"
    assert "d/sub/.hidden" in found("d", hidden=True)
    assert found("d/.git") == ["d/.git/config"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("d/*", ["d/a.jsonl", "d/b.txt"]),
        ("d/*.jsonl", ["d/a.jsonl"]),
        ("d/**/*.jsonl", ["d/a.jsonl", "d/sub/c.jsonl", "d/sub/deep/e.jsonl"]),
        ("**/c.*", ["d/sub/c.jsonl"]),
        ("d/*/[a-c].jsonl", ["d/sub/c.jsonl"]),
        ("d/[!a].txt", ["d/b.txt"]),
        ("d/**", ["d/a.jsonl", "d/b.txt", "d/sub/c.jsonl", "d/sub/deep/e.jsonl"]),
        ("d/?.txt", ["d/b.txt"]),
        ("[x].txt", ["[x].txt"]),
    ],
)
@pytest.mark.usefixtures("tree")
def test_a_pattern_stands_for_the_files_that_match(pattern: str, expected: list[str]) -> None:
    assert found(pattern) == expected


@pytest.mark.usefixtures("tree")
def test_includes_choose_and_excludes_are_stronger() -> None:
    assert found("d", include=["*.jsonl"]) == ["d/a.jsonl", "d/sub/c.jsonl", "d/sub/deep/e.jsonl"]
    assert found("d", include=["*.jsonl"], exclude=["sub"]) == ["d/a.jsonl"]
    assert found("d", include=["sub/*"]) == ["d/sub/c.jsonl"]
    assert found("d", exclude=["sub/deep", "*.txt"]) == ["d/a.jsonl", "d/sub/c.jsonl"]
    assert found("d/b.txt", include=["*.jsonl"]) == ["d/b.txt"]


@pytest.mark.usefixtures("tree")
def test_a_file_that_is_found_twice_is_taken_once() -> None:
    assert found("d/a.jsonl", "d/*.jsonl", "d/sub", "d/**/c.jsonl") == ["d/a.jsonl", "d/sub/c.jsonl", "d/sub/deep/e.jsonl"]


@pytest.mark.usefixtures("tree")
def test_a_path_that_stands_for_nothing_is_a_failure() -> None:
    assert problems("nothing*", "missing", "empty") == [
        ("nothing*", "No file matches the pattern."),
        ("missing", "No such file or directory."),
        ("empty", "There is no file in it to upload."),
    ]


@pytest.mark.parametrize("text", ["[", "[]", "[!]", "[z-a]", "a[b", "\\", "[\\]", "[[]", "[^a]", "(", "a**b", "***"])
def test_no_pattern_is_refused_for_how_it_is_written(text: str) -> None:
    assert name_pattern(text).fullmatch("nothing of the kind") is None or text == "***"
    assert path_pattern(f"x/{text}/y").fullmatch("x/nothing/z") is None


def test_a_directory_is_uploaded_and_each_file_gets_the_last_part_of_its_path(cli: CommandLine) -> None:
    for name in ("data/one.txt", "data/deep/two.txt", "data/.hidden"):
        path = cli.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (cli.directory / "data/link").symlink_to("one.txt")
    done = cli.run("upload", "data", "--purpose", "user_data", "--json")
    entries = json.loads(done.stdout)
    assert [(one["path"], one["file"]["filename"]) for one in entries] == [("data/deep/two.txt", "two.txt"), ("data/one.txt", "one.txt")]
    assert (done.returncode, done.stderr) == (0, "fileplane: data/link: It is a symbolic link: name it, or use --follow.\n")
    assert cli.succeed("upload", "data/*.txt", "--purpose", "user_data", "--quiet").endswith("  data/one.txt\n")
