"""The calls against a dictionary, as a machine that hypothesis drives: two projects do this and that, and the answers are the model's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from support.expect import assert_deleted, assert_file, assert_hold, assert_openai_error
from support.file_model import ModelFile, ModelProject, Query
from support.forms import send, upload

PROJECTS = st.integers(0, 1)
PURPOSES = ["user_data", "evals", "batch"]
HOUR = 3_600
DRAWN = st.integers(0, 10_000)


class FilesMachine(RuleBasedStateMachine):
    """``clients`` makes two callers, each of a new and empty project; ``now`` tells the server's time."""

    def __init__(self, clients: Callable[[], list[httpx2.Client]], now: Callable[[], int]) -> None:
        super().__init__()
        self.clients = clients()
        self.models = [ModelProject(now), ModelProject(now)]

    def teardown(self) -> None:
        for client in self.clients:
            client.close()

    def any_id(self, project: int, drawn: int) -> str | None:
        """Of all files that the project ever had, deleted and expired ones included."""
        ids = list(self.models[project].files)
        return ids[drawn % len(ids)] if ids else None

    @initialize(project=PROJECTS)
    def begin_with_a_file(self, project: int) -> None:
        self.upload(project, b"first", "user_data", None)

    @rule(
        project=PROJECTS,
        content=st.binary(max_size=40),
        purpose=st.sampled_from(PURPOSES),
        expiry=st.sampled_from([None, None, HOUR, 2 * HOUR]),
    )
    def upload(self, project: int, content: bytes, purpose: str, expiry: int | None) -> None:
        shown = assert_file(
            upload(self.clients[project], content, purpose=purpose, expires_after=expiry),
            bytes=len(content),
            purpose=purpose,
            filename="data.bin",
            status="processed",
        )
        lifetime = expiry or (30 * 24 * HOUR if purpose == "batch" else None)
        assert shown["expires_at"] == (None if lifetime is None else shown["created_at"] + lifetime)
        for model in self.models:
            assert shown["id"] not in model.files
        self.models[project].files[shown["id"]] = ModelFile(shown, content)

    @rule(project=PROJECTS, purpose=st.sampled_from(["nonsense", ""]))
    def fail_to_upload(self, project: int, purpose: str) -> None:
        assert_openai_error(upload(self.clients[project], b"refused", purpose=purpose), 400, "invalid_value", param="purpose")
        assert_openai_error(send(self.clients[project], b"--form-boundary\r\n"), 400, "invalid_multipart")

    @rule(project=PROJECTS, drawn=DRAWN)
    def delete(self, project: int, drawn: int) -> None:
        file_id = self.any_id(project, drawn)
        if file_id is None:
            return
        file = self.models[project].files[file_id]
        response = self.clients[project].delete(f"/files/{file_id}")
        if not file.is_live(self.models[project].now()):
            assert_openai_error(response, 404, None, param="id")
        elif file.holds:
            assert_openai_error(response, 409, "file_in_use", param="id", definitive=True)
        else:
            assert_deleted(response, file_id)
            file.deleted_at = self.deletion_time(project, file_id)

    def deletion_time(self, project: int, file_id: str) -> int:
        """As the server has it, whose clock may have gone on since."""
        page = self.clients[project].get("/files", params={"deleted": "true"}).json()["data"]
        (shown,) = [entry for entry in page if entry["id"] == file_id] or [{"deleted_at": self.models[project].now()}]
        assert abs(shown["deleted_at"] - self.models[project].now()) <= 5
        return shown["deleted_at"]

    @rule(project=PROJECTS, drawn=DRAWN)
    def restore(self, project: int, drawn: int) -> None:
        file_id = self.any_id(project, drawn)
        if file_id is None:
            return
        file = self.models[project].files[file_id]
        response = self.clients[project].post(f"/files/{file_id}/restore")
        if file.is_restorable(self.models[project].now()):
            assert assert_file(response) == file.shown
            file.deleted_at = None
        else:
            assert_openai_error(response, 404, None, param="id")

    @rule(project=PROJECTS, drawn=DRAWN)
    def purge(self, project: int, drawn: int) -> None:
        file_id = self.any_id(project, drawn)
        if file_id is None:
            return
        file, now = self.models[project].files[file_id], self.models[project].now()
        response = self.clients[project].delete(f"/files/{file_id}", params={"purge": "true"})
        if file.is_live(now) and file.holds:
            assert_openai_error(response, 409, "file_in_use", param="id", definitive=True)
        elif file.is_live(now) or file.is_restorable(now):
            assert_deleted(response, file_id)
            file.deleted_at, file.purged = now, True
        else:
            assert_openai_error(response, 404, None, param="id")

    @rule(project=PROJECTS, drawn=DRAWN)
    def hold(self, project: int, drawn: int) -> None:
        file_id = self.any_id(project, drawn)
        if file_id is None:
            return
        file = self.models[project].files[file_id]
        response = self.clients[project].post(f"/files/{file_id}/holds", json={"reason": "in use"})
        if file.is_live(self.models[project].now()):
            file.holds.append(assert_hold(response, file_id, reason="in use", expires_at=None)["id"])
        else:
            assert_openai_error(response, 404, None, param="id")

    @rule(project=PROJECTS, drawn=DRAWN)
    def release(self, project: int, drawn: int) -> None:
        held = [file for file in self.models[project].live() if file.holds]
        if not held:
            return
        file = held[drawn % len(held)]
        hold_id = file.holds.pop()
        response = self.clients[project].delete(f"/files/{file.id}/holds/{hold_id}")
        assert response.json() == {"id": hold_id, "object": "file.hold", "deleted": True}

    @rule(project=PROJECTS, drawn=DRAWN)
    def try_to_reach_a_file_of_the_other(self, project: int, drawn: int) -> None:
        file_id = self.any_id(1 - project, drawn)
        if file_id is None:
            return
        client = self.clients[project]
        for response in (client.get(f"/files/{file_id}"), client.delete(f"/files/{file_id}"), client.get(f"/files/{file_id}/content")):
            assert_openai_error(response, 404, None, param="id")
        assert_openai_error(client.get("/files", params={"after": file_id}), 400, "invalid_value", param="after")

    @rule(project=PROJECTS, drawn=DRAWN, start=st.integers(0, 45), length=st.integers(1, 45))
    def read_a_range(self, project: int, drawn: int, start: int, length: int) -> None:
        live = self.models[project].live()
        if not live:
            return
        file = live[drawn % len(live)]
        response = self.clients[project].get(f"/files/{file.id}/content", headers={"range": f"bytes={start}-{start + length - 1}"})
        if start < len(file.content):
            assert (response.status_code, response.content) == (206, file.content[start : start + length])
        else:
            assert_openai_error(response, 416, "invalid_range", param="range")

    @rule(
        project=PROJECTS,
        order=st.sampled_from(["asc", "desc"]),
        purpose=st.sampled_from([None, *PURPOSES, "fine-tune"]),
        limit=st.integers(1, 6),
        cursor=st.one_of(st.none(), DRAWN),
        offset=st.one_of(st.none(), st.integers(0, 8)),
    )
    def list_one_page(self, project: int, order: str, purpose: str | None, limit: int, cursor: int | None, offset: int | None) -> None:
        after = None if cursor is None else self.any_id(project, cursor)
        self.assert_page(project, Query(order, purpose, limit, after, None if after is not None else offset))

    @rule(project=PROJECTS, order=st.sampled_from(["asc", "desc"]), limit=st.integers(1, 4), by_offset=st.booleans())
    def walk_all_pages(self, project: int, order: str, limit: int, by_offset: bool) -> None:
        seen: list[str] = []
        more = True
        while more:
            position = {"offset": len(seen)} if by_offset else {"after": seen[-1] if seen else None}
            page = self.assert_page(project, Query(order, limit=limit, **position))
            seen += [str(file["id"]) for file in page["data"]]
            more = bool(page["has_more"]) and bool(page["data"])
        assert seen == [file.id for file in self.models[project].live(Query(order))]

    def assert_page(self, project: int, query: Query) -> dict[str, object]:
        response = self.clients[project].get("/files", params=query.parameters)
        assert response.status_code == 200, response.text
        assert response.json() == self.models[project].page(query)
        return response.json()

    @invariant()
    def the_lists_are_the_models_in_both_orders(self) -> None:
        for project in (0, 1):
            for order in ("asc", "desc"):
                self.assert_page(project, Query(order))
                self.assert_page(project, Query(order, deleted="true"))

    @invariant()
    def the_usage_is_the_models(self) -> None:
        for client, model in zip(self.clients, self.models, strict=True):
            (usage,) = client.get("/usage").json()["data"]
            limits = usage["key"]["limits"]
            assert {name: limits[name]["used"] for name in ("files", "storage_bytes")} == model.usage()
            assert usage["live_files"] == usage["limits"]["files"]["used"] == model.usage()["files"]
            assert usage["stored_bytes"] - usage["deleted_bytes"] == model.usage()["storage_bytes"]

    @invariant()
    def each_file_is_what_was_uploaded_or_is_gone(self) -> None:
        for client, model in zip(self.clients, self.models, strict=True):
            for file in model.files.values():
                found = client.get(f"/files/{file.id}")
                if not file.is_live(model.now()):
                    assert_openai_error(found, 404, None, param="id")
                    continue
                assert found.json() == file.shown
                content = client.get(f"/files/{file.id}/content")
                assert content.content == file.content
                assert content.headers["etag"] == f'"{hashlib.sha256(file.content).hexdigest()}"'


class TimedFilesMachine(FilesMachine):
    """The same with a clock that moves, which makes files expire, tie and be created in the past."""

    def __init__(self, app: Any) -> None:
        """``app`` is a :class:`~support.timed_app.TimedApp`, or several nodes that look like one."""
        super().__init__(lambda: [app.client(app.new_key().plain) for _ in range(2)], lambda: app.clock.now)
        self.app = app

    @precondition(lambda self: any(model.files for model in self.models))
    @rule(seconds=st.sampled_from([0.001, 1, 60, HOUR - 1, HOUR, 2 * HOUR, 31 * 24 * HOUR]))
    def let_time_pass(self, seconds: float) -> None:
        self.app.clock.advance(seconds)

    @rule()
    def collect(self) -> None:
        assert self.app.collect() is not None
        for model in self.models:
            for file in model.files.values():
                if not file.is_live(model.now()) and not file.is_restorable(model.now()):
                    file.deleted_at, file.purged = file.deleted_at or model.now(), True

    @invariant()
    def every_counter_is_what_the_files_add_up_to(self) -> None:
        assert self.app.run(self.app.metadata.counter_drifts()) == []

    @rule(seconds=st.sampled_from([0.5, 1, 90]))
    def set_the_clock_back(self, seconds: float) -> None:
        self.app.clock.advance(-seconds)


def run(machine: Callable[[], FilesMachine], examples: int, steps: int) -> None:
    """So many examples of so many steps each."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=checks))
