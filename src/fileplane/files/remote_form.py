"""The upload form of a file that goes to a provider, whose own purposes and bounds hold."""

from __future__ import annotations

import re
from typing import Final

from fileplane.access import Scope
from fileplane.errors import InvalidValue, MissingScope
from fileplane.files.form import FileBegins, FormField, UploadForm
from fileplane.files.names import OCTET_STREAM
from fileplane.model import OUTPUT_PURPOSES

_LONGEST_TYPE: Final = 200
_PURPOSE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RemoteForm(UploadForm):
    """As :class:`UploadForm`, but any purpose is accepted that can be a name, and no expiry is added."""

    _begins: FileBegins | None = None

    def begin_file(self, begins: FileBegins) -> None:
        """See :meth:`UploadForm.begin_file`."""
        super().begin_file(begins)
        self._begins = begins

    def events_before_the_bytes(self) -> tuple[FormField | FileBegins, ...]:
        """What a complete form has said, as it came, so that another reader of forms can be told the same."""
        assert self._begins is not None, "the form is complete"
        return (*(FormField(name, value) for name, value in self._fields.items()), self._begins)

    @property
    def known_filename(self) -> str | None:
        """The file's name, if its part has begun by now."""
        return self._filename

    @property
    def media_type(self) -> str:
        """The type that the caller gives the file, by which its provider may go; where that is none, the type of its name."""
        declared = "" if self._begins is None else self._begins.media_type.strip()
        says_something = declared.lower() not in {"", OCTET_STREAM} and len(declared) <= _LONGEST_TYPE
        return declared if says_something else super().media_type

    @property
    def expires_after(self) -> int | None:
        """See :attr:`UploadForm.expires_after`; None leaves it to the provider."""
        return super().expires_after if any(name.startswith("expires_after") for name in self._fields) else None

    def _check_purpose(self, purpose: str) -> None:
        if not _PURPOSE.fullmatch(purpose):
            raise InvalidValue("'purpose' must be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'.", param="purpose")
        if purpose in OUTPUT_PURPOSES and Scope.FILES_WRITE_OUTPUT not in self._principal.scopes:
            raise MissingScope(Scope.FILES_WRITE_OUTPUT.value, param="purpose")
