"""As whom AWS is called, as a target says it. Nothing here calls anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from fileplane.errors import InvalidValue
from fileplane.providers.access import missing_credential
from fileplane.providers.base import Target
from fileplane.secrets.values import Secret

_ROLE = "x-portkey-aws-role-arn"
_TYPE = "x-portkey-aws-auth-type"


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """An access key; with ``session_token`` one that ends by itself."""

    access_key_id: Secret = field(repr=False)
    secret_access_key: Secret = field(repr=False)
    session_token: Secret | None = field(default=None, repr=False)

    def secrets(self) -> dict[str, Secret]:
        """By name, for what must not be told, and to tell one from another."""
        token = {} if self.session_token is None else {"session_token": self.session_token}
        return {"access_key_id": self.access_key_id, "secret_access_key": self.secret_access_key, **token}


@dataclass(frozen=True, slots=True)
class MachineRole:
    """Whatever AWS lets the machine of the server be: its instance, container or service account, or what its environment says."""


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """A role, assumed by ``by``. ``region`` is where it is asked for."""

    role_arn: str
    region: str
    by: AwsKeys | MachineRole
    external_id: Secret | None = field(default=None, repr=False)


AwsIdentity: TypeAlias = AwsKeys | AssumedRole | MachineRole


def identity_of(target: Target, region: str) -> AwsIdentity:
    """As whom a target is called.

    Raises :class:`~fileplane.errors.InvalidValue` where nothing says it, and for the machine's identity in a request's own credential.
    """
    fields, secrets, kind = target.fields, target.secrets, target.fields.get("aws_auth_type")
    role = None if kind == "accessKey" else fields.get("aws_role_arn")
    if kind == "assumedRole" and role is None:
        raise InvalidValue("A role is to be assumed, and none is named.", param=_ROLE)
    by: AwsKeys | MachineRole
    if kind != "machine" and "aws_access_key_id" in secrets and "aws_secret_access_key" in secrets:
        by = AwsKeys(secrets["aws_access_key_id"], secrets["aws_secret_access_key"], secrets.get("aws_session_token"))
    elif role is not None or kind == "machine":
        if not target.stored:
            raise InvalidValue("The identity of the server's own machine is for virtual keys that the organisation has made.", param=_TYPE)
        by = MachineRole()
    else:
        raise missing_credential("AWS Bedrock")
    return by if role is None else AssumedRole(role, region, by, secrets.get("aws_external_id"))
