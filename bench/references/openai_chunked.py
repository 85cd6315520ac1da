"""OpenAI's own Python SDK sends a file in parts, one after another.

Usage: openai_chunked.py BASE_URL FILE, with the key in OPENAI_API_KEY

Prints the seconds that the upload took, those of its completion alone, and the id of the file.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from openai import OpenAI


def main() -> None:
    base_url, path = sys.argv[1:]
    client = OpenAI(base_url=base_url, max_retries=0, timeout=600)
    completing: list[float] = []
    complete = client.uploads.complete

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        upload = complete(*arguments, **named)
        completing.append(time.perf_counter() - began)
        return upload

    client.uploads.complete = timed  # type: ignore[method-assign] # the SDK calls it itself at the end
    began = time.perf_counter()
    upload = client.uploads.upload_file_chunked(file=path, mime_type="application/octet-stream", purpose="user_data")
    seconds = time.perf_counter() - began
    assert upload.file is not None
    print(seconds, completing[0], upload.file.id, flush=True)


if __name__ == "__main__":
    main()
