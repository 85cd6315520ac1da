"""Files as people upload them, each beside the verdict it gets.

``<kind>.valid.jsonl`` and ``<kind>.invalid.jsonl`` for each kind; a verdict is in the ``.json`` of the same name.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fileplane.files.validation import Kind, new_validator

FILES = sorted((Path(__file__).parent / "test_validation_files").glob("*.jsonl"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_gets_the_verdict_that_is_written_down(path: Path) -> None:
    kind, goodness = path.stem.split(".")
    validator = new_validator("batch" if kind == "batch" else "fine-tune")
    assert validator is not None
    validator.feed(path.read_bytes())
    verdict = validator.finish()
    assert (verdict.kind, verdict.valid) == (kind, goodness == "valid")
    shown = dataclasses.asdict(verdict) | {"details": verdict.details()}
    assert json.loads(json.dumps(shown)) == json.loads(path.with_suffix(".json").read_text("utf-8"))


def test_each_kind_has_a_good_and_a_bad_file() -> None:
    assert {path.stem for path in FILES} == {f"{kind}.{goodness}" for kind in Kind for goodness in ("valid", "invalid")}
