"""One transfer in one line of text, however narrow the terminal is."""

from __future__ import annotations

from typing import Final

from fileplane.cli.meter import Meter

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_THOUSAND: Final = 1000
_WIDEST_NAME: Final = 40
_NARROWEST_NAME: Final = 8
_WIDEST_BAR: Final = 30
_NARROWEST_BAR: Final = 10
_LONGEST_WAIT: Final = 100 * 3_600
_MINUTE: Final = 60


def progress_line(name: str, meter: Meter, width: int, *, blocks: str = "━─") -> str:
    """At most ``width`` characters: name, bar, share, bytes, speed and time left; where there is no room, the first of these go.

    ``blocks`` are what the bar is made of, done and not done.
    """
    facts = [fact for fact in (_share(meter), _bytes(meter), f"{shown_bytes(meter.speed)}/s", _left(meter)) if fact]
    while len(facts) > 1 and len("  ".join(facts)) + _NARROWEST_NAME + 2 > width:
        facts.pop(-2 if len(facts) > 2 else -1)  # noqa: PLR2004 - the share goes last, before it the time left
    text = "  ".join(facts)
    room = width - len(text) - 2
    if room < _NARROWEST_NAME:
        return text[: max(0, width)]
    shown = _shortened(name, min(room, _WIDEST_NAME))
    room -= len(shown) + 2
    if meter.share is None or room < _NARROWEST_BAR:
        return f"{shown}  {text}"
    return f"{shown}  {_bar(meter.share, min(room, _WIDEST_BAR), blocks)}  {text}"


def shown_bytes(count: float) -> str:
    """A number of bytes as people read it, in thousands: ``0 B``, ``999 B``, ``3.0 MB``."""
    unit = 0
    while count >= _THOUSAND and unit < len(_UNITS) - 1:
        count /= _THOUSAND
        unit += 1
    return f"{count:.0f} B" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def shown_seconds(seconds: float) -> str:
    """A span as ``0:07`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds + 0.5), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _share(meter: Meter) -> str:
    return "" if meter.share is None else f"{int(meter.share * 100)}%"


def _bytes(meter: Meter) -> str:
    done = shown_bytes(meter.done)
    return done if meter.total is None else f"{done} of {shown_bytes(meter.total)}"


def _left(meter: Meter) -> str:
    left = meter.seconds_left
    return "" if left is None or left > _LONGEST_WAIT else f"{shown_seconds(left)} left"


def _bar(share: float, width: int, blocks: str) -> str:
    done = int(share * width)
    return blocks[0] * done + blocks[1] * (width - done)


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
