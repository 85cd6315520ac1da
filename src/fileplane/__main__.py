"""The entry point: gives the command line the runtime that it may not import itself.

Nothing is imported here before it is needed, since every process of a server begins with this module, and only one with a command.
"""


def main() -> None:
    """Runs one command."""
    import signal
    import sys

    # Until the command runs there is nothing to unwind, and a traceback of an import would tell nobody anything.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fileplane.cli.exits import failed_output
    from fileplane.cli.lean import only_what_is_asked_for
    from fileplane.cli.main import cli
    from fileplane.runtime import ServerRuntime

    try:
        only_what_is_asked_for(cli, sys.argv[1:])(obj=ServerRuntime(), prog_name="fileplane")
    except OSError as error:
        # Of help and the like, which no command of ours prints: whatever those fail with is reported where they run.
        sys.exit(failed_output(error))
    except SystemExit as ended:
        if "obstore" in sys.modules:
            _end_at_once(ended.code)
        raise


def _end_at_once(code: object) -> None:
    """Ends the process without taking the interpreter down, once everything is said. Returns where it cannot be said.

    The threads of the object stores' client never end. One that has just told the interpreter of its last result would abort the process
    while that goes down, and a command that has done its work would seem to have failed
    (https://github.com/PyO3/pyo3-async-runtimes/issues/40).
    """
    import atexit
    import os
    import sys

    if code is not None and not isinstance(code, int):
        return
    # What modules have left for the end, such as log lines that wait to be written: done here, since `_exit` leaves it out.
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code or 0)


if __name__ == "__main__":
    main()
