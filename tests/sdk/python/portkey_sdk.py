"""Portkey's Python SDK, synchronous or asynchronous, as the first argument says; and OpenAI's with the headers Portkey makes for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from openai import OpenAI
from portkey_ai import AsyncPortkey, Portkey, createHeaders
from scenario import PIECE, POLLING, Steps, Waited, run_scenario, sent_along


class SyncClient:
    """``portkey_ai.Portkey`` with nothing but an API key: the ``Authorization`` it then sends is a placeholder of its own."""

    def __init__(self, base_url: str, key: str, provider: str | None = None) -> None:
        self.files = self.connect(base_url=base_url, api_key=key, provider=provider)

    def connect(self, **options: Any) -> Any:
        return Portkey(**options).files

    def create(self, file: Any, purpose: str, request_id: str | None = None, **options: Any) -> dict[str, Any]:
        return self.files.create(file, purpose, extra_headers=sent_along(request_id), **options).model_dump()

    def page(self, request_id: str | None = None, **query: Any) -> dict[str, Any]:
        return self.files.list(extra_headers=sent_along(request_id), **query).model_dump()

    def retrieve(self, file_id: str) -> dict[str, Any]:
        return self.files.retrieve(file_id).model_dump()

    def delete(self, file_id: str) -> dict[str, Any]:
        return self.files.delete(file_id).model_dump()

    def text(self, file_id: str) -> str:
        return self.files.content(file_id).text

    def pieces(self, file_id: str) -> Iterable[bytes]:
        return self.files.content(file_id).iter_bytes(PIECE)

    def wait_for_processing(self, file_id: str) -> dict[str, Any]:
        return self.files.wait_for_processing(file_id, **POLLING).model_dump()


class AsyncClient(SyncClient):
    """``portkey_ai.AsyncPortkey``."""

    def connect(self, **options: Any) -> Any:
        return Waited(AsyncPortkey(**options).files)


def page_by_hand(steps: Steps, connect: type[SyncClient]) -> None:
    """Portkey's SDK shows one page at a time."""
    client = connect(steps.job["base_url"], steps.job["pages_key"])
    first = steps.take("first page", lambda: client.page(limit=20, order="asc"))
    steps.take("second page", lambda: client.page(limit=20, order="asc", after=first["data"][-1]["id"]))


def lend_headers(steps: Steps) -> None:
    """OpenAI's client with Portkey's headers, and in ``Authorization`` a key that stands for nothing."""
    headers = createHeaders(api_key=steps.job["pages_key"])
    client = OpenAI(base_url=steps.job["base_url"], api_key="dummy", default_headers=headers)
    steps.take("portkey headers on openai", lambda: [file.id for file in client.files.list(limit=10, order="asc")])


def go_on(steps: Steps, connect: type[SyncClient]) -> None:
    page_by_hand(steps, connect)
    lend_headers(steps)


if __name__ == "__main__":
    chosen = {"sync": SyncClient, "async": AsyncClient}[sys.argv[1]]
    run_scenario(chosen, lambda steps: go_on(steps, chosen))
