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
    from fileplane.cli.lean import only_what_is_asked_for
    from fileplane.cli.main import cli
    from fileplane.runtime import ServerRuntime

    only_what_is_asked_for(cli, sys.argv[1:])(obj=ServerRuntime(), prog_name="fileplane")


if __name__ == "__main__":
    main()
