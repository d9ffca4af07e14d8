"""How many requests one workspace gets in a minute: counted, shown and kept, whoever asks.

Never drops a request and never lets one overtake another: a request waits until there is room for it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Protocol

from .clock import Clock

SPAN = 60.0  # seconds
FOCUS = 1 / 3  # of a budget that does not reach, for what is in focus
GENTLE = 0.4  # by how much a budget that is saved up, or overdrawn, changes intervals
MEMORY = 300.0  # seconds over which single reads are averaged


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


class Loaded(Protocol):
    """Something that is looked at again and again: looks a second it would have, and whether it is in focus."""

    focused: bool
    load: float


class Shares:
    """How the allowance is shared out among what is looked at again and again, after single reads had theirs."""

    def __init__(self, allowance: Allowance | None, clock: Clock) -> None:
        self._allowance = allowance
        self._clock = clock
        self._load = {True: 0.0, False: 0.0}  # by focus
        self._singles = 0.0  # a second, lately
        self._singles_at = clock.monotonic()

    def weigh(self, item: Loaded, load: float) -> None:
        """From now on it would have so many looks a second."""
        self._load[item.focused] = max(0.0, self._load[item.focused] + load - item.load)
        item.load = load

    def count_single(self) -> None:
        """Something was read that will not be read again."""
        self._singles = self._lately() + 1.0 / MEMORY
        self._singles_at = self._clock.monotonic()

    def stretch(self, focused: bool) -> float:
        """How many times longer intervals have to be for the budget to reach; what is in focus is stretched last."""
        if self._allowance is None:
            return 1.0
        rate = self._allowance.rate
        room = max(rate - self._lately(), rate / 4)
        here, elsewhere = self._load[True], self._load[False]
        most_here = max(room * FOCUS, room - elsewhere)
        load, gets = (here, most_here) if focused else (elsewhere, room - min(here, most_here))
        if load <= 0.0:
            return 1.0
        # What is saved up tells whether looks come as planned; corrected gently, before the budget has to stop them.
        return max(1.0, load / gets * (1.0 + GENTLE * (0.5 - self._allowance.level)))

    def _lately(self) -> float:
        return self._singles * math.exp((self._singles_at - self._clock.monotonic()) / MEMORY)
