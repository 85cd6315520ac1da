"""The adapter for Gemini keeps the promises of every provider, with uploads that are many calls and ids that are names elsewhere."""

from __future__ import annotations

from fileplane.testing.fake_provider.wire import RecordedRequest
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_world import SECRET, World


class TestGoogle(ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "gemini"
    in_forms = False
    streams = False

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return world.fake.requests_for("upload")

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:
        return request.path == "/upload/v1/files" or super().is_call_on_files(world, request, file_id)

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:
        """What goes to the URL of a session has no key, and needs none."""
        if "upload_id" in request.query:
            return not any(SECRET in value for value in request.headers.values())
        return super().is_authorised(world, request)
