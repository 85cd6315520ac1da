"""What a target takes over from those around it, in one place for checking and for resolving."""

from __future__ import annotations

from dataclasses import replace

from fileplane.routing.config_values import Credential, Options, Target

NOTHING = Target()


def inherit(above: Target, target: Target) -> Target:
    """``target`` with what it does not say itself taken from ``above``, which has inherited already.

    A document that is referred to takes neither a credential nor a host from the one that refers to it: whoever wrote that one could
    otherwise send its secrets elsewhere.
    """
    if above is NOTHING:
        return target
    if target.referenced:
        above = replace(above, credential=Credential(), options=replace(above.options, custom_host=None))
    return replace(
        target,
        credential=inherited_credential(above.credential, target.credential),
        options=inherited_options(above.options, target.options),
    )


def inherited_options(above: Options, own: Options) -> Options:
    """The own value wins, wholly; of metadata, parameters and file options, name by name."""
    if above is NOTHING.options:
        return own
    return Options(
        retry=above.retry if own.retry is None else own.retry,
        request_timeout_ms=above.request_timeout_ms if own.request_timeout_ms is None else own.request_timeout_ms,
        custom_host=above.custom_host if own.custom_host is None else own.custom_host,
        forward_headers=above.forward_headers if own.forward_headers is None else own.forward_headers,
        override_params=merged(above.override_params, own.override_params),
        file_options=merged(above.file_options, own.file_options),
        metadata=merged(above.metadata, own.metadata),
        keep_copy=above.keep_copy if own.keep_copy is None else own.keep_copy,
    )


def merged(above: tuple[tuple[str, str], ...], own: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Both, where the own value wins for a name that both have."""
    return tuple((dict(above) | dict(own)).items()) if above and own else above or own


def inherited_credential(above: Credential, own: Credential) -> Credential:
    """A target that names its own provider takes nothing over, so that no provider is ever sent the key of another."""
    if own.names_a_provider or not above:
        return own
    return Credential(
        provider=above.provider,
        virtual_key=above.virtual_key,
        api_key=own.api_key or above.api_key,
        fields=tuple((dict(above.fields) | dict(own.fields)).items()),
    )
