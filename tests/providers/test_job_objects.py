"""Whatever a provider calls the parts of a job, they are read in OpenAI's terms; what is no job is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.catalog import ENDED_STATUSES, JobKind, JobState, job_state
from fileplane.errors import UpstreamAnswerInvalid
from fileplane.providers.azure_openai import CLASSIC, V1
from fileplane.providers.file_objects import parse_json
from fileplane.providers.job_objects import parse_job
from fileplane.providers.near import NEAR
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import JobResult

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = (
    "id",
    "status",
    "created_at",
    "input_file_id",
    "output_file_id",
    "error_file_id",
    "training_file",
    "validation_file",
    "result_files",
)


@pytest.mark.parametrize(
    ("kind", "theirs", "ours"),
    [
        (JobKind.BATCH, "canceled", "cancelled"),
        (JobKind.BATCH, "Canceling", "cancelling"),
        (JobKind.BATCH, "COMPLETED", "completed"),
        (JobKind.BATCH, "succeeded", "completed"),
        (JobKind.BATCH, "running", "in_progress"),
        (JobKind.FINE_TUNING, "canceled", "cancelled"),
        (JobKind.FINE_TUNING, "completed", "succeeded"),
        (JobKind.FINE_TUNING, "Failed", "failed"),
        (JobKind.BATCH, "notRunning", "notRunning"),
        (JobKind.FINE_TUNING, "notRunning", "notRunning"),
    ],
)
def test_a_state_is_told_in_openai_s_spelling_where_it_is_known(kind: JobKind, theirs: str, ours: str):
    job = parse_job({"id": "job-1", "status": theirs}, kind, {})
    assert (job.status, job.document["status"]) == (ours, ours)


@pytest.mark.parametrize("dialect", [CLASSIC, V1], ids=["classic", "v1"])
def test_azure_s_own_words_for_states_are_known(dialect: Any):
    words = {"notRunning": "queued", "pending": "queued", "creating": "validating_files", "running": "running", "succeeded": "succeeded"}
    for theirs, ours in {**words, "canceled": "cancelled", "failed": "failed", "deleted": "deleted"}.items():
        assert parse_job({"id": "x", "status": theirs}, JobKind.FINE_TUNING, dialect.job_statuses[JobKind.FINE_TUNING]).status == ours


def test_every_word_that_ends_a_job_is_read_as_itself_in_every_dialect():
    for dialect in (CLASSIC, V1, *NEAR.values()):
        for kind in JobKind:
            for word in ENDED_STATUSES[kind]:
                job = parse_job({"id": "x", "status": word}, kind, dialect.job_statuses.get(kind, {}))
                assert job_state(kind, job.status) is JobState.ENDED


def test_files_are_told_once_each_in_order_and_by_their_ids():
    shown = {"id": "file-b", "object": "file", "bytes": 3}
    job = parse_job(
        {"id": "x", "training_file": {"id": "file-t"}, "validation_file": "file-t", "result_files": ["file-a", shown, "file-a", None, ""]},
        JobKind.FINE_TUNING,
        {},
    )
    assert job.inputs == ("file-t",)
    assert job.results == (JobResult("file-a", "fine-tune-results"), JobResult("file-b", "fine-tune-results"))
    assert (job.document["training_file"], job.document["result_files"]) == ("file-t", ["file-a", "file-b", "file-a"])
    batch = parse_job({"id": "x", "input_file_id": "f", "output_file_id": "same", "error_file_id": "same"}, JobKind.BATCH, {})
    assert batch.results == (JobResult("same", "batch_output"),)


def test_times_are_whole_seconds_and_what_is_empty_is_null():
    written = {"created_at": "2024-05-01T00:00:00Z", "completed_at": 1_714_521_600_500, "expires_at": "", "failed_at": None}
    job = parse_job({"id": "x", **written, "cancelled_at": 0, "expired_at": "soon", "error_file_id": ""}, JobKind.BATCH, {})
    expected = {"created_at": 1_714_521_600, "completed_at": 1_714_521_600, "expires_at": None, "failed_at": None}
    assert {name: job.document[name] for name in expected} == expected
    assert (job.document["cancelled_at"], job.document["expired_at"], job.document["error_file_id"]) == (0, "soon", None)


def test_what_openai_s_terms_do_not_have_stays_as_it_is():
    odd = {"id": "x", "object": "somebody.s.batch", "usage": {"a": [1, {"b": None}]}, "new_member": "…"}
    job = parse_job(odd, JobKind.BATCH, {})
    assert job.document == {**odd, "object": "batch", "status": ""}
    assert odd["object"] == "somebody.s.batch"


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "job",
        {},
        {"id": None},
        {"id": 7},
        {"id": "../x"},
        {"id": "x", "status": 7},
        {"id": "x", "status": ["completed"]},
        {"id": "x", "status": "a\nb"},
        {"id": "x", "status": "x" * 101},
        {"id": "x", "input_file_id": "../x"},
        {"id": "x", "output_file_id": {"id": None}},
        {"id": "x", "error_file_id": ["file-a"]},
    ],
    ids=repr,
)
def test_what_is_no_job_is_refused(value: Any):
    with pytest.raises(UpstreamAnswerInvalid):
        parse_job(value, JobKind.BATCH, {})


@pytest.mark.parametrize("files", ["file-a", {"data": []}, [["file-a"]], ["../x"], [7]], ids=repr)
def test_results_that_are_no_list_of_files_are_refused(files: Any):
    with pytest.raises(UpstreamAnswerInvalid):
        parse_job({"id": "x", "result_files": files}, JobKind.FINE_TUNING, {})


@given(value=st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=10), JSON, max_size=8), kind=st.sampled_from(JobKind))
def test_whatever_a_provider_answers_is_a_job_with_usable_ids_or_one_error(value: dict[str, Any], kind: JobKind):
    try:
        job = parse_job({"id": "job-1", **value}, kind, {})
    except UpstreamAnswerInvalid:
        return
    assert all(is_remote_id(file_id) for file_id in (job.id, *job.inputs, *(result.file_id for result in job.results)))


@pytest.mark.parametrize(
    "body",
    [b"NaN", b'{"id": "x", "a": -Infinity}', rb'["\ud800"]', rb'["\ud800\u0041"]', b"[" * 100_000, b'"\xff"'],
    ids=range(6),
)
def test_what_could_not_be_told_on_is_no_json(body: bytes):
    with pytest.raises(UpstreamAnswerInvalid):
        parse_json(body)


def test_what_can_be_told_on_is_json_with_a_byte_order_mark_too():
    assert parse_json(b'\xef\xbb\xbf {"a": "\\ud83d\\ude00", "b": 123456789012345678901}') == {"a": "😀", "b": 123456789012345678901}
