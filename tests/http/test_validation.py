from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from support.expect import assert_file, assert_list, assert_openai_error
from support.forms import field, file_part, form, send, upload, uploaded
from support.server import RunningServer, running_server
from support.stored import blob_files
from support.tenants import NewTenant, Tenant


def request_line(number: int, **changes: object) -> bytes:
    line = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-5", "messages": []}}
    return json.dumps({name: value for name, value in {**line, **changes}.items() if value is not None}).encode() + b"\n"


def example_line(text: str = "hello") -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "hi"}]}).encode() + b"\n"


BATCH = b"".join(map(request_line, range(5)))
CHAT = example_line() * 5
BROKEN = request_line(1) + request_line(1) + request_line(2, url="https://example.com/v1") + b"not json\n"


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {"purpose_validation": "reject", "batch_urls": "/v1/special", "max_batch_lines": 3, "max_jsonl_line_bytes": 500}
    with running_server(tmp_path_factory.mktemp("strict") / "data", **settings) as running:
        yield running


@pytest.fixture
def strict(new_tenant: NewTenant, strict_server: RunningServer) -> Tenant:
    return new_tenant(strict_server)


def validation(client: httpx2.Client, file_id: object) -> dict[str, object]:
    response = client.get(f"/files/{file_id}/validation")
    assert response.status_code == 200, response.text
    return response.json()


def purpose_last(content: bytes, purpose: str) -> bytes:
    return form(file_part(content, filename="data.jsonl"), field("purpose", purpose))


@pytest.mark.parametrize(("content", "purpose", "kind"), [(BATCH, "batch", "batch"), (CHAT, "fine-tune", "chat")])
@pytest.mark.parametrize("order", ["purpose first", "file first"])
def test_a_valid_file_is_processed_and_its_verdict_kept(api: httpx2.Client, content: bytes, purpose: str, kind: str, order: str):
    if order == "purpose first":
        file = uploaded(api, content, filename="data.JSONL", purpose=purpose)
    else:
        file = assert_file(send(api, purpose_last(content, purpose)))
    assert (file["status"], file["status_details"]) == ("processed", None)
    assert validation(api, file["id"]) == {
        "object": "file.validation",
        "file_id": file["id"],
        "valid": True,
        "kind": kind,
        "lines": 5,
        "problem_count": 0,
        "problems": [],
        "warnings": [],
        "complete": True,
    }


@pytest.mark.parametrize("order", ["purpose first", "file first"])
def test_a_bad_file_is_kept_with_the_lines_that_are_wrong(api: httpx2.Client, order: str):
    if order == "purpose first":
        file = uploaded(api, BROKEN, filename="data.jsonl", purpose="batch")
    else:
        file = assert_file(send(api, purpose_last(BROKEN, "batch")))
    assert file["status"] == "error"
    details = str(file["status_details"])
    assert all(f"Line {line}:" in details for line in (2, 3, 4))
    assert api.get(f"/files/{file['id']}/content").content == BROKEN
    verdict = validation(api, file["id"])
    assert (verdict["valid"], verdict["lines"], verdict["problem_count"]) == (False, 4, 3)
    assert [(problem["line"], problem["code"]) for problem in verdict["problems"]] == [
        (2, "duplicate_custom_id"),
        (3, "invalid_url"),
        (4, "invalid_json_line"),
    ]


def test_twenty_problems_are_in_the_details_and_all_in_the_verdict(api: httpx2.Client):
    file = uploaded(api, b"nonsense\n" * 30, filename="data.jsonl", purpose="batch")
    details = str(file["status_details"])
    assert "Line 20:" in details
    assert "Line 21:" not in details
    assert "10 more" in details
    assert len(validation(api, file["id"])["problems"]) == 30


@pytest.mark.parametrize(("content", "purpose"), [(CHAT, "batch"), (BATCH, "fine-tune")])
def test_a_purpose_told_after_a_file_of_another_is_judged_by_the_purpose(api: httpx2.Client, content: bytes, purpose: str):
    early = uploaded(api, content, filename="data.jsonl", purpose=purpose)
    late = assert_file(send(api, purpose_last(content, purpose)))
    assert late["status"] == "error"
    assert late["status_details"] == early["status_details"]
    verdicts = [{**validation(api, file["id"]), "file_id": None} for file in (early, late)]
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(
    ("filename", "purpose"), [("data.json", "batch"), ("data.jsonl.gz", "fine-tune"), ("data.jsonl", "user_data"), ("data.jsonl", "evals")]
)
def test_other_files_are_not_validated(api: httpx2.Client, filename: str, purpose: str):
    file = uploaded(api, BROKEN, filename=filename, purpose=purpose)
    assert (file["status"], file["status_details"]) == ("processed", None)
    assert "not validated" in assert_openai_error(api.get(f"/files/{file['id']}/validation"), 404, None, param="id")


def test_a_large_file_in_many_pieces_is_judged_like_a_small_one(api: httpx2.Client):
    lines = [request_line(number, body={"model": "gpt-5", "input": "é" * 300}) for number in range(5_000)]
    lines[4_321] = b'{"custom_id": "\xff"}\n'
    content = b"\xef\xbb\xbf" + b"".join(lines).rstrip(b"\n")
    file = uploaded(api, content, filename="data.jsonl", purpose="batch")
    verdict = validation(api, file["id"])
    assert [(problem["line"], problem["code"]) for problem in verdict["problems"]] == [(4_322, "invalid_utf8")]
    assert verdict["lines"] == 5_000


def test_several_models_in_a_batch_are_only_a_warning(api: httpx2.Client):
    content = request_line(1) + request_line(2, body={"model": "gpt-5-mini", "messages": []})
    file = uploaded(api, content, filename="data.jsonl", purpose="batch")
    assert file["status"] == "processed"
    (warning,) = validation(api, file["id"])["warnings"]
    assert (warning["line"], warning["code"]) == (2, "mismatched_model")


def test_where_bad_files_are_not_taken_nothing_of_one_stays(strict: Tenant):
    before = blob_files(strict.server.data_dir)
    for body in (purpose_last(BROKEN, "batch"), purpose_last(CHAT, "batch")):
        message = assert_openai_error(send(strict.client, body), 400, "invalid_value", param="file")
        assert "Line 1:" in message
    assert_list(strict.client.get("/files"), [], total=0)
    assert blob_files(strict.server.data_dir) == before
    assert_file(upload(strict.client, b"not validated", filename="data.txt", purpose="batch"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"".join(request_line(number, url="/v1/special") for number in range(4)), "3 requests"),
        (request_line(1), "/v1/special"),
        (request_line(1, url="/v1/special", body={"model": "x" * 500}), "500 bytes"),
    ],
    ids=["lines", "urls", "line length"],
)
def test_the_limits_of_validation_are_the_settings(strict: Tenant, content: bytes, reason: str):
    good = request_line(1, url="/v1/special") * 1
    assert_file(upload(strict.client, good, filename="data.jsonl", purpose="batch"))
    message = assert_openai_error(
        upload(strict.client, content, filename="data.jsonl", purpose="batch"), 400, "invalid_value", param="file"
    )
    assert reason in message


def test_validation_can_be_left_out(new_tenant: NewTenant, tmp_path_factory: pytest.TempPathFactory):
    with running_server(tmp_path_factory.mktemp("lenient") / "data", purpose_validation="off") as server:
        api = new_tenant(server).client
        file = uploaded(api, BROKEN, filename="data.jsonl", purpose="batch")
        assert file["status"] == "processed"
        assert_openai_error(api.get(f"/files/{file['id']}/validation"), 404, None, param="id")
