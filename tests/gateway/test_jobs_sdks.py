"""The SDKs begin, look at and end jobs through the gateway as they would at the provider."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from sdk.processes import NODE, run
from support.jobs import LINE, JobsFake, manual_fake, new_caller, ok
from support.server import RunningServer

COMMANDS = {"python": (sys.executable, "python/jobs_sdk.py"), "node": (str(NODE), "node/jobs_sdk.mjs")}


@pytest.fixture(scope="module")
def manual() -> Iterator[JobsFake]:
    with manual_fake() as fake:
        yield fake


@pytest.mark.parametrize("language", sorted(COMMANDS))
def test_every_sdk_begins_looks_at_and_ends_jobs(gateway: RunningServer, manual: JobsFake, language: str) -> None:
    caller = new_caller(gateway, manual, language)
    with caller.client:
        slug = caller.use_virtual_key()
        done, _ = caller.a_batch()
        caller.go_on(done, "finalizing")
        output = ok(caller.client.get(f"/batches/{done}"))["output_file_id"]
    given = {"base_url": gateway.base_url, "api_key": caller.key, "virtual_key": slug, "line": LINE.decode()}
    given |= {"done": done, "output": output}
    seen = json.loads(run(COMMANDS[language], given=json.dumps(given)))
    assert seen.keys() == {"openai", "portkey"}
    before: dict[str, list[str]] = {"batches": [done], "tunings": []}
    for steps in seen.values():
        assert '"custom_id": "one"' in steps["output"] or '"custom_id":"one"' in steps["output"], steps["output"]
        batch_id, tuning_id = steps["batch"][0], steps["tuning"][0]
        assert steps["batch"] == [batch_id, "validating", True]
        assert (steps["got"], steps["cancelled"]) == (batch_id, [batch_id, "cancelling"])
        assert steps["listed"] == [batch_id, *before["batches"]]
        assert steps["tuning"] == [tuning_id, "validating_files", True]
        assert (steps["tuning got"], steps["tuning cancelled"], steps["events"]) == (tuning_id, "cancelled", 1)
        assert steps["tunings"] == [tuning_id, *before["tunings"]]
        before = {"batches": steps["listed"], "tunings": steps["tunings"]}
