"""What the tests of the HTTP contract share: tenants of their own, and servers whose settings differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import pytest

from support.contract import Contract
from support.projects import new_key, new_tenant_key
from support.server import RunningServer, running_server
from support.tenants import NewTenant, Tenant

TIGHT = {
    "max_file_bytes": 200_000,
    "max_batch_file_bytes": 100_000,
    "project_quota_bytes": 300_000,
    "max_form_overhead_bytes": 10_000,
    "batch_expiry_seconds": 7_200,
    "max_list_limit": 7,
    "extra_purposes": "distillation,user_data_v2",
}
LOOSE = {"file_id_style": "openai", "extra_purposes": "*", "batch_expiry_seconds": 0}


@pytest.fixture(scope="session")
def tight_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Limits that a test can reach in no time."""
    with running_server(tmp_path_factory.mktemp("tight") / "data", **TIGHT) as running:
        yield running


@pytest.fixture(scope="session")
def loose_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """OpenAI's ids, any purpose, and batch files that do not expire."""
    with running_server(tmp_path_factory.mktemp("loose") / "data", **LOOSE) as running:
        yield running


@pytest.fixture(scope="session")
def contract_of() -> Callable[[RunningServer], Contract]:
    """The OpenAPI document of a server, fetched once."""
    known: dict[str, Contract] = {}

    def contract(server: RunningServer) -> Contract:
        if server.url not in known:
            known[server.url] = Contract(httpx2.get(f"{server.url}/openapi.json", trust_env=False).json())
        return known[server.url]

    return contract


@pytest.fixture
def new_tenant(server: RunningServer, contract_of: Callable[[RunningServer], Contract]) -> Iterator[NewTenant]:
    with ExitStack() as stack:

        def make(on: RunningServer | None = None, **options: object) -> Tenant:
            chosen = on or server
            key = new_key(chosen.data_dir, **options) if options else new_tenant_key(chosen.data_dir)
            tenant = Tenant(chosen, key, contract_of(chosen))
            stack.enter_context(tenant.client)
            return tenant

        yield make


@pytest.fixture
def tenant(new_tenant: NewTenant) -> Tenant:
    return new_tenant()


@pytest.fixture
def api(tenant: Tenant) -> httpx2.Client:
    """A client with every scope in an empty project of the shared server."""
    return tenant.client


@pytest.fixture
def tight(new_tenant: NewTenant, tight_server: RunningServer) -> Tenant:
    """A tenant of the server with low limits."""
    return new_tenant(tight_server)


@pytest.fixture
def loose(new_tenant: NewTenant, loose_server: RunningServer) -> Tenant:
    """A tenant of the server that prints OpenAI's ids and takes any purpose."""
    return new_tenant(loose_server)
