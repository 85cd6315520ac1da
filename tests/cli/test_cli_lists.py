"""`fileplane ls` for people and for programs."""

from __future__ import annotations

import json

import pytest

from cli.command_line import CommandLine


def ids_of(page: str) -> list[str]:
    return [file["id"] for file in json.loads(page)["data"]]


@pytest.fixture
def files(cli: CommandLine) -> list[str]:
    """Five ids, oldest first: two of purpose evals, then three of user_data."""
    return [cli.upload(f"file {number}.txt", b"x" * number, "evals" if number < 2 else "user_data") for number in range(5)]


def test_programs_get_one_line_a_file_with_tabs_between(cli: CommandLine, files: list[str]) -> None:
    rows = [line.split("\t") for line in cli.succeed("ls").splitlines()]
    assert [row[0] for row in rows] == files[::-1]
    assert [row[2:] for row in rows[:1]] == [["4", "user_data", "-", "file 4.txt"]]
    assert rows[0][1].endswith("Z")


def test_an_empty_list_prints_nothing(cli: CommandLine) -> None:
    assert cli.succeed("ls") == ""
    assert json.loads(cli.succeed("ls", "--json"))["data"] == []
    assert json.loads(cli.succeed("ls", "--json", "--all"))["data"] == []


def test_json_is_the_list_as_the_server_sends_it(cli: CommandLine, files: list[str]) -> None:
    page = json.loads(cli.succeed("ls", "--json", "--limit", "2", "--order", "asc"))
    assert {name: page[name] for name in ("object", "first_id", "last_id", "has_more", "total")} == {
        "object": "list",
        "first_id": files[0],
        "last_id": files[1],
        "has_more": True,
        "total": 5,
    }


def test_files_of_one_purpose_are_listed_in_the_order_asked_for(cli: CommandLine, files: list[str]) -> None:
    assert ids_of(cli.succeed("ls", "--json", "--purpose", "evals", "--order", "asc")) == files[:2]
    assert ids_of(cli.succeed("ls", "--json", "--purpose", "evals", "--order", "desc")) == files[1::-1]


def test_a_page_that_is_not_the_last_says_how_to_get_the_next(cli: CommandLine, files: list[str]) -> None:
    done = cli.run("ls", "--limit", "2")
    assert done.stderr == f"There are more: --after {files[3]} shows the next page, --all every page.\n"
    assert ids_of(cli.succeed("ls", "--after", files[3], "--json")) == files[2::-1]


@pytest.mark.parametrize("limit", ["2", "5"])
def test_every_page_is_fetched_to_the_end(cli: CommandLine, files: list[str], limit: str) -> None:
    assert [line.partition("\t")[0] for line in cli.succeed("ls", "--all", "--limit", limit).splitlines()] == files[::-1]
    everything = json.loads(cli.succeed("ls", "--all", "--limit", limit, "--json", "--purpose", "user_data"))
    assert [file["id"] for file in everything["data"]] == files[:1:-1]
    assert (everything["object"], everything["has_more"]) == ("list", False)


@pytest.mark.parametrize(("limit", "complaint"), [("0", "'limit'"), ("10001", "'limit'")])
def test_a_limit_that_the_server_refuses_is_refused_in_its_words(cli: CommandLine, limit: str, complaint: str) -> None:
    assert complaint in cli.fail(3, "ls", "--limit", limit)


def test_an_unknown_cursor_is_refused(cli: CommandLine) -> None:
    assert "'after'" in cli.fail(3, "ls", "--after", "01890000-0000-7000-8000-000000000000")
