"""One target of a config that cannot be called fails by itself; the others go on."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from gateway.conftest import Fake, Project, as_header
from support.expect import assert_openai_error
from support.polling import eventually

CLOSED = {
    "no longer there": (400, "invalid_value"),
    "of another project": (400, "invalid_value"),
    "expired": (400, "invalid_value"),
    "unreadable": (503, "credential_unavailable"),
    "at a provider without an adapter": (501, "unsupported_provider_operation"),
    "at a provider without files": (501, "unsupported_provider_operation"),
}


def _target(project: Project, number: int = 0, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": f"{project.credential}-{number}", "custom_host": project.fake.base_url, **more}


def _changed(project: Project, slug: str, assignment: str) -> None:
    connection = apsw.Connection(str(project.server.data_dir / "fileplane.db"))
    connection.set_busy_timeout(5_000)
    connection.execute(f"UPDATE virtual_keys SET {assignment} WHERE slug = ?", (slug,))
    connection.close()


def _closed(project: Project, neighbour: Project, why: str) -> dict[str, Any]:
    if why == "no longer there":
        return {"virtual_key": "nobody"}
    if why == "at a provider without an adapter":
        return {"provider": "databricks", "api_key": project.credential}
    if why == "at a provider without files":
        return {"provider": "deepseek", "api_key": project.credential}
    owner = neighbour if why == "of another project" else project
    slug = owner.virtual_key(f"closed-{project.credential[3:11]}")
    if why == "expired":
        _changed(project, slug, "expires_at = 1")
    if why == "unreadable":
        _changed(project, slug, "encrypted_fields = json_set(encrypted_fields, '$.api_key', 'AAAA')")
    return {"virtual_key": slug}


@pytest.mark.parametrize("why", sorted(CLOSED))
def test_a_fallback_goes_on_after_a_target_that_cannot_be_called(project: Project, neighbour: Project, why: str) -> None:
    closed, (status, code) = _closed(project, neighbour, why), CLOSED[why]
    alone = project.upload(as_header(closed))
    assert (alone.status_code, alone.json()["error"]["code"]) == (status, code), alone.text
    assert project.fake.requests() == []
    for targets, used in (([closed, _target(project)], 1), ([_target(project), closed], 0), ([closed, closed, _target(project)], 2)):
        headers = as_header({"strategy": {"mode": "fallback"}, "targets": targets})
        made = project.upload(headers)
        assert made.status_code == 200, made.text
        assert made.headers["x-portkey-last-used-option-index"] == f"config.targets[{used}]"
        file_id = made.json()["id"]
        assert [file["id"] for file in project.client.get("/files", headers=headers).json()["data"]] == [file_id]
        assert project.client.get(f"/files/{file_id}", headers=headers).json() == made.json()
        assert project.client.get(f"/files/{file_id}/content", headers=headers).content == b"{}\n"
        assert project.client.delete(f"/files/{file_id}", headers=headers).status_code == 200


@pytest.mark.parametrize("why", sorted(CLOSED))
def test_a_fallback_goes_on_only_after_the_statuses_it_names_also_where_nothing_was_sent(
    project: Project, neighbour: Project, why: str
) -> None:
    closed, (status, code) = _closed(project, neighbour, why), CLOSED[why]
    targets = [closed, _target(project)]
    stays = project.upload(as_header({"strategy": {"mode": "fallback", "on_status_codes": [429]}, "targets": targets}))
    assert (stays.status_code, stays.json()["error"]["code"]) == (status, code)
    assert stays.headers["x-portkey-last-used-option-index"] == "config.targets[0]"
    assert project.fake.requests() == []
    goes_on = project.upload(as_header({"strategy": {"mode": "fallback", "on_status_codes": [status]}, "targets": targets}))
    assert (goes_on.status_code, goes_on.headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]")


def test_the_last_targets_own_error_is_told_when_nothing_else_is_left(project: Project, fake: Fake) -> None:
    targets = [_target(project), {"virtual_key": "nobody"}]
    fake.plan("refuse", "upload", status=503)
    answer = project.upload(as_header({"strategy": {"mode": "fallback"}, "targets": targets}))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "targets[1].virtual_key")
    assert answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert answer.headers["x-portkey-provider"] == "@nobody"
    assert len(fake.requests("upload")) == 1


def test_chance_that_falls_on_a_target_that_cannot_be_called_fails_and_the_others_serve_ids_and_lists(project: Project) -> None:
    spread = {"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "nobody"}, _target(project, weight=0)]}
    open_one = as_header(_target(project))
    file_id = project.upload(open_one).json()["id"]
    answer = project.upload(as_header(spread))
    assert (answer.status_code, answer.headers["x-portkey-last-used-option-index"]) == (400, "config.targets[0]")
    assert [file["id"] for file in project.client.get("/files", headers=as_header(spread)).json()["data"]] == [file_id]
    assert project.client.get(f"/files/{file_id}", headers=as_header(spread)).status_code == 200
    assert project.client.get("/files/file-unknown", headers=as_header(spread)).status_code == 404


def test_a_file_that_may_be_behind_an_unreadable_credential_is_not_said_to_be_nowhere(project: Project, neighbour: Project) -> None:
    closed = _closed(project, neighbour, "unreadable")
    stored = {"virtual_key": project.virtual_key(f"open-{project.credential[3:11]}")}
    for other in (_target(project), stored):
        headers = as_header({"strategy": {"mode": "fallback"}, "targets": [closed, other]})
        answer = project.client.get("/files/file-unknown", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "credential_unavailable")


def test_a_saved_config_outlives_the_expiry_of_one_of_its_virtual_keys(project: Project) -> None:
    slugs = [project.virtual_key(f"{name}-{project.credential[3:11]}") for name in ("first", "second")]
    document = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": slug} for slug in slugs]}
    saved = project.client.post("/configs", json={"name": "saved", "config": document}).json()["data"]["slug"]
    headers = {"x-portkey-config": saved}
    assert project.upload(headers).headers["x-portkey-last-used-option-index"] == "config.targets[0]"
    _changed(project, slugs[0], "expires_at = 1")
    eventually(
        lambda: project.upload(headers).headers["x-portkey-last-used-option-index"] == "config.targets[1]",
        "the key is remembered for a moment only",
        seconds=10,
    )


def test_what_is_wrong_with_the_document_itself_fails_the_whole(project: Project, fake: Fake) -> None:
    for wrong in ({"provider": "nobody", "api_key": "x"}, {"provider": "openai"}):
        for targets in ([wrong, _target(project)], [_target(project), wrong]):
            answer = project.upload(as_header({"strategy": {"mode": "fallback"}, "targets": targets}))
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert fake.requests() == []


def test_a_stored_host_that_is_not_allowed_is_told_as_the_stored_one(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key(custom_host="http://169.254.169.254/v1")}
    sharing = {"x-portkey-virtual-key": project.virtual_key("shared", custom_host="http://169.254.169.254/v1", sharing="account")}
    for refused in (
        project.upload(headers),
        project.client.get("/files", headers=sharing),
        project.client.get("/files/file-1", headers=sharing),
    ):
        message = assert_openai_error(refused, 400, "invalid_value", param="custom_host")
        assert message.endswith("The host is the one that is saved with the credential.")
