"""What an outbound call is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from fileplane.errors import FileplaneError, UpstreamAnswerInvalid
from fileplane.providers.request_body import RequestBody
from fileplane.providers.request_ids import Heard
from fileplane.secrets.values import Secret


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """One call. ``secret_headers`` are those that make it the caller's; they never follow a redirect.

    ``head_seconds`` bounds the time until the answer's head, besides the settings' own deadlines. ``follow_redirects`` is for downloads.
    ``repeatable`` says of a request with a body that it changes nothing, so that its outcome is never in doubt.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, Secret] = field(default_factory=dict)
    body: RequestBody | None = field(default=None, repr=False)
    head_seconds: float | None = None
    follow_redirects: bool = False
    repeatable: bool = False
    resumable: bool = False
    """Whether it is part of an upload in several requests, so that a 308 without a ``Location`` asks for the rest (Google's protocol)."""
    explains_redirects: bool = False
    """Whether a redirect that leads nowhere, or says where the bucket is, is an answer to be read (Amazon's), and none to be followed."""
    identity: Mapping[str, Secret] | None = field(default=None, repr=False)
    """Whose connections are used, where ``secret_headers`` are other ones for each request, as signatures are."""
    heard: Heard = field(default_factory=Heard, compare=False, repr=False)
    """Where the answer's own id is written down."""
    caller: str = ""
    """Whose share of the connections is used; without one, every credential has its own."""

    @property
    def outcome_unknown(self) -> bool:
        """Whether what was asked for may have happened although no answer says so."""
        return not self.repeatable and self.body is not None and self.body.complete

    def unusable(self, message: str) -> FileplaneError:
        """What an answer that cannot be used means: that an outcome is unknown, where something may have been done."""
        return self.body.outcome.lost(message) if self.body is not None and self.outcome_unknown else UpstreamAnswerInvalid(message)

    def redirected(self, location: str) -> EgressRequest:
        """The request that a redirect asks for: of this one's headers only those that say which part of the content is wanted.

        Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for a location that is none.
        """
        nowhere = self.unusable("The provider redirects to nowhere.")
        try:
            target = urljoin(self.url, location.partition("#")[0])
            scheme = urlsplit(target).scheme
        except ValueError as error:  # such as a bracket that is never closed
            raise nowhere from error
        if not location or scheme not in {"http", "https"}:
            raise nowhere
        kept = {name: value for name, value in self.headers.items() if name.lower() in {"range", "accept"}}
        return EgressRequest(
            self.method, target, kept, head_seconds=self.head_seconds, follow_redirects=True, heard=self.heard, caller=self.caller
        )
