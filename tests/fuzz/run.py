"""Fuzzes one target with atheris: ``python tests/fuzz/run.py multipart -max_total_time=60``.

What follows the target's name goes to libFuzzer, which starts from the committed corpus; folders named there take what it finds.
An input that breaks a promise is written to a file called crash-<hash>, which belongs into the corpus together with its repair.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

_TESTS = Path(__file__).parents[1]
CORPUS = _TESTS / "fuzz" / "corpus"
_INSTRUMENTED = ["fileplane", "python_multipart", "tomllib", "urllib.parse"]


def main(arguments: list[str]) -> None:
    sys.path.insert(0, str(_TESTS))
    # Not its hook for patterns, whose stand-ins lack parameters that ours are called with.
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        from fuzz.targets import TARGETS
    program, name, *options = arguments
    atheris.Setup([program, *options, str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
