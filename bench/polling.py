"""How long a change of a watched run takes to reach the screen, and what that costs in requests, beside four peers.

The real poller, watchlist, budget and forecast, on a virtual clock; simulated is the workspace, as its API works.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import math
import statistics
import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from dbops_tui.core.backoff import SWEEP, Policy
from dbops_tui.core.budget import Budget
from dbops_tui.core.config import Config
from dbops_tui.core.forecast import Forecast
from dbops_tui.core.poller import Poller
from dbops_tui.core.runs import Outcome, Run, RunState
from dbops_tui.core.watchlist import Watchlist

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from virtual_time import EPOCH_MS, VirtualClock, VirtualLoop

ANSWER = 0.1  # seconds that any request takes; what it tells is as of when it was sent
PAGE = 25  # runs on a page of runs/list
PAST = 25  # past runs of each job that are known
MINUTE, HOUR = 60.0, 3600.0

# --- how long runs take -----------------------------------------------------------------------------------------------

Draw = Callable[[Random], float]  # seconds


def lognormal(median: float, spread: float) -> Draw:
    """As jobs on data of about the same size do."""
    return lambda random: median * math.exp(random.gauss(0.0, spread))


def bimodal(short: float, long: float) -> Draw:
    """As jobs that often find nothing to do."""
    return lambda random: (short if random.random() < 0.6 else long) * math.exp(random.gauss(0.0, 0.2))


def stuck(median: float, limit: float) -> Draw:
    """As jobs of which one in five hangs until it times out."""
    usual = lognormal(median, 0.3)
    return lambda random: limit if random.random() < 0.2 else usual(random)


def exponential(mean: float) -> Draw:
    """As nothing that could be predicted."""
    return lambda random: max(1.0, random.expovariate(1.0 / mean))


@dataclass
class Job:
    """One job: how long its runs took before, and from when to when its runs go. Seconds."""

    number: int
    past: list[float]
    runs: list[tuple[float, float]]
    focused: bool

    @classmethod
    def of(cls, number: int, draw: Draw, begin: float, until: float, random: Random, *, past: bool = True) -> Job:
        """Runs from `begin` on, each started some minutes after the last has ended."""
        known = [draw(random) for _ in range(PAST)] if past else []
        runs, at = [], begin
        while at < until:
            runs.append((at, at + draw(random)))
            at = runs[-1][1] + random.uniform(MINUTE, 5 * MINUTE)
        # What had ended when the clock starts is history.
        return cls(number, known, [run for run in runs if run[1] > 0], number == 0)


def many_jobs(count: int, until: float, random: Random) -> list[Job]:
    """A mixture; each job has run for a while when the clock starts, so its run may be at any age."""
    jobs = []
    for number in range(count):
        median = math.exp(random.uniform(math.log(10 * MINUTE), math.log(3 * HOUR)))
        kind = number % 20
        if kind < 12:
            draw = lognormal(median, 0.3)
        elif kind < 15:
            draw = lognormal(median, 1.0)
        elif kind < 18:
            draw = bimodal(2 * MINUTE, 30 * MINUTE)
        else:
            draw = stuck(20 * MINUTE, 3 * HOUR)
        jobs.append(Job.of(number, draw, -random.uniform(12, 24) * HOUR, until, random))
    return jobs


# --- what is measured -------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """Delays from the end of a run to the screen in seconds, and requests, between two points of time."""

    begin: float
    until: float
    delays: list[float] = field(default_factory=list)
    requests: float = 0.0

    def ended(self, end: float, seen: float) -> None:
        if self.begin <= end < self.until:
            self.delays.append(seen - end)

    def asked(self, at: float, requests: float = 1.0) -> None:
        if self.begin <= at < self.until:
            self.requests += requests

    @property
    def mean(self) -> float:
        return statistics.fmean(self.delays)

    @property
    def p95(self) -> float:
        return sorted(self.delays)[min(len(self.delays) - 1, int(len(self.delays) * 0.95))]

    @property
    def per_minute(self) -> float:
        return self.requests * 60 / (self.until - self.begin)


# --- the peers --------------------------------------------------------------------------------------------------------

# The seconds after the start of a run at which it is asked for.
Polls = Callable[[Random], Iterator[float]]


def playbook(_: Random) -> Iterator[float]:
    """30, then 60, then every 120 s, of each run."""
    at = 0.0
    for wait in (30.0, 60.0):
        at += wait
        yield at
        at += ANSWER
    while True:
        at += 120.0
        yield at
        at += ANSWER


def bundle_run(random: Random) -> Iterator[float]:
    """`databricks bundle run`: at once, then a second longer each time up to 10, and 50 to 750 ms more."""
    at, attempt = 0.0, 0
    while True:
        yield at
        attempt += 1
        at += ANSWER + min(10.0, attempt) + random.uniform(0.05, 0.75)


def every_five(_: Random) -> Iterator[float]:
    """The editor extension: every 5 s, of each run."""
    at = 0.0
    while True:
        yield at
        at += ANSWER + 5.0


def follows_each(polls: Polls) -> Callable[[Sequence[Job], Seen, Random], None]:
    """A peer that asks for each run by itself."""

    def watch(jobs: Sequence[Job], seen: Seen, random: Random) -> None:
        for job in jobs:
            for start, end in job.runs:
                for after in polls(random):
                    seen.asked(start + after)
                    if start + after >= end:
                        seen.ended(end, start + after + ANSWER)
                        break

    return watch


def fixed_list(jobs: Sequence[Job], seen: Seen, random: Random) -> None:
    """The other console: every 30 s the list of jobs and the last runs of each, one request for each job; the run that
    is looked at every 5 s."""
    alone = all(job.focused for job in jobs)
    if not alone:
        for tick in range(int(seen.until // 30.0) + 1):
            seen.asked(tick * 30.0, 1 + len(jobs))
    for job in jobs:
        for start, end in job.runs:
            at = math.ceil(end / 30.0) * 30.0
            if job.focused:
                for after in every_five(random):
                    seen.asked(start + after)
                    if start + after >= end:
                        at = min(at, start + after)
                        break
            if alone:
                # There is one job, and between its runs the console may as well be closed.
                seen.asked(start, 2 * (at // 30.0 - start // 30.0))
            seen.ended(end, at + ANSWER)


PEERS: dict[str, Callable[[Sequence[Job], Seen, Random], None]] = {
    "playbook": follows_each(playbook),
    "bundle_run": follows_each(bundle_run),
    "fixed_list": fixed_list,
    "editor": follows_each(every_five),
}

# --- ours -------------------------------------------------------------------------------------------------------------

RUNNING = RunState(Outcome.RUNNING, life="RUNNING")
DONE = RunState(Outcome.SUCCEEDED, life="TERMINATED", result="SUCCESS")


class Workspace:
    """Runs that start and end by the clock. Lists tell of 25 a page, newest start first; each page is a request."""

    def __init__(self, clock: VirtualClock, budget: Budget, seen: Seen) -> None:
        self._clock = clock
        self._budget = budget
        self._seen = seen
        self._ends: dict[str, float] = {}
        self._starts: list[tuple[int, str]] = []  # of active runs, ascending
        self._rows: dict[str, Run] = {}

    def begins(self, run_id: str, job_id: str, start: float, end: float) -> None:
        row = Run(run_id, job_id, run_id, RUNNING, start_ms=EPOCH_MS + int(start * 1000))
        self._ends[run_id], self._rows[run_id] = end, row
        insort(self._starts, (row.start_ms, run_id))

    def is_over(self, run_id: str) -> None:
        self._starts.remove((self._rows[run_id].start_ms, run_id))

    async def _request(self) -> None:
        await self._budget.take()
        self._seen.asked(self._clock.monotonic())

    async def active_runs(self, start_from_ms: int = 0, start_to_ms: int = 0) -> tuple[Run, ...]:
        found: list[Run] = []
        last = (start_to_ms + 1, "") if start_to_ms else (sys.maxsize, "")
        while True:
            await self._request()
            low, high = bisect_left(self._starts, (start_from_ms, "")), bisect_left(self._starts, last)
            part = self._starts[max(low, high - PAGE) : high]
            found += [self._rows[run_id] for _, run_id in reversed(part)]
            await self._clock.sleep(ANSWER)
            if high - PAGE <= low:
                return tuple(found)
            last = part[0]

    async def run(self, run_id: str) -> Run:
        await self._request()
        row, end = self._rows[run_id], self._ends[run_id]
        ended = self._clock.monotonic() >= end
        await self._clock.sleep(ANSWER)
        if not ended:
            return row
        return Run(run_id, row.job_id, row.name, DONE, row.start_ms, end_ms=EPOCH_MS + int(end * 1000))


@dataclass(frozen=True)
class Manner:
    """How ours is set: the budget, what of it may be spent unasked, and the policies; None are those of the product."""

    per_minute: float
    span: float = MINUTE
    share: float | None = None
    focused: Policy | None = None
    sweep: Policy | None = None


PRODUCT = Manner(Config().request_budget_per_minute)
# Asks for far more than any budget has, so that the budget alone decides how often.
GREEDY = Policy("greedy", first=0.5, ceiling=5.0, growth=1.0, floor=0.05, usual=0.5, eager=False)


def alone(per_minute: float) -> Manner:
    """One run, looked at so often on average; a day's requests can be saved up for when it is likely to end."""
    return Manner(per_minute / 0.98, 12 * HOUR, 0.98, GREEDY, GREEDY)


def among_many(per_minute: float) -> Manner:
    """Many runs: lists as often as so many requests allow; the one in focus no more often than in the product."""
    return Manner(per_minute, max(MINUTE, MINUTE * 1000 / per_minute), 0.97, None, GREEDY)


def ours(jobs: Sequence[Job], seen: Seen, manner: Manner, seed: int) -> None:
    """Watch these jobs with the real thing."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(_watch(loop, jobs, seen, manner, seed))
    finally:
        loop.close()


async def _watch(loop: VirtualLoop, jobs: Sequence[Job], seen: Seen, manner: Manner, seed: int) -> None:
    clock = VirtualClock(loop)
    budget = Budget(manner.per_minute, clock, span=manner.span)
    workspace = Workspace(clock, budget, seen)
    options: dict[str, Any] = {} if manner.share is None else {"share": manner.share}
    if manner.focused is not None:
        options["focused"] = manner.focused
    errors: list[Exception] = []
    poller = Poller(clock, seed=seed, on_error=lambda _, error: errors.append(error), budget=budget, **options)

    def on_run(ref: str, run: Run) -> None:
        if not run.state.active:
            seen.ended(ends[run.run_id], clock.monotonic())

    sweep = manner.sweep or SWEEP
    watchlist = Watchlist(poller, workspace, on_run=on_run, on_new_run=on_run, sweep=sweep)
    forecasts = {job.number: Forecast.of(job.past) if job.past else None for job in jobs}
    ends: dict[str, float] = {}
    over: list[str] = []
    changes = [(start, 1, job.number, count) for job in jobs for count, (start, _) in enumerate(job.runs)]
    changes += [(end, 0, job.number, count) for job in jobs for count, (_, end) in enumerate(job.runs)]
    heapq.heapify(changes)
    running = asyncio.ensure_future(poller.run())
    by_number = {job.number: job for job in jobs}
    while changes and changes[0][0] < seen.until:
        at, begins, number, count = heapq.heappop(changes)
        await clock.sleep(at - clock.monotonic())
        job, run_id = by_number[number], f"{number}-{count}"
        if begins:
            ends[run_id] = job.runs[count][1]
            workspace.begins(run_id, str(number), at, ends[run_id])
            if job.focused:
                watchlist.focus(run_id)
            watchlist.watch(f"jobs.{number}", run_id, str(number), forecasts[number], fresh=True)
        else:
            workspace.is_over(run_id)
            over.append(run_id)
    # What ended last has to be seen, too; requests are counted no more.
    while any(run_id in watchlist.runs for run_id in over):
        await clock.sleep(1.0)
    await poller.close()
    await running
    if errors:
        raise errors[0]


# --- one against the other --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A peer and ours on the same runs."""

    title: str
    peer: str
    theirs: Seen
    ours: Seen

    @property
    def delay_ratio(self) -> float:
        return self.ours.mean / self.theirs.mean

    @property
    def request_ratio(self) -> float:
        return self.ours.requests / self.theirs.requests

    def row(self) -> str:
        cells = [f"{seen.mean:9.2f}{seen.p95:8.1f}{seen.per_minute:10.2f}" for seen in (self.theirs, self.ours)]
        ratios = f"{self.delay_ratio:9.3f}{self.request_ratio:10.3f}"
        return f"{self.title:18}{self.peer:12}{len(self.ours.delays):6}{cells[0]}{cells[1]}{ratios}"


# Watched alone: (name, how long runs take, whether the past is known); the first is what can be predicted.
ALONE: tuple[tuple[str, Draw, bool], ...] = (
    ("lognormal_0.3", lognormal(10 * MINUTE, 0.3), True),
    ("lognormal_0.1", lognormal(10 * MINUTE, 0.1), True),
    ("lognormal_1.0", lognormal(3 * MINUTE, 1.0), True),
    ("bimodal", bimodal(2 * MINUTE, 20 * MINUTE), True),
    ("stuck", stuck(10 * MINUTE, HOUR), True),
    ("no_history", exponential(2 * MINUTE), False),
)
PREDICTED = ALONE[0][0]
# How many runs, by peer: those that ask seldom are cheap to simulate. More where runs are short and ratios near 1.
RUNS_ALONE = {"playbook": 800, "bundle_run": 180, "fixed_list": 100, "editor": 180}
TIMES = {"lognormal_0.1": 0.5, "bimodal": 0.5, "stuck": 0.4, "lognormal_1.0": 1.5, "no_history": 6.0}
RUNS_OF_A_JOB = 10  # then another job, whose past is another
# From when to when is measured, in hours, by number of runs and peer.
SPANS: dict[int, dict[str, tuple[float, float]]] = {
    10: {"playbook": (1, 25), "bundle_run": (0.5, 6.5), "fixed_list": (0.5, 8.5), "editor": (0.5, 4.5)},
    100: {"playbook": (1, 5), "bundle_run": (0.2, 0.8), "fixed_list": (0.2, 1.2), "editor": (0.05, 0.3)},
    1000: {"playbook": (0.3, 0.7), "bundle_run": (0.02, 0.07), "fixed_list": (0.03, 0.13), "editor": (0.02, 0.07)},
}
# As the product is set: enough hours for the spend to be the usual one.
SPANS_OF_PRODUCT = {1: (1.0, 25.0), 10: (1.0, 25.0), 100: (1.0, 5.0), 1000: (0.5, 1.0)}


def pair_alone(name: str, draw: Draw, past: bool, peer: str, runs: int) -> Pair:
    """So many runs, one after the other; ours asks as often as the peer does over all of them, at most."""
    random = Random(f"{name} {peer}")
    jobs, at = [], 0.0
    for number in range(max(3, runs // RUNS_OF_A_JOB)):
        job = Job.of(number, draw, 0.0, 0.0, random, past=past)
        for _ in range(RUNS_OF_A_JOB):
            job.runs.append((at, at + draw(random)))
            at = job.runs[-1][1] + 15 * MINUTE
        jobs.append(replace(job, focused=True))
    # First over some of them, to find the rate at which ours asks as often; then over all.
    few = jobs[: len(jobs) // 3]
    pilot, theirs = Seen(0.0, few[-1].runs[-1][1]), Seen(0.0, at)
    PEERS[peer](few, pilot, random)
    PEERS[peer](jobs, theirs, random)
    per_minute = pilot.requests * MINUTE / math.fsum(end - start for job in few for start, end in job.runs)
    per_minute *= 0.985 * pilot.requests / _alone(few, pilot.until, per_minute).requests
    seen = _alone(jobs, at, per_minute)
    while seen.requests > theirs.requests:
        per_minute *= 0.995 * theirs.requests / seen.requests
        seen = _alone(jobs, at, per_minute)
    return Pair(f"1 {name}", peer, theirs, seen)


def _alone(jobs: Sequence[Job], until: float, per_minute: float) -> Seen:
    seen = Seen(0.0, until)
    ours(jobs, seen, alone(per_minute), seed=1)
    return seen


def pair_among_many(count: int, peer: str, begin: float, until: float) -> Pair:
    """So many jobs, one of them in focus."""
    jobs = many_jobs(count, until, Random(count))
    theirs, seen = Seen(begin, until), Seen(begin, until)
    PEERS[peer](jobs, theirs, Random(count))
    ours(jobs, seen, among_many(theirs.per_minute), seed=1)
    return Pair(str(count), peer, theirs, seen)


def of_product(count: int, begin: float, until: float) -> Seen:
    """As the product is set."""
    seen = Seen(begin, until)
    ours(many_jobs(count, until, Random(count)), seen, PRODUCT, seed=1)
    return seen


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the runs that are watched alone")
    options = parser.parse_args()
    cells = "".join(f"{whose:>9}{'p95':>8}{'req/min':>10}" for whose in ("theirs s", "ours s"))
    print(f"{'watched runs':18}{'peer':12}{'ends':>6}{cells}{'delay':>9}{'requests':>10}")
    delay: dict[str, dict[str, float]] = {}
    requests: dict[str, dict[str, float]] = {}
    alone_delay: dict[str, dict[str, float]] = {}

    def note(into: dict[str, dict[str, float]], key: str, pair: Pair) -> None:
        print(pair.row(), flush=True)
        into.setdefault(key, {})[pair.peer] = round(pair.delay_ratio, 3)
        held = requests.setdefault(key if into is delay else "1", {})
        held[pair.peer] = max(held.get(pair.peer, 0.0), round(pair.request_ratio, 3))

    for name, draw, past in ALONE:
        for peer in PEERS:
            runs = int(RUNS_ALONE[peer] * TIMES.get(name, 1.0) / (5 if options.quick else 1))
            note(alone_delay, name, pair_alone(name, draw, past, peer, runs))
    delay["1"] = alone_delay[PREDICTED]
    for count, spans in SPANS.items():
        for peer, (begin, until) in spans.items():
            note(delay, str(count), pair_among_many(count, peer, begin * HOUR, until * HOUR))
    product = {count: of_product(count, *(hours * HOUR for hours in span)) for count, span in SPANS_OF_PRODUCT.items()}
    for count, seen in product.items():
        ends = f"{len(seen.delays):6}{'':27}"
        print(f"{count:<18}{'as set':12}{ends}{seen.mean:9.2f}{seen.p95:8.1f}{seen.per_minute:10.2f}")
    figures = {
        "delay_ratio": delay,
        "request_ratio": requests,
        "request_growth_10_to_1000": round(product[1000].per_minute / product[10].per_minute, 2),
        "delay_ratio_alone": alone_delay,
        "product": {
            str(count): {"mean_s": round(s.mean, 2), "p95_s": round(s.p95, 1), "per_minute": round(s.per_minute, 2)}
            for count, s in product.items()
        },
    }
    print(json.dumps({"bench": "polling", "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
