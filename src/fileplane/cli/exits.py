"""Exit codes, the same for every command."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from fileplane.cli.output import terminal_safe
from fileplane.cli.runtime import CommandRefused
from fileplane.errors import FileplaneError
from fileplane.settings import SettingsError


class ExitCode(IntEnum):
    """What a script can tell from the exit code alone."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_AUTHORISED = 4
    NOT_FOUND = 5
    UNAVAILABLE = 6
    BUSY = 7
    DAMAGED = 8
    INTERRUPTED = 130


EXIT_CODE_HELP = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed on this side: a local file cannot be read or written, or the server cannot start",
    ExitCode.USAGE: "wrong usage, or a setting with a wrong value",
    ExitCode.REFUSED: "the server refused the request as it stands (400, 409, 413, …)",
    ExitCode.NOT_AUTHORISED: "no API key, a wrong one, or one without the scope (401, 403)",
    ExitCode.NOT_FOUND: "no such file, project or key (404)",
    ExitCode.UNAVAILABLE: "the server cannot be reached or failed (5xx); trying again may help",
    ExitCode.BUSY: "somebody else is at the same work; trying again later helps",
    ExitCode.DAMAGED: "`fileplane check` has found errors in the store",
    ExitCode.INTERRUPTED: "interrupted",
}
"""A command that does several things exits with the highest code of them."""


class CommandFailed(Exception):
    """A client command, or one thing of several that it was asked for, failed.

    ``message`` is safe to show on a terminal and holds no secret; ``request_id`` is the server's, where it gave one, and as safe.
    """

    def __init__(self, code: ExitCode, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = terminal_safe(message)
        self.request_id = None if request_id is None else terminal_safe(request_id)

    def __str__(self) -> str:
        return self.message if self.request_id is None else f"{self.message} (request id {self.request_id})"


def complain(message: str) -> None:
    """Prints ``message`` to standard error."""
    typer.echo("\n".join(terminal_safe(line) for line in f"fileplane: {message}".splitlines()), err=True)


def leave(code: ExitCode, message: str) -> typer.Exit:
    """Prints ``message`` to standard error; to be raised."""
    complain(message)
    return typer.Exit(code)


@contextmanager
def refusals_reported() -> Iterator[None]:
    """Turns whatever a command may fail with into a message and an exit code, never a traceback.

    A reader of standard output that has left (``fileplane ls | head``) is no failure to speak of; the command line's library ends
    the command silently then.
    """
    try:
        yield
    except SettingsError as error:
        raise leave(ExitCode.USAGE, str(error)) from error
    except CommandRefused as error:
        raise leave(ExitCode.FAILED, str(error)) from error
    except CommandFailed as error:
        raise leave(error.code, str(error)) from error
    except FileplaneError as error:
        raise leave(ExitCode.FAILED, f"{error} ({error.__cause__})" if error.__cause__ else str(error)) from error
    except KeyboardInterrupt as error:
        raise leave(ExitCode.INTERRUPTED, "interrupted") from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise typer.Exit(failed_output(error)) from error


def failed_output(error: OSError) -> ExitCode:
    """Says why a command could not go on, where standard output may be the cause, and with what code it ends."""
    _give_up_on_output()
    complain(str(error))
    return ExitCode.FAILED


def _give_up_on_output() -> None:
    """What standard output did not take would be tried again when the process ends, and decide its exit code."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
