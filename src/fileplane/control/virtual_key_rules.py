"""What may be wished of a virtual key beside its credential."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fileplane import errors
from fileplane.control import credential_rules as rules
from fileplane.control.wishes import Wishes
from fileplane.credentials import NewVirtualKey, Sharing, VirtualKey
from fileplane.routing.providers import PROVIDERS, ProviderEntry
from fileplane.routing.virtual_key_fields import find_provider

_CHANGES_NEVER: Final = {"slug": "slug", "provider": "provider", "integration": "integration"}


def require_the_same(before: VirtualKey, wishes: Wishes) -> None:
    """Raises :class:`~fileplane.errors.InvalidValue` for what of a virtual key never changes."""
    for name, attribute in _CHANGES_NEVER.items():
        value = wishes.values.get(name)
        present = getattr(before, attribute)
        own_integration = name == "integration" and value == before.slug and present is None
        if value is not None and value != present and not own_integration:
            param = wishes.param(name)
            raise errors.InvalidValue(f"'{param}' never changes. Make another one instead.", param=param)


def refuse_own_credential(wishes: Wishes) -> None:
    """Raises :class:`~fileplane.errors.InvalidValue` for a credential beside that of an integration."""
    sent = [name for name, value in {**wishes.fields, "custom_host": wishes.values.get("custom_host")}.items() if value is not None]
    if sent:
        param = wishes.param(sent[0])[:160]
        raise errors.InvalidValue(f"Credential and host are the integration's. Leave '{param}' out.", param=param)


def provider_of(wishes: Wishes, used: VirtualKey | None) -> ProviderEntry:
    """The provider that is asked for, or that of the integration. Raises InvalidValue or MissingParameter."""
    value, param = wishes.values.get("provider"), wishes.param("provider")
    if used is not None:
        if value is not None and value != used.provider:
            raise errors.InvalidValue(f"The integration is one of the provider '{used.provider}'. Leave '{param}' out.", param=param)
        return PROVIDERS[used.provider]
    if value is None:
        raise errors.MissingParameter(f"Missing required parameter: '{param}'.", param=param)
    return find_provider(value, param)


def require_sharing(sharing: Sharing, used: VirtualKey | None, wishes: Wishes) -> Sharing:
    """The sharing. Raises :class:`~fileplane.errors.InvalidValue` for one that is wider than the integration's."""
    if sharing is Sharing.ACCOUNT and used is not None and used.sharing is not Sharing.ACCOUNT:
        param = wishes.param("sharing")
        raise errors.InvalidValue(f"'{param}' may be account only where the integration is shared so as well.", param=param)
    return sharing


def with_copies(new: NewVirtualKey, wishes: Wishes, *, present: bool) -> NewVirtualKey:
    """With ``keep_copy`` as it was asked for. Raises :class:`~fileplane.errors.InvalidValue`."""
    keep, param = rules.flag_wished(wishes, "keep_copy", present=present), wishes.param("keep_copy")
    if keep and new.sharing is Sharing.ACCOUNT:
        raise errors.InvalidValue(
            f"'{param}' needs a catalog that says whose each file is. Set 'sharing' to project, or leave '{param}' out.", param=param
        )
    return replace(new, keep_copy=keep)
