"""What the commands on virtual keys and configs share: the use cases over a data directory, and how their refusals are reported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from fileplane.cli.exits import CommandFailed, ExitCode, complain
from fileplane.cli.runtime import Runtime
from fileplane.errors import FileplaneError
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

if TYPE_CHECKING:  # loading the encryption takes time that other commands have no use for
    from fileplane.control.opening import Credentials

_EXIT_CODES: Final = {400: ExitCode.REFUSED, 403: ExitCode.NOT_AUTHORISED, 404: ExitCode.NOT_FOUND, 409: ExitCode.REFUSED}


@asynccontextmanager
async def opened_credentials(runtime: Runtime, settings: Settings) -> AsyncIterator[tuple[Credentials, MetadataStore]]:
    """The use cases over the data directory, whether or not a server is running on it. Refusals leave as :class:`CommandFailed`."""
    from fileplane.control.opening import open_credentials
    from fileplane.secrets.master_key import MasterKeyUnusable

    async with runtime.open_metadata(settings) as metadata:
        try:
            credentials = await open_credentials(metadata, settings)
        except MasterKeyUnusable as error:
            raise CommandFailed(ExitCode.FAILED, str(error)) from error
        if credentials.made_master_key is not None:
            complain(f"a master key was made in {credentials.made_master_key.absolute()}: keep a copy of it apart from the backups")
        with refusals_as_failures():
            yield credentials, metadata


@contextmanager
def refusals_as_failures() -> Iterator[None]:
    """A refusal as the exit code that a server's refusal of the same has for client commands."""
    try:
        yield
    except FileplaneError as error:
        named = "" if error.param is None else f" ({error.param})"
        raise CommandFailed(_EXIT_CODES.get(error.status, ExitCode.FAILED), f"{error.message}{named}") from error


async def project_slugs(metadata: MetadataStore) -> dict[str, str]:
    """The slug of every project, by its id."""
    return {project.id: project.slug for project in await metadata.list_projects()}
