"""What stores and vault raise, as the errors that callers are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fileplane import errors
from fileplane.metadata import control
from fileplane.secrets.master_key import MasterKeyUnusable
from fileplane.secrets.references import ReferenceNotAllowed, ReferenceUnreadable
from fileplane.secrets.vault import CredentialDamaged


@contextmanager
def told(kind: str, params: Mapping[str, str] | None = None) -> Iterator[None]:
    """Within the block, failures are raised as FileplaneErrors.

    ``kind`` is what callers call the record; ``params`` says what they call that which it refers to, by
    :attr:`~fileplane.metadata.control.ReferenceMissing.kind`. :class:`~fileplane.metadata.control.RecordChanged` is for
    whoever tries again, and passes.
    """
    named = params or {}
    try:
        yield
    except control.SlugTaken as error:
        raise errors.SlugTaken(str(error), param=named.get("slug", "slug")) from error
    except control.StillInUse as error:
        raise errors.RecordInUse(kind, error.users, param=named.get("projects", "slug")) from error
    except control.ReferenceMissing as error:
        raise errors.InvalidValue(
            f"There is no {error.kind} '{error.slug[:80]}' that can be used here. Create it first.", param=named.get(error.kind, error.kind)
        ) from error
    except control.UnknownProject as error:
        raise errors.InvalidValue("A project that is named does not exist.", param=named.get("projects", "workspace_id")) from error
    except (control.VirtualKeyNotFound, control.ConfigNotFound) as error:
        raise errors.RecordNotFound(kind, str(error), param="slug") from error
    except (MasterKeyUnusable, CredentialDamaged, ReferenceUnreadable, ReferenceNotAllowed) as error:
        raise errors.CredentialUnavailable(str(error)) from error
