"""The runs and jobs that are watched: lists of active runs tell which of them is worth a look of its own.

Never reads a run that nothing is known to have happened to, unless it is in focus; never says twice what it said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from .backoff import JOB, SWEEP, TRAINING, Policy
from .forecast import Forecast
from .poller import Begin, Look, Pace, Poller
from .runs import Run
from .windows import PAGE, Expected, Window, Windows

LONG = 7200.0  # seconds; a job whose runs take so long is one of training
LOST = 3  # times in a row that a run is not found before it is let go: right after its start it may not be there yet
Shown = Callable[[str, str, bool], None]  # (ref, run or update that has ended, whether it failed)
# Where nothing is watched in a window, for whoever repairs an old run of a watched job.
FORGOTTEN = Policy("forgotten", 600.0, 600.0)

Tell = Callable[[str, Run], None]


class RunSource(Protocol):
    """Where runs are read; the workspace is one. Times are of their start, both ends included, 0 for none."""

    async def active_runs(self, start_from_ms: int = 0, start_to_ms: int = 0) -> tuple[Run, ...]: ...

    async def run(self, run_id: str) -> Run: ...


@dataclass(slots=True)
class _Watched:
    ref: str
    run_id: str
    job_id: str
    forecast: Forecast | None
    since: int  # how many lists had been asked for when it came
    start_ms: int  # when it started, or began to be watched while that is not known
    run: Run | None = None  # as it was last told
    row: tuple[object, ...] = ()  # what the list last said of it
    unlisted: bool = False  # it is active, and the list does not have it
    missed: int = 0  # times in a row that it was not found


@dataclass(slots=True)
class _Job:
    ref: str
    told: dict[str, int] = field(default_factory=dict)  # active runs that are known: id -> start


class Watchlist:
    """What is watched, and in which run somebody looks. `on_run(ref, run)` hears of each change of a watched run, its
    end last; `on_new_run(ref, run)` of each active run of a watched job that is not watched itself; `on_gone(run_id,
    reason)` of one that is let go, because it is not there or not shown to us any more.

    A run in focus is read by itself. All others are seen in lists of active runs, one for each window of start times,
    the more often the more likely a run in it ends; one is read by itself once it has changed or is gone from there.
    """

    def __init__(
        self,
        poller: Poller,
        source: RunSource,
        *,
        on_run: Tell,
        on_new_run: Tell,
        on_gone: Callable[[str, str], None] | None = None,
        sweep: Policy = SWEEP,
        job: Policy = JOB,
        training: Policy = TRAINING,
        page: int = PAGE,
    ) -> None:
        self._poller = poller
        self._source = source
        self._on_run = on_run
        self._on_new_run = on_new_run
        self._on_gone = on_gone
        self._sweep_policy = sweep
        self._job_policy = job
        self._training_policy = training
        self._watched: dict[str, _Watched] = {}
        self._jobs: dict[str, _Job] = {}
        self._windows = Windows(page)
        self._focus = ""
        self._lists = 0

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the watched runs that have not ended."""
        return tuple(self._watched)

    def watch(
        self, ref: str, run_id: str, job_id: str = "", forecast: Forecast | None = None, *, fresh: bool = False
    ) -> None:
        """Follow this run to its end. It is read by itself where it is in focus, changes, or no list has it.

        A `fresh` one was started just now: there is nothing to see yet. One that is not there (any more) is let go.
        """
        known = self._watched.get(run_id)
        if known is not None:
            known.ref, known.forecast = ref, forecast or known.forecast
            return
        watched = _Watched(ref, run_id, job_id, forecast, self._lists, self._poller.clock.now_ms())
        self._watched[run_id] = watched
        if run_id == self._focus:
            self._follow(run_id, begin="after" if fresh else "now")
        else:
            self._place(watched)
            self._poller.touch(self._windows.at(watched.start_ms).key)

    def unwatch(self, run_id: str) -> None:
        """Follow it no more."""
        watched = self._watched.pop(run_id, None)
        if watched is not None:
            self._poller.remove(_key(run_id))
            self._place(watched)

    def focus(self, run_id: str | None) -> None:
        """Somebody looks at this run, or at none. It need not be watched yet."""
        before, self._focus = self._focus, run_id or ""
        if before == self._focus:
            return
        left = self._watched.get(before)
        if left is not None:
            if not left.unlisted:
                self._poller.remove(_key(before))
            self._place(left)
        if self._focus in self._watched:
            self._follow(self._focus)
            self._place(self._watched[self._focus])
        self._poller.focus({_key(self._focus)} if self._focus else ())

    def watch_job(self, ref: str, job_id: str) -> None:
        """Tell of each run of this job that somebody starts."""
        known = self._jobs.get(job_id)
        self._jobs[job_id] = _Job(ref, known.told if known is not None else {})
        if len(self._jobs) == 1:
            self._plan_all()

    def unwatch_job(self, job_id: str) -> None:
        """Tell of its runs no more."""
        if self._jobs.pop(job_id, None) is not None and not self._jobs:
            self._plan_all()

    # --- one run ------------------------------------------------------------------------------------------------------

    def _follow(self, run_id: str, begin: Begin = "now") -> None:
        watched = self._watched[run_id]
        if run_id == self._focus or watched.unlisted:
            long = watched.forecast is not None and watched.forecast.mean >= LONG
            policy = self._training_policy if long else self._job_policy
            self._poller.add(_key(run_id), lambda: self._read(run_id), policy, self._pace(watched), begin=begin)
        else:
            self._poller.once(_key(run_id), lambda: self._read(run_id))

    def _look_at(self, run_id: str) -> None:
        """Something has happened to it."""
        if run_id == self._focus:
            self._poller.now(_key(run_id))
        else:
            self._follow(run_id)

    def _pace(self, watched: _Watched) -> Pace | None:
        forecast = watched.forecast
        if forecast is None:
            return None
        return lambda _, usual: forecast.wait(self._age(watched), usual)

    def _age(self, watched: _Watched) -> float:
        """Seconds since the run began, by the clock on the wall: that of the workspace is the only other there is."""
        return max(0.0, (self._poller.clock.now_ms() - watched.start_ms) / 1000)

    async def _read(self, run_id: str) -> Look:
        watched = self._watched.get(run_id)
        if watched is None:
            return Look(ended=True)
        try:
            run = await self._source.run(run_id)
        except Exception as error:
            watched.missed = watched.missed + 1 if getattr(error, "kind", "") in ("not_found", "forbidden") else 0
            if watched.missed >= LOST and self._watched.get(run_id) is watched:
                self.unwatch(run_id)
                if self._on_gone is not None:
                    self._on_gone(run_id, str(error))
            raise
        if self._watched.get(run_id) is not watched:
            return Look(ended=True)
        watched.missed = 0
        changed = run != watched.run
        watched.run = run
        if run.state.active:
            self._started(watched, run.start_ms)
        else:
            del self._watched[run_id]
            self._place(watched)
        if changed:
            self._on_run(watched.ref, run)
        return Look(changed, ended=not run.state.active or (run_id != self._focus and not watched.unlisted))

    # --- the lists ----------------------------------------------------------------------------------------------------

    def _place(self, watched: _Watched) -> None:
        """Put a run into its window, or take it out, as it is watched there or not."""
        window, run_id = self._windows.at(watched.start_ms), watched.run_id
        if run_id in self._watched and run_id != self._focus:
            window.put(run_id, Expected(watched.start_ms, watched.forecast))
            if len(window.runs) == 1:
                self._plan(window)
        elif window.take(run_id) and not window.runs:
            self._plan(window)

    def _started(self, watched: _Watched, start_ms: int) -> None:
        """Now it is known when it started."""
        if not start_ms or start_ms == watched.start_ms:
            return
        window = self._windows.at(watched.start_ms)
        if window.take(watched.run_id) and not window.runs:
            self._plan(window)
        watched.start_ms = start_ms
        self._place(watched)

    def _plan_all(self) -> None:
        for window in self._windows:
            self._plan(window)

    def _plan(self, window: Window, begin: Begin = "now") -> None:
        """Whether this window is read, and how often."""
        policy, pace = self._how_often(window)
        if policy is None:
            self._poller.remove(window.key)
        else:
            self._poller.add(window.key, lambda: self._list(window), policy, pace, begin=begin)

    def _how_often(self, window: Window) -> tuple[Policy | None, Pace | None]:
        if not window.runs:
            if not self._jobs:
                return None, None
            return (self._job_policy if window.newest else FORGOTTEN), None
        sweep = self._sweep_policy
        if window.whole:
            policy, rate = sweep, window.mean_rate
        else:
            # Requests go to the windows in which most ends: by the root of the rate, as within one.
            now_ms = self._poller.clock.now_ms()
            rate = max(window.rate(now_ms), 1e-9)
            rates = [other.mean_rate for other in self._windows if other.runs]
            usual = sweep.mean * math.sqrt(math.fsum(rates) / len(rates) / rate)
            ceiling = max(sweep.ceiling, self._job_policy.ceiling)
            policy = replace(sweep, ceiling=ceiling, usual=min(max(usual, sweep.lowest), ceiling), eager=False)
        root, ceiling = math.sqrt(rate), policy.ceiling / policy.mean

        def pace(_: float, usual: float) -> float:
            return window.wait(self._poller.clock.now_ms(), usual * root, usual * ceiling)

        return policy, pace

    async def _list(self, window: Window) -> Look:
        self._lists += 1
        number, window.reading = self._lists, True
        try:
            if window.whole:
                found = await self._source.active_runs()
            else:
                found = await self._source.active_runs(window.since_ms, max(0, window.before_ms - 1))
        finally:
            window.reading = False
        rows = {row.run_id: row for row in found}
        changed = False
        for run_id in [*window.runs, self._focus]:
            watched = self._watched.get(run_id)
            if watched is None:
                continue
            row = rows.get(run_id)
            if row is not None:
                changed |= self._listed(watched, row)
            elif watched.since < number and not watched.unlisted and self._windows.at(watched.start_ms) is window:
                # It has ended, or the list is behind: only the run itself can tell.
                watched.unlisted = changed = True
                self._look_at(run_id)
        changed |= self._new_runs(window, rows)
        self._rearrange(window, [row.start_ms for row in found])
        return Look(changed)

    def _listed(self, watched: _Watched, row: Run) -> bool:
        """Take in what the list says of a run; whether that is new."""
        said = (row.state.outcome, row.state.life, row.state.result, row.state.queue_reason)
        before, watched.row = watched.row, said
        if watched.unlisted:
            watched.unlisted = False
            if watched.run_id != self._focus:
                self._poller.remove(_key(watched.run_id))
        known = watched.run
        if known is None:
            watched.run = row
            self._started(watched, row.start_ms)
            self._on_run(watched.ref, row)
            return True
        if said == before or (not before and row.state.outcome == known.state.outcome):
            return False
        if row.state.outcome != known.state.outcome:
            watched.run = replace(known, state=row.state)
            self._on_run(watched.ref, watched.run)
        if watched.run_id == self._focus or not self._poller.short:
            self._look_at(watched.run_id)
        return True

    def _new_runs(self, window: Window, rows: dict[str, Run]) -> bool:
        """Tell of active runs of watched jobs that nobody knew; whether there were any."""
        found = False
        for job in self._jobs.values():
            for run_id, start_ms in list(job.told.items()):
                if run_id not in rows and self._windows.at(start_ms) is window:
                    del job.told[run_id]
        for run_id, row in rows.items():
            job_of = self._jobs.get(row.job_id)
            if job_of is None or run_id in job_of.told:
                continue
            job_of.told[run_id] = row.start_ms
            if run_id not in self._watched:
                found = True
                self._on_new_run(job_of.ref, row)
        return found

    def _rearrange(self, window: Window, starts: list[int]) -> None:
        gone, new = self._windows.took(window, starts)
        kept = {part.key for part in new}
        for old in gone:
            if old.key not in kept:
                self._poller.remove(old.key)
        for part in new:
            self._plan(part, begin="within")
        if not gone and window in self._windows:
            self._plan(window)


def _key(run_id: str) -> str:
    return f"run:{run_id}"
