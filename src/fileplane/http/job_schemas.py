"""Jobs as the OpenAPI document has them. What is asked for and what is answered is the provider's own; only the frame is Fileplane's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

FileId = Annotated[str, Meta(description="A file at the provider that runs the job. Through a virtual key it must be the project's own.")]
Notes = Annotated[dict[str, str] | None, Meta(description="The caller's own notes.")]


class BatchCreation(msgspec.Struct, frozen=True, kw_only=True):
    """A batch in the provider's terms. Further members are passed on, but for those that name files and ``portkey_options``."""

    input_file_id: FileId | UnsetType = UNSET
    endpoint: str | UnsetType = UNSET
    completion_window: str | UnsetType = UNSET
    metadata: Notes | UnsetType = UNSET


class FineTuningJobCreation(msgspec.Struct, frozen=True, kw_only=True):
    """A fine-tuning job in the provider's terms. Further members are passed on, but for those that name files and ``portkey_options``."""

    training_file: FileId | UnsetType = UNSET
    validation_file: FileId | UnsetType | None = UNSET
    model: str | UnsetType = UNSET
    metadata: Notes | UnsetType = UNSET


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the provider's documents, newest first. The next page begins after ``last_id``.

    One with ``stale`` is as last known: its provider could not be asked in time.
    """

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
