"""Batches and fine-tuning jobs at providers, from their inputs to their results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.jobs import LINE, PROVIDERS, Caller, JobsFake, error_of, manual_fake, new_caller, ok
from support.server import RunningServer, running_server

TUNING = ("openai", "azure", "azure-v1")
MISNAMED = (
    {"output_file": "file-1"},
    {"Input_File_Id": "file-1"},
    {"extraFileIds": ["file-1"]},
    {"method": {"grader": [{"deep": {"reference-files": []}}]}},
    {"training_file": "file-1"},
    {"input_blob": "https://example.com/blob"},
    {"output_folder": {"url": "https://example.com"}},
    {"weights": {"file-abc123def456abcd": 1}},
    {"file-abc123def456abcd": None},
)


@pytest.fixture(scope="module")
def fakes() -> Iterator[dict[str, JobsFake]]:
    with ExitStack() as stack:
        yield {flavour: stack.enter_context(manual_fake(flavour)) for flavour in PROVIDERS}


@pytest.fixture
def caller(gateway: RunningServer, fakes: dict[str, JobsFake], request: pytest.FixtureRequest) -> Iterator[Caller]:
    fake = fakes[getattr(request, "param", "openai")]
    fake.control("POST", "reset", {})
    made = new_caller(gateway, fake, request.node.nodeid)
    with made.client:
        made.use_virtual_key()
        yield made


@pytest.mark.parametrize("caller", sorted(PROVIDERS), indirect=True)
def test_a_batch_lives_from_its_input_to_its_output(caller: Caller) -> None:
    file_id = caller.upload(LINE + b"no json\n")
    made = caller.begin_batch(file_id, metadata={"source_file": "free words"})
    assert made.headers["x-portkey-provider"] == PROVIDERS[caller.fake.flavour]["provider"]
    batch = ok(made)
    assert (batch["object"], batch["status"], batch["input_file_id"]) == ("batch", "validating", file_id)
    assert batch["metadata"] == {"source_file": "free words"}
    page = ok(caller.client.get("/batches"))
    assert [(one["id"], one["status"]) for one in page["data"]] == [(batch["id"], "validating")]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (batch["id"], batch["id"], False)

    refused = caller.client.delete(f"/files/{file_id}")
    assert error_of(refused) == (409, "file_in_use", "id")
    assert refused.headers["x-should-retry"] == "false"
    early = caller.client.get(f"/batches/{batch['id']}/output")
    assert error_of(early) == (404, "batch_output_missing", "id")
    assert "'validating'" in early.json()["error"]["message"]

    caller.go_on(batch["id"], "finalizing")
    output = caller.client.get(f"/batches/{batch['id']}/output")
    assert (output.status_code, json.loads(output.text)["custom_id"]) == (200, "one")
    done = ok(caller.client.get(f"/batches/{batch['id']}"))
    assert (done["status"], done["request_counts"]) == ("completed", {"total": 2, "completed": 1, "failed": 1})
    results = [done["output_file_id"], done["error_file_id"]]
    listed = {file["id"]: file for file in ok(caller.client.get("/files"))["data"]}
    assert set(results) == set(listed) - {file_id}
    assert {listed[result]["purpose"] for result in results} == {"batch_output"}
    assert listed[results[0]]["bytes"] == len(output.content)
    assert caller.client.get(f"/files/{results[0]}/content").content == output.content
    head = caller.client.head(f"/batches/{batch['id']}/output")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(output.content)), b"")
    part = caller.client.get(f"/batches/{batch['id']}/output", headers={"range": "bytes=1-10"})
    assert (part.status_code, part.content) == (206, output.content[1:11])

    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]
    assert ok(caller.client.delete(f"/files/{results[0]}"))["deleted"]
    assert caller.client.get(f"/batches/{batch['id']}/output").status_code == 404
    assert results[0] not in caller.file_ids()


@pytest.mark.parametrize("caller", TUNING, indirect=True)
def test_a_fine_tuning_job_lives_from_its_inputs_to_its_results(caller: Caller) -> None:
    training, validation = caller.upload(purpose="fine-tune"), caller.upload(purpose="fine-tune")
    job = ok(caller.begin_tuning(training, validation_file=validation))
    assert (job["object"], job["training_file"], job["validation_file"]) == ("fine_tuning.job", training, validation)
    for file_id in (training, validation):
        assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")
    caller.go_on(job["id"], "running")
    page = ok(caller.client.get("/fine_tuning/jobs"))
    [done] = page["data"]
    assert (done["id"], done["status"]) == (job["id"], "succeeded")
    [result] = done["result_files"]
    assert b"train_loss" in caller.client.get(f"/files/{result}/content").content
    events = ok(caller.client.get(f"/fine_tuning/jobs/{job['id']}/events", params={"limit": 1}))
    assert (len(events["data"]), events["object"], events["has_more"]) == (1, "list", True)
    rest = ok(caller.client.get(f"/fine_tuning/jobs/{job['id']}/events", params={"after": events["last_id"]}))
    assert not rest["has_more"]
    assert events["data"][0]["id"] not in [event["id"] for event in rest["data"]]
    assert len(ok(caller.client.get(f"/fine_tuning/jobs/{job['id']}/checkpoints"))["data"]) == 3
    assert ok(caller.client.delete(f"/files/{training}"))["deleted"]


@pytest.mark.parametrize("kind", ["batches", "fine_tuning/jobs"])
def test_a_job_that_is_cancelled_lets_go_of_its_input_when_it_has_ended(caller: Caller, kind: str) -> None:
    job_id, file_id = caller.a_batch() if kind == "batches" else caller.a_tuning()
    assert ok(caller.client.post(f"/{kind}/{job_id}/cancel", json={}))["status"].startswith("cancel")
    caller.go_on(job_id)
    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


def test_a_fine_tuning_job_is_paused_and_resumed(caller: Caller) -> None:
    job_id, file_id = caller.a_tuning()
    assert ok(caller.client.post(f"/fine_tuning/jobs/{job_id}/pause"))["status"] == "paused"
    assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")
    assert ok(caller.client.post(f"/fine_tuning/jobs/{job_id}/resume"))["status"] == "queued"


@pytest.mark.parametrize("caller", ["azure"], indirect=True)
def test_what_a_provider_cannot_do_to_a_job_leaves_the_job_as_it_is(caller: Caller) -> None:
    job_id, file_id = caller.a_tuning()
    assert error_of(caller.client.post(f"/fine_tuning/jobs/{job_id}/pause"))[:2] == (501, "unsupported_provider_operation")
    assert ok(caller.client.get(f"/fine_tuning/jobs/{job_id}"))["id"] == job_id
    assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")


def test_a_batch_with_nothing_but_errors_gives_them_as_its_output(caller: Caller) -> None:
    file_id = caller.upload(b"no json\n")
    batch_id = ok(caller.begin_batch(file_id))["id"]
    caller.go_on(batch_id, "finalizing")
    caller.go_on(batch_id, "expired", output_file_id=None)
    output = caller.client.get(f"/batches/{batch_id}/output")
    assert (output.status_code, json.loads(output.text)["error"]["code"]) == (200, "invalid_json_line")


def test_a_batch_that_failed_says_why_it_has_no_output(caller: Caller) -> None:
    batch_id, _ = caller.a_batch()
    errors = {"object": "list", "data": [{"code": "empty_file", "message": "The batch is empty."}]}
    caller.go_on(batch_id, "failed", errors=errors)
    refused = caller.client.get(f"/batches/{batch_id}/output")
    assert error_of(refused) == (404, "batch_output_missing", "id")
    assert "The batch is empty." in refused.json()["error"]["message"]


def test_a_status_that_nobody_knows_keeps_the_hold(caller: Caller) -> None:
    batch_id, file_id = caller.a_batch()
    caller.go_on(batch_id, "resting")
    assert ok(caller.client.get(f"/batches/{batch_id}"))["status"] == "resting"
    assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")


def test_a_provider_that_cannot_be_asked_keeps_the_hold(caller: Caller) -> None:
    batch_id, file_id = caller.a_batch()
    caller.go_on(batch_id, "finalizing")
    caller.fake.plan("refuse", "batches.get", status=500)
    assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")
    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


def test_a_job_that_its_provider_has_forgotten_is_gone_and_holds_nothing(caller: Caller) -> None:
    batch_id, file_id = caller.a_batch()
    other_id, _ = caller.a_batch()
    caller.fake.plan("refuse", "batches.get", status=404, body={"message": "No such batch."})
    assert error_of(caller.client.get(f"/batches/{batch_id}")) == (404, None, "id")
    page = ok(caller.client.get("/batches"))
    assert [batch["id"] for batch in page["data"]] == [other_id]
    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


def test_the_list_is_paged_and_a_forgotten_job_leaves_no_gap(caller: Caller) -> None:
    file_id = caller.upload()
    ids = [ok(caller.begin_batch(file_id))["id"] for _ in range(5)][::-1]
    first = ok(caller.client.get("/batches", params={"limit": 2}))
    assert ([one["id"] for one in first["data"]], first["has_more"], first["last_id"]) == (ids[:2], True, ids[1])
    caller.fake.plan("refuse", "batches.get", status=404, body={"message": "No such batch."})
    rest = ok(caller.client.get("/batches", params={"limit": 2, "after": ids[1]}))
    assert len(rest["data"]) == 2
    assert not rest["has_more"]
    assert {one["id"] for one in rest["data"]} < set(ids[2:])
    assert error_of(caller.client.get("/batches", params={"after": "batch_unknown"})) == (400, "invalid_value", "after")
    for params, code in (({"limit": 0}, "integer_below_min_value"), ({"limit": 101}, "integer_above_max_value"), ({"order": "asc"}, None)):
        status, found, param = error_of(caller.client.get("/batches", params=params))
        assert (status, param) == (400, next(iter(params)))
        assert code is None or found == code


def test_a_job_whose_provider_does_not_answer_is_shown_as_last_known_without_results(caller: Caller) -> None:
    batch_id, file_id = caller.a_batch()
    caller.go_on(batch_id, "finalizing")
    caller.fake.plan("refuse", "batches.get", status=503)
    [shown] = ok(caller.client.get("/batches"))["data"]
    assert (shown["id"], shown["status"], shown["stale"], shown["input_file_id"]) == (batch_id, "validating", True, file_id)
    assert shown["output_file_id"] is None
    [fresh] = ok(caller.client.get("/batches"))["data"]
    assert fresh["status"] == "completed"
    assert "stale" not in fresh


@pytest.mark.parametrize("more", MISNAMED, ids=lambda more: next(iter(more)))
def test_what_may_name_files_and_cannot_be_checked_is_refused_through_a_virtual_key(caller: Caller, more: dict[str, Any]) -> None:
    file_id = caller.upload()
    assert caller.begin_batch(file_id, **more).status_code == 400
    assert caller.fake.requests("batches.create") == []
    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


def test_what_names_no_file_is_passed_on_as_it_is(caller: Caller) -> None:
    more = {"profile": "fast", "metadata": {"a_file": "x"}, "output_expires_after": {"anchor": "created_at", "seconds": 3600}, "n": 1.5}
    file_id = caller.upload()
    ok(caller.begin_batch(file_id, portkey_options=None, **more))
    [sent] = caller.fake.requests("batches.create")
    assert sent["document"] == more | {"input_file_id": file_id, "endpoint": "/v1/embeddings", "completion_window": "24h"}


@pytest.mark.parametrize("headers", ["virtual key", "own"])
def test_portkeys_own_options_are_refused_and_reach_no_provider(caller: Caller, headers: str) -> None:
    file_id = caller.upload()
    sent = {} if headers == "virtual key" else caller.own
    if sent:
        del caller.client.headers["x-portkey-virtual-key"]
    body = {"input_file_id": file_id, "portkey_options": {"x-portkey-api-key": "secret"}}
    answer = caller.client.post("/batches", json=body, headers=sent)
    assert error_of(answer) == (400, "invalid_value", "portkey_options")
    assert caller.fake.requests("batches.create") == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'"text"', {}, 400),
        (b'{"input_file_id": 7}', {}, 400),
        (b'{"input_file_id": "a", "input_file_id": "b"}', {}, 400),
        (b'{"a": NaN}', {}, 400),
        (b'{"a":' * 80 + b"1" + b"}" * 80, {}, 400),
        (b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", {}, 400),
        (b'{"input_file_id": "file-1", "more": "' + b"x" * (1 << 20) + b'"}', {}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"idempotency-key": "once"}, 501),
        (b'{"input_file_id": "../../admin"}', {}, 404),
        (b'{"input_file_id": ""}', {}, 404),
        (b'{"input_file_id": "file-unknown"}', {}, 404),
    ],
)
def test_a_bad_job_is_refused_before_anything_is_sent(caller: Caller, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = caller.client.post("/batches", content=content, headers={"content-type": "application/json"} | headers)
    assert answer.status_code == status, answer.text
    assert caller.fake.requests("batches.create") == []


@pytest.mark.parametrize("job_id", ["batch_unknown", "..%2f..%2ffiles", "a%3Fb", "%00", "x" * 300])
def test_an_id_that_is_no_jobs_is_answered_alike_everywhere(caller: Caller, job_id: str) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/output"), ("HEAD", "/output")):
        answer = caller.client.request(method, f"/batches/{job_id}{path}")
        assert answer.status_code == 404
    for method, path in (
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
    ):
        assert error_of(caller.client.request(method, f"/fine_tuning/jobs/{job_id}{path}")) == (404, None, "id")
    assert caller.fake.requests("batches.get") == []


def test_the_native_store_runs_no_jobs_and_says_what_to_add(caller: Caller) -> None:
    del caller.client.headers["x-portkey-virtual-key"]
    for method, path in (("GET", "/batches"), ("POST", "/batches"), ("GET", "/fine_tuning/jobs/x/events"), ("POST", "/batches/x/cancel")):
        answer = caller.client.request(method, path)
        assert error_of(answer) == (501, "unsupported_provider_operation", "x-portkey-provider")
        assert "x-portkey-virtual-key" in answer.json()["error"]["message"]


@pytest.mark.parametrize("caller", ["groq"], indirect=True)
def test_a_kind_of_job_that_the_provider_lacks_is_told_as_such(caller: Caller) -> None:
    file_id = caller.upload()
    assert error_of(caller.begin_tuning(file_id))[:2] == (501, "unsupported_provider_operation")
    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


@pytest.mark.parametrize("sharing", ["own", "account"])
def test_a_credential_of_ones_own_or_a_shared_account_sees_what_the_provider_says(caller: Caller, sharing: str) -> None:
    batch_id, _ = caller.a_batch()
    if sharing == "own":
        del caller.client.headers["x-portkey-virtual-key"]
        caller.client.headers.update(caller.own)
    else:
        caller.use_virtual_key(f"shared-{caller.slug}", sharing="account")
    other = ok(caller.begin_batch(caller.upload(), some_file="passed on"))["id"]
    page = ok(caller.client.get("/batches", params={"limit": 1}))
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([other], True)
    rest = ok(caller.client.get("/batches", params={"limit": 1, "after": other}))
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([batch_id], False)
    caller.go_on(batch_id, "finalizing")
    assert ok(caller.client.get(f"/batches/{batch_id}"))["status"] == "completed"
    assert caller.client.get(f"/batches/{batch_id}/output").status_code == 200
    assert ok(caller.client.post(f"/batches/{other}/cancel"))["status"] == "cancelling"
    assert caller.client.get("/batches/batch_unknown").status_code == 404


def test_a_job_goes_to_the_target_that_has_its_files(caller: Caller) -> None:
    first = caller.slug
    second = caller.use_virtual_key("second-" + first, key=f"{caller.credential}-second")
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": first}, {"virtual_key": second}]}
    file_id = caller.upload()
    del caller.client.headers["x-portkey-virtual-key"]
    caller.client.headers["x-portkey-config"] = json.dumps(config)
    made = caller.begin_batch(file_id)
    batch_id = ok(made)["id"]
    assert made.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert ok(caller.client.get(f"/batches/{batch_id}"))["input_file_id"] == file_id
    assert [one["id"] for one in ok(caller.client.get("/batches"))["data"]] == [batch_id]
    assert error_of(caller.begin_batch("file-unknown")) == (404, None, "input_file_id")


@pytest.mark.parametrize(("kind", "status"), [("hang", 504), ("close_response_at", 502), ("garbage", 502)])
def test_a_job_of_unknown_outcome_is_not_begun_twice_and_keeps_its_hold(caller: Caller, kind: str, status: int) -> None:
    file_id = caller.upload()
    caller.fake.plan(kind, "batches.create", at=-1)
    retry = {"retry": {"attempts": 3, "on_status_codes": [502, 504]}, "virtual_key": caller.slug, "request_timeout": 1_500}
    del caller.client.headers["x-portkey-virtual-key"]
    caller.client.headers["x-portkey-config"] = json.dumps(retry)
    answer = caller.begin_batch(file_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "upstream_outcome_unknown")
    assert answer.headers["x-should-retry"] == "false"
    assert len(caller.fake.requests("batches.create")) == 1
    assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")


def test_a_job_of_unknown_outcome_is_begun_at_no_other_target(caller: Caller) -> None:
    slugs = [caller.slug, caller.use_virtual_key("other-" + caller.slug)]
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": slug} for slug in slugs]}
    caller.fake.plan("close_response_at", "batches.create", at=-1)
    del caller.client.headers["x-portkey-virtual-key"]
    answer = caller.client.post("/batches", json={"endpoint": "/v1/embeddings"}, headers={"x-portkey-config": json.dumps(config)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_outcome_unknown")
    assert len(caller.fake.requests("batches.create")) == 1


def test_a_refusal_that_the_config_names_is_tried_again_and_leaves_one_job(caller: Caller) -> None:
    file_id = caller.upload()
    caller.fake.plan("refuse", "batches.create", status=429, times=2)
    retry = {"retry": {"attempts": 3, "on_status_codes": [429]}, "virtual_key": caller.slug}
    del caller.client.headers["x-portkey-virtual-key"]
    caller.client.headers["x-portkey-config"] = json.dumps(retry)
    made = caller.begin_batch(file_id)
    assert made.headers["x-portkey-retry-attempt-count"] == "2"
    caller.go_on(ok(made)["id"], "finalizing")
    assert len(ok(caller.client.get("/batches"))["data"]) == 1
    assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


def test_the_changes_are_in_the_audit_log(caller: Caller) -> None:
    batch_id, _ = caller.a_batch()
    caller.go_on(batch_id, "finalizing")
    ok(caller.client.get(f"/batches/{batch_id}"))
    records = ok(caller.client.get("/audit-logs"))["records"]
    seen = [(one["action"], one["resource_id"]) for one in records if one["resource_type"] == "batches"]
    assert sorted(seen) == [("create", batch_id), ("end", batch_id)]


def test_a_server_without_keys_passes_jobs_on_with_the_callers_own_credential(tmp_path: Path, fakes: dict[str, JobsFake]) -> None:
    fake = fakes["openai"]
    with running_server(tmp_path / "data", auth="passthrough", egress_allow="127.0.0.1") as server:
        caller = Caller(server, fake, "sk-passthrough-caller", "unused")
        with caller.client:
            del caller.client.headers["x-portkey-api-key"]
            caller.client.headers.update(caller.own)
            batch_id, _ = caller.a_batch()
            caller.go_on(batch_id, "finalizing")
            assert caller.client.get(f"/batches/{batch_id}/output").status_code == 200
            assert [one["id"] for one in ok(caller.client.get("/batches"))["data"]] == [batch_id]
