"""How long to wait before the next look: named policies as data, jitter, and what a server asks for, within bounds.

Never looks at anything and holds no state; no hint from outside shortens or lengthens a wait past its bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

LONGEST_HINT = 300.0  # seconds; what a server asks beyond this is not believed
JITTER = 0.1  # of the interval, to either side


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a kind of thing is looked at; all in seconds.

    After a change the interval is `first`, and `growth` times the last one while nothing changes, up to `ceiling`.
    Where a forecast says when to look, intervals are `usual` on average, between `floor` and `ceiling`; an `eager`
    policy then still begins at `first` after a change. `floor` and `usual` are derived where they are 0.
    """

    name: str
    first: float
    ceiling: float
    growth: float = 2.0
    floor: float = 0.0
    usual: float = 0.0
    eager: bool = True

    @property
    def lowest(self) -> float:
        """No interval is shorter."""
        return self.floor or self.first

    @property
    def mean(self) -> float:
        """The interval in the long run, where a forecast says when to look."""
        return self.usual or math.sqrt(self.first * self.ceiling)

    def interval(self, unchanged: int) -> float:
        """Seconds to the next look after so many looks that saw no change."""
        if self.growth <= 1.0 or self.first >= self.ceiling:
            return min(self.first, self.ceiling)
        # Beyond this power it is the ceiling anyway, and the power itself would overflow.
        steps = math.log(self.ceiling / self.first) / math.log(self.growth)
        return self.ceiling if unchanged >= steps else min(self.ceiling, self.first * self.growth ** max(0, unchanged))

    def capped(self, ceiling: float) -> Policy:
        """The same with another ceiling; what lies above it comes down to it."""
        return replace(self, ceiling=ceiling, first=min(self.first, ceiling), floor=min(self.floor, ceiling))

    def beginning(self, first: float) -> Policy:
        """The same with another first interval; a ceiling below it moves up to it."""
        return replace(self, first=first, ceiling=max(self.ceiling, first))


FOCUSED = Policy("focused", 2.0, 30.0, growth=1.5)
JOB = Policy("job", 30.0, 120.0)
TRAINING = Policy("training", 60.0, 300.0)
PIPELINE = Policy("pipeline", 10.0, 30.0, growth=1.5)
SWEEP = Policy("sweep", 5.0, 30.0, growth=1.5)  # one list of active runs, while a run is watched that is not in focus


def jittered(seconds: float, low: float, high: float, random: Random) -> float:
    """About so many seconds, never outside of `low` to `high`."""
    least, most = max(low, seconds * (1 - JITTER)), min(high, seconds * (1 + JITTER))
    return random.uniform(least, most) if least < most else min(max(seconds, low), high)


def hinted(own: float, retry_after: float | None) -> float:
    """The wait where a server gave a hint: never less than our own back-off, never more than five minutes for it."""
    if retry_after is None or not math.isfinite(retry_after) or retry_after <= 0:
        return own
    return max(own, min(retry_after, LONGEST_HINT))
