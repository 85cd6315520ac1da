"""The dialect of Together, whose uploads go to a path of their own and may be answered with a file that is there already.

By its API's description (https://docs.together.ai/reference/upload-file.md) and its SDK (together 3.1.1). The SDK itself uploads in
another way, by a signed URL, for which it has to know the file's hash before the first byte; the path taken here needs nothing first.
"""

from __future__ import annotations

from typing import Final

from fileplane.providers.base import Capabilities, Paging
from fileplane.providers.dialects import Dialect, ListOrder

_GIB: Final = 1 << 30

TOGETHER: Final = Dialect(
    name="together-ai",
    title="Together",
    base_url="https://api.together.ai/v1",
    upload_path="/files/upload",
    purposes={"batch": "batch-api", "evals": "eval", "batch_output": "batch-generated"},
    name_field="file_name",
    type_field="file_type",
    types={".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"},
    existing_in="file_id",
    has_status=False,
    filters_purpose=False,
    order=ListOrder.ANY,
    capabilities=Capabilities(
        paging=Paging.NONE,
        max_bytes=501 * _GIB // 10,
        purposes=frozenset({"batch", "evals", "fine-tune", "calibration"}),
        needs_fields_first=True,
        unverified=frozenset({"max_bytes", "default_expiry_seconds"}),
    ),
)
"""Only files of some purposes are looked at after their upload; the others have no status of their own, and are ready at once."""
