"""Validation of an upload on its way: chosen by the form, fed by the blob store, and what the file is recorded with in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgspec

from fileplane.blobs.base import BlobStore
from fileplane.errors import InvalidValue
from fileplane.files.validation import VALIDATED_PURPOSES, ValidationRules, Validator, Verdict, new_validator
from fileplane.model import FileStatus
from fileplane.settings import Settings
from fileplane.tracing.spans import step

_SUFFIX: Final = ".jsonl"


class Inspection:
    """The :class:`~fileplane.blobs.base.Inspector` of one upload. It only lets the bytes pass until it is told what they are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._validator: Validator | None = None

    def begin(self, filename: str, purpose: str | None) -> None:
        """To be called before the first byte. ``purpose`` is None while the form has not told it."""
        if self._settings.purpose_validation != "off" and filename.lower().endswith(_SUFFIX):
            self._validator = new_validator(purpose, self._rules())

    def feed(self, data: bytes, alongside: Callable[[bytes | memoryview], object]) -> None:
        """See :meth:`Inspector.feed`."""
        if self._validator is None:
            alongside(data)
        else:
            self._validator.feed(data, alongside=alongside)

    async def verdict(self, purpose: str, blobs: BlobStore, key: str) -> Verdict | None:
        """What was found in a committed blob, or None when such a file is not validated.

        Reads the blob anew when the form told the purpose after the file, and the file looked like one of another.
        """
        if self._validator is None or purpose not in VALIDATED_PURPOSES:
            return None
        with step("validate"):
            verdict = await asyncio.to_thread(self._validator.finish)
            if self._validator.purpose in (purpose, None):
                return verdict
            return await self._judge_anew(purpose, blobs, key)

    async def _judge_anew(self, purpose: str, blobs: BlobStore, key: str) -> Verdict:
        validator = Validator(purpose, self._rules())
        async with blobs.open(key) as reader:
            async for piece in reader:
                await asyncio.to_thread(validator.feed, piece)
        return await asyncio.to_thread(validator.finish)

    def _rules(self) -> ValidationRules:
        settings = self._settings
        return ValidationRules(
            batch_urls=settings.batch_urls, max_line_bytes=settings.max_jsonl_line_bytes, max_batch_lines=settings.max_batch_lines
        )


def refuse_invalid(verdict: Verdict | None, settings: Settings) -> None:
    """Raises :class:`~fileplane.errors.InvalidValue` for a file that is not valid, where those are not taken."""
    if verdict is not None and not verdict.valid and settings.purpose_validation == "reject":
        raise InvalidValue(f"{verdict.details()} Correct the file and upload it again.", param="file")


def recorded(verdict: Verdict | None) -> dict[str, Any]:
    """What a :class:`~fileplane.model.NewFile` is made with."""
    if verdict is None:
        return {}
    status = FileStatus.PROCESSED if verdict.valid else FileStatus.ERROR
    text = msgspec.json.encode({**asdict(verdict), "valid": verdict.valid}).decode()
    return {"status": status, "status_details": verdict.details(), "verdict": text}
