"""What words of a provider are taken for the end of a file or a job, and which for that of something else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.providers.absence import says_absent
from fileplane.providers.refusals import says_nothing_is_there


@pytest.mark.parametrize(
    "words",
    [
        "The file cannot be found",
        "Cannot find file file-1",
        "File file-1 could not be found.",
        "No UploadedFile matches the given query.",
        "No File matches the given query.",
        "文件不存在",
        "该文件已过期",
        "找不到文件 file-1",
        "file-1 不存在",
        "任务不存在",
        "There is no file with id file-1",
        "Unknown file: file-1",
        "unknown file 'file-1'",
        "File file-1 was deleted",
        "The file has expired",
        "File 'file-1' not found in workspace w",
        "Unable to find file file-1",
        "Couldn't find file",
        "file-1 not found in project p",
        "In project p there is no such file",
        "File file-1 (a.jsonl) has expired",
        "Resource 'file-1' was not found",
        "NotFoundError: file-1",
        "No file found for id 'file-1'",
        "No file with id file-1",
        "Could not find job file-1",
        "The object was not found.",
        "the requested File 'file-1' does not exist",
        "File id file-1 does not exist",
        "no such file or directory",
        "file_not_found: File not found",
        "Document file-1 no longer exists",
        "You do not have permission to access the File file-1 or it may not exist.",
        "Upload 'file-1' not found.",
        "fine-tune file-1 not found",
        "FileNotFoundError: file-1",
        "Requested file does not exist in this account",
        "Invalid file id: no such file",
        "The file, file-1, was not found",
        "The file is not yours or does not exist",
    ],
)
def test_a_thing_that_is_said_not_to_exist_is_taken_for_gone(words: str):
    assert says_absent(words, "file-1")
    assert says_nothing_is_there(json.dumps({"error": {"message": words}}).encode(), "file-1")


@pytest.mark.parametrize(
    "words",
    [
        "Account acc not found for file upload",
        "The project of file file-1 was not found",
        "Deployment x for file y not found",
        "path 'files/file-1' not found",
        "Unknown request: GET files/file-1",
        "Unknown parameter: file",
        "Unknown error while reading file file-1",
        "Your API key for file access has expired",
        "The upload URL has expired",
        "Unknown file type",
        "Upload of file file-1: account not found",
        "Could not find project p of file file-1",
        "The content of file file-1 was not found",
        "model 'file-1' does not exist",
        "The workspace was not found. Files live in workspaces.",
        "文件的项目不存在",
        "模型不存在",
        "File processing: user not found",
        "The file size limit was not found",
        "Key for file not found",
        "Method not found: files.get",
        "Not Found",
        "not found: /v1/files/file-1",
        "File upload service has expired",
        "No model found for file-1",
        "Endpoint for file file-1 does not exist",
        "The resource could not be found",
        "No Project matches the given query.",
        "No route for file-1 found",
        "Invalid token: user of file deleted",
        "Error while handling file file-1: worker not found",
        "The file file-1 is there, but its shard was not found",
        "Reading file file-1 failed because the backend could not be found",
        "File file-1 cannot be read, upstream does not exist",
    ],
)
def test_what_is_said_of_anything_else_says_nothing_of_the_thing(words: str):
    assert not says_nothing_is_there(json.dumps({"error": {"message": words}}).encode(), "file-1")


@pytest.mark.parametrize(
    ("code", "words", "gone"),
    [
        ("file_not_found", "Not found", True),
        ("FileNotFound", "", True),
        ("batch-job-not-found", "", True),
        ("file_expired", "", True),
        ("file_not_found", "The requested URL was not found on this server.", False),
        ("model_not_found", "x", False),
        ("file_type_not_found", "", False),
        ("content_not_found", "", False),
        ("not_found", "Not found", False),
        ("notFound", "Not Found", True),
        ("notFound", "Project p not found", False),
    ],
)
def test_a_code_that_names_a_thing_is_believed_unless_the_words_are_about_an_address(code: str, words: str, gone: bool):
    assert says_nothing_is_there(json.dumps({"error": {"code": code, "message": words}}).encode(), "file-1") is gone


@given(words=st.text(max_size=200), sought=st.text(max_size=20))
def test_whatever_is_said_is_read_without_an_error(words: str, sought: str):
    assert says_absent(f"{words} no such file", sought) in {True, False}
