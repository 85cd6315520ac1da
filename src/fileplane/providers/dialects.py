"""What providers that speak OpenAI's APIs, or nearly so, say differently: values, read by :mod:`fileplane.providers.openai`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fileplane.catalog import JobKind
from fileplane.providers.base import Capabilities


class ListOrder(StrEnum):
    """In which order a provider lists its files."""

    ASKED = "asked"
    """In the one that is asked for."""
    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"
    ANY = "any"
    """In none that can be relied on."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider's way of speaking. The defaults are OpenAI's."""

    name: str
    title: str
    base_url: str
    """Up to but not including ``/files``. Empty where it depends on the target."""
    capabilities: Capabilities
    purposes: Mapping[str, str] = field(default_factory=dict)
    """Our callers' words with those that the provider is sent; what is not here is sent as it is."""
    read_purposes: Mapping[str, str] = field(default_factory=dict)
    """Its words with ours, where they are not just the other way round."""
    sends_purpose: bool = True
    filters_purpose: bool = True
    """Whether its list can be asked for one purpose; otherwise it is filtered here."""
    has_status: bool = True
    order: ListOrder = ListOrder.ASKED
    get_by_list: bool = False
    """Whether a single file is looked for in the list, because it cannot be asked for."""
    wrapped_in: str | None = None
    """The member of an answer that the File object is in."""
    list_query: Mapping[str, str] = field(default_factory=dict)
    """Always part of the query of a list."""
    not_found: Mapping[int, str] = field(default_factory=dict)
    """Other statuses than 404 that mean an unknown file when the message has these words."""

    pages_jobs: bool = True
    """Whether its lists of jobs heed ``limit`` and ``after``; otherwise they are whole, and in no order that can be relied on."""
    job_statuses: Mapping[JobKind, Mapping[str, str]] = field(default_factory=dict)
    """Its words for the states of jobs with OpenAI's, where :mod:`fileplane.providers.job_objects` does not know them."""

    def theirs(self, purpose: str) -> str:
        """A purpose as the provider calls it."""
        return self.purposes.get(purpose, purpose)

    def ours(self) -> Mapping[str, str]:
        """The provider's purposes with ours: of several of ours that it has one word for, the first."""
        return {**{theirs: ours for ours, theirs in reversed(list(self.purposes.items()))}, **self.read_purposes}
