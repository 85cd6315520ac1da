"""Outputs and files that do not behave as most do: pipes that do not block, files whose size is not what it is said to be."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import termios
import threading
from pathlib import Path

import pytest

from cli.command_line import SECONDS, CommandLine
from fileplane.client.landing import write_all
from support.polling import eventually

CONTENT = bytes(range(256)) * 20_000
ONE_PAGE = Path("/sys/devices/system/cpu/online")
"""Linux's sysfs gives each attribute the size of a page (kernel documentation, filesystems/sysfs)."""
of_sysfs = pytest.mark.skipif(
    not ONE_PAGE.is_file() or ONE_PAGE.stat().st_size == len(ONE_PAGE.read_bytes()), reason="there is no /sys with sizes of its own here"
)


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    seen: list[bytes] = []
    with os.fdopen(reading, "rb") as reader:
        filled = 0
        try:
            while True:
                filled += os.write(writing, bytes(4096))
        except BlockingIOError:
            pass
        emptying = threading.Timer(0.3, lambda: seen.append(reader.read()))
        emptying.start()
        try:
            write_all(writing, memoryview(CONTENT))
        finally:
            os.close(writing)
            emptying.join(SECONDS)
    assert seen[0][filled:] == CONTENT


@pytest.mark.parametrize(
    "command", [("cat", "{}"), ("get", "{}", "--output", "-"), ("cp", "fileplane:{}", "-")], ids=lambda words: words[0]
)
def test_content_goes_whole_into_a_pipe_that_does_not_block(cli: CommandLine, command: tuple[str, ...]) -> None:
    file_id = cli.upload("content", CONTENT)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as reader, cli.start(*(word.format(file_id) for word in command), stdout=writing) as process:
        os.close(writing)
        assert reader.read() == CONTENT
        _, complaints = process.communicate(timeout=SECONDS)
    assert (process.returncode, complaints) == (0, b"")


@of_sysfs
def test_a_file_whose_size_is_wrong_is_refused_with_a_way_that_works(cli: CommandLine) -> None:
    for arguments in (("upload", str(ONE_PAGE), "--purpose", "user_data"), ("cp", str(ONE_PAGE), "fileplane:", "--purpose", "user_data")):
        complaint = cli.fail(1, *arguments)
        assert "not what the file system says (4096 bytes)" in complaint
        assert "cat FILE | fileplane upload - --filename NAME" in complaint
    assert json.loads(cli.succeed("ls", "--json"))["data"] == []
    content = ONE_PAGE.read_bytes()
    file_id = cli.succeed("upload", "-", "--filename", "online", "--purpose", "user_data", given=content).split()[0]
    assert cli.run_bytes("cat", file_id).stdout == content


@pytest.mark.skipif(not Path("/proc/version").is_file(), reason="there is no /proc here")
def test_a_file_that_says_it_is_empty_and_is_not_is_sent_to_its_end(cli: CommandLine) -> None:
    file_id = cli.succeed("upload", "/proc/version", "--purpose", "user_data").split()[0]
    assert cli.run_bytes("cat", file_id).stdout == Path("/proc/version").read_bytes()


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have one size here, too large to be filled by a short list")
def test_a_list_goes_whole_into_a_full_pipe_that_does_not_block(cli: CommandLine) -> None:
    names = {f"{number:02}-{'x' * 200}" for number in range(40)}
    for name in names:
        cli.upload(name, b"x")
    reading, writing = os.pipe()
    capacity = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)

    def waiting() -> int:
        return int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, bytes(4)), sys.byteorder)

    with os.fdopen(reading, "rb") as reader, cli.start("ls", stdout=writing) as process:
        os.close(writing)
        eventually(lambda: waiting() > capacity - 512 or process.poll() is not None, "the pipe is full")
        printed = reader.read().decode()
        _, complaints = process.communicate(timeout=SECONDS)
    assert (process.returncode, complaints) == (0, b"")
    assert {name for name in names if name in printed} == names
    assert len(printed.splitlines()) == len(names)
