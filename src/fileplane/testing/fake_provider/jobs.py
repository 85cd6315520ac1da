"""Batches and fine-tuning jobs, with the files that they make and the records that they keep."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import Account, Accounts
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.job_documents import checkpoint, event, new_batch, new_tuning
from fileplane.testing.fake_provider.wire import Answer, Handler, RecordedRequest, answer_of

_STEPS: Final = {
    "batch": {"validating": "in_progress", "in_progress": "finalizing", "finalizing": "completed", "cancelling": "cancelled"},
    "fine_tuning.job": {"validating_files": "queued", "queued": "running", "running": "succeeded"},
}
_RUNNING: Final = frozenset({"validating", "in_progress", "finalizing", "validating_files", "queued", "running"})
_ACTIONS: Final = {
    ("batches", "cancel"): (_RUNNING, "cancelling"),
    ("fine_tuning", "cancel"): (_RUNNING | {"paused"}, "cancelled"),
    ("fine_tuning", "pause"): (_RUNNING, "paused"),
    ("fine_tuning", "resume"): (frozenset({"paused"}), "queued"),
}
"""The states in which something can be done to a job, and the one that it has afterwards."""
_RECORDS: Final = frozenset({"events", "checkpoints"})
_MOST_JSON: Final = 1 << 20
_DEFAULT_LIMIT: Final = 20
_MOST_LIMIT: Final = 100
_Answering = Callable[[RecordedRequest, bytes, Account, Fault | None], Answer]


class JobsApi:
    """Routes and answers; ``steps_by_itself`` lets each look at a job bring it one step further.

    The operations are named ``batches.create``, ``.list``, ``.get`` and ``.cancel``, and ``fine_tuning`` with the same, ``.pause``,
    ``.resume``, ``.events`` and ``.checkpoints``. A fault at ``batches`` or ``fine_tuning`` strikes at any of them.
    """

    def __init__(self, flavour: Flavour, accounts: Accounts, *, steps_by_itself: bool) -> None:
        self._flavour = flavour
        self._accounts = accounts
        self._steps_by_itself = steps_by_itself

    def route(self, method: str, segments: list[str]) -> tuple[str, Handler | None]:
        """The name of an operation and what answers it."""
        kind, rest = segments[0], segments[1:]
        if kind == "fine_tuning" and rest[:1] == ["jobs"]:
            rest = rest[1:]
        elif kind != "batches":
            return "", None
        if kind not in self._flavour.jobs:
            return "", None
        name, answering = self._operation(kind, method, rest)
        return (f"{kind}.{name}", self._handler(answering)) if answering is not None else ("", None)

    def _operation(self, kind: str, method: str, rest: list[str]) -> tuple[str, _Answering | None]:
        match method, rest:
            case "POST", []:
                return "create", lambda request, content, account, fault: self._create(kind, request, content, account, fault)
            case "GET", []:
                return "list", lambda request, _content, account, fault: self._list(kind, request, account, fault)
            case "GET", [job_id]:
                return "get", lambda _request, _content, account, fault: self._get(kind, job_id, account, fault)
            case "POST", [job_id, action] if (kind, action) in _ACTIONS and action not in self._flavour.lacks_of_jobs:
                return action, lambda _request, _content, account, fault: self._act(kind, job_id, action, account, fault)
            case "GET", [job_id, records] if kind == "fine_tuning" and records in _RECORDS - self._flavour.lacks_of_jobs:
                return records, lambda request, _content, account, _fault: self._records(job_id, records, request, account)
        return "", None

    def _handler(self, answering: _Answering) -> Handler:
        async def handle(request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
            content = b"".join([piece async for piece in body])
            return answering(request, content, self._accounts.of(credential), fault)

        return handle

    def _create(self, kind: str, request: RecordedRequest, content: bytes, account: Account, fault: Fault | None) -> Answer:
        try:
            asked = json.loads(content[: _MOST_JSON + 1])
        except ValueError:
            return self._error(400, "We could not parse the JSON body of your request.")
        if not isinstance(asked, dict) or request.headers.get("content-type") != "application/json":
            return self._error(400, "The body is no JSON object.")
        request.document = asked
        named = [asked.get("input_file_id" if kind == "batches" else "training_file")]
        if kind == "fine_tuning" and asked.get("validation_file") is not None:
            named.append(asked["validation_file"])
        if any(file_id not in account.files for file_id in named):
            return self._error(400, "Invalid input file.")
        job = (new_batch if kind == "batches" else new_tuning)(asked, self._accounts.now())
        jobs = _jobs(account, kind)
        if fault is not None and fault.kind == "odd_id":
            job["id"] = str(fault.body)
        if fault is not None and fault.kind == "duplicate_id" and jobs:
            job["id"] = next(reversed(jobs))
        jobs[job["id"]] = job
        self._note(account, job, "Created fine-tuning job")
        return self._shown(job, fault, self._flavour.job_created_status)

    def _list(self, kind: str, request: RecordedRequest, account: Account, fault: Fault | None) -> Answer:
        return self._page([self._render(job, fault) for job in _jobs(account, kind).values()], request.query)

    def _get(self, kind: str, job_id: str, account: Account, fault: Fault | None) -> Answer:
        job = _jobs(account, kind).get(job_id)
        if job is None:
            return self._unknown(job_id)
        if self._steps_by_itself:
            self.step(account, job)
        return self._shown(job, fault)

    def _act(self, kind: str, job_id: str, action: str, account: Account, fault: Fault | None) -> Answer:
        job = _jobs(account, kind).get(job_id)
        if job is None:
            return self._unknown(job_id)
        possible, job_status = _ACTIONS[kind, action]
        if job["status"] not in possible:
            return self._error(400, f"Cannot {action} a job with status '{job['status']}'.")
        job["status"] = job_status
        self._note(account, job, f"Asked to {action}")
        return self._shown(job, fault)

    def _records(self, job_id: str, records: str, request: RecordedRequest, account: Account) -> Answer:
        if job_id not in account.fine_tunings:
            return self._unknown(job_id)
        return self._page(list(account.records.get((job_id, records), [])), request.query)

    def step(self, account: Account, job: dict[str, Any]) -> None:
        """Brings a job one step further; the last one makes its files."""
        before = job["status"]
        job["status"] = _STEPS[job["object"]].get(before, before)
        if job["status"] == "completed" and job["output_file_id"] is None:
            self._finish_batch(account, job)
        if job["status"] == "succeeded" and not job["result_files"]:
            job["finished_at"] = self._accounts.now()
            job["fine_tuned_model"] = f"ft:{job['model']}:fake"
            job["result_files"] = [self._made(account, "step_metrics.csv", "fine-tune-results", b"step,train_loss\n1,0.5\n")]
            account.records[job["id"], "checkpoints"] = [checkpoint(job, step, self._accounts.now()) for step in (1, 2, 3)]
        if job["status"] != before:
            self._note(account, job, f"The job is {job['status']}")

    def _note(self, account: Account, job: dict[str, Any], message: str) -> None:
        if job["object"] == "fine_tuning.job":
            account.records.setdefault((job["id"], "events"), []).append(event(message, self._accounts.now()))

    def _finish_batch(self, account: Account, job: dict[str, Any]) -> None:
        """Every line with a ``custom_id`` is answered, every other one is an error."""
        output, errors, failed, total = bytearray(), bytearray(), 0, 0
        with account.files[job["input_file_id"]].path.open("rb") as lines:
            for line in lines:
                total += 1
                try:
                    custom_id = json.loads(line)["custom_id"]
                    response = {"status_code": 200, "request_id": f"req_{total}", "body": {"object": "fake"}}
                    output += (
                        json.dumps({"id": f"batch_req_{total}", "custom_id": custom_id, "response": response, "error": None}).encode()
                        + b"\n"
                    )
                except (ValueError, KeyError, TypeError):
                    failed += 1
                    errors += (
                        json.dumps({"id": f"batch_req_{total}", "response": None, "error": {"code": "invalid_json_line"}}).encode() + b"\n"
                    )
        job["request_counts"] = {"total": total, "completed": total - failed, "failed": failed}
        job["completed_at"] = self._accounts.now()
        job["output_file_id"] = self._made(account, f"{job['id']}_output.jsonl", "batch_output", bytes(output))
        job["error_file_id"] = self._made(account, f"{job['id']}_error.jsonl", "batch_output", bytes(errors)) if failed else None

    def _made(self, account: Account, filename: str, purpose: str, content: bytes) -> str:
        path = self._accounts.new_path()
        path.write_bytes(content)
        return self._accounts.add(account, self._flavour.new_id(), path, filename=filename, purpose=purpose).id

    def _page(self, rows: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        if not self._flavour.pages_jobs:
            return _json({"object": "list", "data": rows})
        rows.reverse()
        if "after" in query:
            places = [index for index, row in enumerate(rows) if row["id"] == query["after"]]
            rows = rows[places[0] + 1 :] if places else []
        limit = int(query.get("limit", _DEFAULT_LIMIT))
        if not 1 <= limit <= _MOST_LIMIT:
            return self._error(400, "Invalid 'limit'.")
        page = rows[:limit]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return _json({"object": "list", "data": page, **ends, "has_more": len(rows) > limit})

    def _shown(self, job: dict[str, Any], fault: Fault | None, status: int = 200) -> Answer:
        return _json(self._render(job, fault), status)

    def _render(self, job: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        shown = self._flavour.render_job(job)
        if fault is not None and fault.kind == "odd_status":
            return {**shown, "status": fault.body}
        if fault is not None and fault.kind == "foreign_result":
            return {**shown, **({"output_file_id": fault.body} if job["object"] == "batch" else {"result_files": [fault.body]})}
        return shown

    def _unknown(self, job_id: str) -> Answer:
        status = self._flavour.unknown_status
        return self._error(status, "Job not found." if status == 400 else f"No such job: {job_id}")

    def _error(self, status: int, message: str) -> Answer:
        return _json(self._flavour.error(status, message, None, None), status)


def _jobs(account: Account, kind: str) -> dict[str, dict[str, Any]]:
    return account.batches if kind == "batches" else account.fine_tunings


def _json(value: Any, status: int = 200) -> Answer:
    return answer_of(status, json.dumps(value).encode())
