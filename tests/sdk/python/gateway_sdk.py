"""Makes the five file calls once for each way of saying where they go, and prints what came back; see ../processes.py."""

from __future__ import annotations

import json
import sys
from typing import Any

from openai import OpenAI
from portkey_ai import Portkey, createHeaders


def files_of(job: dict[str, Any], way: dict[str, Any]) -> Any:
    named = {name: way.get(name, job[name]) for name in ("api_key", "base_url")}
    if way["sdk"] == "portkey":
        return Portkey(**named, **way["options"]).files
    headers = createHeaders(api_key=named["api_key"], **way["options"])
    return OpenAI(api_key=way["bearer"], base_url=named["base_url"], default_headers=headers).files


def every_id(files: Any, sdk: str) -> list[str]:
    """OpenAI's SDK follows the pages by itself, Portkey's shows one at a time."""
    if sdk == "openai":
        return [file.id for file in files.list(limit=1)]
    ids: list[str] = []
    more = True
    while more:
        page = files.list(limit=1, **({"after": ids[-1]} if ids else {})).model_dump()
        ids += [file["id"] for file in page["data"]]
        more = page["has_more"]
    return ids


def main() -> None:
    job = json.load(sys.stdin)
    seen: dict[str, Any] = {}
    for name, way in job["ways"].items():
        files = files_of(job, way)
        made = files.create(file=("a.jsonl", b'{"a": 1}\n'), purpose="batch")
        other = files.create(file=("b.jsonl", b'{"b": 2}\n'), purpose="batch")
        got, content = files.retrieve(made.id), files.content(made.id)
        listed = every_id(files, way["sdk"])
        deleted = [files.delete(one) for one in (made.id, other.id)]
        seen[name] = {
            "made": [made.id, made.bytes, made.purpose, made.filename],
            "got": [got.id, got.bytes, got.purpose, got.filename],
            "content": content.read().decode() if hasattr(content, "read") else bytes(content).decode(),
            "other": other.id,
            "listed": listed,
            "deleted": [[one.id, one.deleted] for one in deleted],
        }
    sys.stdout.write(json.dumps(seen))


main()
