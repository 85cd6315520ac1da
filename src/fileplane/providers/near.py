"""The dialects of the providers that are near to OpenAI's Files API. What is unverified rests on documents or on habit."""

from __future__ import annotations

from typing import Final

from fileplane.catalog import JobKind
from fileplane.model import LONGEST_EXPIRY_SECONDS, SHORTEST_EXPIRY_SECONDS
from fileplane.providers.base import Capabilities, Expiry, Paging
from fileplane.providers.dialects import Dialect, ListOrder
from fileplane.providers.together import TOGETHER

_MB: Final = 1_000_000
_MIB: Final = 1 << 20
_DAY: Final = 86_400
_BATCH: Final = frozenset({"batch"})
_BATCHES: Final = frozenset({JobKind.BATCH})
_USUAL_EXPIRY: Final = Expiry(SHORTEST_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS)
_EXTRACTED: Final = {"user_data": "file-extract", "assistants": "file-extract"}


def _zhipu(name: str, title: str, base_url: str) -> Dialect:
    """One company, two front doors. Its SDK cannot describe a single file, so that file is looked for in the list."""
    return Dialect(
        name=name,
        title=title,
        base_url=base_url,
        get_by_list=True,
        capabilities=Capabilities(
            max_bytes=20 * _MIB,
            max_bytes_of={"batch": 100 * _MIB},
            purposes=frozenset({"batch", "code-interpreter", "agent", "voice-clone-input", "fine-tune", "retrieval"}),
            jobs=_BATCHES,
            unverified=frozenset({"get", "default_expiry_seconds", "max_list_limit", "ranges"}),
        ),
    )


_DIALECTS: Final = (
    Dialect(
        name="mistral-ai",
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        purposes={"user_data": "ocr"},
        has_status=False,
        order=ListOrder.NEWEST_FIRST,
        list_query={"include_total": "true"},
        capabilities=Capabilities(
            paging=Paging.PAGES,
            max_bytes=512 * _MIB,
            purposes=frozenset({"fine-tune", "batch", "ocr", "agentic_safety", "user_data"}),
            unverified=frozenset({"expiry", "max_list_limit", "order", "ranges"}),
        ),
    ),
    Dialect(
        name="groq",
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        has_status=False,
        pages_jobs=False,
        filters_purpose=False,
        order=ListOrder.ANY,
        capabilities=Capabilities(
            paging=Paging.NONE,
            max_bytes=200 * _MIB,
            purposes=_BATCH,
            jobs=_BATCHES,
            unverified=frozenset({"max_bytes", "default_expiry_seconds", "ranges"}),
        ),
    ),
    Dialect(
        name="x-ai",
        title="xAI",
        base_url="https://api.x.ai/v1",
        has_status=False,
        filters_purpose=False,
        list_query={"sort_by": "created_at"},
        capabilities=Capabilities(
            paging=Paging.TOKEN,
            expiry=_USUAL_EXPIRY,
            max_bytes=50 * _MIB,
            keeps_purpose=False,
            needs_fields_first=True,
            unverified=frozenset({"max_list_limit", "ranges"}),
        ),
    ),
    Dialect(
        name="cerebras",
        title="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        order=ListOrder.OLDEST_FIRST,
        capabilities=Capabilities(
            expiry=_USUAL_EXPIRY,
            default_expiry_seconds=7 * _DAY,
            default_list_limit=20,
            max_bytes=200 * _MIB,
            purposes=_BATCH,
            jobs=_BATCHES,
            unverified=frozenset({"ranges"}),
        ),
    ),
    Dialect(
        name="deepinfra",
        title="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        capabilities=Capabilities(
            max_bytes=200 * _MIB,
            purposes=frozenset({"batch", "fine-tune"}),
            jobs=_BATCHES,
            unverified=frozenset({"paging", "max_list_limit", "default_expiry_seconds", "purposes", "ranges"}),
        ),
    ),
    Dialect(
        name="nebius",
        title="Nebius Token Factory",
        base_url="https://api.tokenfactory.nebius.com/v1",
        capabilities=Capabilities(
            max_bytes=5_000 * _MB,
            purposes=frozenset({"fine-tune", "batch"}),
            jobs=frozenset({JobKind.BATCH, JobKind.FINE_TUNING}),
            unverified=frozenset({"max_bytes", "paging", "max_list_limit", "default_expiry_seconds", "ranges"}),
        ),
    ),
    Dialect(
        name="moonshot",
        title="Moonshot",
        base_url="https://api.moonshot.ai/v1",
        purposes={**_EXTRACTED, "vision": "image"},
        filters_purpose=False,
        order=ListOrder.ANY,
        capabilities=Capabilities(
            paging=Paging.NONE,
            original_bytes=False,
            ranges=False,
            max_bytes=100 * _MIB,
            purposes=frozenset({"file-extract", "image", "video", "batch", "user_data", "assistants", "vision"}),
            jobs=_BATCHES,
        ),
    ),
    Dialect(
        name="dashscope",
        title="DashScope",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        purposes=_EXTRACTED,
        filters_purpose=False,
        not_found={400: "not found"},
        capabilities=Capabilities(
            max_bytes=150 * _MIB,
            max_bytes_of={"batch": 500 * _MIB, "fine-tune": 300 * _MIB},
            purposes=frozenset({"file-extract", "batch", "fine-tune", "user_data", "assistants"}),
            jobs=_BATCHES,
            unverified=frozenset({"paging", "max_list_limit", "ranges", "download"}),
        ),
    ),
    _zhipu("zhipu", "Zhipu", "https://open.bigmodel.cn/api/paas/v4"),
    _zhipu("z-ai", "Z.ai", "https://api.z.ai/api/paas/v4"),
    Dialect(
        name="siliconflow",
        title="SiliconFlow",
        base_url="https://api.siliconflow.cn/v1",
        wrapped_in="data",
        filters_purpose=False,
        has_status=False,
        capabilities=Capabilities(
            purposes=_BATCH,
            jobs=_BATCHES,
            unverified=frozenset(
                {"get", "download", "delete", "paging", "max_bytes", "max_list_limit", "default_expiry_seconds", "ranges"}
            ),
        ),
    ),
    Dialect(
        name="perplexity-ai",
        title="Perplexity",
        base_url="https://api.perplexity.ai/v1",
        has_status=False,
        capabilities=Capabilities(
            default_expiry_seconds=30 * _DAY,
            max_bytes=200 * _MIB,
            purposes=_BATCH,
            jobs=_BATCHES,
            unverified=frozenset({"max_list_limit", "ranges"}),
        ),
    ),
    Dialect(
        name="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        sends_purpose=False,
        filters_purpose=False,
        has_status=False,
        order=ListOrder.OLDEST_FIRST,
        capabilities=Capabilities(
            download=False,
            max_list_limit=1_000,
            max_bytes=100 * _MIB,
            keeps_purpose=False,
            accepts_empty=False,
            unverified=frozenset({"default_expiry_seconds", "paging"}),
        ),
    ),
    Dialect(
        name="voyage",
        title="Voyage",
        base_url="https://api.voyageai.com/v1",
        purposes={"batch_output": "batch-output"},
        read_purposes={"batch-error": "batch_output"},
        has_status=False,
        filters_purpose=False,
        capabilities=Capabilities(
            default_expiry_seconds=30 * _DAY,
            default_list_limit=10_000,
            max_list_limit=10_000,
            purposes=_BATCH,
            jobs=_BATCHES,
            unverified=frozenset({"max_bytes", "delete", "ranges"}),
        ),
    ),
    Dialect(
        name="novita-ai",
        title="Novita",
        base_url="https://api.novita.ai/openai/v1",
        has_status=False,
        capabilities=Capabilities(
            purposes=_BATCH,
            jobs=_BATCHES,
            unverified=frozenset(
                {"base_url", "purposes", "max_bytes", "expiry", "default_expiry_seconds", "paging", "max_list_limit", "ranges"}
            ),
        ),
    ),
)

NEAR: Final = {dialect.name: dialect for dialect in (*_DIALECTS, TOGETHER)}
"""The dialects by the names of their providers."""
