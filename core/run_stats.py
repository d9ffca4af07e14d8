"""What past runs say of a run: how long it usually takes, which task is flaky, and when a failure is a partial one.

Never fetches and never rounds in favour of a run; everything is counted from `Run`s that somebody else read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .runs import Outcome, Run, RunState, TaskRun, newest_attempts
from .state import Usual

ENOUGH_PERCENT = 90.0  # of the items, for a partial success to be a warning
LEAST_RUNS = 3  # that have to be known before anything is called usual
_MUCH = 1.25  # times the median: what counts as noticeably longer
_HELD_BACK = frozenset({Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CANCELED})
_NOT_RUN = frozenset({Outcome.SKIPPED, Outcome.EXCLUDED, Outcome.DISABLED})
_FAILED_WORDS = frozenset({"failed", "failure", "error", "false"})
_GOOD_WORDS = frozenset({"ok", "success", "succeeded", "passed", "true", "done", "completed"})


# --- how long it usually takes ----------------------------------------------------------------------------------------


def usual_of(durations_ms: Iterable[int]) -> Usual | None:
    """Median and 90th percentile (nearest rank) of durations; None where fewer than LEAST_RUNS are known."""
    known = sorted(ms for ms in durations_ms if ms > 0)
    if len(known) < LEAST_RUNS:
        return None
    middle = len(known) // 2
    median = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) // 2
    return Usual(median, known[-(-len(known) * 9 // 10) - 1], len(known))


def usual_of_runs(runs: Iterable[Run]) -> Usual | None:
    """How long the successful ones among `runs` took."""
    return usual_of(run.elapsed_ms(run.end_ms) for run in runs if run.state.succeeded and run.end_ms)


def usual_of_tasks(runs: Iterable[Run]) -> dict[str, Usual]:
    """How long each task took where it succeeded, over all attempts; too few known times have no entry."""
    times: dict[str, list[int]] = {}
    for run in runs:
        for task in run.tasks:
            if task.state.succeeded and task.start_ms and task.end_ms:
                times.setdefault(task.task_key, []).append(task.end_ms - task.start_ms)
    found = {key: usual_of(values) for key, values in times.items()}
    return {key: usual for key, usual in found.items() if usual is not None}


def longer_than_usual(elapsed_ms: int, usual: Usual | None) -> bool:
    """Whether that is longer than nine of ten runs took, and noticeably longer than the median."""
    return usual is not None and elapsed_ms > max(usual.p90_ms, round(usual.median_ms * _MUCH))


# --- which task is flaky ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task over past runs, in their order: its state in each, None where it is not in that run.

    `retried` counts runs in which an attempt failed and a later one succeeded. `flips` counts how often the outcome
    changed between success and failure from one run to the next.
    """

    task_key: str
    states: tuple[RunState | None, ...]
    page_urls: tuple[str, ...]
    ended: int = 0
    failures: int = 0
    retried: int = 0
    flips: int = 0
    usual: Usual | None = None

    @property
    def score(self) -> float:
        """From 0 to 1: how often this task changed its mind, against how often it could have."""
        chances = max(1, self.ended - 1) + self.ended
        return min(1.0, (self.flips + self.retried) / chances * 2) if self.ended else 0.0

    @property
    def flaky(self) -> bool:
        """Whether it fails and succeeds by turns: a retry helped, or it went wrong and right again without us."""
        return self.retried > 0 or self.flips >= 2


def records_of(runs: Sequence[Run]) -> tuple[TaskRecord, ...]:
    """Each task of `runs`, in the order in which tasks are first met from the first run on."""
    keys = dict.fromkeys(task.task_key for run in runs for task in run.tasks)
    by_run: list[dict[str, list[TaskRun]]] = []
    for run in runs:
        attempts: dict[str, list[TaskRun]] = {}
        for task in run.tasks:
            attempts.setdefault(task.task_key, []).append(task)
        by_run.append(attempts)
    usual = usual_of_tasks(runs)
    return tuple(_record(key, [attempts.get(key, []) for attempts in by_run], usual.get(key)) for key in keys)


def _record(key: str, runs: list[list[TaskRun]], usual: Usual | None) -> TaskRecord:
    newest = [_newest(attempts) for attempts in runs]
    verdicts = [verdict for task in newest if task is not None and (verdict := _verdict(task.state)) is not None]
    retried = sum(
        task is not None and task.state.succeeded and any(attempt.state.failed for attempt in attempts)
        for task, attempts in zip(newest, runs, strict=True)
    )
    return TaskRecord(
        key,
        tuple(task.state if task is not None else None for task in newest),
        tuple(task.page_url if task is not None else "" for task in newest),
        len(verdicts),
        sum(not good for good in verdicts),
        retried,
        sum(a != b for a, b in pairwise(verdicts)),
        usual,
    )


def _newest(attempts: list[TaskRun]) -> TaskRun | None:
    return max(attempts, key=lambda task: task.order, default=None)


def _verdict(state: RunState) -> bool | None:
    """Whether the task did well by itself; None where that run says nothing of it."""
    if state.succeeded:
        return True
    return False if state.outcome in (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SUCCEEDED_WITH_FAILURES) else None


def flakiest(records: Iterable[TaskRecord]) -> TaskRecord | None:
    """The task that changes its mind most; None where none does."""
    return max((record for record in records if record.flaky), key=lambda record: record.score, default=None)


# --- partial success --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a number of like things succeeded, and the names of those that did not, as far as they are known."""

    succeeded: int
    total: int
    unit: str  # iterations | child runs | tasks | items
    failed: tuple[str, ...] = ()

    def enough(self, percent: float = ENOUGH_PERCENT) -> bool:
        """Whether some failed, and so few that it is a warning and no failure."""
        return 0 < self.succeeded < self.total and self.succeeded * 100 >= percent * self.total

    @property
    def words(self) -> str:
        """`38 of 40 iterations succeeded (95 %)`."""
        percent = 100 * self.succeeded // self.total if self.total else 0
        return f"{self.succeeded:,} of {self.total:,} {self.unit} succeeded ({percent} %)"


def share_of_task(task: TaskRun, iterations: Sequence[TaskRun] = ()) -> Share | None:
    """How many iterations of a `for_each` succeeded; None for any other task, or while some are still to come."""
    stats = task.for_each
    if stats is None or not stats.total or task.state.active:
        return None
    names = iteration_names(iterations)
    failed = tuple(names[loop.run_id] for loop in iterations if loop.state.failed)
    return Share(min(stats.succeeded, stats.total), stats.total, "iterations", failed)


def iteration_names(iterations: Sequence[TaskRun]) -> dict[str, str]:
    """What tells the iterations of a `for_each` apart, by run id: the values of the parameters in which they differ.

    All of them have the same task key, which is the name of those that say nothing of their input.
    """
    seen: dict[str, str] = {}
    differ: dict[str, None] = {}
    for loop in iterations:
        for name, value in loop.parameters:
            if seen.setdefault(name, value) != value:
                differ[name] = None
    # A single one differs from none: then all that it was given tells which it is.
    telling = differ if len(iterations) > 1 else seen
    return {
        loop.run_id: ", ".join(value for name, value in loop.parameters if name in telling and value) or loop.task_key
        for loop in iterations
    }


def share_of_result(text: str) -> Share | None:
    """How many items a task says it did, by the JSON it exited with; None where it says nothing of items.

    Understood are `{"total": 40, "failed": 2, "failed_items": [...]}` with `succeeded` instead of either number, and a
    list of objects (or one such list within an object) that each have a `status`.
    """
    try:
        value = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        return _share_of_rows(value)
    return _share_of_object(value) if isinstance(value, dict) else None


def _share_of_object(value: Mapping[str, Any]) -> Share | None:
    total = _count(value, "total", "total_items", "items_total", "item_count")
    failed = _count(value, "failed", "failed_count", "failures", "errors")
    good = _count(value, "succeeded", "succeeded_count", "success_count", "processed", "ok")
    names: list[Any] = next(
        (value[key] for key in ("failed_items", "failed", "failures", "errors") if isinstance(value.get(key), list)), []
    )
    if failed is None and names:
        failed = len(names)
    if total is None and good is not None and failed is not None:
        total = good + failed
    if good is None and total is not None and failed is not None:
        good = total - failed
    if total and good is not None and 0 <= good <= total:
        return Share(good, total, "items", tuple(_name_of(item) for item in names))
    rows = [part for part in value.values() if isinstance(part, list) and part]
    return _share_of_rows(rows[0]) if len(rows) == 1 else None


def _share_of_rows(rows: Sequence[Any]) -> Share | None:
    statuses = [str(row.get("status", row.get("state", ""))).lower() for row in rows if isinstance(row, dict)]
    if not rows or len(statuses) != len(rows) or not all(word in _FAILED_WORDS | _GOOD_WORDS for word in statuses):
        return None
    bad = [row for row, word in zip(rows, statuses, strict=True) if word in _FAILED_WORDS]
    return Share(len(rows) - len(bad), len(rows), "items", tuple(_name_of(row) for row in bad))


def _count(value: Mapping[str, Any], *names: str) -> int | None:
    found = next((value[name] for name in names if name in value), None)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _name_of(item: Any) -> str:
    if isinstance(item, dict):
        item = next((item[key] for key in ("name", "item", "table", "key", "id", "file", "path") if key in item), item)
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)


def partial_success(
    run: Run,
    child_runs: Mapping[str, Run] | None = None,
    iterations: Mapping[str, Sequence[TaskRun]] | None = None,
    *,
    percent: float = ENOUGH_PERCENT,
) -> Share | None:
    """The share that succeeded, where a run that did not succeed failed in so few of its items that it is a warning.

    None where it has not ended, has succeeded, or has failed for good. Items are the iterations of its `for_each`
    tasks and the child runs of its `run_job` tasks; a task that failed by itself, one that was held back by another
    kind of failure, or a run that was cancelled or cut off by time, is no partial success.
    """
    if run.state.active or run.state.succeeded:
        return None
    if run.state.outcome not in (Outcome.FAILED, Outcome.SUCCEEDED_WITH_FAILURES):
        return None
    latest = newest_attempts(run.tasks)
    if run.state.outcome is Outcome.SUCCEEDED_WITH_FAILURES:
        tasks = _share_of_tasks(latest, "tasks")
        return tasks if tasks.enough(percent) else None
    children = [task for task in latest if task.kind == "run_job"]
    shares: list[Share] = []
    excused = 0
    for task in latest:
        if task.state.outcome in _HELD_BACK and task.kind != "run_job":
            return None
        if not task.state.failed or task.state.outcome in _HELD_BACK:
            continue
        share = share_of_task(task, (iterations or {}).get(task.run_id, ()))
        if share is not None and share.enough(percent):
            shares.append(share)
            continue
        if task.kind != "run_job" or task.state.outcome is Outcome.CANCELED:
            return None
        child = (child_runs or {}).get(task.run_id)
        nested = partial_success(child, child_runs, iterations, percent=percent) if child is not None else None
        if nested is not None:
            shares.append(nested)
            excused += 1
    of_children = _share_of_tasks(children, "child runs")
    if len(of_children.failed) == excused:
        return _together(shares)
    return of_children if of_children.enough(percent) else None


def _share_of_tasks(tasks: Sequence[TaskRun], unit: str) -> Share:
    counted = [task for task in tasks if task.state.outcome not in _NOT_RUN]
    bad = tuple(task.task_key for task in counted if not task.state.succeeded)
    return Share(len(counted) - len(bad), len(counted), unit, bad)


def _together(shares: Sequence[Share]) -> Share | None:
    if not shares:
        return None
    units = {share.unit for share in shares}
    return Share(
        sum(share.succeeded for share in shares),
        sum(share.total for share in shares),
        units.pop() if len(units) == 1 else "items",
        tuple(name for share in shares for name in share.failed),
    )
