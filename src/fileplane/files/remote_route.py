"""Where a file call goes beside the native store: providers with their targets, in what order, and how often each is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fileplane.errors import FileplaneError, InvalidValue
from fileplane.providers.base import Provider, Target
from fileplane.providers.request_ids import Heard


@dataclass(frozen=True, slots=True)
class Repeats:
    """``attempts`` are repetitions after one of these statuses; 0 means that a call is made once."""

    attempts: int = 0
    on_status_codes: tuple[int, ...] = ()
    use_retry_after: bool = False


@dataclass(frozen=True, slots=True)
class RemoteTarget:
    """One upstream of a request.

    ``virtual_key_id`` is set for a stored credential whose files the catalog gives to projects; without it, the caller sees what the
    credential sees. ``path`` is what ``x-portkey-last-used-option-index`` says.
    """

    path: str
    provider: Provider
    target: Target
    virtual_key_id: str | None = None
    repeats: Repeats = Repeats()


@dataclass(frozen=True, slots=True)
class ClosedTarget:
    """A target of a config that cannot be called now, such as one whose virtual key has expired: every call there fails with ``why``."""

    path: str
    name: str
    """What the config calls it: a provider, or a virtual key's slug after '@'."""
    why: FileplaneError


@dataclass(frozen=True, slots=True)
class NativeTarget:
    """The native store, where a config names it beside providers."""

    path: str


@dataclass(slots=True)
class Trace:
    """What has become of a request so far, told in the answer's headers: which target was called last, and how often again.

    ``repetitions`` is the number of the attempt that succeeded, 0 for the first; -1 when all of them failed.
    """

    path: str = "config"
    provider: str = ""
    repetitions: int = 0
    waited_seconds: float = 0.0
    """Between attempts, at all targets together."""
    began: float | None = None
    """When the first call began, by a clock that never goes back."""
    heard: Heard | None = None
    """What the last answer of that target said of itself."""


@dataclass(frozen=True, slots=True)
class RemoteRoute:
    """``plan`` has the targets of this request in order, at least one; ``after`` says which follows the one that ended with a status.

    The first of them is closed only where none that can be called follows it. ``everywhere`` has every target that requests by the same
    config can go to, so that an id finds the one that has it, but for those that are ``closed``, and the native store, which is another
    of them where ``has_native`` says so.
    """

    plan: tuple[RemoteTarget | ClosedTarget | NativeTarget, ...]
    after: Callable[[int, int], int | None]
    everywhere: tuple[RemoteTarget, ...]
    trace: Trace
    closed: tuple[ClosedTarget, ...] = ()
    has_native: bool = False

    @property
    def only(self) -> RemoteTarget | None:
        """The target that an upload is sent to, if there is but one."""
        [first, *others] = self.plan
        return first if isinstance(first, RemoteTarget) and not others else None


def virtual_key_gone() -> InvalidValue:
    """The refusal of a call whose virtual key was taken away after its route was found."""
    return InvalidValue("There is no such virtual key that this project may use any more.", param="x-portkey-virtual-key")
