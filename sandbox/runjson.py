"""The JSON shapes of runs, task runs, iterations, histories and outputs, as Jobs API 2.2 answers them.
It reads records and changes none."""

from __future__ import annotations

from . import runmodel
from .http import Json
from .runengine import RunEngine, failures
from .runmodel import ACTIVE, BLOCKED, DONE, WAITING, Iteration, JobRun, TaskRun
from .store import WORKSPACE_ID, Store
from .taskrules import WORKLOAD_FAILED, Outcome
from .taskstart import input_values

PAGE = 100
QUEUED_TEXT = "Queued due to reaching maximum concurrent runs of {limit}."
# Settings of a task that a run's task shows as they are.
NOTIFICATIONS: Json = {
    "email_notifications": {},
    "notification_settings": {
        "no_alert_for_skipped_runs": False,
        "no_alert_for_canceled_runs": False,
        "alert_on_last_attempt": False,
    },
    "webhook_notifications": {},
}


class RunShapes:
    """Shapes over one store; honours its quirks (unknown states and codes, extra keys)."""

    def __init__(self, store: Store, engine: RunEngine) -> None:
        self.store = store
        self.engine = engine

    def url(self, job_id: int, run_id: int) -> str:
        """The legacy page URL that the real API still gives."""
        return f"{self.store.host}/?o={WORKSPACE_ID}#job/{job_id}/run/{run_id}"

    def _extra(self, shown: Json) -> Json:
        if self.store.quirks.extra_keys:
            shown["future_field"] = {"kind": "UNHEARD_OF", "values": [1, None, {"deep": True}]}
        return shown

    def states(self, word: str, message: str = "", *, queue: Json | None = None) -> Json:
        """`state` and `status` of something that is not over."""
        status = {"WAITING_FOR_RETRY": "WAITING"}.get(word, word)
        if self.store.quirks.unknown_enums and word == "RUNNING":
            word, status = "HIBERNATING", "HIBERNATING"
        state: Json = {"life_cycle_state": word, "state_message": message, "user_cancelled_or_timedout": False}
        shown: Json = {"state": state, "status": {"state": status}}
        if queue:
            state["queue_reason"] = queue["message"]
            shown["status"]["queue_details"] = queue
        return shown

    def ended(self, life: str, result: str, code: str, kind: str, message: str) -> Json:
        """`state` and `status` of something that is over."""
        if self.store.quirks.unknown_enums and result == "FAILED":
            code = "SOLAR_FLARE"
        return {
            "state": {
                "life_cycle_state": life,
                "result_state": result,
                "state_message": message,
                "user_cancelled_or_timedout": result in ("CANCELED", "TIMEDOUT"),
            },
            "status": {
                "state": "TERMINATED",
                "termination_details": {"code": code, "type": kind, "message": message},
            },
        }

    # --- job runs ---------------------------------------------------------------------------------------------

    def run_states(self, run: JobRun) -> Json:
        """State and status of a job run."""
        if run.ended:
            return self.ended(run.life, run.result, run.code, run.type, run.message)
        if run.queued:
            text = QUEUED_TEXT.format(limit=run.settings.get("max_concurrent_runs", 1))
            return self.states("QUEUED", queue={"code": "MAX_CONCURRENT_RUNS_REACHED", "message": text})
        now = self.store.now_ms()
        if run.canceled_ms:
            return self.states("TERMINATING", "Run is being cancelled.")
        if not any(task.start_ms and task.start_ms <= now for task in run.tasks):
            return self.states("PENDING")
        return self.states("RUNNING")

    def run(self, run: JobRun, *, brief: bool = False) -> Json:
        """A job run without its tasks. `brief` is the shape of runs/list."""
        settings = run.settings
        shown: Json = {
            "job_id": run.job_id,
            "run_id": run.run_id,
            "creator_user_name": run.creator,
            "number_in_job": run.run_id,
            "original_attempt_run_id": run.run_id,
            **self.run_states(run),
            "start_time": run.created_ms,
            "setup_duration": 0,
            "execution_duration": 0,
            "cleanup_duration": 0,
            "end_time": run.end_ms,
            "trigger": run.trigger,
            "run_name": run.name,
            "run_page_url": self.url(run.job_id, run.run_id),
            "run_type": run.run_type,
            "format": "MULTI_TASK",
            "job_run_id": run.run_id,
            "effective_performance_target": settings.get("performance_target") or "PERFORMANCE_OPTIMIZED",
        }
        if run.ended:
            shown["run_duration"] = run.active_ms
        if run.start_ms > run.created_ms:
            shown["queue_duration"] = run.start_ms - run.created_ms
        if settings.get("schedule"):
            shown["schedule"] = settings["schedule"]
        if run.parent_task_run_id:
            shown["trigger_info"] = {"run_id": run.parent_task_run_id}
        if run.overriding:
            shown["overriding_parameters"] = run.overriding
        if run.parameters:
            defaults = {str(p["name"]): str(p.get("default", "")) for p in settings.get("parameters") or []}
            shown["job_parameters"] = [
                {"name": name, "default": defaults.get(name, ""), "value": value}
                for name, value in run.parameters.items()
            ]
        if settings.get("job_clusters") and not brief:
            shown["job_clusters"] = settings["job_clusters"][:PAGE]
        return self._extra(shown)

    def history(self, run: JobRun) -> list[Json]:
        """`repair_history`: the original first; it has no id."""
        items = []
        for index, item in enumerate(run.repairs):
            if item.end_ms:
                life = "INTERNAL_ERROR" if item.result == "FAILED" else "TERMINATED"
                kind = "SUCCESS" if item.result.startswith("SUCCESS") else "CLIENT_ERROR"
                states = self.ended(life, item.result, item.code, kind, item.message)
            else:
                states = self.run_states(run)
            shown: Json = {"type": "REPAIR" if index else "ORIGINAL"}
            if index:
                shown["id"] = item.repair_id
            shown.update(start_time=item.start_ms, end_time=item.end_ms, **states, task_run_ids=item.task_run_ids)
            shown["effective_performance_target"] = "PERFORMANCE_OPTIMIZED"
            items.append(shown)
        return items

    # --- task runs --------------------------------------------------------------------------------------------

    def task_states(self, run: JobRun, task: TaskRun) -> Json:
        """State and status of a task run at this moment."""
        now = self.store.now_ms()
        if task.ended(now) or (run.ended and task.phase == DONE):
            return self.ended(task.life, task.result, task.code, task.type, task.message)
        if task.phase == BLOCKED:
            return self.states("BLOCKED")
        if task.phase == WAITING:
            return self.states("WAITING_FOR_RETRY" if task.attempt and task.ready_ms > now else "PENDING")
        if task.canceled_ms:
            return self.states("TERMINATING", "Run is being cancelled.")
        if now < task.start_ms + task.setup_ms:
            return self.states("PENDING", "Waiting for cluster" if task.cluster_id else "Waiting for compute")
        return self.states("RUNNING", "In run")

    def task(self, run: JobRun, task: TaskRun, *, resolved: bool = False) -> Json:
        """One element of `tasks[]`."""
        now = self.store.now_ms()
        over = task.ended(now)
        setup = min(task.setup_ms, max(0, now - task.start_ms)) if task.start_ms else 0
        execution = 0
        if task.start_ms and task.phase in (ACTIVE, DONE) and now > task.start_ms + setup:
            execution = task.execution_ms if over else now - task.start_ms - setup
        spec = {name: value for name, value in task.spec.items() if name not in ("description",)}
        shown: Json = {
            "run_id": task.run_id,
            **NOTIFICATIONS,
            "timeout_seconds": 0,
            "run_if": "ALL_SUCCESS",
            **spec,
            **self.task_states(run, task),
            "run_page_url": self.url(run.job_id, task.run_id),
            "start_time": task.start_ms if task.phase in (ACTIVE, DONE) else 0,
            "setup_duration": setup,
            "execution_duration": execution,
            "cleanup_duration": 0,
            "end_time": task.end_ms if over else 0,
            "attempt_number": task.attempt,
        }
        if task.cluster_id and task.start_ms:
            shown["cluster_instance"] = {
                "cluster_id": task.cluster_id,
                "spark_context_id": str(2_683_025_026_034_934_417 + task.run_id % 1000),
            }
        elif "environment_key" in spec:
            shown["effective_performance_target"] = "PERFORMANCE_OPTIMIZED"
        if task.condition and over:
            shown["condition_task"] = {**spec["condition_task"], "outcome": task.condition}
        if "for_each_task" in spec:
            shown["for_each_task"] = {**spec["for_each_task"], "stats": self.stats(task, now)}
        if resolved and task.resolved:
            shown["resolved_values"] = {kind: value for kind, value in task.resolved.items() if value}
        return self._extra(shown)

    def stats(self, task: TaskRun, now: int) -> Json:
        """Counts of a for_each_task's iterations at `now`."""
        total = len(task.iterations)
        begun = sum(1 for item in task.iterations if item.start_ms <= now)
        over = [item for item in task.iterations if item.end_ms <= now]
        failed = sum(1 for item in over if not item.outcome.ok)
        shown: Json = {
            "task_run_stats": {
                "total_iterations": total,
                "scheduled_iterations": begun,
                "active_iterations": begun - len(over),
                "completed_iterations": len(over),
                "succeeded_iterations": len(over) - failed,
                "failed_iterations": failed,
            }
        }
        if failed:
            shown["error_message_stats"] = [
                {"count": min(count, failed), "error_message": text, "termination_category": "RUN_EXECUTION_ERROR"}
                for text, count in failures(task)
            ]
        return shown

    def iteration(self, run: JobRun, task: TaskRun, item: Iteration) -> Json:
        """One element of `iterations[]`."""
        now = self.store.now_ms()
        inner = task.spec["for_each_task"]["task"]
        kind = runmodel.kind_of(inner)
        over = item.end_ms <= now
        if over:
            good = item.outcome
            states = self.ended(
                good.life, "SUCCESS" if good.ok else "FAILED", good.code, good.type, "" if good.ok else good.message
            )
        else:
            states = self.states("RUNNING" if item.start_ms <= now else "BLOCKED")
        return {
            "run_id": item.run_id,
            **inner,
            **states,
            "run_page_url": self.url(run.job_id, item.run_id),
            "start_time": item.start_ms if item.start_ms <= now else 0,
            "setup_duration": 0,
            "execution_duration": item.end_ms - item.start_ms if over else 0,
            "cleanup_duration": 0,
            "end_time": item.end_ms if over else 0,
            "attempt_number": 0,
            "resolved_values": {kind: runmodel.resolve(inner.get(kind) or {}, input_values(item.value))},
        }

    def task_as_run(self, run: JobRun, task: TaskRun, *, resolved: bool = False) -> Json:
        """`runs/get` (and `metadata` of get-output) of a task run."""
        part = self.task(run, task, resolved=resolved)
        shown = self._as_run(run, part, task.run_id, task.key, task.original_run_id)
        if task.attempt:
            shown["attempt_number"] = task.attempt
        return shown

    def iteration_as_run(self, run: JobRun, task: TaskRun, item: Iteration) -> Json:
        """`runs/get` (and `metadata` of get-output) of an iteration."""
        part = self.iteration(run, task, item)
        return {**self._as_run(run, part, item.run_id, part["task_key"], item.run_id), "parent_run_id": task.run_id}

    def _as_run(self, run: JobRun, part: Json, run_id: int, key: str, original: int) -> Json:
        taken = (
            "state",
            "status",
            "start_time",
            "setup_duration",
            "execution_duration",
            "cleanup_duration",
            "end_time",
            "cluster_instance",
        )
        return {
            "job_id": run.job_id,
            "run_id": run_id,
            "creator_user_name": run.creator,
            "number_in_job": run_id,
            "original_attempt_run_id": original,
            **{name: part[name] for name in taken if name in part},
            "trigger": run.trigger,
            "run_name": run.name,
            "run_page_url": self.url(run.job_id, run_id),
            "run_type": run.run_type,
            "parent_run_id": run.run_id,
            "tasks": [part],
            "task_key": key,
            "format": "MULTI_TASK",
            "job_run_id": run.run_id,
            "effective_performance_target": "PERFORMANCE_OPTIMIZED",
        }

    # --- output -----------------------------------------------------------------------------------------------

    def output(self, run: JobRun, task: TaskRun) -> Json:
        """`runs/get-output` of a task run; what is not over shows what there is so far."""
        now = self.store.now_ms()
        answer: Json = {"metadata": self.task_as_run(run, task)}
        if task.child_run_id:
            answer["run_job_output"] = {"run_id": task.child_run_id}
        if not task.ended(now):
            return self._running_output(answer, task, now)
        outcome = task.outcome or Outcome(task.result in ("SUCCESS", "EXCLUDED", "DISABLED"), 0, 0)
        self._fill(answer, runmodel.kind_of(task.spec), task.spec, outcome, task.run_id)
        if not outcome.ok and not outcome.error and not task.child_run_id:
            answer["error"] = task.message or WORKLOAD_FAILED
        return answer

    def iteration_output(self, run: JobRun, task: TaskRun, item: Iteration) -> Json:
        """`runs/get-output` of an iteration."""
        answer: Json = {"metadata": self.iteration_as_run(run, task, item)}
        inner = task.spec["for_each_task"]["task"]
        if item.end_ms <= self.store.now_ms():
            outcome = self.engine.starter.iteration_output(run, task, item)
            self._fill(answer, runmodel.kind_of(inner), inner, outcome, item.run_id)
        return answer

    def _running_output(self, answer: Json, task: TaskRun, now: int) -> Json:
        outcome = task.outcome
        if outcome is not None and outcome.logs and task.phase == ACTIVE:
            lines = outcome.logs.splitlines(keepends=True)
            done = max(0, now - task.start_ms - task.setup_ms) / max(1, task.execution_ms)
            answer["logs"] = "".join(lines[: int(len(lines) * min(1.0, done)) + (done > 0)])
            answer["logs_truncated"] = False
        return answer

    def _fill(self, answer: Json, kind: str, spec: Json, outcome: Outcome, run_id: int) -> None:
        if outcome.error:
            answer["error"] = outcome.error
        if outcome.trace:
            answer["error_trace"] = outcome.trace
        if kind == "notebook_task":
            limit = self.store.quirks.output_limit
            told = {"result": outcome.result[:limit], "truncated": len(outcome.result) > limit}
            answer["notebook_output"] = told if outcome.result else {}
        elif kind == "sql_task":
            warehouse = str(spec[kind].get("warehouse_id") or "")
            answer["sql_output"] = {
                "query_output": {
                    "warehouse_id": warehouse,
                    "endpoint_id": warehouse,
                    "query_text": outcome.query,
                    "output_link": f"{self.store.host}/sql/queries/{run_id}",
                    "sql_statements": [{"lookup_key": f"Ci{run_id:x}"}],
                }
            }
        elif kind == "dbt_task":
            answer["dbt_output"] = {"artifacts_headers": {}, "artifacts_link": f"{self.store.host}/dbt/{run_id}.tar.gz"}
        if outcome.logs:
            answer["logs"] = outcome.logs[: self.store.quirks.output_limit]
            answer["logs_truncated"] = len(outcome.logs) > self.store.quirks.output_limit
