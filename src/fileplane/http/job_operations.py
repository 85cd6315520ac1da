"""The routes of batches and fine-tuning jobs: OpenAI's paths, and Portkey's for a batch's output.

Portkey has no scope for jobs. One reads, so looking at jobs and their results needs ``files.read``; beginning, cancelling, pausing and
resuming them changes what files there will be, and spends what the provider asks for it, so these need ``files.write``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fileplane import errors
from fileplane.access import Scope
from fileplane.files.job_documents import LARGEST_DOCUMENT
from fileplane.http import job_handlers as jobs
from fileplane.http.job_schemas import BatchCreation, FineTuningJobCreation, JobList
from fileplane.http.operation import ALWAYS, JSON_ERRORS, ROUTE_ERRORS, Handler, Operation
from fileplane.http.parameters import Parameter
from fileplane.settings import Settings

_LIST_ERRORS: Final = (errors.InvalidValue, errors.BelowMinimum, errors.AboveMaximum, errors.UnknownParameter)
_CREATE_ERRORS: Final = (errors.FileNotFound, errors.JobLost, errors.JobTimedOut, *JSON_ERRORS)
_OUTPUT_ERRORS: Final = (errors.JobUnknown, errors.JobOutputMissing, errors.FileNotFound, errors.InvalidValue)
_BATCHES: Final = "/v1/batches"
_BATCH: Final = "/v1/batches/{batch_id}"
_TUNINGS: Final = "/v1/fine_tuning/jobs"
_TUNING: Final = "/v1/fine_tuning/jobs/{fine_tuning_job_id}"
JOB_PATHS: Final = ("/v1/batches", "/v1/fine_tuning")


def _operation(  # noqa: PLR0913 - what a row of the table has
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    scope: Scope,
    fails_with: tuple[type[errors.FileplaneError], ...],
    *,
    answer: Any = dict,
    parameters: Callable[[Settings], tuple[Parameter, ...]] = lambda _: (),
    takes: type | None = None,
) -> Operation:
    """One whose handler goes to a provider, and refuses where the request leads to none."""
    failures, most = tuple(dict.fromkeys((*fails_with, *ROUTE_ERRORS, *ALWAYS))), 0 if takes is None else LARGEST_DOCUMENT
    return Operation(method, path, handler, summary, answer, scope, parameters, failures, takes, remote=handler, most_for_conditions=most)


def _list(path: str, handler: Handler, summary: str, *more: type[errors.FileplaneError]) -> Operation:
    failures = (*more, *_LIST_ERRORS)
    return _operation("GET", path, handler, summary, Scope.FILES_READ, failures, answer=JobList, parameters=jobs.job_list_parameters)


def _change(path: str, handler: Handler, summary: str) -> Operation:
    return _operation("POST", path, handler, summary, Scope.FILES_WRITE, (errors.JobUnknown, errors.InvalidValue, errors.RequestTimeout))


def _look(path: str, handler: Handler, summary: str) -> Operation:
    return _operation("GET", path, handler, summary, Scope.FILES_READ, (errors.JobUnknown, errors.InvalidValue))


JOB_OPERATIONS: Final = (
    _operation("POST", _BATCHES, jobs.create_batch, "Begin a batch", Scope.FILES_WRITE, _CREATE_ERRORS, takes=BatchCreation),
    _list(_BATCHES, jobs.list_batches, "List batches"),
    _look(_BATCH, jobs.retrieve_batch, "Retrieve a batch"),
    _change(_BATCH + "/cancel", jobs.cancel_batch, "Cancel a batch"),
    _operation(
        "GET",
        _BATCH + "/output",
        jobs.batch_output,
        "Download what a batch has made",
        Scope.FILES_READ,
        (errors.InvalidRange, *_OUTPUT_ERRORS),
        answer="application/octet-stream",
    ),
    _operation("HEAD", _BATCH + "/output", jobs.batch_output, "Headers of that download", Scope.FILES_READ, _OUTPUT_ERRORS, answer=None),
    _operation(
        "POST",
        _TUNINGS,
        jobs.create_fine_tuning_job,
        "Begin a fine-tuning job",
        Scope.FILES_WRITE,
        _CREATE_ERRORS,
        takes=FineTuningJobCreation,
    ),
    _list(_TUNINGS, jobs.list_fine_tuning_jobs, "List fine-tuning jobs"),
    _look(_TUNING, jobs.retrieve_fine_tuning_job, "Retrieve a fine-tuning job"),
    _change(_TUNING + "/cancel", jobs.cancel_fine_tuning_job, "Cancel a fine-tuning job"),
    _change(_TUNING + "/pause", jobs.pause_fine_tuning_job, "Pause a fine-tuning job"),
    _change(_TUNING + "/resume", jobs.resume_fine_tuning_job, "Resume a fine-tuning job"),
    _list(_TUNING + "/events", jobs.list_fine_tuning_events, "List the events of a fine-tuning job", errors.JobUnknown),
    _list(_TUNING + "/checkpoints", jobs.list_fine_tuning_checkpoints, "List the checkpoints of a fine-tuning job", errors.JobUnknown),
)
