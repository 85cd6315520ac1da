"""`fileplane catalog`: files at a provider, seen, given away and found out about, beside a server or without one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.command_line import CommandLine
from fileplane.catalog import CatalogFile, Claim, FileState, JobKind, JobReport, NewJob, NewUpload
from fileplane.control.authority import OPERATOR
from fileplane.control.opening import credentials_over
from fileplane.control.projects import ProjectChanges, Projects
from fileplane.control.wishes import virtual_key_wishes
from fileplane.model import Origin
from support.fake_process import FakeProcess, fake_process
from support.in_process import InProcess

OVER = Claim("somebody who died", 0)
AT_WORK = Claim("somebody at work", 600)
CREDENTIAL = "sk-catalog-canary-5d4c3b2a"


@pytest.fixture(scope="module")
def running() -> Iterator[FakeProcess]:
    with fake_process() as fake:
        yield fake


@pytest.fixture
async def fake(running: FakeProcess, shell: CommandLine, store: InProcess, credential: str) -> FakeProcess:
    """With a virtual key `shared` for a credential of this test's own, which two projects may use."""
    running.control("POST", "reset", {})
    shell.environment["FILEPLANE_EGRESS_ALLOW"] = "127.0.0.1"
    await make_key(store, running, credential)
    return running


async def make_key(store: InProcess, fake: FakeProcess, credential: str, provider: str = "openai") -> None:
    await new_project(store, "team")
    given = {"slug": "shared", "name": "Shared", "provider": provider, "key": credential, "custom_host": fake.base_url}
    await create_key(store, given | {"project_ids": ["default", "team"]})


async def create_key(store: InProcess, given: dict[str, Any]) -> None:
    use_cases = credentials_over(store.metadata, store.vault, store.settings).virtual_keys
    await use_cases.create(OPERATOR, virtual_key_wishes(given), Origin())


async def new_project(store: InProcess, slug: str) -> None:
    await Projects(store.metadata).create(OPERATOR, slug, slug, ProjectChanges(), Origin())


@pytest.fixture
def credential(request: pytest.FixtureRequest) -> str:
    return f"{CREDENTIAL}-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


async def key_id(store: InProcess, slug: str = "shared") -> str:
    return (await store.metadata.get_virtual_key(slug)).id


async def reserved(store: InProcess, name: str, claim: Claim = OVER, **values: Any) -> CatalogFile:
    new = NewUpload(await key_id(store), "batch", name, "application/jsonl", "key", **values)
    return (await store.metadata.reserve_upload(await project_id(store, "default"), new, claim, Origin())).file


async def project_id(store: InProcess, slug: str) -> str:
    return next(project.id for project in await store.metadata.list_projects() if slug in {project.id, project.slug})


async def unknown(store: InProcess, name: str, content: bytes | None) -> CatalogFile:
    """An upload of which nobody knows the outcome; with the ``content``, its bytes were known before they were sent."""
    known = {} if content is None else {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    row = await reserved(store, name, **known)
    await store.metadata.mark_upload_unknown(row.project_id, row.id, Origin())
    return row


def listed(shell: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(shell.succeed("catalog", "ls", "--json", *arguments))


def adopted(shell: CommandLine, *arguments: str, project: str = "team") -> dict[str, tuple[str, str | None]]:
    """Of each file, what became of it and who had it."""
    done = shell.run("catalog", "adopt", "--project", project, "--virtual-key", "shared", "--json", *arguments)
    assert done.stdout, done.stderr
    return {file["id"]: (file["verdict"], file["owner"]) for file in json.loads(done.stdout)["files"]}


async def test_files_are_given_to_a_project_only_with_yes_and_then_as_the_provider_describes_them(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    ids = {fake.upload(credential, f"{number}.jsonl", b"{}\n" * number) for number in range(1, 4)}
    arguments = ("catalog", "adopt", "--project", "team", "--virtual-key", "shared", "--all")
    planned = shell.succeed(*arguments)
    assert planned.endswith("3 files: nothing was changed; --yes gives 3 to team\n")
    assert {line.split("\t")[1] for line in planned.splitlines()[:-1]} == ids
    assert listed(shell) == []
    assert shell.succeed(*arguments, "--yes").endswith("3 files: 3 given to team\n")
    rows = listed(shell)
    assert {(row["provider_file_id"], row["project"], row["virtual_key"], row["state"]) for row in rows} == {
        (file_id, "team", "shared", "bound") for file_id in ids
    }
    assert {(row["filename"], row["bytes"], row["purpose"]) for row in rows} == {
        (f"{number}.jsonl", 3 * number, "batch") for number in range(1, 4)
    }
    assert shell.succeed(*arguments, "--yes") == "0 files: 0 given to team\n"
    usage = await store.metadata.catalog_usage(await project_id(store, "team"))
    assert (usage.live_files, usage.stored_bytes) == (3, 18)


def test_a_file_of_another_project_is_taken_from_it_only_with_move(shell: CommandLine, fake: FakeProcess, credential: str) -> None:
    file_id = fake.upload(credential, "a.jsonl")
    assert adopted(shell, file_id, "--yes", project="default") == {file_id: ("adopt", None)}
    assert adopted(shell, file_id, "--yes", project="default") == {file_id: ("present", "default")}
    assert adopted(shell, file_id, "--yes") == {file_id: ("taken", "default")}
    assert adopted(shell, file_id, "--move") == {file_id: ("move", "default")}
    assert [row["project"] for row in listed(shell)] == ["default"]
    assert adopted(shell, file_id, "--move", "--yes") == {file_id: ("move", "default")}
    assert [row["project"] for row in listed(shell)] == ["team"]


async def test_what_cannot_be_given_is_told_and_decides_the_exit_code(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    arguments = ("catalog", "adopt", "--project", "team", "--virtual-key", "shared")
    there = fake.upload(credential, "a.jsonl")
    done = shell.run(*arguments, there, "file-nowhere", "--yes")
    assert (done.returncode, done.stderr) == (5, "")
    assert "absent\tfile-nowhere\t-\t-\t-\tis not at the provider" in done.stdout
    assert [row["provider_file_id"] for row in listed(shell)] == [there]
    held = fake.upload(credential, "held.jsonl")
    assert adopted(shell, held, "--yes", project="default") == {held: ("adopt", None)}
    project = await project_id(store, "default")
    await store.metadata.begin_job(project, NewJob(await key_id(store), JobKind.BATCH, (held,), "key"), AT_WORK, Origin())
    done = shell.run(*arguments, held, "--move", "--yes")
    assert (done.returncode, "a job there uses it" in done.stdout) == (3, True)


async def test_what_makes_no_sense_is_refused_before_anything_is_asked(shell: CommandLine, fake: FakeProcess, store: InProcess) -> None:
    await new_project(store, "strangers")
    common = {"name": "All", "slug": "seen-by-all", "provider": "openai", "key": "sk-1", "sharing": "account", "project_ids": ["team"]}
    await create_key(store, common)
    for arguments, code, said in (
        (("team", "--virtual-key", "shared"), 2, "Name files"),
        (("team", "--virtual-key", "shared", "--all", "--move"), 2, "name them"),
        (("nobody", "--virtual-key", "shared", "--all"), 5, "no project 'nobody'"),
        (("team", "--virtual-key", "nobody", "--all"), 5, "no virtual key 'nobody'"),
        (("strangers", "--virtual-key", "shared", "--all"), 3, "may not use"),
        (("team", "--virtual-key", "seen-by-all", "--all"), 3, "sees all its files"),
    ):
        assert said in shell.fail(code, "catalog", "adopt", "--project", *arguments)
    assert fake.control("GET", "requests") == []


async def test_an_upload_under_way_is_not_given_to_another_project(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    file_id = fake.upload(credential, "busy.jsonl", b"{}\n")
    await reserved(store, "busy.jsonl", AT_WORK)
    for arguments in (("--all", "--yes"), (file_id, "--yes")):
        assert adopted(shell, *arguments) == {file_id: ("unresolved", "default")}
    assert adopted(shell, file_id, "--move", "--yes") == {file_id: ("adopt", None)}


async def test_the_results_of_a_job_go_to_the_project_that_has_the_job(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    source = fake.upload(
        credential, "in.jsonl", json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/x", "body": {}}).encode() + b"\n"
    )
    assert adopted(shell, source, "--yes", project="default") == {source: ("adopt", None)}
    project, key = await project_id(store, "default"), await key_id(store)
    intent = await store.metadata.begin_job(project, NewJob(key, JobKind.BATCH, (source,), "key"), AT_WORK, Origin())
    batch = fake.create_batch(credential, source)
    await store.metadata.bind_job(project, intent.id, batch, JobReport("in_progress"), Origin())
    outputs = fake.finish_batch(credential, batch)
    assert adopted(shell, "--all", "--yes") == {}
    assert {row["project"] for row in listed(shell) if row["provider_file_id"] in outputs} == {"default"}


async def test_what_is_unresolved_comes_first_with_why_and_when(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    ids = [fake.upload(credential, f"{number}.jsonl") for number in range(3)]
    adopted(shell, *ids, "--yes")
    lost, busy = await unknown(store, "lost.jsonl", None), await reserved(store, "busy.jsonl", AT_WORK)
    rows = [line.split("\t") for line in shell.succeed("catalog", "ls").splitlines()]
    assert [row[:2] for row in rows[:2]] == [["unknown", lost.id], ["reserved", busy.id]]
    assert rows[0][-1] == "sent, and no answer came; due now"
    assert rows[1][-1].startswith("being uploaded, or left behind; due 2")
    assert {row[1] for row in rows[2:]} == set(ids)
    assert [row["id"] for row in listed(shell, "--state", "unknown")] == [lost.id]
    assert len(listed(shell, "--project", "default", "--virtual-key", "shared", "--state", "unresolved")) == 2
    assert {(row["state"], row["project"]) for row in listed(shell, "--project", "team")} == {("bound", "team")}


@pytest.mark.full
def test_a_long_list_comes_in_pages(shell: CommandLine, fake: FakeProcess, credential: str) -> None:
    ids = {fake.upload(credential, f"{number}.jsonl") for number in range(5)}
    adopted(shell, "--all", "--yes")
    done = shell.run("catalog", "ls", "--limit", "2")
    found = [line.split("\t")[1] for line in done.stdout.splitlines()]
    assert done.stderr == f"There are more: --project team --after {found[-1]} shows the next of that project, --all shows every page.\n"
    found += [row["provider_file_id"] for row in listed(shell, "--project", "team", "--after", found[-1])]
    assert (len(found), set(found)) == (5, ids)
    assert len(shell.succeed("catalog", "ls", "--limit", "1", "--all").splitlines()) == 5
    assert "in no list" in shell.run("catalog", "ls", "--project", "team", "--after", "file-nowhere").stderr
    assert "--project" in shell.fail(2, "catalog", "ls", "--after", found[0])
    assert "No file is ever active" in shell.fail(2, "catalog", "ls", "--state", "active")


@pytest.mark.full
async def test_jobs_are_listed_too(shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess) -> None:
    source = fake.upload(credential, "in.jsonl")
    adopted(shell, source, "--yes")
    project, new = await project_id(store, "team"), NewJob(await key_id(store), JobKind.BATCH, (source,), "key")
    made = await store.metadata.begin_job(project, new, OVER, Origin())
    await store.metadata.bind_job(project, made.id, "batch_1", JobReport("in_progress"), Origin())
    waiting = await store.metadata.begin_job(project, new, OVER, Origin())
    rows = listed(shell, "--jobs")
    assert [(row["id"], row["state"], row["kind"], row["status"]) for row in rows] == [
        (waiting.id, "reserved", "batch", None),
        (made.id, "active", "batch", "in_progress"),
    ]
    assert shell.succeed("catalog", "ls", "--jobs", "--state", "active").split("\t")[:3] == ["active", "batch_1", "team"]


async def test_reconciling_tells_what_each_upload_and_deletion_became(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    file_id, gone = fake.upload(credential, "found.jsonl", b"{}\n"), fake.upload(credential, "gone.jsonl")
    adopted(shell, gone, "--yes", project="default")
    found = await unknown(store, "found.jsonl", b"{}\n")
    deleting = await store.metadata.begin_catalog_delete(found.project_id, await key_id(store), gone, OVER, Origin())
    told = shell.succeed("catalog", "reconcile").splitlines()
    assert set(told[:-1]) == {
        f"{found.id} of project default is at the provider as {file_id}",
        f"{deleting.id} of project default is deleted",
    }
    assert told[-1] == "nothing is left to find out"
    assert [row["provider_file_id"] for row in listed(shell)] == [file_id]
    assert fake.files(credential) == {file_id}
    assert json.loads(shell.succeed("catalog", "reconcile", "--json")) == {"resolved": [], "left": []}


async def test_what_cannot_be_decided_is_left_with_advice_that_works(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    file_id = fake.upload(credential, "unsure.jsonl")
    unsure, never = await unknown(store, "unsure.jsonl", None), await unknown(store, "never.jsonl", None)
    done = shell.run("catalog", "reconcile")
    assert done.returncode == 1
    assert f"fileplane: {unsure.id} may be one of 1 files at openai; an operator can adopt it\n" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("2 left. If you know which file at the provider it is, give it to its project")
    assert adopted(shell, file_id, "--yes", project="default") == {file_id: ("adopt", None)}
    left = shell.run("catalog", "reconcile", "--give-up", unsure.id, "--give-up", never.id)
    assert (left.returncode, left.stderr) == (0, "")
    assert f"{never.id} of project default never came to be" in left.stdout
    assert [row["provider_file_id"] for row in listed(shell)] == [file_id]
    assert "No unresolved upload has the id" in shell.fail(5, "catalog", "reconcile", "--give-up", never.id)


@pytest.mark.full
async def test_a_provider_that_cannot_be_asked_leaves_everything_as_it_was(
    shell: CommandLine, store: InProcess, running: FakeProcess
) -> None:
    await make_key(store, running, "sk-of-nobody")
    row = await unknown(store, "lost.jsonl", None)
    done = shell.where(FILEPLANE_EGRESS_ALLOW="").run("catalog", "reconcile")
    assert (done.returncode, "cannot be found out now" in done.stderr) == (1, True)
    [left] = await store.metadata.unresolved_files(None, 10)
    assert (left.id, left.state) == (row.id, FileState.UNKNOWN)


@pytest.mark.full
async def test_waiting_lasts_until_what_somebody_was_at_is_due(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    file_id = fake.upload(credential, "late.jsonl", b"{}\n")
    known = {"bytes": 3, "sha256": hashlib.sha256(b"{}\n").hexdigest()}
    row = await reserved(store, "late.jsonl", Claim("somebody who dies", 4), **known)
    told = shell.succeed("catalog", "reconcile", "--wait", "50")
    assert told == f"{row.id} of project default is at the provider as {file_id}\nnothing is left to find out\n"


@pytest.mark.full
async def test_a_purpose_that_the_provider_does_not_keep_has_to_be_named(shell: CommandLine, credential: str, store: InProcess) -> None:
    shell.environment["FILEPLANE_EGRESS_ALLOW"] = "127.0.0.1"
    with fake_process("x-ai") as fake:
        await make_key(store, fake, credential, "x-ai")
        file_id = fake.upload(credential, "a.txt")
        assert adopted(shell, file_id, "--yes") == {file_id: ("no-purpose", None)}
        assert adopted(shell, file_id, "--purpose", "user_data", "--yes") == {file_id: ("adopt", None)}
        assert [row["purpose"] for row in listed(shell)] == ["user_data"]


async def taken_off(store: InProcess, project: str) -> None:
    use_cases = credentials_over(store.metadata, store.vault, store.settings).virtual_keys
    left = [one for one in ("default", "team") if one != project]
    await use_cases.update(OPERATOR, "shared", virtual_key_wishes({"project_ids": left}), Origin())


def removed(shell: CommandLine, *arguments: str) -> tuple[int, dict[str, str]]:
    """The exit code, and of each file what became of it."""
    done = shell.run("catalog", "rm", "--project", "default", "--virtual-key", "shared", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, {file["id"]: file["verdict"] for file in json.loads(done.stdout)["files"]}


async def test_an_operator_deletes_the_files_of_a_project_that_may_use_the_virtual_key_no_longer(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    mine = {fake.upload(credential, f"{number}.jsonl") for number in range(3)}
    adopted(shell, "--all", "--yes", project="default")
    held, other = fake.upload(credential, "held.jsonl"), fake.upload(credential, "other.jsonl")
    adopted(shell, held, "--yes", project="default")
    adopted(shell, other, "--yes", project="team")
    project = await project_id(store, "default")
    await store.metadata.begin_job(project, NewJob(await key_id(store), JobKind.BATCH, (held,), "key"), AT_WORK, Origin())
    await taken_off(store, "default")
    assert {row["provider_file_id"] for row in listed(shell, "--project", "default")} == mine | {held}
    arguments = ("catalog", "rm", "--project", "default", "--virtual-key", "shared", "--all")
    assert shell.succeed(*arguments).endswith("4 files: nothing was changed; with --yes, 4 are deleted\n")
    assert fake.files(credential) == {*mine, held, other}
    assert removed(shell, "--all", "--yes") == (3, {**dict.fromkeys(mine, "delete"), held: "held"})
    assert fake.files(credential) == {held, other}
    assert removed(shell, other, "file-nowhere", "--yes") == (5, {other: "absent", "file-nowhere": "absent"})
    assert removed(shell, held, "--forget", "--yes") == (0, {held: "forget"})
    assert fake.files(credential) == {held, other}
    usage = await store.metadata.catalog_usage(project)
    assert (usage.live_files, usage.stored_bytes) == (0, 0)
    assert "Name files" in shell.fail(2, *arguments, other)


def test_a_file_that_the_provider_refuses_to_delete_is_told_and_stays(shell: CommandLine, fake: FakeProcess, credential: str) -> None:
    file_id = fake.upload(credential, "a.jsonl")
    adopted(shell, file_id, "--yes", project="default")
    fake.plan("refuse", "delete", status=403, body={"error": {"message": "This key may not delete."}})
    done = shell.run("catalog", "rm", "--project", "default", "--virtual-key", "shared", file_id, "--yes")
    assert (done.returncode, "This key may not delete." in done.stdout) == (1, True)
    assert [row["state"] for row in listed(shell)] == ["bound"]


async def test_what_a_project_had_begun_at_a_virtual_key_is_ended_after_it_was_taken_off(
    shell: CommandLine, fake: FakeProcess, credential: str, store: InProcess
) -> None:
    gone, sent = fake.upload(credential, "gone.jsonl"), fake.upload(credential, "sent.jsonl", b"{}\n")
    adopted(shell, gone, "--yes", project="default")
    found = await unknown(store, "sent.jsonl", b"{}\n")
    await store.metadata.begin_catalog_delete(found.project_id, await key_id(store), gone, OVER, Origin())
    await taken_off(store, "default")
    assert shell.succeed("catalog", "reconcile").endswith("nothing is left to find out\n")
    assert fake.files(credential) == {sent}
    assert [(row["provider_file_id"], row["project"]) for row in listed(shell)] == [(sent, "default")]


def test_the_credential_is_in_no_output(shell: CommandLine, fake: FakeProcess, credential: str) -> None:
    fake.plan("refuse", "list", status=401, body={"error": {"message": f"Incorrect API key provided: {credential}."}})
    arguments = ("catalog", "adopt", "--project", "team", "--virtual-key", "shared", "--all")
    outputs = [shell.run(*arguments), shell.run(*arguments, "--json"), shell.run("catalog", "ls"), shell.run("catalog", "reconcile")]
    assert [done.returncode for done in outputs] == [1, 0, 0, 0]
    assert credential not in "".join(done.stdout + done.stderr for done in outputs)
