"""What providers can do, as callers are told."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fileplane.access import Scope
from fileplane.files.remote_expiry import expiries_through_a_catalog
from fileplane.http.schemas import Bytes
from fileplane.model import INPUT_PURPOSES, LONGEST_EXPIRY_SECONDS, OUTPUT_PURPOSES, SHORTEST_EXPIRY_SECONDS
from fileplane.providers.base import Capabilities, Expiry, Paging, PartUploads
from fileplane.providers.support import Extent, support_of
from fileplane.settings import Settings

Seconds = Annotated[int, msgspec.Meta(ge=0, description="Seconds.")]


class CallCapability(msgspec.Struct, frozen=True, kw_only=True):
    """One of the five calls. ``reason`` says what is lacking, and is null where nothing is."""

    support: Literal["full", "generated_only", "extracted_text", "none"]
    reason: str | None


class CallCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """The five calls. A list, and what a provider does not keep of a file, comes from the catalog where there is one."""

    upload: CallCapability
    list: CallCapability
    retrieve: CallCapability
    content: CallCapability
    delete: CallCapability


class ExpiryBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of ``expires_after``, inclusive."""

    shortest: Seconds
    longest: Seconds


class ExpiryCapability(msgspec.Struct, frozen=True, kw_only=True):
    """How files end: by the provider's own expiry, through a virtual key with a catalog, and when nothing is asked for.

    ``own`` is null where the provider takes no expiry; ``catalogued`` is what Fileplane makes of it. ``default_seconds`` is null where
    a file stays until it is deleted.
    """

    own: ExpiryBounds | None
    catalogued: ExpiryBounds | None
    default_seconds: Seconds | None
    default_seconds_of: dict[str, Seconds]


class LimitCapability(msgspec.Struct, frozen=True, kw_only=True):
    """The largest file, with other values of single purposes, and the lengths of pages. What is null is not known."""

    max_bytes: Bytes | None
    max_bytes_of: dict[str, Bytes]
    default_list_limit: int
    max_list_limit: int


class UploadsCapability(msgspec.Struct, frozen=True, kw_only=True):
    """Uploads in parts, ``/v1/uploads``.

    ``native``: parts are passed on as they come, within the provider's limits, which are null where they are not known. Otherwise they are
    ``assembled`` here, and the provider is sent one file; then the limits of files hold.
    """

    support: Literal["native", "assembled"]
    max_bytes: Bytes | None
    max_part_bytes: Bytes | None


class ProviderCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What can be done at one provider, or with ``target``, at one target of a route.

    ``catalogued`` there says that files are the project's by the catalog, ``keep_copy`` that their bytes are kept here too.
    ``purposes`` is null where any will do. ``keeps`` are the fields of a file that can be read back from the provider itself.
    ``unverified`` names the facts that rest on documents and not on a check.
    """

    object: Literal["provider.capabilities"] = "provider.capabilities"
    provider: str
    target: str | msgspec.UnsetType = msgspec.UNSET
    catalogued: bool | msgspec.UnsetType = msgspec.UNSET
    keep_copy: bool | msgspec.UnsetType = msgspec.UNSET
    calls: CallCapabilities
    limits: LimitCapability
    expiry: ExpiryCapability
    purposes: list[str] | None
    downloads_uploads: bool
    original_bytes: bool
    ranges: bool
    paging: Literal["cursor", "token", "pages", "none"]
    keeps: list[Literal["bytes", "filename", "purpose"]]
    accepts_empty: bool
    jobs: list[Literal["batch", "fine_tuning"]]
    uploads: UploadsCapability | None
    unverified: list[str]


class CapabilityList(msgspec.Struct, frozen=True, kw_only=True):
    """One entry a provider, or a target of the route that the request's headers name."""

    object: Literal["list"] = "list"
    data: list[ProviderCapabilities]


def provider_capabilities(
    name: str, can: Capabilities, *, target: str | None = None, catalogued: bool | None = None, keep_copy: bool | None = None
) -> ProviderCapabilities:
    """The entry of a provider, or of the target at a path of a config."""
    calls = {call: CallCapability(support=found.extent.value, reason=found.reason) for call, found in support_of(can).items()}
    kept: dict[Literal["bytes", "filename", "purpose"], bool]
    kept = {"bytes": can.keeps_bytes, "filename": can.keeps_filename, "purpose": can.keeps_purpose}
    return ProviderCapabilities(
        provider=name,
        target=msgspec.UNSET if target is None else target,
        catalogued=msgspec.UNSET if catalogued is None else catalogued,
        keep_copy=msgspec.UNSET if keep_copy is None else keep_copy,
        calls=CallCapabilities(**calls),
        limits=LimitCapability(
            max_bytes=can.max_bytes,
            max_bytes_of=dict(can.max_bytes_of),
            default_list_limit=can.default_list_limit,
            max_list_limit=can.max_list_limit,
        ),
        expiry=ExpiryCapability(
            own=_bounds(can.expiry),
            catalogued=_bounds(expiries_through_a_catalog(can)),
            default_seconds=can.default_expiry_seconds,
            default_seconds_of={},
        ),
        purposes=None if can.purposes is None else sorted(can.purposes),
        downloads_uploads=calls["content"].support not in {Extent.NONE, Extent.GENERATED_ONLY},
        original_bytes=can.original_bytes,
        ranges=can.ranges,
        paging=can.paging.value,
        keeps=[field for field, is_kept in kept.items() if is_kept],
        accepts_empty=can.accepts_empty,
        jobs=sorted(kind.value for kind in can.jobs),
        uploads=_uploads(can, keep_copy=bool(keep_copy)),
        unverified=sorted(can.unverified),
    )


def native_capabilities(name: str, settings: Settings, scopes: frozenset[str], *, target: str | None = None) -> ProviderCapabilities:
    """The entry of the native store: what these settings and a caller's scopes allow."""
    outputs = OUTPUT_PURPOSES if Scope.FILES_WRITE_OUTPUT in scopes else ()
    named = {*INPUT_PURPOSES, *settings.extra_purposes, *outputs}
    bounds = Expiry(SHORTEST_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS)
    can = Capabilities(
        expiry=bounds,
        paging=Paging.CURSOR,
        max_list_limit=settings.max_list_limit,
        default_list_limit=min(Capabilities().default_list_limit, settings.max_list_limit),
        max_bytes=settings.max_file_bytes,
        max_bytes_of={"batch": settings.max_batch_file_bytes},
        uploads=PartUploads(settings.max_file_bytes, settings.max_part_bytes),
        purposes=None if "*" in named else frozenset(named),
    )
    entry = provider_capabilities(name, can, target=target)
    of_batches = {"batch": settings.batch_expiry_seconds} if settings.batch_expiry_seconds else {}
    return msgspec.structs.replace(entry, expiry=msgspec.structs.replace(entry.expiry, default_seconds_of=of_batches))


def _uploads(can: Capabilities, *, keep_copy: bool) -> UploadsCapability | None:
    if not can.upload:
        return None
    if can.uploads is None or keep_copy:
        return UploadsCapability(support="assembled", max_bytes=None, max_part_bytes=None)
    return UploadsCapability(support="native", max_bytes=can.uploads.max_bytes, max_part_bytes=can.uploads.max_part_bytes)


def _bounds(expiry: Expiry | None) -> ExpiryBounds | None:
    return None if expiry is None else ExpiryBounds(shortest=expiry.shortest, longest=expiry.longest)
