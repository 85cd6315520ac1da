"""Lines for the transforms, and the transforms run over bytes that are cut as a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from fileplane.providers.jsonl.bedrock import to_bedrock
from fileplane.providers.jsonl.vertex import to_vertex

BEDROCK_MODELS = (
    "anthropic.claude-3-haiku-20240307-v1:0",
    "meta.llama3-1-8b-instruct-v1:0",
    "meta.llama4-scout-17b-instruct-v1:0",
    "amazon.nova-lite-v1:0",
    "mistral.mistral-7b-instruct-v0:2",
    "mistral.mistral-large-2407-v1:0",
)
VERTEX_MODELS = ("gemini-2.5-flash", "claude-sonnet-4-5@20250929")
MODELS = [*((to_bedrock, model) for model in BEDROCK_MODELS), *((to_vertex, model) for model in VERTEX_MODELS)]

Transform = Callable[..., AsyncIterator[bytes]]


def batch_line(custom_id: str = "request-1", **body: Any) -> dict[str, Any]:
    """A request of a chat; ``body`` replaces its fields."""
    asked = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]} | body
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}


def written(*lines: Any, ending: bytes = b"\n") -> bytes:
    """Objects as lines of JSON; bytes and texts stand for themselves."""
    return b"".join(_bytes_of(line) + ending for line in lines)


async def cut(content: bytes, sizes: Iterable[int] = ()) -> AsyncIterator[bytes]:
    """The content in chunks of these sizes, in turn, and the rest as one chunk."""
    start = 0
    for size in sizes:
        if start >= len(content):
            return
        yield content[start : start + size]
        start += size
    if start < len(content):
        yield content[start:]


def pieces(transform: Transform, content: bytes, sizes: Iterable[int] = (), **settings: Any) -> list[bytes]:
    """What the transform makes of the content, piece by piece."""

    async def collected() -> list[bytes]:
        return [piece async for piece in transform(cut(content, sizes), **settings)]

    return asyncio.run(collected())


def transformed(transform: Transform, content: bytes, sizes: Iterable[int] = (), **settings: Any) -> bytes:
    """The same in one."""
    return b"".join(pieces(transform, content, sizes, **settings))


def objects(content: bytes) -> list[Any]:
    """The lines as objects; each must end in a line feed."""
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def asked_of_bedrock(model: str, **body: Any) -> dict[str, Any]:
    """What the model's own body is for a chat with these fields."""
    (line,) = objects(transformed(to_bedrock, written(batch_line(**body)), model=model, purpose="batch"))
    assert line["recordId"] == "request-1"
    return line["modelInput"]


def asked_of_gemini(**body: Any) -> dict[str, Any]:
    """The request for Gemini for a chat with these fields."""
    (line,) = objects(transformed(to_vertex, written(batch_line(**body)), model="gemini-2.5-flash", purpose="batch"))
    assert (line["key"], line["request"].pop("labels")) == ("request-1", {"fileplane_custom_id": "request-1"})
    return line["request"]


def _bytes_of(line: Any) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)).encode()
