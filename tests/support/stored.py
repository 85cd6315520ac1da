"""What a server has on its disk, seen from outside."""

from __future__ import annotations

from pathlib import Path

from support.polling import eventually_equal


def blob_files(data_dir: Path) -> set[str]:
    """Every file of the blob store, temporaries included, by its path below the store. What is being sent has a second name, not told."""
    root = data_dir / "blobs"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.parent.name != "served" and path.is_file()}


def temporaries(data_dir: Path) -> set[str]:
    return {name for name in blob_files(data_dir) if name.startswith("tmp/")}


def assert_nothing_left_behind(data_dir: Path, before: set[str]) -> None:
    """The store has, or soon has, exactly the files of ``before``."""
    eventually_equal(lambda: blob_files(data_dir), before)


def assert_nowhere_in(data_dir: Path, secret: str) -> None:
    """No file below ``data_dir`` has the secret in it, in either encoding that programs keep text in."""
    needles = {secret.encode(form) for form in ("utf-8", "utf-16-le")}
    for path in sorted(data_dir.rglob("*")):
        if path.parent.name != "served" and path.is_file():
            content = path.read_bytes()
            assert not any(needle in content for needle in needles), path
