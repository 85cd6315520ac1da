"""The project's image, made by hand: what the Dockerfile says, in a folder in the place of the root and without an engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.dockerfile import Stage, command_of, stages
from support.documents import ROOT

_BUILD_SECONDS = 600
_PREFIXES = ("/opt/fileplane", "/var/lib/fileplane")


@dataclass(frozen=True)
class Image:
    """``root`` stands for the image's root directory. ``user`` is the numeric id it runs as, or None for this process's own."""

    root: Path
    environment: dict[str, str]
    entrypoint: list[str]
    command: list[str]
    healthcheck: list[str]
    user: int | None

    def start(self, *arguments: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """What a container does, with other arguments if there are any."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [*self.entrypoint, *(arguments or self.command)],
                env=self.environment | environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self._somebody(),
            )

    def run(self, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """A command within the container."""
        variables = self.environment | environment
        return subprocess.run(words, env=variables, cwd="/", capture_output=True, text=True, timeout=60, check=False, **self._somebody())

    def _somebody(self) -> dict[str, object]:
        return {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}


def image_by_hand(folder: Path) -> Image:
    """Both stages, with a Python of this machine's instead of the base image's. Takes as long as downloading every package."""
    python = _python()
    build, final = stages()
    built = folder / "build"
    _copy(build, {None: ROOT}, built)
    _run(build, built, folder, python)
    root = folder / "image"
    _copy(final, {build.name: built, None: ROOT}, root)
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            # The image's files belong to root, and can be read by all.
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
    user = int(final.only("USER").text.partition(":")[0])
    data = _inside(root, final.only("VOLUME").text)
    data.chmod(0o700)
    if somebody := os.geteuid() == 0 and _is_open_to_everybody(Path(python)):
        os.chown(data, user, user)
    variables = {name: _translated(value, root) for name, value in final.environment.items()}
    variables["PATH"] = variables["PATH"].replace("$PATH", f"{Path(python).parent}:/usr/bin:/bin")
    # What was installed names the folder in which it was.
    _relocate(root, _inside(built, "/opt/fileplane"), _inside(root, "/opt/fileplane"))
    words = final.only("ENTRYPOINT").words
    entrypoint = [shutil.which(words[0], path=variables["PATH"]) or words[0], *words[1:]]
    return Image(root, variables, entrypoint, final.only("CMD").words, command_of(final.only("HEALTHCHECK")), user if somebody else None)


def _python() -> str:
    """One that everybody may run, as the image's user has to; else the one that runs the tests."""
    found = [Path(sys.executable).resolve(), Path("/usr/bin/python3").resolve()]
    return str(next((path for path in found if path.exists() and _is_open_to_everybody(path) and _is_new_enough(path)), found[0]))


def _is_open_to_everybody(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in (path, *path.parents))


def _is_new_enough(path: Path) -> bool:
    return subprocess.run([str(path), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode == 0


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _translated(value: str, root: Path) -> str:
    for prefix in _PREFIXES:
        value = value.replace(prefix, str(_inside(root, prefix)))
    return value


def _copy(stage: Stage, sources: dict[str | None, Path], root: Path) -> None:
    directory = next((instruction.text for instruction in stage.all("WORKDIR")), "/")
    for instruction in stage.all("COPY"):
        source_root = sources[instruction.flags.get("from")]
        *names, target = instruction.words
        for name in names:
            path = _inside(root, target if target.startswith("/") else f"{directory}/{target}")
            path.parent.mkdir(parents=True, exist_ok=True)
            source = _inside(source_root, name)
            if source.is_dir():
                shutil.copytree(source, path, symlinks=True, ignore=shutil.ignore_patterns("__pycache__") if source_root == ROOT else None)
            else:
                shutil.copy(source, path)


def _run(stage: Stage, root: Path, folder: Path, python: str) -> None:
    # As in the base image, there is a python3, and neither uv nor a compiler.
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(python)
    for tool in ("sh", "rm", "mkdir", "chmod", "env", "cat", "ls"):
        (programs / tool).symlink_to(str(shutil.which(tool)))
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in {"HOME", "LANG"}}
    environment = kept | stage.environment | {"PATH": str(programs)}
    for instruction in stage.all("RUN"):
        result = subprocess.run(
            ["sh", "-c", instruction.text],
            cwd=_inside(root, stage.only("WORKDIR").text),
            env=environment,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def _relocate(root: Path, before: Path, after: Path) -> None:
    for path in root.glob("opt/fileplane/.venv/bin/*"):
        if path.is_file() and not path.is_symlink() and str(before) in (text := path.read_text("utf-8", "surrogateescape")):
            path.write_text(text.replace(str(before), str(after)), "utf-8", "surrogateescape")
    for path in root.glob("opt/fileplane/.venv/lib/*/site-packages/*.pth"):
        path.write_text(path.read_text("utf-8").replace(str(before), str(after)), "utf-8")
