"""OpenAI's Python SDK sends files in parts; prints what came back, as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from openai import BadRequestError, OpenAI

job = json.load(sys.stdin)
client: Any
Refused: Any = BadRequestError
if job.get("sdk") == "portkey":
    from portkey_ai import Portkey
    from portkey_ai._vendor import openai as vendored

    Refused = vendored.BadRequestError
    client = Portkey(base_url=job["base_url"], api_key=job["api_key"], **job["options"])
else:
    client = OpenAI(base_url=job["base_url"], api_key=job["api_key"], default_headers=job.get("headers"))
purpose, other_purpose = job.get("purposes", ("user_data", "vision"))
data = Path(job["path"]).read_bytes()
PART = 300_000


def waited(file_id: str) -> dict[str, Any]:
    return client.files.wait_for_processing(file_id, poll_interval=0.05, max_wait_seconds=60).model_dump()


def shown(upload: Any) -> dict[str, Any]:
    content = client.files.content(upload.file.id).read()
    return {
        "upload": upload.model_dump(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "file": waited(upload.file.id),
    }


def by_hand() -> dict[str, Any]:
    upload = client.uploads.create(
        filename="hand.bin",
        purpose=purpose,
        bytes=len(data),
        mime_type="application/octet-stream",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    pieces = [data[start : start + PART] for start in range(0, len(data), PART)]
    ids = {}
    for number in reversed(range(len(pieces))):
        ids[number] = client.uploads.parts.create(upload.id, data=pieces[number]).id
    return shown(client.uploads.complete(upload.id, part_ids=[ids[number] for number in range(len(pieces))]))


def refused() -> dict[str, Any]:
    upload = client.uploads.create(filename="a.bin", purpose=purpose, bytes=10, mime_type="text/plain")
    part = client.uploads.parts.create(upload.id, data=b"short")
    try:
        client.uploads.complete(upload.id, part_ids=[part.id])
    except Refused as error:
        return {"code": error.code, "param": error.param, "cancelled": client.uploads.cancel(upload.id).status}
    raise AssertionError("it was completed")


results = {
    "path": shown(
        client.uploads.upload_file_chunked(file=job["path"], mime_type="application/octet-stream", purpose=purpose, part_size=PART)
    ),
    "bytes": shown(
        client.uploads.upload_file_chunked(
            file=data,
            filename="bytes.bin",
            bytes=len(data),
            mime_type="application/octet-stream",
            purpose=purpose,
            part_size=PART,
            md5=hashlib.md5(data).hexdigest(),
        )
    ),
    "stream": shown(
        client.uploads.upload_file_chunked(
            file=BytesIO(data).getvalue(), filename="s.bin", bytes=len(data), mime_type="image/png", purpose=other_purpose
        )
    ),
    "by hand": by_hand(),
    "refused": refused(),
}
sys.stdout.write(json.dumps(results))
