"""The calls on batches and fine-tuning jobs. Only providers run jobs; what they are asked to run and what they say of it passes through."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp

from fileplane.catalog import JobKind
from fileplane.errors import UnsupportedProviderOperation
from fileplane.files.job_documents import LARGEST_DOCUMENT
from fileplane.files.job_lists import USUAL_LIMIT
from fileplane.files.remote_route import RemoteRoute
from fileplane.http.call import Call
from fileplane.http.job_schemas import JobList
from fileplane.http.json_body import pass_over_body, read_object
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.presence import while_there
from fileplane.http.remote_content import RemoteContentResponse, head_response
from fileplane.http.remote_trace import tell
from fileplane.http.responses import json_response
from fileplane.providers.remote_jobs import JobAction, JobRecords, RemoteJobQuery
from fileplane.settings import Settings

MOST_JOBS: Final = 100
BATCH_ID, FINE_TUNING_ID = "batch_id", "fine_tuning_job_id"


async def create_batch(call: Call) -> ASGIApp:
    """POST /v1/batches."""
    return await _create(call, JobKind.BATCH)


async def list_batches(call: Call) -> ASGIApp:
    """GET /v1/batches."""
    return await _list(call, JobKind.BATCH)


async def retrieve_batch(call: Call) -> ASGIApp:
    """GET /v1/batches/{batch_id}."""
    return await _get(call, JobKind.BATCH, BATCH_ID)


async def cancel_batch(call: Call) -> ASGIApp:
    """POST /v1/batches/{batch_id}/cancel."""
    return await _act(call, JobKind.BATCH, BATCH_ID, JobAction.CANCEL)


async def batch_output(call: Call) -> ASGIApp:
    """GET and HEAD /v1/batches/{batch_id}/output. Providers have no HEAD: the length is the file's own."""
    route, jobs, batch_id = _route_of(call), call.services.jobs, call.path_text(BATCH_ID)
    if call.request.method == "GET":
        return RemoteContentResponse(call, lambda span: jobs.open_output(route, call.principal, call.origin, batch_id, span))
    outline = await while_there(call.request.receive, jobs.output_outline(route, call.principal, call.origin, batch_id))
    tell(call)
    return head_response(outline)


async def create_fine_tuning_job(call: Call) -> ASGIApp:
    """POST /v1/fine_tuning/jobs."""
    return await _create(call, JobKind.FINE_TUNING)


async def list_fine_tuning_jobs(call: Call) -> ASGIApp:
    """GET /v1/fine_tuning/jobs."""
    return await _list(call, JobKind.FINE_TUNING)


async def retrieve_fine_tuning_job(call: Call) -> ASGIApp:
    """GET /v1/fine_tuning/jobs/{fine_tuning_job_id}."""
    return await _get(call, JobKind.FINE_TUNING, FINE_TUNING_ID)


async def cancel_fine_tuning_job(call: Call) -> ASGIApp:
    """POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel."""
    return await _act(call, JobKind.FINE_TUNING, FINE_TUNING_ID, JobAction.CANCEL)


async def pause_fine_tuning_job(call: Call) -> ASGIApp:
    """POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/pause."""
    return await _act(call, JobKind.FINE_TUNING, FINE_TUNING_ID, JobAction.PAUSE)


async def resume_fine_tuning_job(call: Call) -> ASGIApp:
    """POST /v1/fine_tuning/jobs/{fine_tuning_job_id}/resume."""
    return await _act(call, JobKind.FINE_TUNING, FINE_TUNING_ID, JobAction.RESUME)


async def list_fine_tuning_events(call: Call) -> ASGIApp:
    """GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/events."""
    return await _records(call, JobRecords.EVENTS)


async def list_fine_tuning_checkpoints(call: Call) -> ASGIApp:
    """GET /v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints."""
    return await _records(call, JobRecords.CHECKPOINTS)


def job_list_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of a list of jobs, or of one job's records."""
    return (
        Parameter("after", "The id of the last entry of the page before.", {"type": "string"}),
        Parameter("limit", "Entries in one page.", {"type": "integer", "minimum": 1, "maximum": MOST_JOBS, "default": USUAL_LIMIT}),
    )


def _route_of(call: Call) -> RemoteRoute:
    """To providers. What the native store says to every one of these calls is that it runs no jobs."""
    route = call.route.remote
    if route is not None and not route.everywhere and route.closed:
        raise route.closed[0].why
    if route is None or not route.everywhere:
        raise UnsupportedProviderOperation(
            "Fileplane itself runs no jobs. Add the header x-portkey-virtual-key, x-portkey-config or x-portkey-provider, which says where "
            "this one is to run.",
            param="x-portkey-provider",
        )
    return route


async def _create(call: Call, kind: JobKind) -> ASGIApp:
    route = _route_of(call)
    if "idempotency-key" in call.request.headers:
        raise UnsupportedProviderOperation(
            "An Idempotency-Key is heeded for uploads alone: providers do not heed one for jobs, and what a job was begun with is not kept "
            "here. Leave it out, and look at the list of jobs before beginning one again.",
            param="idempotency-key",
        )
    document = await read_object(call.request, LARGEST_DOCUMENT, call.services.settings)
    made = await call.services.jobs.create(route, call.principal, call.origin, kind, document)
    return _answer(call, made)


async def _get(call: Call, kind: JobKind, name: str) -> ASGIApp:
    getting = call.services.jobs.get(_route_of(call), call.principal, call.origin, kind, call.path_text(name))
    return _answer(call, await while_there(call.request.receive, getting))


async def _act(call: Call, kind: JobKind, name: str, action: JobAction) -> ASGIApp:
    route, jobs, job_id = _route_of(call), call.services.jobs, call.path_text(name)
    await pass_over_body(call.request, call.services.settings)
    return _answer(call, await jobs.act(route, call.principal, call.origin, kind, job_id, action))


async def _list(call: Call, kind: JobKind) -> ASGIApp:
    listing = call.services.jobs.list(_route_of(call), call.principal, call.origin, kind, _query_of(call))
    page = await while_there(call.request.receive, listing)
    return _answer(call, _shown(list(page.documents), has_more=page.has_more))


async def _records(call: Call, records: JobRecords) -> ASGIApp:
    jobs, job_id = call.services.jobs, call.path_text(FINE_TUNING_ID)
    reading = jobs.records(_route_of(call), call.principal, call.origin, job_id, records, _query_of(call))
    page = await while_there(call.request.receive, reading)
    return _answer(call, _shown([dict(document) for document in page.documents], has_more=page.has_more))


def _query_of(call: Call) -> RemoteJobQuery:
    declared = job_list_parameters(call.services.settings)
    given = parse_query(call.request.scope["query_string"], declared, "A list")
    _, limit = declared
    return RemoteJobQuery(limit.whole(given["limit"]) if "limit" in given else USUAL_LIMIT, given.get("after") or None)


def _shown(documents: list[dict[str, Any]], *, has_more: bool) -> JobList:
    ids = [document.get("id") for document in documents]
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    return JobList(
        data=documents,
        first_id=first if isinstance(first, str) else None,
        last_id=last if isinstance(last, str) else None,
        has_more=has_more,
    )


def _answer(call: Call, value: Any) -> Response:
    tell(call)
    return json_response(value)
