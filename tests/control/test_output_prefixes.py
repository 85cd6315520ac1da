"""Output prefixes: each is for one project, whoever may use the virtual key later, and nobody widens them without the secrets."""

from __future__ import annotations

from typing import Any

import pytest

from control.conftest import Plane
from fileplane import errors
from fileplane.routing.output_prefixes import outputs_of

AWS = {
    "provider": "bedrock",
    "aws_access_key_id": "AKIA1",
    "aws_secret_access_key": "s",
    "aws_region": "us-east-1",
    "aws_s3_bucket": "files",
}


async def prefixes_of(plane: Plane, slug: str) -> str:
    opened = await plane.virtual_keys.resolve(plane.project.project_id, slug)
    return opened.clear.get("output_prefixes", "")


@pytest.mark.parametrize("given", ["results/,more/b/", ["results/", "more/b/"], '["results/", "more/b/"]', "results/, more/b/"])
async def test_a_prefix_that_names_no_project_is_for_the_only_one_for_ever(plane: Plane, given: Any) -> None:
    made = await plane.make(output_prefixes=given, **AWS)
    mine, other = plane.project.project_id, plane.other.project_id
    assert await prefixes_of(plane, made.slug) == f"results/={mine},more/b/={mine}"
    await plane.change(made.slug, plane.organisation, workspace_ids=[mine, other])
    text = await prefixes_of(plane, made.slug)
    assert outputs_of(text, mine) == ("results/", "more/b/")
    assert outputs_of(text, other) == ()


async def test_a_virtual_key_of_several_projects_says_whose_each_prefix_is(plane: Plane) -> None:
    both = {"workspace_ids": ["one", "other"], **AWS}
    with pytest.raises(errors.MissingParameter, match="results/") as caught:
        await plane.make(plane.organisation, output_prefixes="results/", **both)
    assert caught.value.param == "output_prefixes"
    made = await plane.make(plane.organisation, output_prefixes="results/a/=one,results/b/=other", **both)
    text = await prefixes_of(plane, made.slug)
    assert outputs_of(text, plane.project.project_id) == ("results/a/",)
    assert outputs_of(text, plane.other.project_id) == ("results/b/",)
    assert outputs_of(text, "") == ()


async def test_a_project_declares_nothing_for_another(plane: Plane) -> None:
    for named in ("other", plane.other.project_id, "nobody"):
        with pytest.raises(errors.OrganisationKeyNeeded):
            await plane.make(output_prefixes=f"results/={named}", **AWS)


async def test_only_who_has_the_secrets_lets_more_be_read(plane: Plane) -> None:
    made = await plane.make(output_prefixes="results/", **AWS)
    for wider in ("results/,more/", "more/"):
        with pytest.raises(errors.OrganisationKeyNeeded, match="output_prefixes"):
            await plane.change(made.slug, output_prefixes=wider)
    secrets = {name: AWS[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    await plane.change(made.slug, output_prefixes="results/,more/", **secrets)
    await plane.change(made.slug, output_prefixes="more/")
    assert await prefixes_of(plane, made.slug) == f"more/={plane.project.project_id}"
    await plane.change(made.slug, output_prefixes=None)
    assert await prefixes_of(plane, made.slug) == ""


@pytest.mark.parametrize(
    "given",
    [
        "results",
        "/",
        "",
        "/results/",
        "a//b/",
        "../",
        "a/../b/",
        "./",
        "fileplane/",
        "fileplane/x/",
        "a/,fileplane/",
        "a/=b/=c",
        [1],
        ["a/,b/"],
        {},
        5,
    ],
)
async def test_what_is_no_prefix_or_covers_what_the_catalog_decides_is_refused(plane: Plane, given: Any) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await plane.make(output_prefixes=given, **AWS)
    assert caught.value.param == "output_prefixes"
