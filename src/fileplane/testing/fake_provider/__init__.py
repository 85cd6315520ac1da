"""A fake provider: an HTTP server that speaks the Files API of many providers, records what it is sent, and misbehaves when it is told to.

In a test::

    async with fake_provider("openai") as fake:
        fake.plan(Fault("refuse", operation="upload", status=429, headers={"retry-after": "7"}))
        ... call fake.base_url ...
        assert fake.requests[-1].headers["authorization"] == "Bearer sk-test"

As a process, steered over HTTP (see :mod:`fileplane.testing.fake_provider.control`)::

    python -m fileplane.testing.fake_provider --port 0 --flavour azure

What it keeps is on disk, in a directory of its own, and gone when it ends.
"""

from __future__ import annotations

from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.provider import FakeProvider, fake_provider
from fileplane.testing.fake_provider.wire import RecordedRequest

__all__ = ["FakeProvider", "Fault", "RecordedRequest", "fake_provider"]
