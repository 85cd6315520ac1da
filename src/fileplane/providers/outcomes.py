"""What is said, and raised, when something was sent whole to a provider and nobody knows what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileplane.errors import JobLost, JobTimedOut, UploadLost, UploadTimedOut, UpstreamOutcomeUnknown


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one kind of body. ``sent`` names what the provider was sent, ``perhaps`` what it may have done with it."""

    sent: str
    perhaps: str
    lost_error: type[UpstreamOutcomeUnknown]
    late_error: type[UpstreamOutcomeUnknown]

    def lost(self, message: str) -> UpstreamOutcomeUnknown:
        """After an answer that cannot be used, or broke off, as ``message`` says."""
        return self.lost_error(f"{message} {self.perhaps}; look at its list first.")

    def late(self, message: str) -> UpstreamOutcomeUnknown:
        """After an answer that came too late for somebody on the way, as ``message`` says."""
        return self.late_error(f"{message} {self.perhaps}; look at its list first.")

    def broken(self) -> UpstreamOutcomeUnknown:
        """After a connection that broke before an answer came."""
        return self.lost_error(f"The connection to the provider broke after it was sent the whole {self.sent}. Look at its list first.")

    def unanswered(self) -> UpstreamOutcomeUnknown:
        """After an answer that did not come in time."""
        return self.late_error(f"The provider did not answer in time after it was sent the whole {self.sent}. Look at its list first.")


UPLOAD: Final = Outcome("file", "It may have the file", UploadLost, UploadTimedOut)
JOB: Final = Outcome("job", "It may have begun the job", JobLost, JobTimedOut)
