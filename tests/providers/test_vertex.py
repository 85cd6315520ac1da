"""The adapter for Vertex AI keeps the promises of every provider, with files that are objects in Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fileplane.testing.fake_provider.gcs import BUCKET
from fileplane.testing.fake_provider.wire import RecordedRequest
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_world import SECRET, World


class TestVertex(ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "vertex-ai"
    fields: ClassVar[Mapping[str, str]] = {"vertex_storage_bucket_name": BUCKET, "file_purpose": "upload"}
    in_forms = False
    streams = False
    operation_with_the_file = "upload.chunk"

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return [request for request in world.fake.requests if request.operation in {"upload", "upload.chunk"}]

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:  # noqa: ARG002 - the suite's
        return request.path.removeprefix("/upload").startswith(f"/storage/v1/b/{BUCKET}/o")

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:  # noqa: ARG002 - the suite's
        if "upload_id" in request.query:
            return "authorization" not in request.headers
        return request.headers["authorization"] == f"Bearer {SECRET}"
