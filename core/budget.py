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
        self.taken = 0  # requests ever
        self._turn = asyncio.Lock()

    @property
    def most(self) -> int:
        """Requests in one span, at most; at least one."""
        return max(1, int(self.per_minute * self._span / SPAN + 1e-9))

    async def take(self) -> None:
        """Return once one more request may be sent, and count it. First come, first served."""
        async with self._turn:
            while (wait := self.free_at() - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)  # only whoever is next in turn waits here
            self._taken.append(self._clock.monotonic())
            self.taken += 1

    def spent(self) -> int:
        """Requests in the last minute (the last span)."""
        self._forget()
        return len(self._taken)

    def free_at(self) -> float:
        """Monotonic seconds from when on one more request fits; the present if it does now."""
        self._forget()
        over = len(self._taken) - self.most
        return self._taken[over] + self._span if over >= 0 else self._clock.monotonic()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        while self._taken and self._taken[0] + self._span <= now:
            self._taken.popleft()


class Allowance:
    """The share of a budget that may be spent unasked: it comes in evenly, and the rest of the budget can be saved up.

    What persons ask for is counted, too; yet it never holds back for long what is looked at by itself.
    """

    def __init__(self, budget: Budget, share: float, clock: Clock) -> None:
        self._budget = budget
        self._clock = clock
        self.rate = budget.per_minute * share / SPAN  # requests a second
        self._most = max(1.0, budget.most * (1 - share))
        self._held = self._most / 2
        self._promised = 0
        self._counted = 0
        self._at = clock.monotonic()

    def promise(self) -> None:
        """A request is about to be taken."""
        self._promised = max(self._promised, self._counted) + 1

    @property
    def level(self) -> float:
        """How much of what can be saved up is there, up to 1; below 0 more was spent than came in."""
        now = self._clock.monotonic()
        spent = max(self._promised, self._budget.taken)
        held = self._held + self.rate * (now - self._at) - (spent - self._counted)
        self._held = max(-self._most, min(self._most, held))
        self._at, self._counted = now, spent
        return self._held / self._most

    def free_at(self) -> float:
        """Monotonic seconds from when on there is enough for a request; the present if there is now."""
        missing = 1.0 - self.level * self._most
        return self._clock.monotonic() + (missing / self.rate if missing > 1e-6 else 0.0)
