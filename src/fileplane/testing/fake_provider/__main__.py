"""``python -m fileplane.testing.fake_provider``: prints the base URL on one line, then serves until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from fileplane.testing.fake_provider.flavours import FLAVOURS
from fileplane.testing.fake_provider.provider import fake_provider


async def _serve(flavour: str, port: int, jobs: str) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with fake_provider(flavour, port=port, jobs=jobs) as fake:
        sys.stdout.write(fake.base_url + "\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m fileplane.testing.fake_provider", description=__doc__)
    parser.add_argument("--flavour", choices=sorted(FLAVOURS), default="openai")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument(
        "--jobs", choices=("auto", "manual"), default="auto", help="whether jobs go on by themselves when they are looked at"
    )
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.flavour, arguments.port, arguments.jobs))


if __name__ == "__main__":
    main()
