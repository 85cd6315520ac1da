"""The adapter for Cohere keeps the promises of every provider."""

from __future__ import annotations

from fileplane.testing.fake_provider import RecordedRequest
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_world import World


class Manner:
    """What is different from providers that describe a file when they take it, and give it out themselves."""

    flavour = "cohere"
    names_apart = True
    file_field = "data"
    form_parts = 1

    def content_for(self, purpose: str) -> bytes:
        return b'{"text": "of a row"}\n' if purpose == "embed-input" else b"content"

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return world.fake.requests_for("upload")

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:  # noqa: ARG002 - the suite's
        return request.path in {"/v1/datasets", f"/v1/datasets/{file_id}", f"/v1/signed/{file_id}"}

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:
        signed = request.path.startswith("/v1/signed/")
        return "authorization" not in request.headers if signed else super().is_authorised(world, request)  # type: ignore[misc]


class TestCohere(Manner, ProviderSuite):
    pass


class TestCohereFaults(Manner, ProviderFaultsSuite, ProviderTransfersSuite):
    pass
