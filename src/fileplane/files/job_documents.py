"""The documents of jobs: which files they name, what is refused in them, and what of them is shown to whom.

A batch or fine-tuning job is the provider's own document. Through a credential that projects share it is the way to the files of others,
so everything that decides which files a document may name, going in or coming out, is in this one module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fileplane.catalog import Job, JobKind, JobReport, ProviderFile
from fileplane.errors import InvalidValue, UpstreamAnswerInvalid
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import RemoteJob

LARGEST_DOCUMENT: Final = 1 << 20
"""Bytes of a job's document that a caller sends."""
_DEEPEST: Final = 64
_NAMED: Final[Mapping[JobKind, tuple[str, ...]]] = {
    JobKind.BATCH: ("input_file_id",),
    JobKind.FINE_TUNING: ("training_file", "validation_file"),
}
_NAMES_FILES: Final = re.compile(r".*?(?:(?<!pro)files?(?:ids?)?|blobs?|folders?)")
_LIKE_A_FILE: Final = re.compile(r"(?<![A-Za-z0-9])file[-_](?:[A-Za-z0-9]{16}|(?=[A-Za-z]*[0-9])[A-Za-z0-9]{6})")
_CALLERS_NOTES: Final = "metadata"
_PORTKEY_OPTIONS: Final = "portkeyoptions"
_SHOWN_NAME: Final = 80
_OBJECTS: Final = {JobKind.BATCH: "batch", JobKind.FINE_TUNING: "fine_tuning.job"}


def checked_document(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job as it may be sent to any provider. Raises :class:`~fileplane.errors.InvalidValue`.

    Portkey's ``portkey_options`` carry headers, keys among them, for a job that Portkey runs itself. A job here is run by the provider that
    the request's own headers name: passed on, these options would give keys away; passed over, the job would run elsewhere than they say.
    """
    for name, value in document.items():
        if _plain(name) == _PORTKEY_OPTIONS and value is not None:
            raise InvalidValue(
                f"'{name[:_SHOWN_NAME]}' is for jobs that Portkey runs itself. Leave it out, and send its members as headers of this "
                "request: the provider that they name runs the job.",
                param=name[:_SHOWN_NAME],
            )
    for member in _members(document):
        if member.depth > _DEEPEST:
            raise InvalidValue("The job is nested too deeply.", param=member.path)
    return {name: value for name, value in document.items() if _plain(name) != _PORTKEY_OPTIONS}


def input_files(kind: JobKind, document: Mapping[str, Any]) -> dict[str, str]:
    """The files that a new job is to use, as members and ids. Raises :class:`~fileplane.errors.InvalidValue` for what is no id."""
    named = {}
    for member in _NAMED[kind]:
        value = document.get(member)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidValue(f"Invalid '{member}': expected the id of a file.", param=member)
        named[member] = value
    return named


def overridden(kind: JobKind, document: Mapping[str, Any], override_params: Iterable[tuple[str, str]]) -> Mapping[str, Any]:
    """A job as one target is sent it: with the members that its config gives, as JSON text, in the place of the caller's.

    Raises :class:`~fileplane.errors.InvalidValue` where they name the job's files, which say where it is begun, and whose it is.
    """
    given = {name: json.loads(text) for name, text in override_params}
    for name in given:
        if name in _NAMED[kind]:
            raise InvalidValue(f"'override_params' of the config replaces '{name}', which only the request can name.", param=name)
    return checked_document({**document, **given}) if given else document


def refuse_other_files(kind: JobKind, document: Mapping[str, Any]) -> None:
    """Raises :class:`~fileplane.errors.InvalidValue` for a member that may name files and is none of those that are checked.

    Through a stored credential that projects share, the provider takes any id of its account, whosever it is. The ids in
    :func:`input_files` are held against the catalog; of any other member whose name says that it names files (``…file``, ``…files``,
    ``…file_id``, ``…file_ids``, and the blobs and folders of Azure, at any depth and in any spelling) nothing here can tell what the
    provider would do with it, so none is passed on; nor is any other member whose name, or whose text, has the shape of most providers'
    ids of files.
    ``metadata`` is the caller's own notes, which no provider reads.
    """
    for member in _members(document):
        checked = member.depth == 0 and member.name in _NAMED[kind]
        says = (member.name, member.value) if isinstance(member.value, str) else (member.name,)
        like_one = any(_LIKE_A_FILE.search(text) for text in says)
        if checked or not (like_one or (member.value is not None and _names_files(member.name))):
            continue
        raise InvalidValue(
            f"'{member.path}' seems to name files, and whether they are this project's cannot be checked here. Leave it out, or use a "
            "credential of your own.",
            param=member.path,
        )


def shown(document: Mapping[str, Any], job: Job | None, refused: Iterable[str] = ()) -> dict[str, Any]:
    """A provider's document as the job's project sees it: it names no file but those that the catalog gives to the job.

    ``refused`` are ids that are another project's, wherever they stand. Without ``job`` nothing is left out: there is no catalog then.
    """
    if job is None:
        return dict(document)
    known, hidden = {*job.input_file_ids, *job.result_file_ids}, frozenset(refused)
    try:
        return {name: value if name == _CALLERS_NOTES else _cleaned(name, value, known, hidden) for name, value in document.items()}
    except RecursionError as error:
        raise UpstreamAnswerInvalid("The provider's answer is nested too deeply.") from error


def last_known(job: Job) -> dict[str, Any]:
    """What the catalog itself knows of a job that its provider could not be asked about. ``stale`` says so.

    Result files are not told: which of them is the output and which has the errors, the catalog does not know.
    """
    document: dict[str, Any] = {
        "id": job.provider_job_id,
        "object": _OBJECTS[job.kind],
        "status": job.status,
        "created_at": job.created_at,
        "stale": True,
    }
    if len(job.input_file_ids) == 1:
        document[_NAMED[job.kind][0]] = job.input_file_ids[0]
    if job.kind is JobKind.BATCH:
        return document | {"output_file_id": None, "error_file_id": None}
    return document | {"result_files": []}


def report_of(remote: RemoteJob, results: Mapping[str, ProviderFile] | None = None) -> JobReport:
    """For the catalog. ``results`` are those of which more is known than their id and purpose."""
    known = results or {}
    files = (known.get(one.file_id, ProviderFile(one.file_id, one.purpose)) for one in remote.results if is_remote_id(one.file_id))
    return JobReport(remote.status, tuple(files))


def output_of(document: Mapping[str, Any]) -> str | None:
    """The file with a batch's answers, or where there are none, that with its errors."""
    for member in ("output_file_id", "error_file_id"):
        value = document.get(member)
        if isinstance(value, str) and value:
            return value
    return None


@dataclass(frozen=True, slots=True)
class _Member:
    depth: int
    path: str
    """Cut where it is too long to be shown."""
    name: str
    value: Any


def _members(document: Mapping[str, Any]) -> Iterator[_Member]:
    """Every member of every object, and every entry of every list under its number, without the caller's notes.

    Without recursion, and in memory in proportion to the document.
    """
    waiting: list[tuple[int, str, Any]] = [(0, "", {name: value for name, value in document.items() if name != _CALLERS_NOTES})]
    while waiting:
        depth, path, value = waiting.pop()
        named = value.items() if isinstance(value, Mapping) else ((str(number), child) for number, child in enumerate(value))
        for name, child in named:
            inner = f"{path}.{name}"[:_SHOWN_NAME] if path else name[:_SHOWN_NAME]
            yield _Member(depth, inner, name, child)
            if isinstance(child, Mapping | list):
                waiting.append((depth + 1, inner, child))


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _names_files(name: str) -> bool:
    return _NAMES_FILES.fullmatch(_plain(name)) is not None


def _cleaned(name: str, value: Any, known: set[str], hidden: frozenset[str]) -> Any:
    """``value`` without names of files that are not the project's."""
    if isinstance(value, str):
        return None if value in hidden or (_names_files(name) and value and value not in known) else value
    if isinstance(value, list):
        cleaned = [_cleaned(name, child, known, hidden) for child in value]
        return [after for before, after in zip(value, cleaned, strict=True) if before is None or after is not None]
    if isinstance(value, Mapping):
        return {inner: _cleaned(inner, child, known, hidden) for inner, child in value.items()}
    return value
