"""What a virtual key's credential may consist of, and who may set which part of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from fileplane.access import Principal
from fileplane.control.wishes import Wishes
from fileplane.credentials import NewVirtualKey, Sealed, Sharing, VirtualKey
from fileplane.errors import InvalidRequest, InvalidValue, MissingParameter, OrganisationKeyNeeded
from fileplane.routing.config_fields import URL_FORMING
from fileplane.routing.output_prefixes import parsed_prefixes
from fileplane.routing.providers import ProviderEntry
from fileplane.routing.slugs import LONGEST_SLUG, parse_virtual_key_slug, slug_from_name
from fileplane.routing.virtual_key_fields import CheckedFields, check_custom_host, checked_fields
from fileplane.secrets.envelope import SealBroken, data_key_id_of
from fileplane.secrets.references import ReferenceNotAllowed, References
from fileplane.secrets.values import REDACTED

OUTPUT_PREFIXES: Final = "output_prefixes"
_SUFFIX_BYTES: Final = 3
_WHERE_IT_GOES: Final = URL_FORMING | {"azure_entra_scope", "aws_role_arn", "aws_auth_type"}
"""Which host, for the use of which service a token is asked for, and as whom the holder of the keys then acts."""
_OF_THE_MACHINE: Final = frozenset({"managed", "workload"})


def slug_wished(wishes: Wishes) -> str | None:
    """The slug that is asked for, or None for one of Fileplane's making. Raises :class:`~fileplane.errors.InvalidValue`."""
    value, param = wishes.values.get("slug"), wishes.param("slug")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or value.startswith("@") or parse_virtual_key_slug(value) is None:
        raise InvalidValue(
            f"'{param}' must have 1 to {LONGEST_SLUG} of a-z, 0-9, '_' and '-', a letter or digit first, and may not begin with 'pc-', as "
            "configs do.",
            param=param,
        )
    return value


def new_slug(name: str) -> str:
    """One that begins like the name and ends at random."""
    return slug_from_name(name, secrets.token_hex(_SUFFIX_BYTES))


def sharing_wished(wishes: Wishes, present: Sharing) -> Sharing:
    """Raises :class:`~fileplane.errors.InvalidValue`."""
    value, param = wishes.values.get("sharing"), wishes.param("sharing")
    if value is None:
        return present
    if isinstance(value, str) and value in set(Sharing):
        return Sharing(value)
    raise InvalidValue(f"'{param}' must be one of {', '.join(Sharing)}.", param=param)


def flag_wished(wishes: Wishes, name: str, *, present: bool) -> bool:
    """Raises :class:`~fileplane.errors.InvalidValue` for what is neither true nor false."""
    value, param = wishes.values.get(name), wishes.param(name)
    if value is None:
        return present
    if isinstance(value, bool):
        return value
    raise InvalidValue(f"'{param}' must be true or false.", param=param)


def fields_wished(entry: ProviderEntry, wishes: Wishes, before: VirtualKey | None = None) -> CheckedFields:
    """The credential as it is to be: all that is in the clear, and the secrets and references that were sent.

    What ``before`` has and the caller did not send stays. Raises an :class:`~fileplane.errors.InvalidRequest` that names the field as
    the caller does and never shows what a secret field holds.
    """
    for name, value in wishes.fields.items():
        if value == REDACTED:
            param = wishes.param(name)
            raise InvalidValue(f"'{param}' stands for a secret that is not shown. Send the secret itself, or leave it out.", param=param)
    ours = {spelling: found.name for found in entry.fields.values() for spelling in (found.name, *found.aliases)}
    # Clients send null for what other providers have.
    given = {name: value for name, value in wishes.fields.items() if value is not None or name in ours}
    kept: Mapping[str, object] = {}
    present: set[str] = set()
    if before is not None:
        sent = {ours.get(name) for name in given}
        kept = {name: value for name, value in before.clear.items() if name not in sent}
        present = {*before.sealed.fields, *before.references}
    try:
        return checked_fields(entry, {**kept, **given}, present)
    except InvalidRequest as error:
        error.param = None if error.param is None else wishes.param(error.param)
        raise


def host_wished(entry: ProviderEntry, wishes: Wishes, before: VirtualKey | None = None) -> str | None:
    """The host as it is to be. Raises an :class:`~fileplane.errors.InvalidRequest`."""
    if before is not None and not wishes.has("custom_host"):
        return before.custom_host
    return check_custom_host(entry, wishes.values.get("custom_host"), wishes.param("custom_host"))


def require_rights(caller: Principal, entry: ProviderEntry, wishes: Wishes, fields: CheckedFields, references: References) -> None:
    """Raises for what only the organisation may set: credentials that are the server's own, in its files, environment or machine.

    Otherwise a project could have them sent to a host of its choice. Raises :class:`~fileplane.errors.OrganisationKeyNeeded`, or
    :class:`~fileplane.errors.InvalidValue` for a reference that the operator has not allowed.
    """
    names = {
        found.name: spelling for found in entry.fields.values() for spelling in (found.name, *found.aliases) if spelling in wishes.fields
    }
    for name, reference in fields.references.items():
        param = wishes.param(names[name])
        if not caller.organisation:
            raise OrganisationKeyNeeded("References to secrets of the server are set by the organisation.", param=param)
        try:
            references.require_allowed(reference)
        except ReferenceNotAllowed as error:
            raise InvalidValue(str(error), param=param) from error


def uses_identity_of_the_machine(clear: Mapping[str, str], secret_names: set[str]) -> bool:
    """Whether a credential asks for the identity of the machine that the server runs on."""
    assumed = "aws_role_arn" in clear and "aws_access_key_id" not in secret_names
    asked = clear.get("azure_auth_mode") in _OF_THE_MACHINE or "machine" in {clear.get("aws_auth_type"), clear.get("vertex_auth_mode")}
    return assumed or asked


def is_of_the_machine(clear: Mapping[str, str], secret_names: set[str]) -> bool:
    """Whether a whole credential is completed by that identity, as one without any secret is."""
    return not secret_names or uses_identity_of_the_machine(clear, secret_names)


def require_own_identity(caller: Principal, clear: Mapping[str, str], secret_names: set[str], param: str) -> None:
    """Raises :class:`~fileplane.errors.OrganisationKeyNeeded` to a project's key for the identity of the machine."""
    if not caller.organisation and is_of_the_machine(clear, secret_names):
        raise OrganisationKeyNeeded("A credential that uses the identity of the server's machine is set by the organisation.", param=param)


def require_secrets_for_another_host(before: VirtualKey, fields: CheckedFields, custom_host: str | None, wishes: Wishes) -> bool:
    """Whether the credential is to go elsewhere from now on; all of its secrets must then have been sent again.

    Whoever may change a virtual key does not know its secrets, and could otherwise have them sent to a host of their choice. Raises
    :class:`~fileplane.errors.MissingParameter`.
    """
    changed = sorted(name for name in _WHERE_IT_GOES if before.clear.get(name) != fields.clear.get(name))
    if custom_host != before.custom_host:
        changed.insert(0, "custom_host")
    if not changed:
        return False
    lacking = sorted({*before.sealed.fields, *before.references} - {*fields.secrets, *fields.references, *fields.removed})
    if lacking:
        raise MissingParameter(
            f"A credential goes only to the host saved with it. To change {', '.join(changed)}, send its secrets again in the same call: "
            f"{', '.join(lacking)}.",
            param=wishes.param(lacking[0]),
        )
    return True


def require_secrets_to_widen(caller: Principal, before: VirtualKey, after: NewVirtualKey, fields: CheckedFields, wishes: Wishes) -> None:
    """Whoever stored a credential said how far it reaches; a project that only may change it cannot make it reach further.

    Who knows its secrets could store it anew, and so may. Raises :class:`~fileplane.errors.OrganisationKeyNeeded`.
    """
    wider = []
    if after.sharing is Sharing.ACCOUNT and before.sharing is Sharing.PROJECT:
        wider.append("sharing")
    if set(parsed_prefixes(after.clear.get(OUTPUT_PREFIXES, ""))) - set(parsed_prefixes(before.clear.get(OUTPUT_PREFIXES, ""))):
        wider.append(OUTPUT_PREFIXES)
    if before.expires_at is not None and (after.expires_at is None or after.expires_at > before.expires_at):
        wider.append("expires_at")
    knows = before.integration is None and {*before.sealed.fields, *before.references} <= {*fields.secrets, *fields.references}
    if wider and not caller.organisation and not knows:
        raise OrganisationKeyNeeded(
            f"To let a credential reach further than it was stored for ({', '.join(wider)}), send all of its secrets in the same call, or "
            "ask the organisation.",
            param=wishes.param(wider[0]),
        )


def merged(before: Sealed, fields: CheckedFields, fresh: Sealed) -> Sealed:
    """The ciphertexts of before that stay, with those that are new."""
    gone = {*fields.secrets, *fields.references, *fields.removed}
    kept = {name: text for name, text in before.fields.items() if name not in gone}
    return Sealed({**kept, **fresh.fields}, frozenset({*fresh.data_key_ids, *_data_keys_of(kept)}))


def _data_keys_of(ciphertexts: Mapping[str, str]) -> set[str]:
    found = set()
    for text in ciphertexts.values():
        try:
            found.add(data_key_id_of(text))
        except SealBroken:
            continue  # nothing opens it any more, so it needs none
    return found
