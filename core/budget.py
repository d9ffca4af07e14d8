"""How many requests one workspace gets in a minute: counted, shown and kept, whoever asks.

Never drops a request and never lets one overtake another: a request waits until there is room for it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from .clock import Clock

SPAN = 60.0  # seconds


class Budget:
    """At most `per_minute` requests in any `span` of a minute; over a longer span, as many for each minute of it."""

    def __init__(self, per_minute: float, clock: Clock, *, span: float = SPAN) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._span = span
        self._taken: deque[float] = deque()
        self._turn = asyncio.Lock()

    @property
    def most(self) -> int:
        """Requests in one span, at most; at least one."""
        return max(1, int(self.per_minute * self._span / SPAN + 1e-9))

    async def take(self) -> None:
        """Return once one more request may be sent, and count it. First come, first served."""
        async with self._turn:
            while (wait := self.free_at() - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
            self._taken.append(self._clock.monotonic())

    def spent(self) -> int:
        """Requests in the last minute (the last span)."""
        self._forget()
        return len(self._taken)

    def free_at(self, share: float = 1.0, *, promised: int = 0) -> float:
        """Monotonic seconds from when on a request fits into this share of the budget; the present if it does now.

        `promised` are requests that are about to be taken.
        """
        self._forget()
        room = max(1, int(self.most * share + 1e-9)) - promised
        if len(self._taken) < room:
            return self._clock.monotonic()
        # So many of the oldest have to grow too old to count; what is only promised is as good as taken now.
        over = len(self._taken) - room
        return (self._taken[over] if over < len(self._taken) else self._clock.monotonic()) + self._span

    def _forget(self) -> None:
        now = self._clock.monotonic()
        while self._taken and self._taken[0] + self._span <= now:
            self._taken.popleft()
