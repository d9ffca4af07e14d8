"""Drives job runs: start, advance by the clock, retry, repair, cancel. A run's state is worked out when asked for.
It speaks no HTTP and shapes no JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import runmodel
from .http import Json, invalid
from .runmodel import ACTIVE, BLOCKED, DONE, WAITING, JobRun, Repair, TaskRun
from .scenario import Rule, Scenario
from .store import Store
from .taskrules import WORKLOAD_FAILED, Outcome
from .taskstart import TaskStarter, refusal

TERMINATING_MS = 2000
MAX_DEPTH = 6
ITERATION_ERROR_LIMIT = 3


class RunEngine:
    """All job runs of one store. `updates` is the engine of pipelines, for pipeline tasks."""

    def __init__(self, store: Store, updates: Any) -> None:
        self.store = store
        self.updates = updates
        self.job_runs: dict[int, JobRun] = {}
        self.by_token: dict[tuple[int, str], int] = {}
        self.starter = TaskStarter(self)
        self.strikes: dict[tuple[str, str], int] = {}

    @property
    def scenario(self) -> Scenario | None:
        found: Scenario | None = self.store.scenario
        return found

    def may_strike(self, rule: Rule, given: str) -> bool:
        """Whether a rule with `times` strikes once more; counts it."""
        place = (rule.id, given)
        held = self.strikes.get(place, 0)
        if held >= rule.times:
            return False
        self.strikes[place] = held + 1
        return True

    # --- starting -------------------------------------------------------------------------------------------

    def start(
        self,
        job_id: int,
        settings: Json,
        at_ms: int,
        *,
        parameters: dict[str, str] | None = None,
        overriding: Json | None = None,
        only: list[str] | None = None,
        trigger: str = "ONE_TIME",
        parent_task_run_id: int = 0,
        run_type: str = "JOB_RUN",
        queue: bool | None = None,
    ) -> JobRun:
        """A new run of `settings`, begun at `at_ms`, or queued, or skipped where the job allows no more runs."""
        defaults = {str(p["name"]): str(p.get("default", "")) for p in settings.get("parameters") or []}
        run = JobRun(
            self.store.ids.number(),
            job_id,
            settings,
            at_ms,
            self.store.identity.user_name,
            trigger=trigger,
            run_type=run_type,
            parent_task_run_id=parent_task_run_id,
            parameters={**defaults, **(parameters or {})},
            overriding=overriding or {},
            start_ms=at_ms,
        )
        tasks = settings.get("tasks") or []
        try:
            chosen = runmodel.chosen_tasks(tasks, only) if only else None
        except KeyError as problem:
            raise invalid(f"Task key {problem.args[0]!r} does not exist in the job.") from problem
        limit = settings.get("max_concurrent_runs")
        active = len(self._active_of(job_id, at_ms))
        full = job_id != 0 and active >= (1 if limit is None else limit)
        queued = (settings.get("queue") or {}).get("enabled", False) if queue is None else queue
        self.job_runs[run.run_id] = run
        self.store.runs[run.run_id] = run
        if full and not queued:
            run.end_ms = at_ms
            run.life, run.result, run.code, run.type = (
                "SKIPPED",
                "MAXIMUM_CONCURRENT_RUNS_REACHED",
                "MAX_CONCURRENT_RUNS_EXCEEDED",
                "CLIENT_ERROR",
            )
            run.message = f"Skipping this run because the limit of {limit} maximum concurrent runs has been reached."
            return run
        run.queued = full
        run.repairs.append(Repair(0, at_ms))
        run.order = runmodel.topological(tasks)
        by_key = {str(task["task_key"]): task for task in tasks}
        for key in run.order:
            self._add_task(run, by_key[key], 0, excluded=chosen is not None and key not in chosen)
        return run

    def _add_task(self, run: JobRun, spec: Json, repair: int, *, excluded: bool = False, attempt: int = 0) -> TaskRun:
        task = TaskRun(self.store.ids.number(), str(spec["task_key"]), spec, run.run_id, attempt=attempt, repair=repair)
        task.original_run_id = task.run_id
        if spec.get("disabled"):
            task.phase, task.result, task.code, task.type = DONE, "DISABLED", "DISABLED", "SUCCESS"
            task.life, task.message = "SKIPPED", "This task is disabled."
        elif excluded:
            task.phase, task.result, task.code, task.type = DONE, "DISABLED", "SKIPPED", "SUCCESS"
            task.life, task.message = "SKIPPED", "This task was not selected to run."
        run.tasks.append(task)
        run.current[task.key] = task
        self.store.runs[task.run_id] = task
        run.repairs[repair].task_run_ids.append(task.run_id)
        return task

    def _active_of(self, job_id: int, now: int) -> list[JobRun]:
        return [
            run
            for run in self.job_runs.values()
            if run.job_id == job_id and not run.queued and (not run.ended or run.end_ms > now)
        ]

    # --- advancing ------------------------------------------------------------------------------------------

    def settle(self, now: int) -> None:
        """Brings every run to `now`."""
        for run in list(self.job_runs.values()):
            if not run.ended:
                self.advance(run, now)

    def advance(self, run: JobRun, now: int, depth: int = 0) -> None:
        """Brings one run to `now`: what is due begins (reading the files as they are), what is over ends."""
        if run.ended or depth > MAX_DEPTH:
            return
        if run.queued and not self._admitted(run, now):
            return
        timeout = int(run.settings.get("timeout_seconds") or 0) * 1000
        if timeout and not run.canceled_ms and now >= run.start_ms + timeout:
            self._progress(run, run.start_ms + timeout, depth)
            if not self._finished(run, now):
                run.timed_out = True
                self.cancel(run, run.start_ms + timeout)
        self._progress(run, now, depth)
        self._finished(run, now)

    def _admitted(self, run: JobRun, now: int) -> bool:
        limit = run.settings.get("max_concurrent_runs")
        others = [item for item in self.job_runs.values() if item.job_id == run.job_id and item is not run]
        for item in others:
            if not item.ended and not item.queued:
                self.advance(item, now, 1)
        ahead = [item for item in others if item.queued and item.created_ms <= run.created_ms and not item.ended]
        if any(item.run_id != run.run_id and item.created_ms < run.created_ms for item in ahead):
            return False
        if len(self._active_of(run.job_id, now)) >= (1 if limit is None else limit):
            return False
        freed = [item.end_ms for item in others if item.ended and item.end_ms <= now]
        run.queued = False
        run.start_ms = max([run.created_ms, *freed])
        run.repairs[0].start_ms = run.start_ms
        return True

    def _progress(self, run: JobRun, now: int, depth: int) -> None:
        for key in run.order:
            task = run.current.get(key)
            while task is not None:
                before = (task.run_id, task.phase)
                self._step(run, task, now, depth)
                task = run.current[key]
                if (task.run_id, task.phase) == before:
                    break

    def _step(self, run: JobRun, task: TaskRun, now: int, depth: int) -> None:
        if task.phase == BLOCKED:
            self._unblock(run, task, now)
        elif task.phase == WAITING and task.ready_ms <= now:
            self._begin(run, task, task.ready_ms)
        elif task.phase == ACTIVE:
            self._watch(run, task, now, depth)
            if task.phase == ACTIVE and task.end_ms and task.end_ms <= now:
                task.phase = DONE
                self._maybe_retry(run, task)

    def _unblock(self, run: JobRun, task: TaskRun, now: int) -> None:
        ready = run.repairs[task.repair].start_ms
        results = []
        for item in task.spec.get("depends_on") or []:
            upstream = run.current.get(str(item.get("task_key")))
            if upstream is None:
                continue
            if not upstream.ended(now):
                return
            ready = max(ready, upstream.end_ms)
            wanted = item.get("outcome")
            results.append((upstream.result, not wanted or not upstream.condition or upstream.condition == wanted))
        if ready > now:
            return
        result = runmodel.verdict(str(task.spec.get("run_if") or "ALL_SUCCESS"), results)
        if not result:
            task.phase, task.ready_ms = WAITING, ready
            return
        texts = {
            "UPSTREAM_FAILED": "An upstream task failed.",
            "UPSTREAM_CANCELED": "An upstream task was canceled.",
            "EXCLUDED": "The condition of this task was not met.",
        }
        self._skip(task, ready, result, texts[result])

    def _skip(self, task: TaskRun, at_ms: int, result: str, message: str) -> None:
        task.phase, task.start_ms, task.end_ms = DONE, at_ms, at_ms
        task.life, task.result, task.message, task.code = "SKIPPED", result, message, "SKIPPED"
        task.type = "SUCCESS" if result == "EXCLUDED" else "CLIENT_ERROR"

    def _begin(self, run: JobRun, task: TaskRun, at_ms: int) -> None:
        task.phase, task.start_ms = ACTIVE, at_ms
        try:
            self.starter.dispatch(run, task)
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError) as problem:
            # Settings of a shape that the checks of jobs/create let through.
            text = f"The settings of task {task.key} cannot be used: {type(problem).__name__}."
            self.starter.plan(task, refusal(text, "INVALID_RUN_CONFIGURATION"))

    def _watch(self, run: JobRun, task: TaskRun, now: int, depth: int) -> None:
        """A task that waits for a child run or an update: learns when and how that ended."""
        timeout = int(task.spec.get("timeout_seconds") or 0) * 1000
        late = timeout and not task.end_ms and now >= task.start_ms + timeout
        if task.child_run_id and not task.end_ms:
            child = self.job_runs[task.child_run_id]
            self.advance(child, now, depth + 1)
            if child.ended and child.end_ms <= now:
                task.end_ms = child.end_ms + 500
                good = child.result in ("SUCCESS", "SUCCESS_WITH_FAILURES")
                self._ended_by(task, good, child.result, child.message if not good else "")
            elif late:
                self.cancel(child, task.start_ms + timeout)
        elif task.update_id and not task.end_ms:
            ended = self.updates.ended(task.update_id, now)
            if ended is not None:
                end_ms, state, message = ended
                task.end_ms = end_ms + 1000
                self._ended_by(task, state == "COMPLETED", "CANCELED" if state == "CANCELED" else "FAILED", message)
            elif late:
                self.updates.stop_update(task.update_id, task.start_ms + timeout)
        if late and not task.end_ms:
            task.end_ms = task.start_ms + timeout
            self.starter.time_out(task, timeout)
        if task.end_ms:
            task.execution_ms = max(0, task.end_ms - task.start_ms - task.setup_ms)

    def _ended_by(self, task: TaskRun, good: bool, result: str, message: str) -> None:
        if task.result == "TIMEDOUT":
            return
        if good:
            task.result, task.code, task.type, task.message = "SUCCESS", "SUCCESS", "SUCCESS", ""
            task.outcome = Outcome(True, 0, 0)
            return
        task.result = "CANCELED" if result == "CANCELED" else "FAILED"
        task.code = "USER_CANCELED" if task.result == "CANCELED" else "RUN_EXECUTION_ERROR"
        if result == "MAXIMUM_CONCURRENT_RUNS_REACHED":
            task.code = "MAX_CONCURRENT_RUNS_EXCEEDED"
        task.type, task.message = "CLIENT_ERROR", WORKLOAD_FAILED
        text = WORKLOAD_FAILED if task.child_run_id else message or WORKLOAD_FAILED
        task.outcome = Outcome(False, 0, 0, error=text, message=WORKLOAD_FAILED)

    def _maybe_retry(self, run: JobRun, task: TaskRun) -> None:
        retries = int(task.spec.get("max_retries") or 0)
        wants = task.result == "FAILED" or (task.result == "TIMEDOUT" and task.spec.get("retry_on_timeout"))
        if run.canceled_ms or task.canceled_ms or not wants or (retries >= 0 and task.attempt >= retries):
            return
        following = self._add_task(run, task.spec, task.repair, attempt=task.attempt + 1)
        following.original_run_id = task.original_run_id
        following.phase = WAITING
        following.ready_ms = task.end_ms + int(task.spec.get("min_retry_interval_millis") or 0)

    # --- ending ---------------------------------------------------------------------------------------------

    def _finished(self, run: JobRun, now: int) -> bool:
        if run.ended:
            return True
        if any(not task.ended(now) for task in run.current.values()):
            return False
        began = run.repairs[-1].start_ms
        end = max([began, *(task.end_ms for task in run.current.values())]) + 300
        if end > now:
            return False
        run.end_ms = end
        self._judge(run)
        run.active_ms += run.end_ms - began
        item = run.repairs[-1]
        item.end_ms, item.result, item.message, item.code = run.end_ms, run.result, run.message, run.code
        self.store.execution.compute.release(run)
        return True

    def _judge(self, run: JobRun) -> None:
        needed = {need for task in run.current.values() for need in runmodel.upstream_of(task.spec)}
        leaves = [task for key, task in run.current.items() if key not in needed]
        failed = [task for task in run.current.values() if task.result in ("FAILED", "TIMEDOUT", "CANCELED")]
        followers = [task for task in run.current.values() if task.result in ("UPSTREAM_FAILED", "UPSTREAM_CANCELED")]
        run.life, run.message, run.type = "TERMINATED", "", "SUCCESS"
        if run.timed_out:
            run.result, run.code, run.type = "TIMEDOUT", "CANCELED", "CLIENT_ERROR"
            run.message = f"Run timed out after {run.settings.get('timeout_seconds')} seconds."
        elif run.canceled_ms:
            run.result, run.code, run.type = "CANCELED", "USER_CANCELED", "CLIENT_ERROR"
            run.message = "Run cancelled."
        elif any(task.result in runmodel.FAILED_RESULTS for task in leaves):
            # A failed parent reads INTERNAL_ERROR though nothing of the platform failed (measured on the real one).
            run.life, run.result, run.code, run.type = "INTERNAL_ERROR", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"
            first = min(failed, key=lambda task: task.end_ms, default=None)
            if first is not None:
                run.message = f"Task {first.key} failed with message: {first.message.rstrip('.')}."
                if followers:
                    run.message += " This caused all downstream tasks to get skipped."
                if first.type != "CLIENT_ERROR":
                    run.code, run.type = first.code, first.type
        elif failed:
            run.result, run.code = "SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES"
        else:
            run.result, run.code = "SUCCESS", "SUCCESS"

    def cancel(self, run: JobRun, at_ms: int) -> None:
        """Cancels a whole run: what runs ends within seconds, what waited does not begin."""
        if run.ended or run.canceled_ms:
            return
        run.canceled_ms = at_ms
        if run.queued:
            run.queued, run.end_ms, run.life = False, at_ms, "TERMINATED"
            run.result, run.code, run.type, run.message = "CANCELED", "USER_CANCELED", "CLIENT_ERROR", "Run cancelled."
            return
        for task in list(run.current.values()):
            if task.phase != DONE:
                self.cancel_task(task, at_ms)

    def cancel_task(self, task: TaskRun, at_ms: int) -> None:
        """Cancels one task run, with its child run or update."""
        if task.phase == DONE or task.canceled_ms:
            return
        task.canceled_ms = at_ms
        if task.phase != ACTIVE:
            self._skip(task, at_ms, "CANCELED", "Run cancelled.")
            task.code = "USER_CANCELED"
            return
        if task.child_run_id:
            self.cancel(self.job_runs[task.child_run_id], at_ms)
        if task.update_id:
            self.updates.stop_update(task.update_id, at_ms)
        task.end_ms = at_ms + TERMINATING_MS
        task.execution_ms = max(0, task.end_ms - task.start_ms - task.setup_ms)
        task.life, task.result, task.code, task.type = "TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR"
        task.message = "Run cancelled."
        task.outcome = Outcome(False, 0, 0, error="Run cancelled.", message="Run cancelled.")
        task.iterations = [item for item in task.iterations if item.start_ms <= at_ms]

    def forget(self, run: JobRun) -> None:
        """Removes a run and everything with an id in it."""
        self.job_runs.pop(run.run_id, None)
        self.store.runs.pop(run.run_id, None)
        for task in run.tasks:
            self.store.runs.pop(task.run_id, None)
            for item in task.iterations:
                self.store.runs.pop(item.run_id, None)

    # --- repairing ------------------------------------------------------------------------------------------

    def repair(self, run: JobRun, settings: Json, keys: set[str], at_ms: int, parameters: dict[str, str]) -> int:
        """Runs the tasks `keys` again with the current `settings`; returns the repair id."""
        repair_id = self.store.ids.number()
        run.settings = settings
        run.parameters.update(parameters)
        run.repairs.append(Repair(repair_id, at_ms))
        run.end_ms, run.result, run.life, run.code, run.message = 0, "", "", "", ""
        run.canceled_ms, run.timed_out, run.queued = 0, False, False
        tasks = settings.get("tasks") or []
        run.order = runmodel.topological(tasks)
        by_key = {str(task["task_key"]): task for task in tasks}
        run.current = {key: task for key, task in run.current.items() if key in by_key}
        for key in run.order:
            if key in keys:
                self._add_task(run, by_key[key], len(run.repairs) - 1)
            elif key in run.current:
                run.current[key].spec = {**run.current[key].spec, "depends_on": by_key[key].get("depends_on") or []}
        run.order = [key for key in run.order if key in run.current]
        return repair_id


def failures(task: TaskRun) -> Iterator[tuple[str, int]]:
    """The distinct error messages of the failed iterations with their counts, most frequent first."""
    counts: dict[str, int] = {}
    for item in task.iterations:
        if not item.outcome.ok:
            counts[item.outcome.error] = counts.get(item.outcome.error, 0) + 1
    yield from sorted(counts.items(), key=lambda pair: -pair[1])[:ITERATION_ERROR_LIMIT]
