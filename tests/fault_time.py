"""Outages, storms of refusals, laptops that sleep and clocks that jump, in virtual time: when and how often is asked.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from dbops_tui.core.api_errors import WorkspaceError
from dbops_tui.core.backoff import LONGEST_HINT
from dbops_tui.core.budget import Budget
from dbops_tui.core.poller import Poller
from dbops_tui.core.run_json import parse_run
from dbops_tui.core.runs import Run
from dbops_tui.core.watchlist import Watchlist
from fault_cases import Case
from virtual_time import VirtualClock, VirtualLoop, play

HOUR = 3600.0
QUIET = 1800.0  # seconds in which nothing is wrong, before the fault
AFTER = 600.0


class JumpingClock(VirtualClock):
    """A clock on the wall that somebody sets, over time that goes on as ever."""

    jumped_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.jumped_ms


@dataclass
class Place:
    """A workspace with runs that go on; it notes when it was asked, and answers with `error` while there is one."""

    clock: JumpingClock
    runs: int
    asked: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    error: Callable[[], WorkspaceError] | None = None

    def _ask(self) -> None:
        self.asked.append(self.clock.monotonic())
        if self.error is not None:
            raise self.error()
        self.seen.append(self.clock.monotonic())

    async def active_runs(self, start_from_ms: int = 0, start_to_ms: int = 0) -> tuple[Run, ...]:
        self._ask()
        return tuple(self._run(number) for number in range(self.runs))

    async def run(self, run_id: str) -> Run:
        self._ask()
        return self._run(int(run_id) - 1)

    def _run(self, number: int) -> Run:
        state = {"life_cycle_state": "RUNNING"}
        return parse_run({"run_id": number + 1, "job_id": number + 1, "state": state, "start_time": 1})

    def most_in(self, first: float, last: float, span: float = 60.0) -> int:
        """The most questions in any span of this time."""
        times = [at for at in self.asked if first <= at < last]
        return max((sum(start <= at < start + span for at in times) for start in times), default=0)


def _play(runs: int, what: Callable[[Place, Poller], Coroutine[Any, Any, str]]) -> str:
    loop = VirtualLoop()
    clock = JumpingClock(loop)
    place = Place(clock, runs)

    async def go() -> str:
        poller = Poller(clock, seed=1, budget=Budget(60, clock))
        watchlist = Watchlist(poller, place, on_run=lambda *_: None, on_new_run=lambda *_: None)
        task = asyncio.ensure_future(poller.run())
        for number in range(runs):
            watchlist.watch(f"jobs.{number}", str(number + 1))
        watchlist.focus("1")
        await clock.sleep(QUIET)
        try:
            return await what(place, poller)
        finally:
            await poller.close()
            await task

    return play(go(), loop)


def _outage(kind: Any, hint: float | None = None) -> Callable[[Place, Poller], Coroutine[Any, Any, str]]:
    async def what(place: Place, poller: Poller) -> str:
        clock, began = place.clock, place.clock.monotonic()
        quiet = place.most_in(began - QUIET / 2, began)
        place.error = lambda: WorkspaceError(kind, "nobody answers", retry_after=hint)
        await clock.sleep(HOUR)
        ended = clock.monotonic()
        during = place.most_in(began + 60, ended)
        place.error = None
        await clock.sleep(AFTER)
        if during > quiet * 1.1 + 1:
            return f"{during} questions a minute while nobody answers, {quiet} before"
        if hint is not None and hint > 0:
            times = [at for at in place.asked if began + 1 < at < ended]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            least = min(hint, LONGEST_HINT)
            if any(gap < least - 0.01 for gap in gaps):
                return f"asked again after {min(gaps):.1f} s, told to wait {least:.0f} s"
        back = next((at - ended for at in place.seen if at >= ended), None)
        longest = max(120.0, LONGEST_HINT if hint else 0.0)
        if back is None or back > longest:
            return f"seen again after {back} s"
        return _burst(place, ended + back, quiet)

    return what


def _burst(place: Place, at: float, quiet: int) -> str:
    least = max(4, quiet // 4)
    now = sum(at <= when < at + 2.0 for when in place.asked)
    return f"{now} questions at once after it" if now > least else ""


async def _asleep(place: Place, poller: Poller) -> str:
    quiet = place.most_in(place.clock.monotonic() - QUIET / 2, place.clock.monotonic())
    place.clock.away(8 * HOUR)
    woken = place.clock.monotonic()
    await place.clock.sleep(AFTER)
    back = next((at - woken for at in place.seen if at >= woken), None)
    if back is None or back > 120:
        return f"seen again after {back} s"
    return _burst(place, woken, quiet) or ("" if place.most_in(woken, woken + AFTER) <= quiet * 1.5 + 2 else "a burst")


def _jump(seconds: float) -> Callable[[Place, Poller], Coroutine[Any, Any, str]]:
    async def what(place: Place, poller: Poller) -> str:
        clock = place.clock
        before = [at for at in place.asked if at > clock.monotonic() - AFTER]
        clock.jumped_ms += int(seconds * 1000)
        jumped = clock.monotonic()
        await clock.sleep(AFTER)
        after = [at for at in place.asked if at > jumped]
        if not 0.7 * len(before) - 2 <= len(after) <= 1.3 * len(before) + 2:
            return f"{len(after)} questions in ten minutes, {len(before)} before"
        return _burst(place, jumped, len(before) // 10)

    return what


def all_times(resources: tuple[int, ...] = (1, 20, 300)) -> Iterator[Case]:
    """Each of these for so many watched runs."""
    for runs in resources:
        for kind in ("unreachable", "throttled", "signed_out", "server"):
            yield Case("outage of an hour", f"{kind}, {runs} runs", _play(runs, _outage(kind)))
        for hint in (1.0, 30.0, 3600.0, -1.0, float("nan")):
            yield Case("told to wait", f"Retry-After {hint}, {runs} runs", _play(runs, _outage("throttled", hint)))
        yield Case("laptop asleep", f"8 h, {runs} runs", _play(runs, _asleep))
        for seconds in (HOUR, -HOUR, 24 * HOUR, -24 * HOUR):
            yield Case("clock set", f"{seconds:+.0f} s, {runs} runs", _play(runs, _jump(seconds)))
