"""The LimitsStore protocol: what limits and usage are counted by.

A :class:`~fileplane.metadata.base.MetadataStore` is one too; what is said there of all methods holds for these. The counters of files
move in the transactions of the files' own changes, by whichever method.
"""

from __future__ import annotations

from typing import Protocol

from fileplane.access import CallerLimits
from fileplane.model import Kept, KeyUsage, RequestLease, UsageReport


class LimitsStore(Protocol):
    """See the module."""

    async def kept(self, project_id: str, key_id: str) -> Kept:
        """What storage, number of files and the day's bytes are held against, at one instant."""
        ...

    async def take_requests(self, subject: str, limit: int, most: int) -> RequestLease:
        """Takes up to ``most`` of the ``limit`` requests that a subject has in the present minute, for one worker to use.

        All that is granted for a minute is never more than ``limit``. What a worker does not use ends with the minute. While the
        latest known minute is the next one, as with the clock of another machine a little ahead, that one goes on; one still later
        is the trace of a clock that was wrong, and begins anew.
        """
        ...

    async def begin_upload(self, upload_id: str, project_id: str, key_id: str, limits: CallerLimits, seconds: float) -> None:
        """Takes a place among the uploads that may go on at once; it ends after ``seconds`` unless it is renewed.

        Raises :class:`~fileplane.errors.RateLimited` when there is none.
        """
        ...

    async def renew_upload(self, upload_id: str, seconds: float) -> None:
        """The upload goes on for ``seconds`` more. A place that has been given to another does not come back."""
        ...

    async def end_upload(self, project_id: str, key_id: str, received_bytes: int, upload_id: str | None = None) -> None:
        """Gives a place back, if there is one, and counts what a failed upload has sent, if it is not 0."""
        ...

    async def usage_report(self, project_id: str, first_day: int, last_day: int, key_id: str | None = None) -> UsageReport:
        """What is counted of a project and, if one is named, of one of its keys. Costs no scan of files.

        The days (since the epoch, in UTC) are those from ``first_day`` to ``last_day``.
        """
        ...

    async def usage_by_key(self, project_id: str) -> list[KeyUsage]:
        """The live files of a project by the keys that uploaded them, as far as there are any."""
        ...
