"""A caller of one project on a real server."""

from __future__ import annotations

from typing import Protocol

import httpx2

from support.contract import Contract
from support.projects import Key
from support.server import RunningServer


class Tenant:
    """A client of a project; each answer that it is given is held against the server's OpenAPI document."""

    def __init__(self, server: RunningServer, key: Key, contract: Contract) -> None:
        self.server = server
        self.key = key
        self.headers = {"Authorization": f"Bearer {key.plain}"}
        # Without verifying, since loading the certificate authorities for plain HTTP would take longer than most tests.
        self.client = httpx2.Client(base_url=server.base_url, headers=self.headers, timeout=60, trust_env=False, verify=False)
        self.client.event_hooks = {"response": [contract.check]}


class NewTenant(Protocol):
    """``new_tenant()`` is a tenant with every scope in an empty project of its own, on the shared server or another.

    The options are those of :func:`support.projects.new_key`.
    """

    def __call__(self, on: RunningServer | None = None, **options: object) -> Tenant: ...
