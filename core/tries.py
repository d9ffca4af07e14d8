"""How often what could not be measured is tried again while the workspace answers otherwise, and after how long.

Never decides what is tried and never tries itself; all durations are of the injected clock, in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from .clock import Clock

FIRST, LONGEST = 5.0, 300.0
MOST = 6  # about five minutes in all


class Tries:
    """Counts by what is tried; begin anew with `clear` where something has moved on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: Counter[Hashable] = Counter()

    def clear(self) -> None:
        """Nothing has been tried yet."""
        self._counts.clear()

    def next_wait(self, what: Hashable) -> float | None:
        """Seconds until `what` may be tried again; None where it has been tried often enough. Counts it."""
        count = self._counts[what]
        if count >= MOST:
            return None
        self._counts[what] += 1
        return min(LONGEST, FIRST * 2.0**count)

    async def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        await self._clock.sleep(seconds)
