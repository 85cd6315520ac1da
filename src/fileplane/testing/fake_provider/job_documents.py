"""The jobs of the fake provider as documents, made in OpenAI's terms and shown in a flavour's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import hex_id

_AZURE_TUNING: Final = {"queued": "notRunning", "validating_files": "creating", "cancelled": "canceled"}


def new_batch(asked: dict[str, Any], now: int) -> dict[str, Any]:
    """As it is just after its creation."""
    return {
        "id": hex_id("batch_")(),
        "object": "batch",
        "endpoint": asked.get("endpoint"),
        "errors": None,
        "input_file_id": asked["input_file_id"],
        "completion_window": asked.get("completion_window", "24h"),
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": now,
        "expires_at": now + 86_400,
        "completed_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": asked.get("metadata"),
    }


def new_tuning(asked: dict[str, Any], now: int) -> dict[str, Any]:
    """As it is just after its creation."""
    return {
        "id": hex_id("ftjob-")(),
        "object": "fine_tuning.job",
        "created_at": now,
        "finished_at": None,
        "model": asked.get("model"),
        "fine_tuned_model": None,
        "status": "validating_files",
        "training_file": asked["training_file"],
        "validation_file": asked.get("validation_file"),
        "result_files": [],
        "error": None,
    }


def event(message: str, now: int) -> dict[str, Any]:
    """One of a fine-tuning job's."""
    return {
        "id": hex_id("ftevent-")(),
        "object": "fine_tuning.job.event",
        "created_at": now,
        "level": "info",
        "message": message,
        "type": "message",
        "data": {},
    }


def checkpoint(job: dict[str, Any], step: int, now: int) -> dict[str, Any]:
    """One of a fine-tuning job's."""
    return {
        "id": hex_id("ftckpt_")(),
        "object": "fine_tuning.job.checkpoint",
        "created_at": now,
        "fine_tuned_model_checkpoint": f"ft:{job['model']}:fake:step-{step}",
        "fine_tuning_job_id": job["id"],
        "metrics": {"step": step, "train_loss": 0.5},
        "step_number": step,
    }


def azure_job(job: dict[str, Any]) -> dict[str, Any]:
    """As the classic API shows it: states of its own, results as File objects, and "" for no file."""
    if job["object"] == "batch":
        return {**job, "output_file_id": job["output_file_id"] or "", "error_file_id": job["error_file_id"] or ""}
    files = [{"id": file_id, "object": "file", "purpose": "fine-tune-results"} for file_id in job["result_files"]]
    return {**job, "status": _AZURE_TUNING.get(job["status"], job["status"]), "result_files": files}


def job_with_written_times(job: dict[str, Any]) -> dict[str, Any]:
    """With times as RFC 3339 has them."""
    times = {name: value for name, value in job.items() if name.endswith("_at") and value is not None}
    return {**job, **{name: datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for name, value in times.items()}}
