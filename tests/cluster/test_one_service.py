"""Two nodes over one PostgreSQL and one object store are one service, also for those that race on both of them."""

from __future__ import annotations

import asyncio
import hashlib
import os

from fileplane.access import Limits
from fileplane.model import Usage
from support.cluster import Node, send_file, sent_file
from support.expect import assert_deleted, assert_openai_error
from support.forms import FORM_TYPE, form, part

ROOM = 10
RACERS = 30


async def test_two_nodes_are_one_service_and_races_on_both_have_one_winner(nodes: list[Node]):
    """One start of two nodes for all of it, since that is most of what it costs."""
    await what_one_node_does_the_other_sees_at_once(nodes)
    await of_uploads_that_race_on_both_nodes_for_room_for_ten_exactly_ten_are_admitted(nodes, "storage_quota_exceeded", storage_bytes=ROOM)
    await of_uploads_that_race_on_both_nodes_for_room_for_ten_exactly_ten_are_admitted(nodes, "file_quota_exceeded", files=ROOM)
    await an_idempotency_key_that_races_on_both_nodes_makes_one_file(nodes)
    await an_upload_in_parts_goes_through_both_nodes_and_becomes_one_file(nodes)
    assert await nodes[0].services.metadata.counter_drifts() == []


async def an_upload_in_parts_goes_through_both_nodes_and_becomes_one_file(nodes: list[Node]) -> None:
    key = await nodes[0].new_key()
    clients = [node.client(key) for node in nodes]
    pieces = [os.urandom(50_000) for _ in range(8)]
    announced = {"filename": "a.bin", "purpose": "user_data", "bytes": 400_000, "mime_type": "text/plain"}
    upload_id = (await clients[0].post("/uploads", json=announced)).raise_for_status().json()["id"]
    sending = [
        clients[number % 2].post(
            f"/uploads/{upload_id}/parts", content=form(part(b'name="data"', data)), headers={"content-type": FORM_TYPE}
        )
        for number, data in enumerate(pieces)
    ]
    part_ids = [answer.raise_for_status().json()["id"] for answer in await asyncio.gather(*sending)]
    md5 = hashlib.md5(b"".join(pieces)).hexdigest()
    wanted = [{"part_ids": part_ids}, {"part_ids": part_ids, "md5": md5}] * 3
    racing = [clients[number % 2].post(f"/uploads/{upload_id}/complete", json=body) for number, body in enumerate(wanted)]
    cancelling = clients[1].post(f"/uploads/{upload_id}/cancel")
    *answers, cancelled = await asyncio.gather(*racing, cancelling)
    if cancelled.status_code == 200:
        assert {answer.status_code for answer in answers} == {400}
        assert await nodes[0].services.metadata.usage(key.project_id) == Usage(0, 0)
    else:
        assert_openai_error(cancelled, 400, "upload_not_pending", param="id")
        (file_id,) = {answer.raise_for_status().json()["file"]["id"] for answer in answers}
        for node, client in zip(nodes, clients, strict=True):
            await node.services.uploads._settler.run()
            assert (await client.get(f"/files/{file_id}/content")).content == b"".join(pieces)
        assert (await clients[0].get(f"/files/{file_id}")).json()["status"] == "processed"
        assert await nodes[0].services.metadata.usage(key.project_id) == Usage(1, 400_000)
    for client in clients:
        await client.aclose()


async def what_one_node_does_the_other_sees_at_once(nodes: list[Node]) -> None:
    key = await nodes[0].new_key()
    for here, there in (nodes, reversed(nodes)):
        async with here.client(key) as writer, there.client(key) as reader:
            before = (await reader.get("/files")).json()["total"]
            file_id = await sent_file(writer, b"some bytes", filename="seen.txt")
            shown = await reader.get(f"/files/{file_id}")
            assert shown.json() == (await writer.get(f"/files/{file_id}")).json()
            assert (await reader.get(f"/files/{file_id}/content")).content == b"some bytes"
            page = (await reader.get("/files")).json()
            assert (page["data"][0], page["total"]) == (shown.json(), before + 1)
            assert_deleted(await reader.delete(f"/files/{file_id}"), file_id)
            assert_openai_error(await writer.get(f"/files/{file_id}"), 404, None, param="id")
            assert_openai_error(await writer.get(f"/files/{file_id}/content"), 404, None, param="id")
            assert (await writer.post(f"/files/{file_id}/restore")).json() == shown.json()
            assert (await reader.get(f"/files/{file_id}/content")).content == b"some bytes"


async def of_uploads_that_race_on_both_nodes_for_room_for_ten_exactly_ten_are_admitted(nodes: list[Node], code: str, **limit: int) -> None:
    key = await nodes[0].new_key(project=Limits(**limit))
    clients = [node.client(key) for node in nodes]
    answers = await asyncio.gather(*[send_file(clients[number % 2], b"x") for number in range(RACERS)])
    made = [answer for answer in answers if answer.status_code == 200]
    assert len(made) == ROOM
    for answer in answers:
        if answer not in made:
            assert_openai_error(answer, 400, code, param="file")
    for node, client in zip(nodes, clients, strict=True):
        assert await node.services.metadata.usage(key.project_id) == Usage(ROOM, ROOM)
        assert (await client.get("/files")).json()["total"] == ROOM
        await client.aclose()


async def an_idempotency_key_that_races_on_both_nodes_makes_one_file(nodes: list[Node]) -> None:
    key = await nodes[0].new_key()
    clients = [node.client(key) for node in nodes]
    answers = await asyncio.gather(*[send_file(clients[number % 2], b"once", idempotency_key="one") for number in range(12)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    for client in clients:
        assert (await client.get("/files")).json()["total"] == 1
        await client.aclose()
    # What was sent again has left nothing in the bucket either.
    kept = [info async for info in nodes[0].services.blobs.walk() if info.size == len(b"once")]
    assert len(kept) == 1
