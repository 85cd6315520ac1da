"""What a handler is given."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from fileplane.access import Principal
from fileplane.blobs.base import BlobStore
from fileplane.control.api_keys import ApiKeys
from fileplane.control.configs import Configs
from fileplane.control.projects import Projects
from fileplane.control.virtual_keys import VirtualKeys
from fileplane.errors import FileNotFound
from fileplane.files.native import NativeFiles
from fileplane.http.auth import Authenticator
from fileplane.http.request_limits import RequestLimits
from fileplane.ids import openai_style, parse_file_id
from fileplane.metadata.base import MetadataStore
from fileplane.model import Origin
from fileplane.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that outlives a request."""

    settings: Settings
    metadata: MetadataStore
    blobs: BlobStore
    files: NativeFiles
    authenticator: Authenticator
    request_limits: RequestLimits
    projects: Projects
    api_keys: ApiKeys
    virtual_keys: VirtualKeys
    configs: Configs


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller may do what the operation does. ``caller`` is None only where the operation needs no key."""

    request: Request
    services: Services
    caller: Principal | None

    @property
    def principal(self) -> Principal:
        """Who is calling."""
        assert self.caller is not None
        return self.caller

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

    def shown_id(self, canonical: str) -> str:
        """A file id in the style that the settings ask for."""
        return openai_style(canonical) if self.services.settings.file_id_style == "openai" else canonical
