"""Time as the engine sees it, injected so that tests and benchmarks can run it as fast as they like.

Durations come from the monotonic clock only: a clock that jumps or a laptop that sleeps changes no interval.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds for durations, epoch milliseconds for what is shown, and a sleep that obeys both."""

    def monotonic(self) -> float: ...

    def now_ms(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


class ScaledClock:
    """A clock that runs `scale` times as fast as the machine's, for a simulated workspace that does so too."""

    def __init__(self, scale: float) -> None:
        self._scale = max(0.01, scale)
        self._start, self._start_ms = time.monotonic(), time.time() * 1000

    def monotonic(self) -> float:
        return self._start + (time.monotonic() - self._start) * self._scale

    def now_ms(self) -> int:
        return int(self._start_ms + (time.monotonic() - self._start) * 1000 * self._scale)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._scale)


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class SimulatedClock(SystemClock):
    """The machine's clock for all intervals, and a simulated workspace's for what is shown: there time runs faster."""

    def __init__(self, now_ms: int, scale: float) -> None:
        self._now_ms, self._scale = now_ms, scale
        self._start = time.monotonic()

    def now_ms(self) -> int:
        return self._now_ms + int((time.monotonic() - self._start) * 1000 * self._scale)
