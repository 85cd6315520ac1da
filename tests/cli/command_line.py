"""The real command, in a process of its own and in a directory of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from support.server import fileplane_environment

SECONDS = 60


@dataclass
class CommandLine:
    """Runs ``fileplane`` in ``directory``, with ``environment`` and nothing else of this machine's own settings."""

    directory: Path
    environment: dict[str, str]

    def where(self, **values: str) -> CommandLine:
        """The same with other environment variables; an empty one is as good as none."""
        return CommandLine(self.directory, self.environment | values)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-m", "fileplane", *arguments]
        return subprocess.Popen(command, cwd=self.directory, env=fileplane_environment(**self.environment), **(streams | options))

    def run_bytes(self, *arguments: str, given: bytes | None = None, **options: Any) -> subprocess.CompletedProcess[bytes]:
        stdin = {} if given is None else {"stdin": subprocess.PIPE}
        with self.start(*arguments, **(stdin | options)) as process:
            try:
                stdout, stderr = process.communicate(given, timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def run(self, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[str]:
        done = self.run_bytes(*arguments, given=given)
        return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())

    def succeed(self, *arguments: str, given: bytes | None = None) -> str:
        """What a command that succeeds, and has nothing to complain about, prints."""
        done = self.run(*arguments, given=given)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def fail(self, code: int, *arguments: str, given: bytes | None = None) -> str:
        """The one line in which a command that fails with ``code``, and prints nothing else, says why."""
        done = self.run(*arguments, given=given)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert done.stderr.startswith("fileplane: "), done
        assert done.stderr.endswith("\n"), done
        assert done.stderr.count("\n") == 1, done
        return done.stderr.removeprefix("fileplane: ").rstrip("\n")

    def upload(self, name: str, content: bytes, purpose: str = "user_data") -> str:
        """The id of a new file with this name and content, made without the command, which takes longer."""
        response = httpx2.post(
            self.environment["FILEPLANE_BASE_URL"] + "/files",
            headers={"authorization": f"Bearer {self.environment['FILEPLANE_API_KEY']}"},
            data={"purpose": purpose},
            files={"file": (name, content)},
            timeout=SECONDS,
            trust_env=False,
        )
        return response.raise_for_status().json()["id"]

    def left_behind(self) -> set[str]:
        """The names of everything in the directory."""
        return {entry.name for entry in self.directory.iterdir()}
