"""Identifiers and keys: how each is made, written and recognised."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Iterator
from typing import Final

_CANONICAL_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_OPENAI_STYLE: Final = re.compile(r"file-([0-9a-f]{32})")
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH: Final = 43  # 62**43 > 2**256


API_KEY_PREFIX: Final = "fpk_"
"""Begins every key that Fileplane makes, so that secret scanners can recognise one."""


def uuid7(now_ms: int) -> str:
    """A canonical UUID version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then 74 random bits."""
    random_bits = secrets.randbits(74)
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (random_bits >> 62) << 64 | 0b10 << 62
    digits = f"{value | random_bits & 0x3FFF_FFFF_FFFF_FFFF:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_file_id(text: str) -> str | None:
    """The canonical id of ``text`` in either printed form, or None when it is no file id at all."""
    lowered = text.lower()
    if _CANONICAL_UUID.fullmatch(lowered):
        return lowered
    if match := _OPENAI_STYLE.fullmatch(lowered):
        digits = match[1]
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return None


def openai_style(file_id: str) -> str:
    """A canonical id in the form ``file-<32 hex>``."""
    return f"file-{file_id.replace('-', '')}"


def new_blob_key() -> str:
    """A key that was never used before and never will be again: 128 random bits, the first byte naming its directory."""
    digits = secrets.token_hex(16)
    return f"{digits[:2]}/{digits[2:]}"


def new_holder() -> str:
    """Names this process as the holder of leases: a random number, since process ids of several machines are alike."""
    return secrets.token_hex(16)


def new_store_id() -> str:
    """A random UUID that tells one database from every other."""
    return str(uuid.uuid4())


def new_api_key() -> str:
    """A random 256-bit API key in base 62, so that a double click selects all of it."""
    number = secrets.randbits(256)
    digits = []
    for _ in range(_KEY_LENGTH):
        number, remainder = divmod(number, 62)
        digits.append(_BASE62[remainder])
    return API_KEY_PREFIX + "".join(digits)


def hash_api_key(key: str) -> bytes:
    """What is stored and looked up instead of the key. A plain SHA-256 suffices for 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _in_blocks(digits: int, block: int = 256) -> Iterator[str]:
    """Random hexadecimal numbers, asking the system for many at once: a call for each was a sixth of a request's cost."""
    while True:
        pool = secrets.token_hex(digits * block // 2)
        yield from (pool[start : start + digits] for start in range(0, len(pool), digits))


_random_digits: Final = _in_blocks(32)


def new_request_id() -> str:
    """A request id for a caller that sent none. Random throughout: a number that grows would tell tenants of each other's requests."""
    return f"req_{next(_random_digits)}"


def upload_style(upload_id: str) -> str:
    """A canonical id of an upload in OpenAI's form, ``upload_<32 hex>``."""
    return f"upload_{upload_id.replace('-', '')}"


def part_style(part_id: str) -> str:
    """A canonical id of an upload's part in OpenAI's form, ``part_<32 hex>``."""
    return f"part_{part_id.replace('-', '')}"


def parse_upload_id(text: str) -> str | None:
    """The canonical id of an upload's printed form, or None when it is no such id."""
    return _parse_prefixed("upload_", text)


def parse_part_id(text: str) -> str | None:
    """The canonical id of a part's printed form, or None when it is no such id."""
    return _parse_prefixed("part_", text)


def _parse_prefixed(prefix: str, text: str) -> str | None:
    lowered = text.lower()
    if _CANONICAL_UUID.fullmatch(lowered):
        return lowered
    return parse_file_id(f"file-{lowered.removeprefix(prefix)}") if lowered.startswith(prefix) else None
