"""What may be set about validation."""

from __future__ import annotations

from dataclasses import dataclass

from fileplane.setting_values import BATCH_URLS


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRules:
    """Limits of validation. All are at least 1; ``batch_urls`` has at least one.

    ``max_line_bytes`` is what one line may have without its line feed, and what bounds the memory of a validator.
    ``max_batch_lines`` is how many requests a batch may have. ``listed_problems`` are kept with their messages; at
    ``counted_problems`` validation ends, because each costs a hundred times what a good line does.
    """

    batch_urls: tuple[str, ...] = BATCH_URLS
    max_line_bytes: int = 16 * 1024 * 1024
    max_batch_lines: int = 50_000
    listed_problems: int = 1_000
    counted_problems: int = 100_000
