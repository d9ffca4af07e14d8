"""How a task of each kind begins: code by the rules, child runs, updates, iterations, conditions; and when it will end.
It ends nothing and judges no run; runengine.py does."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from . import runmodel
from .http import ApiError, Json
from .runmodel import DONE, Iteration, IterationRef, JobRun, TaskRun
from .taskrules import Outcome, Work, perform, read_source, source_path

if TYPE_CHECKING:
    from .runengine import RunEngine


class TaskStarter:
    """Begins tasks for one engine."""

    def __init__(self, engine: RunEngine) -> None:
        self.engine = engine

    def known_values(self, run: JobRun) -> Json:
        """What `{{...}}` stands for in this run: parameters, ids, values of the tasks that ended."""
        known: Json = {"job.id": str(run.job_id), "job.run_id": str(run.run_id), "job.name": run.name}
        known.update({f"job.parameters.{name}": value for name, value in run.parameters.items()})
        known["job.start_time.iso_date"] = day_of(run.start_ms)
        for key, task in run.current.items():
            if task.phase == DONE and task.outcome is not None:
                known.update({f"tasks.{key}.values.{name}": value for name, value in task.outcome.values.items()})
                known[f"tasks.{key}.result_state"] = task.result.lower()
            if task.iterations:
                known[f"tasks.{key}.output"] = len(task.iterations)
        return known

    def dispatch(self, run: JobRun, task: TaskRun) -> None:
        known = self.known_values(run)
        known.update({"task.name": task.key, "task.run_id": str(task.run_id)})
        kind = runmodel.kind_of(task.spec)
        settled = runmodel.resolve(task.spec.get(kind) or {}, known) if kind != "for_each_task" else {}
        task.resolved = {kind: settled} if kind else {}
        if kind == "condition_task":
            holds = runmodel.compare(
                str(settled.get("op")), str(settled.get("left", "")), str(settled.get("right", ""))
            )
            task.condition = "true" if holds else "false"
            self.plan(task, Outcome(True, 0, 1000))
        elif kind == "run_job_task":
            self._begin_child(run, task, settled)
        elif kind == "pipeline_task":
            self._begin_update(run, task, settled)
        elif kind == "for_each_task":
            self._begin_iterations(run, task, known)
        else:
            self.plan(task, self._perform(run, task, settled))

    def _work(self, run: JobRun, spec: Json, settled: Json, seed: int, cluster: str = "") -> Work:
        parameters = {**run.parameters}
        extra = settled.get("base_parameters") or settled.get("named_parameters") or {}
        if isinstance(extra, dict):
            parameters.update({str(name): str(value) for name, value in extra.items()})
        listed = settled.get("parameters")
        if isinstance(listed, list):
            words = [str(item) for item in listed]
            pairs = pairwise(words)
            parameters.update({name.lstrip("-"): value for name, value in pairs if name.startswith("--")})
        parameters.update({str(k): str(v) for k, v in (run.overriding.get("notebook_params") or {}).items()})
        environments = tuple(run.settings.get("environments") or ())
        return Work(spec, parameters, environments, cluster, seed, self.engine.store.identity.user_name)

    def _perform(self, run: JobRun, task: TaskRun, settled: Json) -> Outcome:
        cluster = self.engine.store.execution.compute.for_task(run, task)
        work = self._work(run, task.spec, settled, task.run_id, cluster)
        outcome = perform(work, self.engine.store.files, self.engine.scenario, self.engine.may_strike)
        if outcome.cluster and task.cluster_id:
            self.engine.store.execution.compute.lose(
                task.cluster_id, task.start_ms + outcome.setup_ms, dict(outcome.cluster)
            )
        return outcome

    def plan(self, task: TaskRun, outcome: Outcome) -> None:
        """Sets when and how a task ends, its own timeout considered."""
        task.outcome = outcome
        task.setup_ms, task.execution_ms = outcome.setup_ms, outcome.execution_ms
        task.life = outcome.life
        task.result = "SUCCESS" if outcome.ok else "FAILED"
        task.code, task.type, task.message = outcome.code, outcome.type, "" if outcome.ok else outcome.message
        timeout = int(task.spec.get("timeout_seconds") or 0) * 1000
        if timeout and outcome.setup_ms + outcome.execution_ms > timeout:
            task.setup_ms = min(task.setup_ms, timeout)
            task.execution_ms = timeout - task.setup_ms
            self.time_out(task, timeout)
        task.end_ms = task.start_ms + task.setup_ms + task.execution_ms

    def time_out(self, task: TaskRun, timeout_ms: int) -> None:
        task.life, task.result, task.code, task.type = "TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR"
        task.message = f"Timed out after {timeout_ms // 1000} seconds"
        task.outcome = Outcome(False, task.setup_ms, task.execution_ms, error=task.message, message=task.message)

    def _begin_child(self, run: JobRun, task: TaskRun, settled: Json) -> None:
        job_id = int(settled.get("job_id") or 0)
        job = self.engine.store.jobs.get(job_id)
        if job is None:
            text = f"Job {job_id} does not exist."
            self.plan(
                task, Outcome(False, 0, 500, error=text, code="RESOURCE_NOT_FOUND", type="CLIENT_ERROR", message=text)
            )
            return
        given = {str(k): str(v) for k, v in (settled.get("job_parameters") or {}).items()}
        wanted = {str(p["name"]) for p in job.settings.get("parameters") or []}
        pushed = {name: value for name, value in run.parameters.items() if name in wanted}
        child = self.engine.start(
            job_id,
            job.settings,
            task.start_ms + 500,
            parameters={**pushed, **given},
            trigger="RUN_JOB_TASK",
            parent_task_run_id=task.run_id,
        )
        task.child_run_id = child.run_id

    def _begin_update(self, run: JobRun, task: TaskRun, settled: Json) -> None:
        pipeline_id = str(settled.get("pipeline_id") or "")
        try:
            task.update_id = self.engine.updates.start(
                pipeline_id,
                {"cause": "JOB_TASK", "full_refresh": bool(settled.get("full_refresh"))},
                task.start_ms + 300,
            ).update_id
        except ApiError as problem:
            text = problem.message
            self.plan(
                task, Outcome(False, 0, 800, error=text, code="RUN_EXECUTION_ERROR", type="CLIENT_ERROR", message=text)
            )

    def _begin_iterations(self, run: JobRun, task: TaskRun, known: Json) -> None:
        each = task.spec["for_each_task"]
        inputs = runmodel.listed(runmodel.resolve(each.get("inputs"), known))
        if inputs is None:
            text = f"Failed to parse the inputs of for-each task {task.key}: expected a JSON array."
            self.plan(
                task,
                Outcome(False, 0, 500, error=text, code="INVALID_RUN_CONFIGURATION", type="CLIENT_ERROR", message=text),
            )
            return
        inner = each["task"]
        kind = runmodel.kind_of(inner)
        slots = [task.start_ms] * max(1, min(100, int(each.get("concurrency") or 1)))
        source = read_source(self.engine.store.files, source_path(inner)) if source_path(inner) else None
        first = self.engine.store.ids.number()
        for index, value in enumerate(inputs):
            start = heapq.heappop(slots)
            run_id = first if index == 0 else self._near(first, index)
            settled = runmodel.resolve(inner.get(kind) or {}, {**known, **input_values(value)})
            work = self._work(run, inner, settled, run_id)
            outcome = perform(
                work, self.engine.store.files, self.engine.scenario, self.engine.may_strike, source=source, brief=True
            )
            end = start + outcome.setup_ms // 4 + outcome.execution_ms
            heapq.heappush(slots, end)
            task.iterations.append(Iteration(run_id, index, value, start, end, outcome, source))
            self.engine.store.runs[run_id] = IterationRef(task, index)
        last = max((item.end_ms for item in task.iterations), default=task.start_ms)
        bad = [item for item in task.iterations if not item.outcome.ok]
        text = f"{len(bad)} of {len(inputs)} iterations failed." if bad else ""
        self.plan(
            task,
            Outcome(
                not bad,
                0,
                last - task.start_ms + 500,
                error=text,
                code="RUN_EXECUTION_ERROR" if bad else "SUCCESS",
                type="CLIENT_ERROR" if bad else "SUCCESS",
                message=text,
                values={"succeeded": len(inputs) - len(bad), "failed": len(bad)},
            ),
        )

    def _near(self, first: int, index: int) -> int:
        """Ids of iterations follow each other, where they are free."""
        wanted = first + index
        return wanted if wanted not in self.engine.store.runs else self.engine.store.ids.number()

    def iteration_output(self, run: JobRun, task: TaskRun, item: Iteration) -> Outcome:
        """The full output of an iteration, worked out when somebody asks; what it ran is what was deployed then."""
        if not item.outcome.ok or item.source is None:
            return item.outcome
        inner = task.spec["for_each_task"]["task"]
        kind = runmodel.kind_of(inner)
        settled = runmodel.resolve(inner.get(kind) or {}, {**self.known_values(run), **input_values(item.value)})
        work = self._work(run, inner, settled, item.run_id)
        return perform(work, self.engine.store.files, self.engine.scenario, lambda *_: False, source=item.source)


def input_values(value: Any) -> Json:
    """What `{{input}}` and `{{input.key}}` stand for in one iteration."""
    known: Json = {"input": value}
    if isinstance(value, dict):
        known.update({f"input.{key}": item for key, item in value.items()})
    return known


def refusal(text: str, code: str) -> Outcome:
    """The end of a task that could not even begin what it is for."""
    return Outcome(False, 0, 500, error=text, code=code, type="CLIENT_ERROR", message=text)


def day_of(ms: int) -> str:
    """The day of a moment, ISO 8601, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
