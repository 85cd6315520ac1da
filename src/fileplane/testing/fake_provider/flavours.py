"""How each provider writes what the fake keeps: paths, objects, lists, errors. A flavour a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fileplane.testing.fake_provider import renderings
from fileplane.testing.fake_provider.accounts import KeptFile, hex_id, uuid_id
from fileplane.testing.fake_provider.aws_keys import aws_secrets
from fileplane.testing.fake_provider.job_documents import azure_job, job_with_written_times

Render = Callable[[KeptFile], dict[str, Any]]


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
    secrets: Callable[[str], Mapping[str, str]] = field(default_factory=lambda: lambda secret: {"api_key": secret})
    """What an adapter is given to authenticate with, whose account is that of this secret."""
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
    upload_path: tuple[str, ...] = ()
    """What of the path is behind ``files`` where uploads go."""
    form_fields: frozenset[str] = frozenset()
    """Fields of an upload's form besides the usual ones; with ``file_name`` among them, that has to be there, and is the name."""
    once: bool = False
    """Whether a file of bytes and purpose that are there already is refused, with the id of the one that is there."""
    render: Render = field(default_factory=lambda: renderings.openai)
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
    deleted: Callable[[str], Any] = field(default_factory=lambda: renderings.deleted)
    error: Callable[[int, str, str | None, str | None], Any] = field(default_factory=lambda: renderings.openai_error)
    wrap_upload: Callable[[Any], Any] = field(default_factory=lambda: lambda value: value)
    uploads: bool = False
    """Whether there are uploads in parts."""
    jobs: frozenset[str] = frozenset()
    """``batches``, ``fine_tuning``, or both."""
    pages_jobs: bool = True
    lacks_of_jobs: frozenset[str] = frozenset()
    """Of what can be done to a job, and of what it keeps."""
    job_created_status: int = 200
    other_prefixes: tuple[str, ...] = ()
    """Below which an API of its own has calls as well."""
    render_job: Callable[[dict[str, Any]], dict[str, Any]] = field(default_factory=lambda: dict)

    @property
    def provider_name(self) -> str:
        """As ``x-portkey-provider`` has it."""
        return self.provider or self.name


_BATCH: Final = frozenset({"batch"})
_BATCHES: Final = frozenset({"batches"})
_JOBS: Final = frozenset({"batches", "fine_tuning"})
_FLAVOURS: Final = (
    Flavour("openai", jobs=_JOBS, uploads=True),
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
        render=renderings.azure,
        paging="none",
        error=renderings.azure_error,
        jobs=_JOBS,
        lacks_of_jobs=frozenset({"pause", "resume"}),
        job_created_status=201,
        render_job=azure_job,
    ),
    Flavour("azure-v1", "/openai/v1", "azure-openai", hex_id("file-", 32), auth=("api-key", "authorization"), jobs=_JOBS, uploads=True),
    Flavour(
        "mistral",
        provider="mistral-ai",
        new_id=uuid_id(),
        purposes=frozenset({"fine-tune", "batch", "ocr", "agentic_safety"}),
        form_fields=frozenset({"expiry", "visibility"}),
        takes_expiry=False,
        default_expiry={},
        render=renderings.mistral,
        paging="pages",
        default_limit=100,
        max_limit=100,
        order="newest_first",
        error=renderings.mistral_error,
    ),
    Flavour(
        "groq",
        "/openai/v1",
        new_id=hex_id("file_01"),
        purposes=_BATCH,
        takes_expiry=False,
        render=renderings.without_status,
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
        render=renderings.xai,
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
        render=renderings.moonshot,
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
        render=renderings.siliconflow,
        default_limit=100,
        max_limit=100,
        filters_purpose=False,
        error=renderings.siliconflow_error,
        jobs=_BATCHES,
        wrap_upload=lambda value: {"code": 20_000, "message": "Ok", "status": True, "data": value},
    ),
    Flavour(
        "perplexity",
        provider="perplexity-ai",
        purposes=_BATCH,
        takes_expiry=False,
        render=renderings.without_status,
        max_limit=100,
        jobs=_BATCHES,
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
        render=renderings.openrouter,
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
        render=renderings.voyage,
        filters_purpose=False,
        jobs=_BATCHES,
        render_job=job_with_written_times,
        error=lambda _status, message, _code, _param: {"detail": message},
    ),
    Flavour(
        "together",
        provider="together-ai",
        new_id=uuid_id("file-"),
        purposes=frozenset({"fine-tune", "eval", "calibration", "batch-api"}),
        takes_expiry=False,
        default_expiry={},
        upload_path=("upload",),
        form_fields=frozenset({"file_name", "file_type"}),
        once=True,
        render=renderings.together,
        paging="none",
        filters_purpose=False,
        has_more=False,
        deleted=lambda file_id: {"id": file_id, "deleted": True},
    ),
    Flavour(
        "cohere", new_id=hex_id("dataset-"), purposes=None, error=lambda _status, message, _code, _param: {"id": "1", "message": message}
    ),
    Flavour("fireworks", provider="fireworks-ai", purposes=None, error=renderings.grpc_error),
    Flavour(
        "novita",
        "/openai/v1",
        "novita-ai",
        purposes=_BATCH,
        takes_expiry=False,
        default_expiry={},
        render=renderings.without_status,
        max_limit=100,
    ),
    Flavour(
        "anthropic",
        new_id=hex_id("file_011C", 20),
        auth=("authorization", "x-api-key"),
        purposes=None,
        longest_expiry=7_776_000,
        render=renderings.anthropic,
        default_limit=20,
        max_limit=1_000,
        error=renderings.anthropic_error,
    ),
    Flavour(
        "gemini",
        other_prefixes=("/v1beta", "/upload/v1", "/upload/v1beta"),
        provider="google",
        new_id=hex_id("", 12),
        auth=("x-goog-api-key",),
        purposes=None,
        render=renderings.gemini,
        default_limit=10,
        max_limit=100,
        error=renderings.google_error,
    ),
    Flavour("vertex-ai", "", purposes=None, purpose_required=False, takes_expiry=False, default_expiry={}, error=renderings.storage_error),
    Flavour("bedrock", "", purposes=None, purpose_required=False, takes_expiry=False, default_expiry={}, secrets=aws_secrets),
)

FLAVOURS: Final[Mapping[str, Flavour]] = {flavour.name: flavour for flavour in _FLAVOURS}
