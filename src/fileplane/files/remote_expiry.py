"""Expiries of files at providers: whose it is to see to them."""

from __future__ import annotations

from fileplane.errors import InvalidValue
from fileplane.files.remote_route import RemoteTarget
from fileplane.model import LONGEST_EXPIRY_SECONDS, SHORTEST_EXPIRY_SECONDS
from fileplane.providers.base import Capabilities, Expiry


def ends_here(target: RemoteTarget, expires_after: int | None) -> bool:
    """Whether it is for Fileplane to delete a file at its expiry, ``expires_after`` seconds from now, which its provider is not told.

    That is so for files of a catalog, where the provider takes no expiry or none of that length, and can delete. Otherwise it is asked
    for, and refuses what it cannot do. Raises :class:`~fileplane.errors.InvalidValue` for one that is later than the provider's own.
    """
    if expires_after is None or target.virtual_key_id is None:
        return False
    capabilities = target.provider.capabilities(target.target)
    taken = capabilities.expiry
    if not capabilities.delete or (taken is not None and taken.shortest <= expires_after <= taken.longest):
        return False
    kept = capabilities.default_expiry_seconds
    if kept is not None and expires_after > kept:
        raise InvalidValue(
            f"{target.provider.name} keeps a file for {kept} seconds at most. Ask for no more than that, or leave 'expires_after' out.",
            param="expires_after",
        )
    return True


def expiries_through_a_catalog(capabilities: Capabilities) -> Expiry | None:
    """The bounds of what a file may be given through a virtual key with a catalog; None: no expiry at all."""
    own, kept = capabilities.expiry, capabilities.default_expiry_seconds
    if not capabilities.delete:
        return own
    ours = LONGEST_EXPIRY_SECONDS if kept is None else min(kept, LONGEST_EXPIRY_SECONDS)
    shortest = min(SHORTEST_EXPIRY_SECONDS, SHORTEST_EXPIRY_SECONDS if own is None else own.shortest)
    longest = max(ours, 0 if own is None else min(own.longest, LONGEST_EXPIRY_SECONDS))
    return Expiry(max(shortest, SHORTEST_EXPIRY_SECONDS), longest) if longest >= SHORTEST_EXPIRY_SECONDS else own
