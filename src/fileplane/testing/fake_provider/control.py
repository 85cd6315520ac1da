"""Steers a fake provider in another process, over HTTP and beside what it fakes: everything below ``/_control/``.

| call | effect |
| --- | --- |
| ``POST faults`` | plans a fault, or a list of them, as JSON with the names of :class:`~fileplane.testing.fake_provider.faults.Fault` |
| ``GET requests`` | the requests so far |
| ``POST reset`` | forgets faults and requests |
| ``POST clock`` | moves the clock by ``{"seconds": n}`` |
| ``POST jobs`` | sets ``{"credential": c, "id": i, "status": s, "set": {...}}`` of a job, and then goes one step |
| ``GET state`` | connections made and open, tokens issued |
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.wire import Answer, RecordedRequest, answer_of

if TYPE_CHECKING:
    from fileplane.testing.fake_provider.provider import FakeProvider


class Control:
    """Answers control requests; they are not recorded and no fault strikes them."""

    def __init__(self, fake: FakeProvider) -> None:
        self._fake = fake

    async def answer(self, request: RecordedRequest, body: AsyncIterator[bytes]) -> Answer:
        """One of them."""
        content = b"".join([piece async for piece in body])
        asked = json.loads(content) if content else None
        name = request.path.removeprefix("/_control/")
        try:
            value = self._done(request.method, name, asked)
        except (TypeError, ValueError, KeyError) as error:
            return answer_of(400, json.dumps({"error": str(error)}).encode())
        return answer_of(404 if value is None else 200, json.dumps(value).encode())

    def _done(self, method: str, name: str, asked: Any) -> Any:
        fake = self._fake
        match method, name:
            case "POST", "faults":
                fake.plan(*[Fault(**one) for one in (asked if isinstance(asked, list) else [asked])])
            case "GET", "requests":
                return [asdict(request) for request in fake.requests]
            case "POST", "reset":
                fake.reset()
            case "POST", "clock":
                fake.accounts.ahead_seconds += int(asked["seconds"])
            case "POST", "jobs":
                account = fake.accounts.of(asked["credential"])
                job = {**account.batches, **account.fine_tunings}[asked["id"]]
                job |= {"status": asked.get("status", job["status"]), **asked.get("set", {})}
                fake.jobs.step(account, job)
            case "GET", "state":
                return {"connections": fake.connections, "open_connections": fake.open_connections, "tokens_issued": fake.tokens_issued}
            case _:
                return None
        return {}
