"""The use cases of virtual keys, which are also shown as providers and as integrations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum

from fileplane import errors
from fileplane.access import Principal
from fileplane.clock import Clock
from fileplane.control import credential_rules as rules
from fileplane.control import virtual_key_rules as wished
from fileplane.control.changes import ATTEMPTS
from fileplane.control.failures import told
from fileplane.control.opened_credentials import OpenedCredential, OpenedCredentials
from fileplane.control.reach import owns, project_named, projects_named
from fileplane.control.values import end_of, name_of, note_of, optional_text
from fileplane.control.wishes import Wishes
from fileplane.credentials import NewVirtualKey, Sealed, Sharing, VirtualKey
from fileplane.ids import uuid7
from fileplane.metadata.control import ControlStore, RecordChanged, StillInUse, VirtualKeyNotFound
from fileplane.model import Origin
from fileplane.routing.output_prefixes import parsed_prefixes, written_prefixes
from fileplane.routing.providers import PROVIDERS
from fileplane.routing.virtual_key_fields import CheckedFields
from fileplane.secrets.references import References
from fileplane.secrets.vault import Vault


class View(Enum):
    """What the record is shown as; the value is what callers call it."""

    VIRTUAL_KEY = "virtual key"
    """Any of them."""
    PROVIDER = "provider"
    """One that some project may use."""
    INTEGRATION = "integration"
    """One with a credential of its own."""

    def shows(self, key: VirtualKey) -> bool:
        """Whether the record is one of these."""
        if self is View.PROVIDER:
            return bool(key.project_ids)
        return self is View.VIRTUAL_KEY or key.integration is None


class VirtualKeys:
    """Makes, changes, shows and opens them.

    A project's key sees those that its project may use, and changes those that no other project may use; what is another's is to it as
    if it did not exist. An organisation's key sees and changes all.
    """

    def __init__(self, metadata: ControlStore, vault: Vault, references: References, clock: Clock) -> None:
        self._metadata = metadata
        self._vault = vault
        self._references = references
        self._clock = clock
        self._opened = OpenedCredentials(metadata, vault, clock)

    async def list(self, caller: Principal, view: View = View.VIRTUAL_KEY, project: str | None = None) -> list[VirtualKey]:
        """Oldest first. ``project`` (id or slug) is for the organisation to see one project's.

        Raises :class:`~fileplane.errors.InvalidValue` or :class:`~fileplane.errors.OrganisationKeyNeeded`.
        """
        project_id = await project_named(self._metadata, caller, project, "workspace_id")
        found = await self._metadata.list_virtual_keys(project_id if caller.organisation else caller.project_id)
        return [key for key in found if view.shows(key)]

    async def get(self, caller: Principal, slug: str, view: View = View.VIRTUAL_KEY, project: object = None) -> VirtualKey:
        """Raises :class:`~fileplane.errors.RecordNotFound`, also when it is not for the ``project`` that is named."""
        project_id = await project_named(self._metadata, caller, project, "workspace_id")
        found = await self._find(caller, slug)
        if found is None or not view.shows(found) or (project_id is not None and project_id not in found.project_ids):
            raise errors.RecordNotFound(view.value, slug, param="slug")
        return found

    async def create(self, caller: Principal, wishes: Wishes, origin: Origin, view: View = View.VIRTUAL_KEY) -> VirtualKey:
        """Raises an :class:`~fileplane.errors.InvalidRequest` that names what is wrong, and the errors that the module's others do."""
        new, fields = await self._new(caller, wishes, view)
        wished = rules.slug_wished(wishes)
        params = {"slug": wishes.param("slug"), "integration": wishes.param("integration")}

        async def store(sealed: Sealed) -> VirtualKey:
            return await self._metadata.create_virtual_key(replace(new, slug=slug, sealed=sealed), origin)

        for attempt in range(ATTEMPTS):
            slug = wished or rules.new_slug(new.name)
            try:
                with self._changing(view, params):
                    return await self._vault.stored(new.id, fields.secrets, store)
            except errors.SlugTaken:
                if wished is not None or attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def update(
        self, caller: Principal, slug: str, wishes: Wishes, origin: Origin, view: View = View.VIRTUAL_KEY, project: object = None
    ) -> VirtualKey:
        """Changes what was sent and leaves the rest as it is, also when somebody else changes another part at the same time."""
        for _ in range(ATTEMPTS):
            before = await self._changeable(caller, slug, view, project)
            if not wishes.values and not wishes.fields:
                return before
            new, fields = await self._changed(caller, before, wishes)

            async def store(
                sealed: Sealed, before: VirtualKey = before, new: NewVirtualKey = new, fields: CheckedFields = fields
            ) -> VirtualKey:
                after = replace(new, sealed=rules.merged(before.sealed, fields, sealed))
                return await self._metadata.update_virtual_key(before, after, origin)

            try:
                with self._changing(view, {"projects": wishes.param("project_ids")}):
                    return await self._vault.stored(before.id, fields.secrets, store)
            except RecordChanged:
                continue
        raise errors.RecordChanged(view.value)

    async def delete(
        self, caller: Principal, slug: str, origin: Origin, view: View = View.VIRTUAL_KEY, project: object = None
    ) -> VirtualKey:
        """Raises :class:`~fileplane.errors.RecordNotFound`, ``OrganisationKeyNeeded`` or ``RecordInUse``."""
        found = await self._changeable(caller, slug, view, project)
        with self._changing(view):
            try:
                await self._metadata.delete_virtual_key(found.slug, origin)
            except StillInUse as error:
                raise StillInUse(await self._shown_users(caller, error.users)) from error
        return found

    async def _shown_users(self, caller: Principal, users: tuple[str, ...]) -> tuple[str, ...]:
        """What another project has made of it is not told by its name. What is at the provider has none, and is the callers' own."""
        if caller.organisation:
            return users
        own = {f"virtual key {key.slug}" for key in await self._metadata.list_virtual_keys(caller.project_id)}
        own |= {f"config {config.slug}" for config in await self._metadata.list_configs(caller.project_id)}
        shown = tuple(user for user in users if user in own or not user.startswith(("virtual key ", "config ")))
        return shown if len(shown) == len(users) else (*shown, "another project")

    async def allow_projects(
        self, caller: Principal, slug: str, allowed: Mapping[str, bool], origin: Origin, params: Mapping[str, str]
    ) -> VirtualKey:
        """Lets projects (by id or slug) use an integration, or no longer; the others stay as they are. ``params`` names each in errors."""
        await self._changeable(caller, slug, View.INTEGRATION)
        named = {await project_named(self._metadata, caller, one, params[one]): is_on for one, is_on in allowed.items()}
        for _ in range(ATTEMPTS):
            before = await self._changeable(caller, slug, View.INTEGRATION)
            added = {one for one, is_on in named.items() if is_on and one is not None}
            after = (before.project_ids | added) - {one for one, is_on in named.items() if not is_on}
            if after == before.project_ids:
                return before
            if not owns(caller, after):
                raise errors.OrganisationKeyNeeded(
                    "Which projects may use an integration is the organisation's to say.", param="workspaces"
                )
            await self._require_unused(before, after)
            try:
                with self._changing(View.INTEGRATION, {"projects": "workspaces"}):
                    return await self._metadata.update_virtual_key(before, _as_it_is(before, project_ids=after), origin)
            except RecordChanged:
                continue
        raise errors.RecordChanged("integration")

    async def resolve(self, project_id: str, slug: str) -> OpenedCredential:
        """The credential that requests of a project use under this slug, opened. See :class:`OpenedCredentials`.

        Raises :class:`~fileplane.errors.RecordNotFound` for one that does not exist or that the project may not use,
        :class:`~fileplane.errors.InvalidValue` for one that has expired, :class:`~fileplane.errors.CredentialUnavailable`.
        """
        return await self._opened.get(project_id, slug)

    async def resolve_begun(self, slug: str) -> OpenedCredential:
        """As :meth:`resolve`, for what a project has begun at a virtual key that it may no longer use. Never for a request."""
        return await self._opened.get(None, slug)

    async def slug_of(self, project_id: str, virtual_key_id: str) -> str:
        """The slug of a virtual key, which is looked for first among those that a project may use.

        Raises :class:`~fileplane.errors.RecordNotFound`.
        """
        for projects_own in (project_id, None):
            for key in await self._metadata.list_virtual_keys(projects_own):
                if key.id == virtual_key_id:
                    return key.slug
        raise errors.RecordNotFound("virtual key", virtual_key_id, param="virtual_key")

    @contextmanager
    def _changing(self, view: View, params: Mapping[str, str] | None = None) -> Iterator[None]:
        """Tells what the store refuses in callers' words, and lets go of what was opened before, however the change ended."""
        try:
            with told(view.value, params):
                yield
        finally:
            self._opened.forget()

    def has_expired(self, key: VirtualKey) -> bool:
        """Whether it may be used no longer."""
        return key.expires_at is not None and key.expires_at <= self._now()

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    async def _find(self, caller: Principal, slug: str) -> VirtualKey | None:
        """For a project it is looked for among its own, so that not even the time it takes tells of others'."""
        if not caller.organisation:
            return next((key for key in await self._metadata.list_virtual_keys(caller.project_id) if key.slug == slug), None)
        try:
            return await self._metadata.get_virtual_key(slug)
        except VirtualKeyNotFound:
            return None

    async def _changeable(self, caller: Principal, slug: str, view: View, project: object = None) -> VirtualKey:
        found = await self.get(caller, slug, view, project)
        if not owns(caller, found.project_ids):
            raise errors.OrganisationKeyNeeded(f"This {view.value} is shared with your project, which may use it and not change it.")
        return found

    async def _new(self, caller: Principal, wishes: Wishes, view: View) -> tuple[NewVirtualKey, CheckedFields]:
        values = wishes.values
        name = name_of(values.get("name"), wishes.param("name"))
        integration = optional_text(values.get("integration"), wishes.param("integration"))
        if view is View.PROVIDER and integration is None:
            raise errors.MissingParameter("Missing required parameter: 'integration_id'.", param="integration_id")
        used = None if integration is None else await self._integration(caller, integration, wishes)
        entry = wished.provider_of(wishes, used)
        fields, custom_host = CheckedFields(), None
        if used is None:
            fields, custom_host = rules.fields_wished(entry, wishes), rules.host_wished(entry, wishes)
            rules.require_rights(caller, entry, wishes, fields, self._references)
            rules.require_own_identity(caller, fields.clear, {*fields.secrets, *fields.references}, wishes.param("provider"))
        project_ids = await self._projects(caller, wishes, view)
        fields = await self._bound(caller, fields, project_ids, wishes)
        new = NewVirtualKey(
            id=uuid7(self._clock.now_ms()),
            slug="",
            name=name,
            provider=entry.name,
            note=note_of(values.get("note"), wishes.param("note")),
            custom_host=custom_host,
            sharing=wished.require_sharing(rules.sharing_wished(wishes, Sharing.PROJECT), used, wishes),
            project_ids=project_ids,
            clear=fields.clear,
            references={name: str(reference) for name, reference in fields.references.items()},
            integration=None if used is None else used.slug,
            expires_at=end_of(values.get("expires_at"), wishes.param("expires_at"), self._now()),
        )
        return wished.with_copies(new, wishes, present=False), fields

    async def _bound(self, caller: Principal, fields: CheckedFields, project_ids: frozenset[str], wishes: Wishes) -> CheckedFields:
        """The fields with each output prefix bound to the id of one project, for as long as it is kept.

        One that names no project is for the only one that may use the virtual key. Raises :class:`~fileplane.errors.MissingParameter`
        where there is not exactly one, and what :func:`project_named` does for a project that the caller cannot speak for.
        """
        text = fields.clear.get(rules.OUTPUT_PREFIXES)
        if text is None:
            return fields
        param = next(wishes.param(name) for name in (rules.OUTPUT_PREFIXES, "outputPrefixes") if name in wishes.fields)
        bound = []
        for prefix, named in parsed_prefixes(text):
            if not named and len(project_ids) != 1:
                raise errors.MissingParameter(
                    f"'{prefix}' must say which project may read what is there: write '{prefix}=<project>', with its id or slug.",
                    param=param,
                )
            bound.append((prefix, await project_named(self._metadata, caller, named, param) or "" if named else next(iter(project_ids))))
        return replace(fields, clear={**fields.clear, rules.OUTPUT_PREFIXES: written_prefixes(tuple(bound))})

    async def _integration(self, caller: Principal, slug: str, wishes: Wishes) -> VirtualKey:
        found = await self._find(caller, slug.removeprefix("@"))
        param = wishes.param("integration")
        if found is None or found.integration is not None:
            raise errors.InvalidValue(f"There is no integration '{slug[:80]}' that can be used here. Create it first.", param=param)
        wished.refuse_own_credential(wishes)
        return found

    async def _projects(self, caller: Principal, wishes: Wishes, view: View) -> frozenset[str]:
        several, one = wishes.values.get("project_ids"), wishes.values.get("workspace_id")
        own = frozenset({caller.project_id} - {""})
        if several is not None and one not in {None, ""}:
            raise errors.InvalidValue(
                f"'{wishes.param('project_ids')}' and 'workspace_id' say the same. Send one of them.", param=wishes.param("project_ids")
            )
        if several is not None:
            named = await projects_named(self._metadata, caller, several, wishes.param("project_ids"))
        else:
            project_id = await project_named(self._metadata, caller, one, wishes.param("workspace_id"))
            of_all = caller.organisation and view is View.INTEGRATION
            named = frozenset({project_id}) if project_id is not None else (frozenset() if of_all else own)
        if not owns(caller, named):
            raise errors.OrganisationKeyNeeded(
                "An API key of a project makes what is for its own project.", param=wishes.param("project_ids")
            )
        if view is View.PROVIDER and not named:
            raise errors.InvalidValue("A provider is for one project at least.", param=wishes.param("project_ids"))
        return named

    async def _changed(self, caller: Principal, before: VirtualKey, wishes: Wishes) -> tuple[NewVirtualKey, CheckedFields]:
        values = wishes.values
        wished.require_the_same(before, wishes)
        entry = PROVIDERS[before.provider]
        used = None if before.integration is None else await self._metadata.get_virtual_key(before.integration)
        if used is not None:
            wished.refuse_own_credential(wishes)
        fields, custom_host = CheckedFields(clear=before.clear), before.custom_host
        if used is None and (wishes.fields or wishes.has("custom_host")):
            fields, custom_host = rules.fields_wished(entry, wishes, before), rules.host_wished(entry, wishes, before)
            rules.require_rights(caller, entry, wishes, fields, self._references)
            present = {*fields.secrets, *fields.references, *before.sealed.fields, *before.references} - fields.removed
            rules.require_secrets_for_another_host(before, fields, custom_host, wishes)
            rules.require_own_identity(caller, fields.clear, present, next(map(wishes.param, wishes.fields), wishes.param("custom_host")))
        project_ids = await self._changed_projects(caller, before, wishes)
        if fields.clear.get(rules.OUTPUT_PREFIXES) != before.clear.get(rules.OUTPUT_PREFIXES):
            fields = await self._bound(caller, fields, project_ids, wishes)
        references = {name: text for name, text in before.references.items() if name not in {*fields.secrets, *fields.removed}}
        after = _as_it_is(
            before,
            name=name_of(values["name"], wishes.param("name")) if wishes.has("name") else before.name,
            note=note_of(values["note"], wishes.param("note")) if wishes.has("note") else before.note,
            custom_host=custom_host,
            sharing=wished.require_sharing(rules.sharing_wished(wishes, before.sharing), used, wishes),
            project_ids=project_ids,
            clear=fields.clear,
            references=references | {name: str(reference) for name, reference in fields.references.items()},
            expires_at=(
                end_of(values["expires_at"], wishes.param("expires_at"), self._now()) if wishes.has("expires_at") else before.expires_at
            ),
        )
        rules.require_secrets_to_widen(caller, before, after, fields, wishes)
        return wished.with_copies(after, wishes, present=before.keep_copy), fields

    async def _changed_projects(self, caller: Principal, before: VirtualKey, wishes: Wishes) -> frozenset[str]:
        one = await project_named(self._metadata, caller, wishes.values.get("workspace_id"), wishes.param("workspace_id"))
        if one is not None and one not in before.project_ids:
            raise errors.RecordNotFound("virtual key", before.slug, param=wishes.param("workspace_id"))
        if wishes.values.get("project_ids") is None:
            return before.project_ids
        param = wishes.param("project_ids")
        after = await projects_named(self._metadata, caller, wishes.values["project_ids"], param)
        if not owns(caller, after):
            raise errors.OrganisationKeyNeeded("Which projects may use it is the organisation's to say.", param=param)
        await self._require_unused(before, after)
        return after

    async def _require_unused(self, before: VirtualKey, after: frozenset[str]) -> None:
        """Raises :class:`~fileplane.errors.RecordInUse` when projects that are to lose it have made providers of it."""
        lost = before.project_ids - after
        if lost:
            every = await self._metadata.list_virtual_keys()
            users = [f"virtual key {key.slug}" for key in every if key.integration == before.slug and key.project_ids & lost]
            if users:
                raise errors.RecordInUse("integration", users, param="workspaces")


def _as_it_is(before: VirtualKey, **changes: object) -> NewVirtualKey:
    same = NewVirtualKey(
        id=before.id,
        slug=before.slug,
        name=before.name,
        provider=before.provider,
        note=before.note,
        custom_host=before.custom_host,
        sharing=before.sharing,
        project_ids=before.project_ids,
        clear=before.clear,
        references=before.references,
        sealed=before.sealed,
        integration=before.integration,
        expires_at=before.expires_at,
        keep_copy=before.keep_copy,
    )
    return replace(same, **changes)  # type: ignore[arg-type]  # the fields' own types
