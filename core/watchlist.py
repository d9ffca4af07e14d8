"""The runs and jobs that are watched: one list of active runs tells which of them is worth a look of its own.

Never reads a run that nothing is known to have happened to, unless it is in focus; never says twice what it said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from .backoff import JOB, SWEEP, Policy
from .forecast import Forecast
from .poller import Look, Pace, Poller
from .runs import Run

Tell = Callable[[str, Run], None]


class RunSource(Protocol):
    """Where runs are read; the workspace is one."""

    async def active_runs(self) -> tuple[Run, ...]: ...

    async def run(self, run_id: str) -> Run: ...


@dataclass(slots=True)
class _Watched:
    ref: str
    run_id: str
    job_id: str
    forecast: Forecast | None
    since: float
    run: Run | None = None  # as it was last told
    row: tuple[object, ...] = ()  # what the list last said of it
    unlisted: bool = False  # it is active, and the list does not have it


@dataclass(slots=True)
class _Job:
    ref: str
    told: set[str] = field(default_factory=set)


class Watchlist:
    """What is watched, and in which run somebody looks. `on_run(ref, run)` hears of each change of a watched run, its
    end last; `on_new_run(ref, run)` of each active run of a watched job that is not watched itself."""

    def __init__(
        self,
        poller: Poller,
        source: RunSource,
        *,
        on_run: Tell,
        on_new_run: Tell,
        sweep: Policy = SWEEP,
        job: Policy = JOB,
    ) -> None:
        self._poller = poller
        self._source = source
        self._on_run = on_run
        self._on_new_run = on_new_run
        self._sweep_policy = sweep
        self._job_policy = job
        self._watched: dict[str, _Watched] = {}
        self._jobs: dict[str, _Job] = {}
        self._focus = ""
        self._sweeps = 0
        self._sweeping: Policy | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        """The ids of the watched runs that have not ended."""
        return tuple(self._watched)

    def watch(self, ref: str, run_id: str, job_id: str = "", forecast: Forecast | None = None) -> None:
        """Follow this run to its end: it is read at once, and after that where it is in focus or seems to change."""
        known = self._watched.get(run_id)
        if known is not None:
            known.ref, known.forecast = ref, forecast or known.forecast
        else:
            self._watched[run_id] = _Watched(ref, run_id, job_id, forecast, self._sweeps)
        self._follow(run_id)
        self._plan()

    def unwatch(self, run_id: str) -> None:
        """Follow it no more."""
        if self._watched.pop(run_id, None) is not None:
            self._poller.remove(_key(run_id))
            self._plan()

    def focus(self, run_id: str | None) -> None:
        """Somebody looks at this run, or at none. It need not be watched yet."""
        before, self._focus = self._focus, run_id or ""
        if before == self._focus:
            return
        if before in self._watched and not self._watched[before].unlisted:
            self._poller.remove(_key(before))
        if self._focus in self._watched:
            self._follow(self._focus)
        self._poller.focus({_key(self._focus)} if self._focus else ())
        self._plan()

    def watch_job(self, ref: str, job_id: str) -> None:
        """Tell of each run of this job that somebody starts."""
        self._jobs[job_id] = _Job(ref)
        self._plan()

    def unwatch_job(self, job_id: str) -> None:
        """Tell of its runs no more."""
        if self._jobs.pop(job_id, None) is not None:
            self._plan()

    # --- one run ------------------------------------------------------------------------------------------------------

    def _follow(self, run_id: str) -> None:
        watched = self._watched[run_id]
        if run_id == self._focus or watched.unlisted:
            self._poller.add(_key(run_id), lambda: self._read(run_id), self._job_policy, self._pace(watched))
        else:
            self._poller.once(_key(run_id), lambda: self._read(run_id))

    def _pace(self, watched: _Watched) -> Pace | None:
        forecast = watched.forecast
        if forecast is None:
            return None
        return lambda _, usual: forecast.wait(self._age(watched), usual)

    def _age(self, watched: _Watched) -> float:
        """Seconds since the run began, by the clock on the wall: that of the workspace is the only other there is."""
        start_ms = watched.run.start_ms if watched.run is not None else 0
        return max(0.0, (self._poller.clock.now_ms() - start_ms) / 1000) if start_ms else 0.0

    async def _read(self, run_id: str) -> Look:
        watched = self._watched.get(run_id)
        if watched is None:
            return Look(ended=True)
        run = await self._source.run(run_id)
        if self._watched.get(run_id) is not watched:
            return Look(ended=True)
        changed = run != watched.run
        watched.run = run
        if not run.state.active:
            del self._watched[run_id]
            self._plan()
        if changed:
            self._on_run(watched.ref, run)
        return Look(changed, ended=not run.state.active or (run_id != self._focus and not watched.unlisted))

    # --- the list -----------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Whether the list is needed, and how often."""
        others = any(run_id != self._focus for run_id in self._watched)
        policy = self._sweep_policy if others else self._job_policy if self._jobs else None
        if policy == self._sweeping:
            return
        self._sweeping = policy
        if policy is None:
            self._poller.remove(_LIST)
        else:
            self._poller.add(_LIST, self._sweep, policy)

    async def _sweep(self) -> Look:
        self._sweeps += 1
        number = self._sweeps
        rows = {row.run_id: row for row in await self._source.active_runs()}
        changed = False
        for run_id, watched in list(self._watched.items()):
            row = rows.get(run_id)
            if row is not None:
                changed |= self._listed(watched, row)
            elif watched.since < number and not watched.unlisted and watched.run is not None:
                # It has ended, or the list is behind: only the run itself can tell.
                watched.unlisted = True
                changed = True
                self._follow(run_id)
        for job_id, job in list(self._jobs.items()):
            there = {run_id for run_id, row in rows.items() if row.job_id == job_id}
            news, job.told = there - job.told - self._watched.keys(), there
            for run_id in sorted(news):
                changed = True
                self._on_new_run(job.ref, rows[run_id])
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
        if known is None or said == before or (not before and row.state.outcome == known.state.outcome):
            return False
        if row.state.outcome != known.state.outcome:
            watched.run = replace(known, state=row.state, start_ms=row.start_ms or known.start_ms)
            self._on_run(watched.ref, watched.run)
        if watched.run_id == self._focus:
            self._poller.now(_key(watched.run_id))
        else:
            self._follow(watched.run_id)
        return True


_LIST = "runs"


def _key(run_id: str) -> str:
    return f"run:{run_id}"
