"""The upload form: what may be said about a file, in any order, and what follows from it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from fileplane.access import CallerLimits, Principal, Scope, Whose
from fileplane.errors import AboveMaximum, BelowMinimum, InvalidValue, MissingParameter, MissingScope, UnknownParameter
from fileplane.files.names import clean_filename, media_type_of
from fileplane.model import INPUT_PURPOSES, LONGEST_EXPIRY_SECONDS, OUTPUT_PURPOSES, SHORTEST_EXPIRY_SECONDS
from fileplane.settings import Settings

_FREE_PURPOSE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ANCHOR: Final = "expires_after[anchor]"
_SECONDS: Final = "expires_after[seconds]"
_AS_JSON: Final = "expires_after"
_FIELDS: Final = ("purpose", _ANCHOR, _SECONDS, _AS_JSON)


@dataclass(frozen=True, slots=True)
class FormField:
    """A complete field of the form other than the file."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FileBegins:
    """The file's part has begun; the bytes that follow are its own."""

    filename: str
    media_type: str
    at_most: int | None = None
    """Bytes that it can have, where the length of the whole form is declared: fewer by what follows the form's last boundary, if any."""


UploadEvent = FormField | FileBegins | bytes
"""An upload as it arrives: fields whole, and the file in pieces as they come, in the order in which the client sent them."""


class UploadForm:
    """Takes the form's parts as they come and refuses what is wrong as soon as it can be known."""

    def __init__(self, settings: Settings, principal: Principal) -> None:
        self._settings = settings
        self._principal = principal
        self._fields: dict[str, str] = {}
        self._filename: str | None = None
        self._media_type = ""
        self._limit: tuple[int, str] | None = None

    def take_field(self, field: FormField) -> None:
        """Raises an :class:`~fileplane.errors.InvalidRequest` that names the field, or MissingScope."""
        if field.name == "file":
            raise InvalidValue("The part 'file' has no filename. Send the file as a file part, with a filename.", param="file")
        if field.name not in _FIELDS:
            raise UnknownParameter(
                f"Unknown parameter: '{field.name[:80]}'. An upload has file, purpose and expires_after.", param=field.name[:80]
            )
        if field.name in self._fields:
            raise InvalidValue(f"'{field.name}' was sent twice. Send it once.", param=field.name)
        self._fields[field.name] = field.value
        self._limit = None
        if field.name == "purpose":
            self._check_purpose(field.value)

    def begin_file(self, begins: FileBegins) -> None:
        """Raises :class:`~fileplane.errors.InvalidValue` for a second file or a name that cannot be kept."""
        if self._filename is not None:
            raise InvalidValue("More than one 'file' was sent. Upload one file in each request.", param="file")
        self._filename = clean_filename(begins.filename)
        self._media_type = media_type_of(self._filename, begins.media_type)

    @property
    def limit(self) -> tuple[int, str]:
        """See :func:`largest_of`, as far as the purpose is known by now."""
        if self._limit is None:
            self._limit = largest_of(self._settings, self._principal.limits, self.known_purpose)
        return self._limit

    @property
    def known_purpose(self) -> str | None:
        """The purpose, if the form has told it by now."""
        return self._fields.get("purpose")

    def require_complete(self) -> None:
        """To be called at the end of the form. Raises an :class:`~fileplane.errors.InvalidRequest` for what is missing or wrong."""
        _ = self.purpose, self.filename, self.expires_after

    @property
    def purpose(self) -> str:
        """Raises :class:`~fileplane.errors.MissingParameter` when the form ended without one."""
        if "purpose" not in self._fields:
            raise MissingParameter(
                "Missing required parameter: 'purpose'. Send it as a form field, such as purpose=user_data.", param="purpose"
            )
        return self._fields["purpose"]

    @property
    def filename(self) -> str:
        """Raises :class:`~fileplane.errors.MissingParameter` when the form ended without a file."""
        if self._filename is None:
            raise MissingParameter("Missing required parameter: 'file'. Send it as a multipart file part.", param="file")
        return self._filename

    @property
    def media_type(self) -> str:
        """The type the file is stored with."""
        return self._media_type

    @property
    def expires_after(self) -> int | None:
        """Seconds from creation to expiry; None keeps the file. Raises an :class:`~fileplane.errors.InvalidRequest`."""
        fields = self._fields
        if _AS_JSON in fields:
            if _ANCHOR in fields or _SECONDS in fields:
                raise InvalidValue("'expires_after' was sent in two forms. Send one.", param=_AS_JSON)
            return _checked_expiry(*_from_json(fields[_AS_JSON]))
        if _ANCHOR in fields or _SECONDS in fields:
            return _checked_expiry(fields.get(_ANCHOR), fields.get(_SECONDS))
        if self.purpose == "batch" and self._settings.batch_expiry_seconds:
            return self._settings.batch_expiry_seconds
        return None

    def _check_purpose(self, purpose: str) -> None:
        extra = self._settings.extra_purposes
        if purpose in OUTPUT_PURPOSES:
            if Scope.FILES_WRITE_OUTPUT not in self._principal.scopes:
                raise MissingScope(Scope.FILES_WRITE_OUTPUT.value, param="purpose")
            return
        if purpose in INPUT_PURPOSES or purpose in extra or ("*" in extra and _FREE_PURPOSE.fullmatch(purpose)):
            return
        allowed = [*INPUT_PURPOSES, *(name for name in extra if name != "*")]
        raise InvalidValue(f"'{purpose[:80]}' is not one of {allowed} - 'purpose'", param="purpose")


def largest_of(settings: Settings, limits: CallerLimits, purpose: str | None) -> tuple[int, str]:
    """Bytes that a file of a purpose may have, or of any when it is None, and the rest of a sentence that says whose limit it is."""
    of_batch = purpose == "batch" or (purpose is None and settings.max_batch_file_bytes > settings.max_file_bytes)
    name = "max_batch_file_bytes" if of_batch else "max_file_bytes"
    least, setter = (
        settings.max_batch_file_bytes if of_batch else settings.max_file_bytes,
        f"here. Split it, or ask the operator to raise {name}",
    )
    for whose, own in ((Whose.PROJECT, limits.project.file_bytes), (Whose.KEY, limits.key.file_bytes)):
        if own is not None and own < least:
            least, setter = own, f"of this {whose}. Split it, or ask the operator to raise the {whose}'s file_bytes"
    return least, setter


def _from_json(text: str) -> tuple[object, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidValue('\'expires_after\' must be an object such as {"anchor": "created_at", "seconds": 3600}.', param=_AS_JSON)
    if unknown := set(value) - {"anchor", "seconds"}:
        raise UnknownParameter(f"Unknown parameter: 'expires_after[{min(unknown)[:80]}]'.", param=_AS_JSON)
    return value.get("anchor"), value.get("seconds")


def _checked_expiry(anchor: object, seconds: object) -> int:
    if anchor is None:
        raise MissingParameter(f"Missing required parameter: '{_ANCHOR}'. It must be 'created_at'.", param=_ANCHOR)
    if anchor != "created_at":
        raise InvalidValue(f"Invalid '{_ANCHOR}': the only anchor is 'created_at'.", param=_ANCHOR)
    if seconds is None:
        raise MissingParameter(f"Missing required parameter: '{_SECONDS}'.", param=_SECONDS)
    text = str(seconds)
    if isinstance(seconds, bool) or not re.fullmatch(r"-?[0-9]{1,40}", text):
        raise InvalidValue(f"Invalid '{_SECONDS}': expected a whole number of seconds.", param=_SECONDS)
    number = int(text)
    if number < SHORTEST_EXPIRY_SECONDS:
        raise BelowMinimum(
            f"Invalid '{_SECONDS}': integer below minimum value. Expected a value >= {SHORTEST_EXPIRY_SECONDS}, but got {number} instead.",
            param=_SECONDS,
        )
    if number > LONGEST_EXPIRY_SECONDS:
        raise AboveMaximum(
            f"Invalid '{_SECONDS}': integer above maximum value. Expected a value <= {LONGEST_EXPIRY_SECONDS}, but got {number} instead.",
            param=_SECONDS,
        )
    return number
