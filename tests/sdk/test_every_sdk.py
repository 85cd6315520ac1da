"""What every client of OpenAI's and Portkey's SDKs, in Python and Node, sees of a server it was not written for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sdk.inputs import NAMES, content_of
from sdk.processes import Outcome, assert_refused, too_large
from support.expect import assert_file_object
from support.server import RunningServer

Statuses = Callable[[str], list[int]]

# The name that a file gets by the way it was uploaded: its own, the one given, or what the SDK calls a file that has none.
PYTHON_WAYS = {
    "path": "sample.bin",
    "bytes": "upload",
    "named bytes": "given.bin",
    "bytes in memory": "upload",
    "read stream": "sample.bin",
    "object with only read": "given.bin",
    "stream that cannot seek": "upload",
}
NODE_WAYS = {
    "path": "sample.bin",
    "bytes": "given.bin",
    "read stream": "sample.bin",
    "async generator": "unknown_file",
    "readable": "unknown_file",
}
UPLOAD_WAYS = {
    "openai-python-sync": PYTHON_WAYS,
    "openai-python-async": PYTHON_WAYS,
    "openai-node": NODE_WAYS | {"named stream": "given.bin"},
    "portkey-python-sync": PYTHON_WAYS,
    "portkey-python-async": PYTHON_WAYS,
    "portkey-node": NODE_WAYS,
}

# Step: class, status, type, code, param.
REFUSALS = {
    "wrong key": ("AuthenticationError", 401, "invalid_request_error", "invalid_api_key", None),
    "missing scope": ("PermissionDeniedError", 403, "permission_error", "missing_scope", None),
    "bad purpose": ("BadRequestError", 400, "invalid_request_error", "invalid_value", "purpose"),
    "bad name": ("BadRequestError", 400, "invalid_request_error", "invalid_value", "file"),
    "short expiry": ("BadRequestError", 400, "invalid_request_error", "integer_below_min_value", "expires_after[seconds]"),
    "bad limit": ("BadRequestError", 400, "invalid_request_error", "integer_below_min_value", "limit"),
    "unknown cursor": ("BadRequestError", 400, "invalid_request_error", "invalid_value", "after"),
    "unknown file": ("NotFoundError", 404, "invalid_request_error", None, "id"),
    "retrieve deleted": ("NotFoundError", 404, "invalid_request_error", None, "id"),
    "content of deleted": ("NotFoundError", 404, "invalid_request_error", None, "id"),
    "delete deleted": ("NotFoundError", 404, "invalid_request_error", None, "id"),
}
REFUSED_WHILE_SENDING = {
    "large-with-wrong-key": ("AuthenticationError", 401, "invalid_request_error", "invalid_api_key", None),
    "large-with-missing-scope": ("PermissionDeniedError", 403, "permission_error", "missing_scope", None),
}
UNSUPPORTED = ("InternalServerError", 501, "invalid_request_error", "unsupported_provider_operation", "x-portkey-provider")


def test_every_way_of_uploading_stores_the_exact_bytes_and_the_name(outcome: Outcome, input_files: dict[str, Path]) -> None:
    content = content_of(input_files["sample.bin"])
    names = {}
    for way in UPLOAD_WAYS[outcome.client]:
        uploaded = outcome.value(f"upload {way}")
        assert_file_object(uploaded["file"], bytes=content["bytes"], purpose="user_data", status="processed", expires_at=None)
        assert uploaded["content"] == content, way
        names[way] = uploaded["file"]["filename"]
    assert names == UPLOAD_WAYS[outcome.client]


def test_no_way_of_uploading_goes_untested(outcome: Outcome) -> None:
    tried = {step.removeprefix("upload ") for step in outcome.steps if step.startswith("upload ")}
    assert tried == {*UPLOAD_WAYS[outcome.client], "nothing"}


def test_an_empty_file_is_a_file(outcome: Outcome, input_files: dict[str, Path]) -> None:
    uploaded = outcome.value("upload nothing")
    assert_file_object(uploaded["file"], bytes=0, filename="empty.txt")
    assert uploaded["content"] == content_of(input_files["empty.txt"])


def test_expires_after_counts_from_creation(outcome: Outcome) -> None:
    created, retrieved = outcome.value("expires after")
    assert_file_object(created, expires_at=created["created_at"] + 3_600)
    assert retrieved == created


def test_a_batch_file_expires_after_thirty_days_when_nothing_is_said(outcome: Outcome) -> None:
    created = outcome.value("batch")
    assert_file_object(created, purpose="batch", filename="batch.jsonl", expires_at=created["created_at"] + 30 * 86_400)


def test_lines_of_text_come_back_to_the_letter(outcome: Outcome, input_files: dict[str, Path]) -> None:
    assert outcome.value("text") == input_files["lines.jsonl"].read_bytes().decode()


def test_a_large_binary_file_comes_back_to_the_byte(outcome: Outcome, input_files: dict[str, Path]) -> None:
    assert outcome.value("large") == content_of(input_files["large.bin"])


def test_waiting_for_processing_comes_to_an_end(outcome: Outcome) -> None:
    assert_file_object(outcome.value("wait"), status="processed", purpose="batch", filename="batch.jsonl")


@pytest.mark.parametrize("step", ["names of paths", "names of bytes"])
def test_file_names_in_any_script_come_back_to_the_letter(outcome: Outcome, step: str) -> None:
    created_and_retrieved = outcome.value(step)
    assert created_and_retrieved == [[name, name] for name in NAMES]


def test_a_delete_is_answered_with_a_deletion(outcome: Outcome) -> None:
    file_id, deletion = outcome.value("delete")
    assert deletion == {"id": file_id, "object": "file", "deleted": True}


@pytest.mark.parametrize("step", REFUSALS)
def test_a_refusal_is_raised_as_the_sdks_own_error(outcome: Outcome, step: str) -> None:
    assert_refused(outcome, step, REFUSALS[step])


@pytest.mark.parametrize("step", REFUSED_WHILE_SENDING)
def test_a_caller_without_the_right_is_told_so_while_its_thirty_megabytes_are_on_their_way(
    outcome: Outcome, statuses_of: Statuses, step: str
) -> None:
    assert_refused(outcome, step, REFUSED_WHILE_SENDING[step])
    assert statuses_of(outcome.request_id(step)) == [REFUSED_WHILE_SENDING[step][1]]


def test_a_file_over_the_limit_is_answered_with_413_and_not_sent_again(outcome: Outcome, statuses_of: Statuses) -> None:
    steps = [step for step in outcome.steps if step.startswith("too-large")]
    assert steps == (["too-large", "too-large-file-first"] if outcome.language == "node" else ["too-large"])
    for step in steps:
        message = assert_refused(outcome, step, too_large(outcome))
        assert "1048576 bytes" in message
        assert statuses_of(outcome.request_id(step)) == [413]


def test_a_client_goes_on_working_after_it_was_refused(outcome: Outcome) -> None:
    assert_file_object(outcome.value("after refusals"), filename="plain.txt")


@pytest.mark.parametrize("step", ["create-at-provider", "list-at-provider"])
def test_a_request_that_names_a_provider_without_files_is_refused_and_not_sent_again(
    outcome: Outcome, statuses_of: Statuses, step: str
) -> None:
    assert_refused(outcome, step, UNSUPPORTED)
    assert statuses_of(outcome.request_id(step)) == [501]


def test_a_file_meant_for_a_provider_is_never_kept_here_instead(outcome: Outcome, sdk_server: RunningServer, keys) -> None:
    assert_refused(outcome, "create-at-provider", UNSUPPORTED)
    with sdk_server.client(keys.untouched) as client:
        assert client.get("/files").json()["total"] == 0
