"""An upload whose answer is lost on the way and that its client sends again."""

from __future__ import annotations

import pytest
from openai import APIConnectionError, OpenAI

from support.expect import assert_list
from support.limits import MIB
from support.projects import new_tenant_key
from support.server import RunningServer
from support.tcp_proxy import Way, tcp_proxy

CONTENT = b"content of an upload" * 1_000


def client(port: int, key: str, retries: int) -> OpenAI:
    return OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=retries, timeout=10)


def test_an_upload_sent_again_with_its_key_after_a_lost_answer_is_one_file(server: RunningServer):
    key = new_tenant_key(server.data_dir).plain
    headers = {"Idempotency-Key": "nightly-dataset-1"}
    # The answer's head alone is longer: the request arrives whole, and nothing that a client could use comes back.
    with tcp_proxy(server.port, to_client=Way(cut_after=10, cut="reset")) as proxy, client(proxy.port, key, retries=2) as broken:
        with pytest.raises(APIConnectionError):
            broken.files.create(file=("data.bin", CONTENT), purpose="user_data", extra_headers=headers)
        assert proxy.cut.is_set()
    with client(server.port, key, retries=0) as sound:
        raw = sound.files.with_raw_response.create(file=("data.bin", CONTENT), purpose="user_data", extra_headers=headers)
        assert raw.headers["idempotent-replayed"] == "true"
        assert sound.files.content(raw.parse().id).content == CONTENT
    with server.client(key) as plain:
        assert_list(plain.get("/files"), [raw.parse().id], total=1)


def test_an_upload_that_was_cut_off_on_its_way_leaves_its_key_free(server: RunningServer):
    key = new_tenant_key(server.data_dir).plain
    headers = {"Idempotency-Key": "nightly-dataset-2"}
    with tcp_proxy(server.port, to_server=Way(cut_after=MIB, cut="reset")) as proxy, client(proxy.port, key, retries=1) as broken:
        with pytest.raises(APIConnectionError):
            broken.files.create(file=("data.bin", bytes(4 * MIB)), purpose="user_data", extra_headers=headers)
        assert proxy.cut.is_set()
    with client(server.port, key, retries=0) as sound:
        raw = sound.files.with_raw_response.create(file=("data.bin", bytes(4 * MIB)), purpose="user_data", extra_headers=headers)
    assert "idempotent-replayed" not in raw.headers
    with server.client(key) as plain:
        assert_list(plain.get("/files"), [raw.parse().id], total=1)
