"""When a run is likely to end, from how long its like took before; and when the next look at it is worth most.

Never predicts out of nothing, and never relies on what it predicts: anything may end any time, or not at all.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST = 1.0  # seconds; shorter runs are as good as this long
_SURPRISE = 0.25  # of a run among those seen: one unlike all of them
_SURPRISE_SPREAD = 1.5  # of the logarithm
_PRIOR_SPREAD, _PRIOR_RUNS = 0.5, 2.0  # what a spread counts for before anything was seen
# What a forecast would save of delays at best, from where on it is trusted, and from where on in full. Below, it says
# so little that looks at equal distances are as good, and safer.
_LITTLE, _MUCH = 0.15, 0.4
_LEAST_SPREAD = 0.05
_SIGNS_OF_TWO = 3.0  # times ln n, by which two kinds of runs have to explain the past better than one


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of runs among those seen: their share, and mean and spread of the logarithm of their seconds."""

    share: float
    middle: float
    spread: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long runs of one job take: `mean` in seconds, and how much a look is worth over a run's age.

    The best looks for a given number of them come at a density of the square root of the rate of endings: twice as
    often where four times as many end. `worth` is its integral over `ages`.
    """

    kinds: tuple[Kind, ...]  # the last of them is the surprise
    mean: float
    ages: tuple[float, ...]
    rates: tuple[float, ...]  # of endings a second, among runs that have come to each of the ages
    worth: tuple[float, ...]
    whole: float  # what the looks at one run are worth, on average

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Forecast:
        """From how long past runs took. Raises ValueError where there is none."""
        logs = sorted(math.log(max(LEAST, taken)) for taken in seconds if math.isfinite(taken))
        if not logs:
            raise ValueError("a forecast needs at least one past run")
        surprise = _SURPRISE / (len(logs) + 1)
        kinds = [Kind(kind.share * (1 - surprise), kind.middle, kind.spread) for kind in _kinds(logs)]
        kinds.append(Kind(surprise, math.fsum(logs) / len(logs), _SURPRISE_SPREAD))
        mean, ages, rates, worth, whole = _integrated(kinds)
        trust = min(1.0, max(0.0, (1 - whole * whole / mean - _LITTLE) / (_MUCH - _LITTLE)))
        trust *= len(logs) / (len(logs) + 1)  # two or three can be alike by chance
        even = (1 - trust) * whole / mean
        trusted = tuple(trust * w + even * age for age, w in zip(ages, worth, strict=True))
        return cls(tuple(kinds), mean, ages, rates, trusted, whole)

    def rate(self, age: float) -> float:
        """Endings a second among runs that have come to this age in seconds."""
        return self.rates[min(bisect_right(self.ages, age), len(self.ages) - 1)]

    def wait(self, age: float, usual: float) -> float:
        """Seconds from this age until the next look, so that over a whole run they are `usual` apart on average."""
        now = self._worth_at(max(0.0, age))
        return self._age_at(now + self.whole * usual / self.mean) - max(0.0, age)

    def _worth_at(self, age: float) -> float:
        return _between(self.ages, self.worth, age)

    def _age_at(self, worth: float) -> float:
        return _between(self.worth, self.ages, worth)


def _kinds(logs: Sequence[float]) -> list[Kind]:
    """One kind of runs, or two where the past falls clearly into short and long ones; ascending logarithms."""
    count = len(logs)
    one = [_kind(logs, 1.0)]
    best, found = _misfit(logs), one
    for cut in range(2, count - 1):
        short, long = logs[:cut], logs[cut:]
        part = cut / count
        mixing = -2 * count * (part * math.log(part) + (1 - part) * math.log(1 - part))
        misfit = _misfit(short) + _misfit(long) + mixing + _SIGNS_OF_TWO * math.log(count)
        if misfit < best:
            best, found = misfit, [_kind(short, part), _kind(long, 1 - part)]
    return found


def _misfit(logs: Sequence[float]) -> float:
    """Minus twice the log likelihood of a normal, but for a constant."""
    return len(logs) * math.log(max(_LEAST_SPREAD**2, _squares(logs) / len(logs)))


def _squares(logs: Sequence[float]) -> float:
    middle = math.fsum(logs) / len(logs)
    return math.fsum((value - middle) ** 2 for value in logs)


def _kind(logs: Sequence[float], share: float) -> Kind:
    count = len(logs)
    spread = math.sqrt((_squares(logs) + _PRIOR_RUNS * _PRIOR_SPREAD**2) / (count - 1 + _PRIOR_RUNS))
    # The middle is only known as well as so few runs tell it.
    return Kind(share, math.fsum(logs) / count, max(_LEAST_SPREAD, spread * math.sqrt(1 + 1 / count)))


def _density_and_left(kinds: Sequence[Kind], age: float) -> tuple[float, float]:
    density = left = 0.0
    for kind in kinds:
        at = (math.log(age) - kind.middle) / kind.spread
        density += kind.share * math.exp(-at * at / 2) / (math.sqrt(2 * math.pi) * kind.spread * age)
        left += kind.share * 0.5 * math.erfc(at / math.sqrt(2))
    return density, left


def _integrated(
    kinds: Sequence[Kind],
) -> tuple[float, tuple[float, ...], tuple[float, ...], tuple[float, ...], float]:
    """(mean, ages, rates, worth up to each age, worth of a whole run): trapezoids, close where a kind of runs ends."""
    logs = sorted({kind.middle + kind.spread * step / 6 for kind in kinds for step in range(-26, 27)})
    ages = [0.0, *(math.exp(value) for value in logs)]
    rates, worth, whole, mean = [0.0], [0.0], 0.0, 0.0
    seen_before, left_before = 0.0, 1.0
    for before, age in pairwise(ages):
        density, left = _density_and_left(kinds, age)
        rates.append(density / left if left > 1e-12 else 0.0)
        seen = math.sqrt(density * left)
        worth.append(worth[-1] + (math.sqrt(rates[-2]) + math.sqrt(rates[-1])) / 2 * (age - before))
        whole += (seen_before + seen) / 2 * (age - before)
        mean += (left_before + left) / 2 * (age - before)
        seen_before, left_before = seen, left
    return mean, tuple(ages), tuple(rates), tuple(worth), whole


def _between(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """The line through the points at `x`; beyond the last it goes on."""
    right = min(max(1, bisect_right(xs, x)), len(xs) - 1)
    while right < len(xs) - 1 and xs[right] <= xs[right - 1]:
        right += 1
    (x0, x1), (y0, y1) = (xs[right - 1], xs[right]), (ys[right - 1], ys[right])
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else math.inf
