"""What is said of a transfer is right, and fits."""

from __future__ import annotations

import pytest

from fileplane.cli.meter import Meter
from fileplane.cli.progress import Transfers
from fileplane.cli.progress_line import progress_line, shown_bytes, shown_seconds


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def meter_at(clock: Clock, done: int, total: int | None, resumed: int = 0, seconds: float = 2.0) -> Meter:
    meter = Meter(total, clock)
    clock.now += seconds
    meter.tell(done, resumed)
    return meter


def test_what_was_resumed_is_done_and_was_not_fast(clock: Clock) -> None:
    meter = meter_at(clock, 6_000_000, 8_000_000, resumed=4_000_000)
    assert (meter.share, meter.speed, meter.seconds_left) == (0.75, 1_000_000, 2.0)


def test_the_speed_is_of_the_last_seconds_and_not_of_the_whole_time(clock: Clock) -> None:
    meter = Meter(None, clock)
    for second in range(100):
        clock.now += 1
        meter.tell(min(second, 50) * 1_000_000, 0)
    assert meter.speed < 100_000
    assert meter.seconds_left is None


def test_nothing_is_said_of_the_time_left_when_nothing_moves_or_the_end_is_unknown(clock: Clock) -> None:
    assert meter_at(clock, 0, 10).seconds_left is None
    assert meter_at(clock, 5, None).seconds_left is None
    assert meter_at(clock, 0, 0).share == 1.0


def test_a_wide_terminal_shows_everything(clock: Clock) -> None:
    line = progress_line("data.bin", meter_at(clock, 5_000_000, 10_000_000), 100)
    assert line.startswith("data.bin  ━")
    assert line.endswith("  50%  5.0 MB of 10.0 MB  2.5 MB/s  0:02 left")


@pytest.mark.parametrize("total", [None, 0, 10**13])
def test_a_line_is_never_wider_than_the_terminal(clock: Clock, total: int | None) -> None:
    meter = meter_at(clock, 10**12, total)
    assert [width for width in range(121) if len(progress_line("x" * 200, meter, width)) > width] == []


def test_a_narrow_terminal_keeps_the_share_the_longest(clock: Clock) -> None:
    meter = meter_at(clock, 5_000_000, 10_000_000)
    assert progress_line("data.bin", meter, 14) == "data.bin  50%"
    assert "left" in progress_line("data.bin", meter, 30)


def test_several_transfers_add_up_and_a_failed_one_is_not_waited_for() -> None:
    transfers = Transfers(3, 30, wanted=False)
    with transfers.one("a", 10) as moving:
        moving.tell(10, resumed=4)
    with transfers.one("b", 10) as moving:
        moving.tell(3)
    with transfers.one("c", 10) as moving:
        moving.advance(2)
        assert moving._every is not None
        assert (moving._every.done, moving._every.resumed, moving._every.total) == (15, 4, 23)


def test_sizes_and_spans_read_as_people_write_them() -> None:
    assert [shown_bytes(count) for count in (0, 999, 1_000, 3_000_000, 10**18)] == ["0 B", "999 B", "1.0 kB", "3.0 MB", "1000.0 PB"]
    assert [shown_seconds(seconds) for seconds in (0, 7.2, 61, 3_723)] == ["0:00", "0:07", "1:01", "1:02:03"]
