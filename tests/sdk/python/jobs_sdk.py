"""Begins a batch and a fine-tuning job with each client, looks at them, ends them, and prints what came back; see ../processes.py."""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI
from portkey_ai import Portkey, createHeaders


def client_of(job: dict[str, Any], name: str) -> Any:
    if name == "portkey":
        return Portkey(api_key=job["api_key"], base_url=job["base_url"], virtual_key=job["virtual_key"])
    headers = createHeaders(api_key=job["api_key"], virtual_key=job["virtual_key"])
    return OpenAI(api_key="OPENAI_API_KEY", base_url=job["base_url"], default_headers=headers)


def read(content: Any) -> str:
    return content.read().decode() if hasattr(content, "read") else content if isinstance(content, str) else json.dumps(content)


def main() -> None:
    job = json.load(sys.stdin)
    seen: dict[str, Any] = {}
    for name in ("openai", "portkey"):
        client = client_of(job, name)
        batch_file = client.files.create(file=("in.jsonl", job["line"].encode()), purpose="batch")
        batch = client.batches.create(input_file_id=batch_file.id, endpoint="/v1/embeddings", completion_window="24h")
        got = client.batches.retrieve(batch.id)
        listed = [one.id for one in client.batches.list(limit=10).data]
        cancelled = client.batches.cancel(batch.id)
        file = client.files.create(file=("in.jsonl", job["line"].encode()), purpose="fine-tune")
        jobs = client.fine_tuning.jobs
        tuning = jobs.create(training_file=file.id, model="some")
        events = jobs.list_events(fine_tuning_job_id=tuning.id).data
        seen[name] = {
            "output": read(client.batches.output(job["done"]) if name == "portkey" else client.files.content(job["output"])),
            "batch": [batch.id, batch.status, batch.input_file_id == batch_file.id],
            "got": got.id,
            "listed": listed,
            "cancelled": [cancelled.id, cancelled.status],
            "tuning": [tuning.id, tuning.status, tuning.training_file == file.id],
            "tuning got": jobs.retrieve(tuning.id).id,
            "tunings": [one.id for one in jobs.list(limit=10).data],
            "events": len(events),
            "tuning cancelled": jobs.cancel(tuning.id).status,
        }
    sys.stdout.write(json.dumps(seen))


main()
