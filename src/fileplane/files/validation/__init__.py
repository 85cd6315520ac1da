"""JSONL verdicts: whether a file of purpose ``batch`` or ``fine-tune`` is valid of its kind, found while its bytes stream by."""

from __future__ import annotations

from typing import Final

from fileplane.files.validation.report import Code, Kind, Problem, Verdict
from fileplane.files.validation.rules import ValidationRules
from fileplane.files.validation.validator import Validator
from fileplane.setting_values import BATCH_URLS

VALIDATED_PURPOSES: Final = frozenset({"batch", "fine-tune"})
"""The purposes whose ``.jsonl`` files can be validated."""

__all__ = ["BATCH_URLS", "VALIDATED_PURPOSES", "Code", "Kind", "Problem", "ValidationRules", "Validator", "Verdict", "new_validator"]


def new_validator(purpose: str | None, rules: ValidationRules | None = None) -> Validator | None:
    """A validator for one file of this purpose, or None for a purpose whose files are not validated.

    With the purpose None, for a form that has not told it yet, the first line decides by whether it has a ``custom_id``. When
    :attr:`Validator.purpose` at the end is not what the form told, its verdict means nothing, and the stored bytes must be validated
    anew; a file without lines has no purpose then, and is as empty for one as for the other.
    """
    if purpose is not None and purpose not in VALIDATED_PURPOSES:
        return None
    return Validator(purpose, rules or ValidationRules())
