"""From a request's headers to the providers that it goes to: configs, virtual keys and adapters, put together."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fileplane.access import Principal
from fileplane.control.configs import Configs
from fileplane.control.credential_rules import is_of_the_machine
from fileplane.control.opened_credentials import OpenedCredential
from fileplane.control.virtual_keys import VirtualKeys
from fileplane.credentials import Sharing
from fileplane.errors import FileplaneError, InvalidValue, RecordNotFound, StorageUnavailable, UnsupportedProviderOperation
from fileplane.files.remote_route import ClosedTarget, NativeTarget, RemoteRoute, RemoteTarget, Repeats, Trace
from fileplane.providers.base import Target
from fileplane.providers.registry import Registry
from fileplane.routing.config_problems import inside
from fileplane.routing.config_references import compares_params
from fileplane.routing.config_values import Config, Credential, Options, Scalar
from fileplane.routing.headers import NATIVE_PROVIDER, PROVIDER_HEADER
from fileplane.routing.output_prefixes import outputs_of
from fileplane.routing.plans import ConcreteTarget, Random, every_target, plan_route
from fileplane.routing.resolution import HEADERS_ALONE, Wanted, provider_key_of, wanted_own_route, wanted_route
from fileplane.routing.route_requests import CONFIG_HEADER, VIRTUAL_KEY_HEADER
from fileplane.secrets.values import Secret

BESIDE_STORED: Final = frozenset({"anthropic_beta", "anthropic_version", "openai_beta"})
"""The fields that a request may add to a stored credential: they change neither whose call it is nor where it goes."""

_MODES: Final = frozenset({"azure_auth_mode", "vertex_auth_mode", "aws_role_arn", "aws_auth_type"})
"""The fields by which a credential can ask for the identity of the machine."""

OBJECT_STORES: Final = frozenset({"bedrock", "vertex-ai"})
"""The providers whose files are objects in a bucket, and that heed the options of a file."""

_After = Callable[[int, int], int | None]
_Step: TypeAlias = RemoteTarget | ClosedTarget | NativeTarget

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """``remote`` is None where only the native store is meant; ``native`` says whether new files go there and nowhere else.

    ``has_native`` when ids of the native store are looked for there, beside the providers, and lists have its files too.
    """

    remote: RemoteRoute | None
    native: bool
    has_native: bool


NATIVE: Final = Route(None, native=True, has_native=True)

ParamsOf: TypeAlias = Callable[[], Awaitable[Mapping[str, Scalar]]]
"""Reads the members of a request's JSON body that conditions can compare."""


async def no_params() -> Mapping[str, Scalar]:
    """Those of a request that has no such body."""
    return {}


class Routes:
    """Finds routes. Without headers and defaults that say otherwise, that costs nothing."""

    def __init__(self, configs: Configs, virtual_keys: VirtualKeys, registry: Registry, chance: Random = random.random) -> None:
        self._configs = configs
        self._virtual_keys = virtual_keys
        self._registry = registry
        self._chance = chance

    @property
    def registry(self) -> Registry:
        """Every provider that routes may lead to."""
        return self._registry

    async def find(self, headers: Mapping[str, str], principal: Principal, pathname: str, params: ParamsOf = no_params) -> Route:
        """Where a file call of a caller goes; ``headers`` have names in lower case. ``params`` are asked for where a condition has any.

        Raises :class:`~fileplane.errors.InvalidValue` whose ``param`` is the header or the config's field at fault,
        :class:`~fileplane.errors.UnsupportedProviderOperation` for a provider that cannot be reached,
        :class:`~fileplane.errors.BeyondOwnRights` and :class:`~fileplane.errors.CredentialUnavailable`; and what ``params`` raises.
        """
        wanted = wanted_route(headers, principal, pathname=pathname, api_key=provider_key_of(headers))
        if wanted is None:
            return NATIVE
        config = await self._config(wanted, principal.project_id)
        return await self._route(config, await _with_params(wanted, config, params), headers, principal.project_id)

    async def find_own(self, headers: Mapping[str, str], pathname: str, params: ParamsOf = no_params) -> Route:
        """Where a file call goes on a server without keys: to what its own headers name. Raises as :meth:`find`."""
        wanted = wanted_own_route(headers, pathname=pathname)
        assert isinstance(wanted.config, Config)
        route = await self._route(wanted.config, await _with_params(wanted, wanted.config, params), headers, "")
        if route.remote is None or route.has_native:
            raise InvalidValue("This server keeps no files itself. Name another provider.", param=PROVIDER_HEADER)
        return route

    async def of_virtual_key(self, project_id: str, virtual_key_id: str) -> RemoteTarget:
        """The target of a virtual key, by its id, for what the catalog has of a project there. Raises FileplaneError if it cannot be used.

        Also where the project may use it no longer: that ends requests, while what was begun by then is ended as it would have been.
        """
        slug = await self._virtual_keys.slug_of(project_id, virtual_key_id)
        concrete = ConcreteTarget("config", None, Credential(virtual_key=slug), Options())
        return await _Opening(self._virtual_keys, self._registry, {}, project_id, begun=True).target(concrete)

    async def _config(self, wanted: Wanted, project_id: str) -> Config:
        if wanted.config is HEADERS_ALONE:
            return HEADERS_ALONE
        if isinstance(wanted.config, Config):
            return await self._configs.expanded(project_id, wanted.config)
        try:
            return await self._configs.resolve(project_id, wanted.config)
        except RecordNotFound as error:
            raise InvalidValue("There is no such config in this project. Create it first.", param=CONFIG_HEADER) from error

    async def _route(self, config: Config, wanted: Wanted, headers: Mapping[str, str], project_id: str) -> Route:
        plan = plan_route(config, wanted.request, self._chance, from_caller=wanted.from_caller)
        everywhere = (
            every_target(config, wanted.request, from_caller=wanted.from_caller) if config.root.targets else (plan.attempts[0].target,)
        )
        remote = [one for one in everywhere if not _is_native(one)]
        if not remote:
            return NATIVE
        opening = _Opening(self._virtual_keys, self._registry, headers, project_id)
        targets: dict[str, _Step] = {
            one.path: NativeTarget(one.path) if _is_native(one) else await opening.target_or_why_not(one) for one in everywhere
        }
        usable = tuple(target for target in targets.values() if isinstance(target, RemoteTarget))
        closed = tuple(target for target in targets.values() if isinstance(target, ClosedTarget))
        has_native = len(remote) < len(everywhere)
        if not usable and not has_native:
            raise closed[0].why
        path, after = _from_the_first_that_is_open(tuple(targets[attempt.target.path] for attempt in plan.attempts), plan.after)
        native = len(path) == 1 and isinstance(path[0], NativeTarget)
        return Route(
            RemoteRoute(path, after, usable, Trace(path[0].path, _name_of(path[0])), closed, has_native),
            native=native,
            has_native=has_native,
        )


class _Opening:
    """The targets of one request, with their credentials. ``begun`` for work in the background, which goes on what is recorded."""

    def __init__(
        self, virtual_keys: VirtualKeys, registry: Registry, headers: Mapping[str, str], project_id: str, *, begun: bool = False
    ) -> None:
        self._virtual_keys = virtual_keys
        self._registry = registry
        self._headers = headers
        self._project_id = project_id
        self._begun = begun

    async def target_or_why_not(self, concrete: ConcreteTarget) -> RemoteTarget | ClosedTarget:
        """What is wrong with one stored credential, or cannot be done at one provider, is that target's failure and no other's.

        Raises :class:`~fileplane.errors.InvalidValue` for what is wrong with the document itself.
        """
        try:
            return await self.target(concrete)
        except StorageUnavailable:
            raise
        except FileplaneError as error:
            slug = concrete.credential.virtual_key
            if slug is None and not isinstance(error, UnsupportedProviderOperation):
                raise
            _log.info("the target %s cannot be called: %s", concrete.path, error.message)
            return ClosedTarget(concrete.path, concrete.credential.provider or "" if slug is None else f"@{slug}", error)

    async def target(self, concrete: ConcreteTarget) -> RemoteTarget:
        options = concrete.options
        retry = options.retry
        repeats = Repeats() if retry is None else Repeats(retry.attempts, retry.on_status_codes, retry.use_retry_after_header)
        timeout = None if options.request_timeout_ms is None else options.request_timeout_ms / 1000
        forwarded = tuple((name, self._headers[name]) for name in options.forward_headers or () if name in self._headers)
        virtual_key_id, keep_copy = None, False
        if concrete.credential.virtual_key is not None:
            opened = await self._opened(concrete.path, concrete.credential.virtual_key)
            added = {name: value for name, value in concrete.credential.fields if name in BESIDE_STORED and isinstance(value, str)}
            fields = {**added, **opened.clear, **_of_the_file(opened.provider, options)}
            target = Target(opened.provider, opened.secrets, fields, opened.custom_host, True, timeout, forwarded, self._project_id)
            virtual_key_id = None if opened.sharing is Sharing.ACCOUNT else opened.id
            keep_copy = opened.keep_copy
        else:
            target = self._own(concrete, timeout, forwarded)
        keep_copy = keep_copy if options.keep_copy is None else options.keep_copy
        if keep_copy and virtual_key_id is None:
            raise InvalidValue(
                "'keep_copy' is for virtual keys whose files a catalog gives to projects: nothing else says whose the copies are.",
                param=inside(concrete.path.removeprefix("config").removeprefix("."), "keep_copy"),
            )
        outputs = () if virtual_key_id is None else outputs_of(target.fields.get("output_prefixes", ""), self._project_id)
        provider, override_params = self._registry.get(target.provider), options.override_params
        return RemoteTarget(concrete.path, provider, target, virtual_key_id, repeats, outputs, keep_copy, override_params)

    async def _opened(self, path: str, slug: str) -> OpenedCredential:
        try:
            return await (self._virtual_keys.resolve_begun(slug) if self._begun else self._virtual_keys.resolve(self._project_id, slug))
        except RecordNotFound as error:
            raise InvalidValue(
                "There is no such virtual key that this project may use. Create it first.", param=self._named_in(path)
            ) from error

    def _named_in(self, path: str) -> str:
        """Where the virtual key of a target is named: in a header, or in the config."""
        by_header = VIRTUAL_KEY_HEADER in self._headers or self._headers.get(PROVIDER_HEADER, "").strip().startswith("@")
        if path == "config" and by_header:
            return VIRTUAL_KEY_HEADER
        return inside(path.removeprefix("config").removeprefix("."), "virtual_key")

    def _own(self, concrete: ConcreteTarget, timeout: float | None, forwarded: tuple[tuple[str, str], ...]) -> Target:
        credential, host = concrete.credential, concrete.options.custom_host
        secrets = {name: value for name, value in credential.fields if isinstance(value, Secret)}
        if credential.api_key is not None:
            secrets["api_key"] = credential.api_key
        fields = {name: value for name, value in credential.fields if isinstance(value, str)}
        assert credential.provider is not None, "the plan has refused what names no provider"
        self._registry.get(credential.provider)
        if is_of_the_machine(fields, set(secrets)) and (secrets or host is None or fields.keys() & _MODES):
            raise _no_credential(credential.provider, secrets)
        fields |= _of_the_file(credential.provider, concrete.options)
        return Target(credential.provider, secrets, fields, host, not concrete.from_caller, timeout, forwarded, self._project_id)


async def _with_params(wanted: Wanted, config: Config, params: ParamsOf) -> Wanted:
    if not compares_params(config):
        return wanted
    return replace(wanted, request=replace(wanted.request, params=tuple((await params()).items())))


def _of_the_file(provider: str, options: Options) -> dict[str, str]:
    """What is said of the file that a request is about, where the provider heeds it."""
    return dict(options.file_options) if provider in OBJECT_STORES else {}


def _no_credential(provider: str, secrets: Mapping[str, Secret]) -> FileplaneError:
    if secrets:
        return InvalidValue(
            "The identity of the server's own machine is for virtual keys that the organisation has made.", param=PROVIDER_HEADER
        )
    return InvalidValue(
        f"{provider} cannot be called without a credential. Send the provider's API key in Authorization and the key for Fileplane in "
        "x-portkey-api-key, or name a virtual key.",
        param="authorization",
    )


def _name_of(target: _Step) -> str:
    if isinstance(target, RemoteTarget):
        return target.provider.name
    return target.name if isinstance(target, ClosedTarget) else NATIVE_PROVIDER


def _from_the_first_that_is_open(path: tuple[_Step, ...], after: _After) -> tuple[tuple[_Step, ...], _After]:
    """A plan without the closed targets that it begins with, as far as their failures lead on to others."""
    start = 0
    while isinstance(target := path[start], ClosedTarget):
        following = after(start, target.why.status)
        if following is None:
            return (target,), lambda _number, _status: None
        start = following

    def after_start(number: int, status: int) -> int | None:
        following = after(start + number, status)
        return None if following is None else following - start

    return path[start:], after_start


def _is_native(target: ConcreteTarget) -> bool:
    return target.credential.provider == NATIVE_PROVIDER
