"""Spans of start times, each with about as many active runs as a page of the list holds: what one request can cover.

Never reads anything and never loses a run: the windows always cover all times, without a gap and without overlap.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .forecast import Forecast

PAGE = 24  # runs that one page of runs/list holds
_AIM = 20  # runs in a window when it is cut, so that it does not spill over at once
_YOUNG = 300.0  # seconds; a run of this age of which nothing is known may end as well within as many again


@dataclass(frozen=True, slots=True)
class Expected:
    """A run that will end: when it started, and what is known of how long its like takes."""

    start_ms: int
    forecast: Forecast | None = None

    def rate(self, now_ms: float) -> float:
        """How likely it is to end within the next second."""
        age = max(0.0, (now_ms - self.start_ms) / 1000)
        return self.forecast.rate(age) if self.forecast is not None else 1.0 / (_YOUNG + age)

    @property
    def mean_rate(self) -> float:
        """The same, on average over its life."""
        return 1.0 / (self.forecast.mean if self.forecast is not None else 2 * _YOUNG)


@dataclass(slots=True, eq=False)
class Window:
    """Runs that started at `since_ms` or later, and before `before_ms` (0: no end). `runs` are those watched in it."""

    since_ms: int = 0
    before_ms: int = 0
    runs: dict[str, Expected] = field(default_factory=dict)
    rows: int = 0  # active runs in it when it was last read, watched or not
    reading: bool = False
    mean_rate: float = 0.0  # endings a second to expect in it on average over the lives of its runs

    def put(self, run_id: str, run: Expected) -> None:
        self.take(run_id)
        self.runs[run_id] = run
        self.mean_rate += run.mean_rate

    def take(self, run_id: str) -> bool:
        """Take a run out; whether it was in."""
        run = self.runs.pop(run_id, None)
        if run is not None:
            self.mean_rate = self.mean_rate - run.mean_rate if self.runs else 0.0
        return run is not None

    @property
    def key(self) -> str:
        return f"runs:{self.since_ms}"

    @property
    def newest(self) -> bool:
        return not self.before_ms

    @property
    def whole(self) -> bool:
        """Whether it is the only one."""
        return self.newest and not self.since_ms

    def rate(self, now_ms: float) -> float:
        """Endings a second to expect in it."""
        return math.fsum(run.rate(now_ms) for run in self.runs.values())

    def wait(self, now_ms: float, worth: float, longest: float) -> float:
        """Seconds until the root of the rate of endings has added up to `worth`; at most `longest`."""
        after, before = 0.0, math.sqrt(self.rate(now_ms))
        step = min(longest / 16, worth / before / 2 if before > 0 else longest)
        while after < longest:
            rate = math.sqrt(self.rate(now_ms + (after + step) * 1000))
            gained = (before + rate) / 2 * step
            if gained >= worth:
                return after + step * worth / gained
            worth, before, after = worth - gained, rate, after + step
            step *= 1.5
        return longest


class Windows:
    """All windows in order of time. One in the beginning; more, where the list has more runs than a page holds."""

    def __init__(self, page: int = PAGE) -> None:
        self._page = page
        self._aim = max(1, _AIM * page // PAGE)
        self._all = [Window()]

    def __iter__(self) -> Iterator[Window]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, window: Window) -> bool:
        return any(known is window for known in self._all)

    def at(self, start_ms: int) -> Window:
        """The window for a run that started then."""
        return self._all[max(0, bisect_right(self._all, start_ms, key=lambda window: window.since_ms) - 1)]

    def took(self, window: Window, starts: Sequence[int]) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
        """Take in when the active runs in a window started; the windows that are gone because of it, and the new ones.

        It is cut where it holds more than a page, and put together with a neighbour where both hold little.
        """
        if window not in self:
            return (), ()
        window.rows = len(starts)
        if len(starts) > self._page:
            return self._cut(window, sorted(starts))
        place = self._all.index(window)
        for left in (place - 1, place):
            if left >= 0 and left + 1 < len(self._all) and self._fit(self._all[left], self._all[left + 1], window):
                return self._join(left)
        return (), ()

    def _cut(self, window: Window, starts: Sequence[int]) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
        # Several runs may have started in the same millisecond: no cut can part them.
        edges = sorted({starts[count] for count in range(self._aim, len(starts), self._aim)} - {starts[0]})
        if not edges:
            return (), ()
        bounds = [window.since_ms, *edges, window.before_ms]
        parts = [Window(since, before) for since, before in pairwise(bounds)]
        place = self._all.index(window)
        self._all[place : place + 1] = parts
        for start in starts:
            self.at(start).rows += 1
        for run_id, run in window.runs.items():
            self.at(run.start_ms).put(run_id, run)
        return (window,), tuple(parts)

    def _fit(self, left: Window, right: Window, read: Window) -> bool:
        if any(window.reading and window is not read for window in (left, right)):
            return False
        return left.rows + right.rows < self._page - 1

    def _join(self, left: int) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
        one, other = self._all[left], self._all[left + 1]
        joined = Window(one.since_ms, other.before_ms, rows=one.rows + other.rows)
        for run_id, run in (*one.runs.items(), *other.runs.items()):
            joined.put(run_id, run)
        self._all[left : left + 2] = [joined]
        return (one, other), (joined,)
