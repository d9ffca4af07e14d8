"""Times, durations, counts and hosts in the few characters that a console has for them. Pure.

Never reads a clock: whoever calls says what time it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def duration(ms: float) -> str:
    """`ms` as 0:07, 2:13, 1:02:09 or 3d 04h; at least a second is shown as one."""
    seconds = int(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02}"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours < 48:
        return f"{hours}:{minutes:02}:{seconds % 60:02}"
    return f"{hours // 24}d {hours % 24:02}h"


def brief(ms: float) -> str:
    """`ms` in one unit: 41s, 2m, 3h, 5d."""
    seconds = max(0, int(ms / 1000))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size or (seconds >= size and unit != "m"):
            return f"{seconds // size}{unit}"
    return f"{seconds // 60}m {seconds % 60:02}s" if seconds >= 60 else f"{seconds}s"


def ago(ms: int, now_ms: int) -> str:
    """How long before `now_ms` that was: `12s ago`."""
    return f"{brief(now_ms - ms)} ago"


def until(ms: int, now_ms: int) -> str:
    """How long it is until `ms`, in two units: `19 h 59 min`, `3 d 4 h`, `under a minute`."""
    minutes = max(0, ms - now_ms) // 60_000
    hours, days = minutes // 60, minutes // 1_440
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else "under a minute"


def clock(ms: int) -> str:
    """Local wall time of epoch `ms`: 14:03:07."""
    return time.strftime("%H:%M:%S", time.localtime(ms / 1000)) if ms else ""


def moment(ms: int) -> str:
    """Local date and time of epoch `ms`: 2026-11-24 14:03:07."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000)) if ms else ""


def iso_clock(timestamp: str) -> str:
    """The time of day within an ISO text, as it stands there: 14:03:07.120; the text itself where it has none."""
    _, found, rest = timestamp.partition("T")
    return rest.rstrip("Z")[:12] if found else timestamp[:12]


def iso_ms(timestamp: str) -> int:
    """Epoch ms of an ISO text; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp() * 1000)
    except ValueError:
        return 0


def count(number: int | None) -> str:
    """12,031; empty where it is not known."""
    return "" if number is None else f"{number:,}"


def short_count(number: int) -> str:
    """1,204 as it is, 12.3k, 4.1M: never more than six characters."""
    if number < 10_000:
        return f"{number:,}"
    if number < 999_500:
        return f"{number / 1000:.1f}k" if number < 100_000 else f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M"


def size(number: float) -> str:
    """Bytes as 3 B, 12 kB, 1.4 GB (powers of ten)."""
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return ""


def shared_prefix(names: Iterable[str]) -> str:
    """What all of several dotted names begin with, whole parts of it: `main.dev.` of main.dev.a and main.dev.b."""
    parts = [name.split(".")[:-1] for name in dict.fromkeys(names)]
    if len(parts) < 2:
        return ""
    same = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        same.append(level[0])
    return ".".join(same) + "." if same else ""


def plural(number: int, word: str, more: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {word if number == 1 else more or word + 's'}"


def host_name(host: str) -> str:
    """A workspace address without its scheme."""
    return host.partition("://")[2].rstrip("/") if "://" in host else host.rstrip("/")


def percent(part: int, whole: int) -> str:
    return f"{100 * part // whole} %" if whole else ""
