"""Lists of configs with several targets, of which some are of one account, know other ids, or have lost the cursor."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conftest import Fake, Project, as_header
from support.jobs import manual_fake

LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


def _spread(*targets: dict[str, Any]) -> dict[str, str]:
    return as_header({"strategy": {"mode": "loadbalance"}, "targets": list(targets)})


def _target(project: Project, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url, **more}


def _walked(project: Project, headers: dict[str, str], path: str = "/files", limit: int = 2, **query: str) -> list[str]:
    seen: list[str] = []
    for _ in range(20):
        answer = project.client.get(path, params={"limit": limit, **query, **({"after": seen[-1]} if seen else {})}, headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            return seen
    raise AssertionError(f"there is always more: {seen}")


def _uploaded(project: Project, headers: dict[str, str], count: int) -> list[str]:
    """Newest first."""
    return [project.upload(headers, LINE, "a.jsonl").json()["id"] for _ in range(count)][::-1]


def test_two_targets_of_one_account_are_one_list(project: Project) -> None:
    made = _uploaded(project, project.own, 3)
    differing = [{"request_timeout": 5_000}, {"request_timeout": 60_000}, {"forward_headers": ["x-mine"]}]
    spread = _spread(*(_target(project, **more) for more in differing))
    assert _walked(project, {**spread, "x-mine": "yes"}) == made


def test_a_virtual_key_and_its_own_credential_have_every_file_once(project: Project) -> None:
    slug = project.virtual_key(credential=project.credential)
    own, stored = _uploaded(project, project.own, 3), _uploaded(project, {"x-portkey-virtual-key": slug}, 3)
    assert _walked(project, _spread({"virtual_key": slug}, _target(project))) == [*stored, *own]


def test_batches_of_two_targets_of_one_account_are_one_list(project: Project) -> None:
    [file_id] = _uploaded(project, project.own, 1)
    asked = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = [project.client.post("/batches", headers=project.own, json=asked).json()["id"] for _ in range(3)]
    spread = _spread(_target(project, request_timeout=5_000), _target(project, request_timeout=60_000))
    assert sorted(_walked(project, spread, "/batches")) == sorted(made)


@pytest.mark.parametrize("beside", ["own", "native"])
def test_a_file_that_was_deleted_between_two_pages_still_leads_to_the_next(project: Project, beside: str) -> None:
    slug = project.virtual_key(credential=project.credential)
    made = _uploaded(project, {"x-portkey-virtual-key": slug}, 4)
    other = {"provider": "fileplane"} if beside == "native" else _target(project, api_key=project.credential + "-second")
    spread = _spread({"virtual_key": slug}, other)
    assert project.client.delete(f"/files/{made[1]}", headers={"x-portkey-virtual-key": slug}).status_code == 200
    answer = project.client.get("/files", params={"limit": 2, "after": made[1]}, headers=spread)
    assert [one["id"] for one in answer.json()["data"]] == made[2:], answer.text


@pytest.mark.parametrize("status", [400, 422])
def test_a_provider_that_refuses_the_form_of_another_s_ids_does_not_end_the_list(project: Project, fake: Fake, status: int) -> None:
    second = project.credential + "-second"
    made = [*_uploaded(project, project.own, 2), *_uploaded(project, {**project.own, "authorization": f"Bearer {second}"}, 4)]
    spread = _spread(_target(project), _target(project, api_key=second))
    fake.plan("refuse", "get", status=status, body={"error": {"message": "Input should be a valid UUID"}})
    answer = project.client.get("/files", params={"limit": 2, "after": made[3]}, headers=spread)
    assert [one["id"] for one in answer.json()["data"]] == made[4:], answer.text
    for after in (made[3], "file-of-nobody"):
        # Whether the first has it, and with it what follows, is not known.
        fake.plan("refuse", "get", status=503)
        answer = project.client.get("/files", params={"limit": 2, "after": after}, headers=spread)
        assert answer.status_code == 503


def test_a_file_whose_deletion_is_not_over_leads_to_the_next_beside_its_own_account(project: Project, fake: Fake) -> None:
    slug = project.virtual_key(credential=project.credential)
    stored = {"x-portkey-virtual-key": slug}
    own, made = _uploaded(project, project.own, 2), _uploaded(project, stored, 5)
    spread = _spread({"virtual_key": slug}, _target(project))
    fake.plan("refuse", "delete", status=503, times=8)
    assert project.client.delete(f"/files/{made[1]}", headers=stored).status_code == 503
    answer = project.client.get("/files", params={"limit": 2, "after": made[1]}, headers=spread)
    assert [one["id"] for one in answer.json()["data"]] == made[2:4], answer.text
    assert _walked(project, spread) == [made[0], *made[2:], *own]


def test_a_file_that_its_provider_has_one_word_for_with_another_purpose_is_listed_by_either(project: Project) -> None:
    with manual_fake("mistral") as mistral:
        there = {"provider": "mistral-ai", "custom_host": mistral.base_url}
        slug = project.virtual_key(credential=project.credential, **there)
        made = [project.upload({"x-portkey-virtual-key": slug}, purpose="ocr").json()["id"] for _ in range(3)][::-1]
        spread = _spread({"virtual_key": slug}, _target(project, **there))
        for purpose in ("ocr", "user_data"):
            assert _walked(project, spread, purpose=purpose) == made
