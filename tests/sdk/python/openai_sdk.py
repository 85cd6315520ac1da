"""OpenAI's Python SDK, synchronous or asynchronous, as the first argument says."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from openai import AsyncOpenAI, OpenAI
from scenario import PIECE, POLLING, Steps, Waited, run_scenario, sent_along


class SyncClient:
    """``openai.OpenAI``."""

    def __init__(self, base_url: str, key: str, provider: str | None = None) -> None:
        headers = {} if provider is None else {"x-portkey-provider": provider}
        self.files = self.connect(base_url=base_url, api_key=key, default_headers=headers)

    def connect(self, **options: Any) -> Any:
        return OpenAI(**options).files

    def create(self, file: Any, purpose: Any, request_id: str | None = None, **options: Any) -> dict[str, Any]:
        return self.files.create(file=file, purpose=purpose, extra_headers=sent_along(request_id), **options).model_dump()

    def page(self, request_id: str | None = None, **query: Any) -> dict[str, Any]:
        return self.files.list(extra_headers=sent_along(request_id), **query).model_dump()

    def all_ids(self, request_id: str, **query: Any) -> list[str]:
        return [file.id for file in self.files.list(extra_headers=sent_along(request_id), **query)]

    def retrieve(self, file_id: str) -> dict[str, Any]:
        return self.files.retrieve(file_id).model_dump()

    def request_id_of(self, file_id: str, request_id: str) -> Any:
        return self.files.retrieve(file_id, extra_headers=sent_along(request_id))._request_id

    def delete(self, file_id: str) -> dict[str, Any]:
        return self.files.delete(file_id).model_dump()

    def text(self, file_id: str) -> str:
        return self.files.content(file_id).text

    def pieces(self, file_id: str) -> Iterable[bytes]:
        with self.files.with_streaming_response.content(file_id) as response:
            yield from response.iter_bytes(PIECE)

    def wait_for_processing(self, file_id: str) -> dict[str, Any]:
        return self.files.wait_for_processing(file_id, **POLLING).model_dump()


class AsyncClient(SyncClient):
    """``openai.AsyncOpenAI``."""

    def connect(self, **options: Any) -> Any:
        self.asynchronous = AsyncOpenAI(**options).files
        return Waited(self.asynchronous)

    def all_ids(self, request_id: str, **query: Any) -> list[str]:
        async def collect() -> list[str]:
            return [file.id async for file in self.asynchronous.list(extra_headers=sent_along(request_id), **query)]

        return Waited.done(collect())

    def pieces(self, file_id: str) -> Iterable[bytes]:
        async def collect() -> list[bytes]:
            async with self.asynchronous.with_streaming_response.content(file_id) as response:
                return [piece async for piece in response.iter_bytes(PIECE)]

        return Waited.done(collect())


def go_on(steps: Steps, connect: type[SyncClient]) -> None:
    """What only OpenAI's SDK does: it follows the pages by itself, knows the request's id, and sends any size in constant memory."""
    client = connect(steps.job["base_url"], steps.job["pages_key"])
    queries = {"pages-ascending": {"limit": 1, "order": "asc"}, "pages-by-default": {"limit": 1}, "pages-of-ten": {"limit": 10}}
    for step, query in queries.items():
        steps.take(step, lambda step=step, query=query: client.all_ids(steps.request_id(step), **query))
    first = client.page(limit=1)["data"][0]["id"]
    steps.take("request-id", lambda: client.request_id_of(first, steps.request_id("request-id")))
    steps.send_batch("far-too-large", connect(steps.job["base_url"], steps.job["api_key"]), "far-too-large.jsonl")


if __name__ == "__main__":
    chosen = {"sync": SyncClient, "async": AsyncClient}[sys.argv[1]]
    run_scenario(chosen, lambda steps: go_on(steps, chosen))
