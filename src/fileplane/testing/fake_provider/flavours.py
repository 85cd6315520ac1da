"""How each provider writes what the fake keeps: paths, objects, lists, errors. A flavour a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import KeptFile, hex_id, uuid_id
from fileplane.testing.fake_provider.job_documents import azure_job, job_with_written_times

Render = Callable[[KeptFile], dict[str, Any]]
_PENDING_LOOKS: Final = 2


@dataclass(frozen=True, slots=True)
class Flavour:
    """One provider's manner. The defaults are OpenAI's."""

    name: str
    prefix: str = "/v1"
    provider: str = ""
    """The name of the provider that is faked, where it is not the flavour's own."""
    new_id: Callable[[], str] = field(default=hex_id("file-"))
    auth: tuple[str, ...] = ("authorization",)
    """Headers that carry the credential."""
    needs_query: Mapping[str, str] = field(default_factory=dict)
    purposes: frozenset[str] | None = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
    purpose_required: bool = True
    shortest_expiry: int = 3_600
    longest_expiry: int = 2_592_000
    takes_expiry: bool = True
    default_expiry: Mapping[str, int] = field(default_factory=lambda: {"batch": 2_592_000})
    expiry_before_file: bool = False
    takes_empty: bool = True
    upload_status: int = 200
    render: Render = field(default_factory=lambda: render_openai)
    paging: str = "cursor"
    """cursor, token, pages, or none."""
    default_limit: int = 10_000
    max_limit: int = 10_000
    order: str = "asked"
    """asked, oldest_first or newest_first."""
    filters_purpose: bool = True
    has_more: bool = True
    describes: bool = True
    """Whether a single file can be asked for."""
    downloads: bool = True
    ranges: bool = True
    unknown_status: int = 404
    deleted: Callable[[str], Any] = field(default_factory=lambda: _deleted)
    error: Callable[[int, str, str | None, str | None], Any] = field(default_factory=lambda: _openai_error)
    wrap_upload: Callable[[Any], Any] = field(default_factory=lambda: lambda value: value)
    jobs: frozenset[str] = frozenset()
    """``batches``, ``fine_tuning``, or both."""
    pages_jobs: bool = True
    lacks_of_jobs: frozenset[str] = frozenset()
    """Of what can be done to a job, and of what it keeps."""
    job_created_status: int = 200
    render_job: Callable[[dict[str, Any]], dict[str, Any]] = field(default_factory=lambda: dict)

    @property
    def provider_name(self) -> str:
        """As ``x-portkey-provider`` has it."""
        return self.provider or self.name


def render_openai(file: KeptFile) -> dict[str, Any]:
    """OpenAI's File object."""
    value = {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
    return value if file.expires_at is None else {**value, "expires_at": file.expires_at}


def _without_status(file: KeptFile) -> dict[str, Any]:
    return {name: value for name, value in render_openai(file).items() if not name.startswith("status")}


def _azure(file: KeptFile) -> dict[str, Any]:
    file.seen += 1
    status = "pending" if file.seen < _PENDING_LOOKS else "processed"
    return {**render_openai(file), "status": status, "updated_at": file.created_at, "status_details": ""}


def _mistral(file: KeptFile) -> dict[str, Any]:
    return {
        **_without_status(file),
        "sample_type": "batch_request",
        "source": "upload",
        "num_lines": None,
        "mimetype": file.media_type,
        "signature": None,
        "expires_at": None,
        "visibility": "workspace",
    }


def _xai(file: KeptFile) -> dict[str, Any]:
    return {**_without_status(file), "purpose": "", "expires_at": file.expires_at}


def _moonshot(file: KeptFile) -> dict[str, Any]:
    return {**render_openai(file), "status": "ok", "status_details": ""}


def _siliconflow(file: KeptFile) -> dict[str, Any]:
    value = _without_status(file)
    return {**{name: value[name] for name in ("id", "object", "bytes", "filename", "purpose")}, "createdAt": file.created_at}


def _voyage(file: KeptFile) -> dict[str, Any]:
    expires_at = None if file.expires_at is None else _rfc3339(file.expires_at)
    return {**_without_status(file), "created_at": _rfc3339(file.created_at), "expires_at": expires_at}


def _openrouter(file: KeptFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "type": "file",
        "filename": file.filename,
        "mime_type": file.media_type,
        "size_bytes": file.size,
        "created_at": _rfc3339(file.created_at),
        "downloadable": False,
    }


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _deleted(file_id: str) -> Any:
    return {"id": file_id, "object": "file", "deleted": True}


def _openai_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _azure_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001
    return {"error": {"code": code or {404: "notFound", 401: "unauthorized"}.get(status, "invalidPayload"), "message": message}}


def _mistral_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    return {"object": "error", "message": message, "type": "invalid_request_error", "param": param, "code": code or str(status)}


def _siliconflow_error(status: int, message: str, code: str | None, param: str | None) -> Any:  # noqa: ARG001
    return message if status == 401 else {"code": 20_012, "message": message, "data": None}


_BATCH: Final = frozenset({"batch"})
_BATCHES: Final = frozenset({"batches"})
_JOBS: Final = frozenset({"batches", "fine_tuning"})
_FLAVOURS: Final = (
    Flavour("openai", jobs=_JOBS),
    Flavour(
        "azure",
        "/openai",
        "azure-openai",
        hex_id("file-", 32),
        auth=("api-key", "authorization"),
        needs_query={"api-version": "2024-10-21"},
        purposes=frozenset({"assistants", "batch", "fine-tune"}),
        takes_expiry=False,
        default_expiry={},
        upload_status=201,
        render=_azure,
        paging="none",
        error=_azure_error,
        jobs=_JOBS,
        lacks_of_jobs=frozenset({"pause", "resume"}),
        job_created_status=201,
        render_job=azure_job,
    ),
    Flavour("azure-v1", "/openai/v1", "azure-openai", hex_id("file-", 32), auth=("api-key", "authorization"), jobs=_JOBS),
    Flavour(
        "mistral",
        provider="mistral-ai",
        new_id=uuid_id(),
        purposes=frozenset({"fine-tune", "batch", "ocr", "agentic_safety"}),
        takes_expiry=False,
        default_expiry={},
        render=_mistral,
        paging="pages",
        default_limit=100,
        max_limit=100,
        order="newest_first",
        error=_mistral_error,
    ),
    Flavour(
        "groq",
        "/openai/v1",
        new_id=hex_id("file_01"),
        purposes=_BATCH,
        takes_expiry=False,
        render=_without_status,
        paging="none",
        filters_purpose=False,
        jobs=_BATCHES,
        pages_jobs=False,
    ),
    Flavour(
        "x-ai",
        new_id=uuid_id("file_"),
        purposes=None,
        purpose_required=False,
        default_expiry={},
        expiry_before_file=True,
        render=_xai,
        paging="token",
        default_limit=100,
        max_limit=100,
        filters_purpose=False,
    ),
    Flavour(
        "cerebras",
        new_id=hex_id("file"),
        purposes=_BATCH,
        default_expiry={"batch": 604_800},
        default_limit=20,
        max_limit=100,
        order="oldest_first",
        jobs=_BATCHES,
    ),
    Flavour(
        "deepinfra", "/v1/openai", new_id=hex_id("file_"), purposes=_BATCH | {"fine-tune"}, takes_expiry=False, max_limit=100, jobs=_BATCHES
    ),
    Flavour("nebius", purposes=_BATCH | {"fine-tune"}, takes_expiry=False, default_expiry={}, max_limit=100, jobs=_JOBS),
    Flavour(
        "moonshot",
        new_id=hex_id(""),
        purposes=frozenset({"file-extract", "image", "video", "batch"}),
        takes_expiry=False,
        default_expiry={},
        render=_moonshot,
        paging="none",
        filters_purpose=False,
        ranges=False,
        jobs=_BATCHES,
    ),
    Flavour(
        "dashscope",
        "/compatible-mode/v1",
        new_id=hex_id("file-fe-"),
        purposes=frozenset({"file-extract", "batch", "fine-tune"}),
        takes_expiry=False,
        default_expiry={},
        default_limit=100,
        max_limit=100,
        filters_purpose=False,
        unknown_status=400,
        jobs=_BATCHES,
    ),
    Flavour(
        "zhipu",
        "/api/paas/v4",
        new_id=lambda: hex_id("", 4)() + "_" + hex_id("", 32)(),
        purposes=frozenset({"batch", "code-interpreter", "agent", "voice-clone-input", "fine-tune", "retrieval"}),
        takes_expiry=False,
        default_expiry={},
        default_limit=20,
        max_limit=100,
        describes=False,
        jobs=_BATCHES,
    ),
    Flavour(
        "siliconflow",
        purposes=_BATCH,
        takes_expiry=False,
        default_expiry={},
        render=_siliconflow,
        default_limit=100,
        max_limit=100,
        filters_purpose=False,
        error=_siliconflow_error,
        jobs=_BATCHES,
        wrap_upload=lambda value: {"code": 20_000, "message": "Ok", "status": True, "data": value},
    ),
    Flavour(
        "perplexity", provider="perplexity-ai", purposes=_BATCH, takes_expiry=False, render=_without_status, max_limit=100, jobs=_BATCHES
    ),
    Flavour(
        "openrouter",
        "/api/v1",
        new_id=hex_id("file_"),
        purposes=None,
        purpose_required=False,
        takes_expiry=False,
        default_expiry={},
        takes_empty=False,
        render=_openrouter,
        default_limit=100,
        max_limit=1_000,
        order="oldest_first",
        filters_purpose=False,
        downloads=False,
        deleted=lambda file_id: {"id": file_id, "type": "file_deleted"},
    ),
    Flavour(
        "voyage",
        purposes=_BATCH,
        takes_expiry=False,
        render=_voyage,
        filters_purpose=False,
        jobs=_BATCHES,
        render_job=job_with_written_times,
        error=lambda _status, message, _code, _param: {"detail": message},
    ),
    Flavour(
        "novita",
        "/openai/v1",
        "novita-ai",
        purposes=_BATCH,
        takes_expiry=False,
        default_expiry={},
        render=_without_status,
        max_limit=100,
    ),
)

FLAVOURS: Final[Mapping[str, Flavour]] = {flavour.name: flavour for flavour in _FLAVOURS}
