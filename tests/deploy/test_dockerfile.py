from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from support.deployment import installed
from support.dockerfile import command_of, stages
from support.documents import ROOT, read

BUILD, FINAL = stages()


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", line)[0] for line in requirements if line and not line.startswith(("#", "-"))}


def lint(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([installed("hadolint"), "-"], input=text, capture_output=True, text=True, timeout=30, check=False)


def test_the_linter_has_nothing_to_say_of_it():
    result = lint(read("Dockerfile"))
    assert (result.returncode, result.stdout) == (0, "")


def test_the_linter_would_say_something():
    assert lint(read("Dockerfile").replace('ENTRYPOINT ["fileplane"]', "ENTRYPOINT fileplane")).returncode == 1


def test_both_stages_stand_on_the_same_image_of_a_named_version():
    assert BUILD.image == FINAL.image
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", BUILD.image)


def test_everything_that_is_copied_exists_and_reaches_the_build():
    admitted = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]
    copied = [word for stage in (BUILD, FINAL) for copy in stage.all("COPY") if "from" not in copy.flags for word in copy.words[:-1]]
    assert sorted(copied) == sorted(admitted)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_what_the_image_holds_comes_from_the_build_alone_and_nothing_is_run_in_it():
    assert FINAL.all("RUN") == []
    assert {copy.flags.get("from") for copy in FINAL.all("COPY") if copy.words[0] != "LICENSE"} == {BUILD.name}


def test_it_runs_as_a_number_that_is_not_root_and_owns_the_volume():
    user = FINAL.only("USER").text
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    volume = FINAL.only("VOLUME").text
    assert volume == FINAL.environment["FILEPLANE_DATA_DIR"]
    assert [copy.flags.get("chown") for copy in FINAL.all("COPY") if copy.words[-1] == volume] == [user]


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
def test_what_it_runs_gets_its_signals_itself(name: str):
    assert FINAL.only(name).text.startswith("[")
    assert command_of(FINAL.only("HEALTHCHECK"))[0] == "python"


def test_it_has_every_extra_and_every_dependency_and_nothing_else():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    listed = read("requirements/image.in").splitlines() + read("requirements/runtime.in").splitlines()
    assert names_of(listed) == names_of(wanted)


def test_its_packages_are_of_the_versions_that_the_tests_run_with():
    def versions(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", read(f"requirements/{name}.txt"), re.MULTILINE))

    tested, kept = versions("development"), versions("image")
    assert len(kept) > len(versions("runtime"))
    assert {name: version for name, version in kept.items() if tested.get(name) != version} == {}
