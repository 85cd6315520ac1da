"""What of an upload to providers is refused before its body is read."""

from __future__ import annotations

from fileplane.errors import FileTooLarge, UnsupportedProviderOperation
from fileplane.files.remote_route import ClosedTarget, NativeTarget, RemoteRoute, RemoteTarget


def refuse_at_once(route: RemoteRoute, declared_length: int | None, form_bytes: int, *, repeatable: bool) -> None:
    """Raises what is known before the body: that the route is closed, that an upload cannot be ``repeatable`` there, or that the only
    target takes no uploads or none of that length, of which ``form_bytes`` may be the form's own.
    """  # noqa: D205 - one sentence
    if isinstance(route.plan[0], ClosedTarget):
        raise route.plan[0].why
    for target in route.plan if repeatable else ():
        if isinstance(target, RemoteTarget) and target.virtual_key_id is None:
            raise UnsupportedProviderOperation(
                "An Idempotency-Key needs a virtual key that keeps a catalog: without one, nothing here knows what was uploaded before.",
                param="idempotency-key",
            )
        if isinstance(target, NativeTarget):
            raise UnsupportedProviderOperation(
                "An Idempotency-Key holds for the native store or for virtual keys, not for a fallback between them. Leave it out.",
                param="idempotency-key",
            )
    if (only := route.only) is None:
        return
    capabilities = only.provider.capabilities(only.target)
    if not capabilities.upload:
        raise UnsupportedProviderOperation(f"{only.provider.name} takes no uploads through this API.", param="x-portkey-provider")
    limits = [capabilities.max_bytes, *capabilities.max_bytes_of.values()]
    if declared_length is None or None in limits:
        return
    most = max(limit for limit in limits if limit is not None)
    if declared_length - form_bytes > most:
        raise FileTooLarge(f"The provider takes files of at most {most} bytes. Send a smaller one.", param="file")
