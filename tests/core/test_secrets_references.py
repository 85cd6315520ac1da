"""Secrets that are kept elsewhere."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fileplane.secrets.envelope import LONGEST_VALUE_BYTES
from fileplane.secrets.references import (
    Reference,
    ReferenceInvalid,
    ReferenceNotAllowed,
    References,
    ReferenceUnreadable,
    parse_reference,
)
from fileplane.secrets.values import Secret
from fileplane.setting_sources import load_settings
from fileplane.settings import SettingsError

CANARY = "sk-canary-reference-9f8e7d"


def reference(text: str) -> Reference:
    parsed = parse_reference(text)
    assert parsed is not None
    assert str(parsed) == text
    return parsed


@pytest.mark.parametrize("text", ["sk-123", "", "ENV:NAME", "environment:x", " env:NAME", "files:/x", "https://x"])
def test_what_does_not_begin_like_a_reference_is_a_secret_itself(text: str) -> None:
    assert parse_reference(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *[
            "env:",
            "env:1A",
            "env:A B",
            "env:A=B",
            "env:A\n",
            "env:" + "A" * 300,
            "env:É",
            "file:",
            "file:relative",
            "file:/",
            "file://host/x",
        ],
        *["file:/a/../b", "file:/a/./b", "file:/a//b", "file:/a/", "file:/a\x00b", "file:/a\nb", "file:/" + "x" * 5000],
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_what_begins_like_a_reference_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid, match="a reference such as"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("pattern", "text", "allowed"),
    [
        ("env:OPENAI_*", "env:OPENAI_KEY", True),
        ("env:OPENAI_*", "env:MY_OPENAI_KEY", False),
        ("env:OPENAI_*", "env:openai_key", False),
        ("env:A", "env:AB", False),
        ("file:/run/secrets/*", "file:/run/secrets/key", True),
        ("file:/run/secrets/*", "file:/run/secrets/a/b", False),
        ("file:/run/secrets/*", "file:/run/secretsx/key", False),
        ("file:/run/*/key", "file:/run/a/key", True),
        ("file:/run/a.b", "file:/run/axb", False),
        ("env:*", "file:/etc/passwd", False),
        ("env:*", "env:FILEPLANE_MASTER_KEY", False),
        ("env:*", "env:Fileplane_API_KEY", False),
    ],
)
def test_only_what_a_pattern_admits_is_allowed(tmp_path: Path, pattern: str, text: str, allowed: bool) -> None:
    references = References([pattern], tmp_path)
    if allowed:
        references.require_allowed(reference(text))
    else:
        with pytest.raises(ReferenceNotAllowed, match="secret_refs_allow"):
            references.require_allowed(reference(text))


async def test_nothing_is_allowed_by_default_and_a_reference_is_judged_again_at_each_use(tmp_path: Path) -> None:
    allow = load_settings(environment={}).settings.secret_refs_allow
    with pytest.raises(ReferenceNotAllowed):
        await References(allow, tmp_path, {"KEY": CANARY}).read(reference("env:KEY"))


@pytest.mark.parametrize("pattern", ["KEY", "env:", "env:a b", "file:relative", "*", "http://x"])
def test_a_pattern_that_could_admit_nothing_is_refused_at_start(pattern: str) -> None:
    with pytest.raises(SettingsError, match="secret_refs_allow"):
        load_settings(environment={"FILEPLANE_SECRET_REFS_ALLOW": pattern})


async def test_a_reference_is_read_when_it_is_used(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "key"
    secret.parent.mkdir()
    environment = {"KEY": CANARY}
    references = References(["env:*", f"file:{secret.parent}/*"], tmp_path / "data", environment)
    assert await references.read(reference("env:KEY")) == Secret(CANARY)
    for content in (CANARY, CANARY + "\n", CANARY + "\r\n"):
        secret.write_text(content, newline="")
        assert await references.read(reference(f"file:{secret}")) == Secret(CANARY)
    environment["KEY"] = "another"
    assert await references.read(reference("env:KEY")) == Secret("another")
    (secret.parent / "link").symlink_to(secret)
    assert await references.read(reference(f"file:{secret.parent}/link")) == Secret(CANARY)


async def test_what_cannot_be_read_is_named_and_its_content_never_is(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "directory").mkdir()
    (folder / "empty").write_text("\n")
    (folder / "long").write_text(CANARY + "x" * LONGEST_VALUE_BYTES)
    (folder / "binary").write_bytes(CANARY.encode() + b"\xff")
    os.mkfifo(folder / "pipe")
    references = References(["env:*", f"file:{folder}/*", "file:/dev/*"], tmp_path / "data", {"EMPTY": ""})
    texts = [f"file:{folder}/{name}" for name in ("missing", "directory", "empty", "long", "binary", "pipe")]
    for text in [*texts, "file:/dev/zero", "env:EMPTY", "env:MISSING"]:
        async with asyncio.timeout(10):
            with pytest.raises(ReferenceUnreadable) as failure:
                await references.read(reference(text))
        assert text in str(failure.value)
        assert CANARY not in f"{failure.value!r}{failure.value.__cause__!r}"


async def test_the_data_directory_is_read_by_no_way_round(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "secrets"
    data.mkdir()
    folder.mkdir()
    (data / "master.key").write_text(CANARY)
    (folder / "link").symlink_to(data / "master.key")
    (folder / "way").symlink_to(data)
    references = References(["file:/*", f"file:{tmp_path}/*", f"file:{tmp_path}/*/*", f"file:{tmp_path}/*/*/*"], data)
    for text in (f"{data}/master.key", f"{folder}/link", f"{folder}/way/master.key"):
        with pytest.raises(ReferenceNotAllowed, match="data directory"):
            await references.read(reference(f"file:{text}"))
