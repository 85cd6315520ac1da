"""The files that the SDKs upload."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Final

MEBIBYTE: Final = 1 << 20

# What every SDK and the server leave as it is: scripts, combining marks, and what headers, URLs and forms give a meaning to.
NAMES: Final = (
    "plain.txt",
    "naïve résumé.txt",
    "cafe\u0301 decomposed.txt",
    "数据 分析.jsonl",
    "ملف-بيانات.csv",
    "отчёт №7.pdf",
    "🎉👩\u200d💻.bin",
    'say "hello".txt',
    "semi;colon=1,comma.txt",
    "it's 100% + more & #1?.txt",
    "percent%20and%2F.txt",
    ".hidden",
    "no extension",
    " spaces around ",
    "あ" * 83 + ".txt",
)


def write_inputs(folder: Path) -> dict[str, Path]:
    """Writes every file, the same each time; returns them by name."""
    noise = random.Random("sdk files")
    looks_like_a_form = b'\r\n--\r\n--openai-0--\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"\r\n" * 50
    tricky = bytes(range(256)) + looks_like_a_form
    contents = {
        "sample.bin": tricky + noise.randbytes(200_000) + tricky,
        "large.bin": noise.randbytes(5 * MEBIBYTE + 4_321),
        "lines.jsonl": '{"text": "naïve 数据 🎉"}\r\n{"text": "\\u00e9\\n"}\n\n{"last": "line without an end"}'.encode(),
        "batch.jsonl": b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {}}\n',
        "empty.txt": b"",
        "too-large.jsonl": noise.randbytes(MEBIBYTE) * 30,
    }
    contents |= dict.fromkeys(NAMES, b"named")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with (folder / "far-too-large.jsonl").open("wb") as hole:
        hole.truncate(200 * MEBIBYTE)
    return {path.name: path for path in folder.iterdir()}


def content_of(path: Path) -> dict[str, object]:
    """A file as the SDKs' scripts describe what they read back."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
