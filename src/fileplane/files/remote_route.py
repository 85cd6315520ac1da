"""Where a file call goes beside the native store: providers with their targets, in what order, and how often each is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fileplane.errors import FileplaneError, InvalidValue
from fileplane.providers.base import Provider, Target
from fileplane.providers.object_ids import is_below, parse_object_id
from fileplane.providers.request_ids import Heard

_BUCKETS: Final = {"bedrock": ("s3", "aws_s3_bucket"), "vertex-ai": ("gs", "vertex_storage_bucket_name")}
"""How ids of files begin where they are objects, and the field that names their bucket."""


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
    outputs: tuple[str, ...] = ()
    """What the keys of objects begin with that the caller's project may read although they are in no catalog: results of its batches."""
    keep_copy: bool = False
    """Whether the bytes of uploads are kept in the native store too. Only with ``virtual_key_id``."""
    override_params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Members that replace those of a new job's document, as JSON text."""

    def gives(self, file_id: str) -> bool:
        """Whether it gives the caller's project the file of that id to read, although no catalog does."""
        bucket = _BUCKETS.get(self.target.provider)
        return (
            bool(self.outputs) and bucket is not None and is_below(file_id, bucket[0], self.target.fields.get(bucket[1], ""), self.outputs)
        )

    def require_bucket_of(self, file_id: str) -> None:
        """Raises InvalidValue for a catalogued object that is in another bucket than the one that the credential names by now.

        Nothing is asked there any more, so that nobody may take it for gone.
        """
        place = parse_object_id(file_id)
        _, field = _BUCKETS.get(self.target.provider, ("", ""))
        if place is not None and self.target.fields.get(field, place.bucket) != place.bucket:
            raise InvalidValue(
                f"The file is in the bucket '{place.bucket}', and the virtual key has another one now. Name that one in it again.",
                param="x-portkey-virtual-key",
            )

    @property
    def gives_back(self) -> bool:
        """Whether a download is, byte for byte, what was uploaded."""
        can = self.provider.capabilities(self.target)
        return can.download and can.downloads_uploads and can.original_bytes


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
