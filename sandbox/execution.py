"""Puts the moving parts into a store: job runs, pipeline updates, their compute; and keeps them in step with the files.
It answers no request itself."""

from __future__ import annotations

from datetime import UTC, datetime

from . import scenario as scenarios
from . import statements
from .http import Json
from .runengine import RunEngine
from .runjson import RunShapes
from .runmodel import JobRun, TaskRun
from .store import Store
from .updateengine import UpdateEngine


def install(store: Store) -> None:
    """Loads the scenario that `store.scenario_name` names ("" for none: code runs by its own merits), sets the rest."""
    store.scenario = scenarios.load(store.scenario_name) if store.scenario_name else None
    execution = Execution(store)
    store.execution = execution
    store.files.before_change = execution.settle


class Execution:
    """What runs in one store, and what other modules ask of it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.compute = Compute(store)
        self.updates = UpdateEngine(store)
        self.runs = RunEngine(store, self.updates)
        self.shapes = RunShapes(store, self.runs)

    def settle(self) -> None:
        """Brings everything to now. Called before a file changes, so that what began before ran the old files."""
        now = self.store.now_ms()
        self.updates.settle(now)
        self.runs.settle(now)

    def statement_answer(self, text: str) -> Json | None:
        """What a warehouse answers to a statement that only looks; None for any other."""
        return statements.answer(self.store, self.store.scenario, text)

    def job_deleted(self, job_id: int) -> None:
        """A job goes: its active runs are cancelled."""
        now = self.store.now_ms()
        for run in list(self.runs.job_runs.values()):
            if run.job_id == job_id and not run.ended:
                self.runs.advance(run, now)
                self.runs.cancel(run, now)

    def pipeline_deleted(self, pipeline_id: str) -> None:
        """A pipeline goes: its update stops, its past is forgotten."""
        self.updates.stop(pipeline_id, self.store.now_ms())
        for update in self.updates.of(pipeline_id):
            self.store.updates.pop(update.update_id, None)
        self.updates.logs.pop(pipeline_id, None)

    def latest_updates(self, pipeline_id: str) -> list[Json]:
        """The newest updates of a pipeline as GET pipeline shows them, newest first."""
        self.settle()
        return self.updates.latest(pipeline_id, self.store.now_ms())

    def pipeline_state(self, pipeline_id: str) -> str:
        """The state of a pipeline now."""
        self.settle()
        return self.updates.pipeline_state(pipeline_id, self.store.now_ms())


class Compute:
    """The clusters that runs and updates on classic compute bring up, with their events."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.of_run: dict[tuple[int, int, str], str] = {}

    def for_task(self, run: JobRun, task: TaskRun) -> str:
        """Gives a task its cluster and returns the cluster's name; "" on serverless."""
        spec = task.spec
        if spec.get("existing_cluster_id"):
            task.cluster_id = str(spec["existing_cluster_id"])
            return task.cluster_id
        key = str(spec.get("job_cluster_key") or "")
        settings = spec.get("new_cluster")
        if key:
            shared = (c for c in run.settings.get("job_clusters") or [] if c.get("job_cluster_key") == key)
            settings = (next(shared, None) or {}).get("new_cluster")
        if not isinstance(settings, dict):
            return ""
        place = (run.run_id, task.repair, key or f"{task.key}/{task.attempt}")
        name = f"job-{run.job_id}-run-{run.run_id}-{key or task.key}"
        if place not in self.of_run:
            self.of_run[place] = self._up(name, settings, task.start_ms, "JOB")
        task.cluster_id = self.of_run[place]
        return name

    def of_update(self, cluster_id: str, name: str, at_ms: int) -> None:
        """Records the cluster of a pipeline update."""
        self._record(cluster_id, f"dlt-execution-{name}", {"num_workers": 2}, at_ms, "PIPELINE")

    def _up(self, name: str, settings: Json, at_ms: int, source: str) -> str:
        when = datetime.fromtimestamp(at_ms / 1000, UTC)
        cluster_id = f"{when:%m%d-%H%M%S}-{self.store.ids.hex(8)}"
        self._record(cluster_id, name, settings, at_ms, source)
        return cluster_id

    def _record(self, cluster_id: str, name: str, settings: Json, at_ms: int, source: str) -> None:
        who = self.store.identity.user_name
        self.store.kind("clusters")[cluster_id] = {
            **settings,
            "cluster_id": cluster_id,
            "cluster_name": name,
            "cluster_source": source,
            "creator_user_name": who,
            "state": "RUNNING",
            "state_message": "",
            "start_time": at_ms,
        }
        creating = {"cluster_id": cluster_id, "timestamp": at_ms, "type": "CREATING", "details": {"user": who}}
        running = {"cluster_id": cluster_id, "timestamp": at_ms + 20_000, "type": "RUNNING", "details": {}}
        self.store.kind("cluster_events")[cluster_id] = {"events": [running, creating]}

    def _event(self, cluster_id: str, at_ms: int, kind: str, details: Json) -> None:
        held = self.store.kind("cluster_events").setdefault(cluster_id, {"events": []})
        held["events"].insert(0, {"cluster_id": cluster_id, "timestamp": at_ms, "type": kind, "details": details})

    def lose(self, cluster_id: str, at_ms: int, reason: Json) -> None:
        """The platform takes a cluster away: `reason` has code, type and message."""
        record = self.store.kind("clusters").get(cluster_id)
        if record is None or record["state"] == "TERMINATED":
            return
        text = str(reason.get("message", ""))
        shown = {
            "code": reason.get("code", "CLOUD_PROVIDER_SHUTDOWN"),
            "type": reason.get("type", "CLOUD_FAILURE"),
            "parameters": {"instance_id": "i-0abc123def4567890", "databricks_error_message": text},
        }
        record.update(state="TERMINATED", terminated_time=at_ms, termination_reason=shown, state_message=text)
        self._event(
            cluster_id, at_ms, "NODES_LOST", {"reason": shown, "current_num_workers": 0, "target_num_workers": 2}
        )
        self._event(cluster_id, at_ms + 500, "TERMINATING", {"reason": shown})

    def release(self, run: JobRun) -> None:
        """A run is over: its clusters go."""
        for (run_id, _, _), cluster_id in self.of_run.items():
            record = self.store.kind("clusters").get(cluster_id)
            if run_id != run.run_id or record is None or record["state"] == "TERMINATED":
                continue
            reason = {"code": "JOB_FINISHED", "type": "SUCCESS", "parameters": {}}
            record.update(state="TERMINATED", terminated_time=run.end_ms, termination_reason=reason)
            self._event(cluster_id, run.end_ms, "TERMINATING", {"reason": reason})
