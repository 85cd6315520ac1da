"""What a handler is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from fileplane.access import Principal
from fileplane.blobs.base import BlobLinks, BlobStore
from fileplane.control.api_keys import ApiKeys
from fileplane.control.configs import Configs
from fileplane.control.projects import Projects
from fileplane.control.routes import NATIVE, Route, Routes
from fileplane.control.virtual_keys import VirtualKeys
from fileplane.errors import FileNotFound
from fileplane.files.native import NativeFiles
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_jobs import RemoteJobs
from fileplane.files.remote_route import RemoteRoute
from fileplane.files.resumable import ResumableUploads
from fileplane.files.routed_uploads import RoutedUploads
from fileplane.files.uploads import NativeUploads
from fileplane.http.auth import Authenticator
from fileplane.http.request_limits import RequestLimits
from fileplane.ids import openai_style, parse_file_id
from fileplane.metadata.base import MetadataStore
from fileplane.model import File, Origin
from fileplane.providers.object_ids import canonical_id
from fileplane.settings import Settings

_FILES: Final = "/v1/files"
_UPLOADS: Final = ("/v1/uploads", "/v1/tus")


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that outlives a request."""

    settings: Settings
    metadata: MetadataStore
    blobs: BlobStore
    files: NativeFiles
    uploads: NativeUploads
    resumable: ResumableUploads
    authenticator: Authenticator
    request_limits: RequestLimits
    projects: Projects
    api_keys: ApiKeys
    virtual_keys: VirtualKeys
    configs: Configs
    routes: Routes
    remote: RemoteFiles
    jobs: RemoteJobs
    routed: RoutedUploads
    links: BlobLinks | None = None
    """Where content is redirected to; None where this server sends it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller may do what the operation does. ``caller`` is None only where the operation needs no key."""

    request: Request
    services: Services
    caller: Principal | None
    route: Route = NATIVE
    not_here: bool = False
    """Whether the native store was asked for the id in the path, and does not have it."""

    @property
    def principal(self) -> Principal:
        """Who is calling."""
        assert self.caller is not None
        return self.caller

    @property
    def remote_route(self) -> RemoteRoute:
        """The providers that this request goes to."""
        assert self.route.remote is not None
        return self.route.remote

    @property
    def goes_to_provider(self) -> bool:
        """Whether this request goes to a provider.

        A new file goes as the route says, an id in the form of the native store's there first where the route has it, and a list to all.
        """
        if self.route.remote is None:
            return False
        route = self.request.scope["state"]["route"]
        if route.startswith(_UPLOADS):
            return not self.route.native
        if not route.startswith(_FILES):
            return True  # the native store has files alone
        if "file_id" in self.request.path_params:
            return self.not_here or not (self.route.has_native and parse_file_id(self.given_id) is not None)
        return bool(self.route.remote.everywhere) if self.request.method in {"GET", "HEAD"} else not self.route.native

    @property
    def origin(self) -> Origin:
        """What the audit log says of whoever calls."""
        scope = self.request.scope
        state = scope["state"]
        return Origin(self.principal.key_id, state["client"], state["request_id"], scope["method"], scope["path"])

    @property
    def given_id(self) -> str:
        """The file's id in the path as the caller wrote it, percent-decoded exactly once."""
        return self.path_text("file_id")

    @property
    def remote_id(self) -> str:
        """The id in the path as providers' files have it: an object of a bucket may be named by its URI too."""
        return canonical_id(self.given_id)

    def path_text(self, name: str) -> str:
        """A part of the path as the caller wrote it, percent-decoded exactly once."""
        return unquote_to_bytes(self.request.path_params[name]).decode("utf-8", "replace")

    @property
    def file_id(self) -> str:
        """The canonical id in the path. Raises :class:`~fileplane.errors.FileNotFound` when it is none."""
        canonical = parse_file_id(self.given_id)
        if canonical is None:
            raise FileNotFound(self.given_id)
        return canonical

    def shown(self, file: File) -> str:
        """The id of a file of any store. One at a provider has no blob here, and its id is the provider's."""
        return self.shown_id(file.id) if file.blob_key else file.id

    def shown_id(self, canonical: str) -> str:
        """A file id in the style that the settings ask for."""
        return openai_style(canonical) if self.services.settings.file_id_style == "openai" else canonical
