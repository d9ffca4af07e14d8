"""The events of one pipeline update, planned from what the pipeline defines: their times, texts, metrics and errors.
It keeps no state; updateengine.py decides when an update begins and what of it is visible."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .http import Json
from .pipelineplan import MATERIALIZED, STREAMING, Dataset, Fault, Plan
from .store import WORKSPACE_ID

ERROR_CLASS = re.compile(r"^\s*\[([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)?)\]")
SQL_STATE = re.compile(r"SQLSTATE: (\w{5})")
MAX_BATCHES = 240
RUNTIME = {"dbr_version": "dlt:17.3", "image_key": "dlt-17.3", "effective_environment_version": "4"}
EXCEPTIONS = "com.databricks.pipelines.common.errors.exceptions"
EXECUTION = "com.databricks.pipelines.execution.core.UpdateExecution"


@dataclass(slots=True)
class Draft:
    """One event before it gets its id: time in simulated ms, and what differs from event to event."""

    at_ms: int
    event_type: str
    message: str
    details: Json
    level: str = "INFO"
    origin: Json = field(default_factory=dict)
    error: Json | None = None
    maturity: str = "STABLE"


@dataclass(slots=True)
class Timeline:
    """The planned course of an update: its events, its states with the time each begins, and its end (0: none)."""

    drafts: list[Draft]
    states: list[tuple[int, str]]
    end_ms: int
    message: str = ""
    retryable: bool = False
    lost: tuple[int, tuple[tuple[str, str], ...]] | None = None
    """When the compute was lost, and why."""


def iso(ms: int) -> str:
    """Epoch milliseconds as the API writes times."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def progress(at_ms: int, update_id: str, state: str, **more: object) -> Draft:
    """An update_progress event."""
    level = "ERROR" if state == "FAILED" else "INFO"
    details = {"update_progress": {"state": state, **more}}
    return Draft(at_ms, "update_progress", f"Update {update_id[:6]} is {state}.", details, level)


def opening(update_id: str, cause: str, user: str, at_ms: int, wait_ms: int) -> Timeline:
    """From the request to INITIALIZING, when the source is read."""
    drafts = []
    if cause in ("API_CALL", "USER_ACTION"):
        action = {"user_action": {"action": "START", "user_name": user, "user_id": 4242424242424242}}
        drafts.append(Draft(at_ms, "user_action", f"User {user} started an update.", action))
    created = {"create_update": {"cause": cause, "run_as": user}}
    drafts.append(Draft(at_ms + 66, "create_update", f"Update {update_id[:6]} started by {cause}.", created))
    drafts.append(progress(at_ms + 900, update_id, "WAITING_FOR_RESOURCES"))
    drafts.append(progress(at_ms + wait_ms, update_id, "INITIALIZING"))
    states = [(at_ms, "CREATED"), (at_ms + 900, "WAITING_FOR_RESOURCES"), (at_ms + wait_ms, "INITIALIZING")]
    return Timeline(drafts, states, 0)


class Course:
    """Plans what follows INITIALIZING."""

    def __init__(self, update_id: str, plan: Plan, start_ms: int, options: Json, *, cluster_id: str = "") -> None:
        self.update_id = update_id
        self.plan = plan
        self.now = start_ms
        self.options = options
        self.cluster_id = cluster_id
        self.drafts: list[Draft] = []
        self.states: list[tuple[int, str]] = []
        self.continuous = bool(options.get("continuous"))

    def run(self) -> Timeline:
        """The rest of the update."""
        self.drafts.append(
            Draft(
                self.now + 700,
                "runtime_details",
                "Runtime details.",
                {
                    "runtime_details": {
                        "dbr_version": "dlt:17.3",
                        "image_key": "dlt-17.3",
                        "effective_environment_version": "4",
                    }
                },
            )
        )
        if self.plan.fault is not None:
            return self._failed(self.now + 9000, self.plan.fault, "")
        chosen = self._chosen()
        at = self.now + 6000
        for dataset in chosen:
            self._define(dataset, at)
            at += 150
        broken = [item for item in chosen if item.fault is not None and item.fault.analysis]
        if broken:
            return self._analysis_failed(broken, at + 2500)
        if self.options.get("validate_only"):
            return self._completed(at + 2000)
        if self.options.get("full_refresh") or self.options.get("full_refresh_selection"):
            self._state(at + 1000, "RESETTING")
            at += 7000
        self._state(at + 2000, "SETTING_UP_TABLES")
        self._state(at + 8000, "RUNNING")
        return self._flows(chosen, at + 8000)

    def _state(self, at_ms: int, state: str) -> None:
        self.states.append((at_ms, state))
        self.drafts.append(progress(at_ms, self.update_id, state))

    def _chosen(self) -> list[Dataset]:
        wanted = [*(self.options.get("refresh_selection") or []), *(self.options.get("full_refresh_selection") or [])]
        names = {str(name) for name in wanted}
        if not names:
            return list(self.plan.datasets)
        return [d for d in self.plan.datasets if d.name in names or d.name.rsplit(".", 1)[-1] in names]

    def _origin(self, dataset: Dataset, **more: object) -> Json:
        number = zlib.crc32(dataset.name.encode())
        flow_id = f"{number:08x}-0000-4000-8000-{number:012x}"
        return {"flow_id": flow_id, "flow_name": dataset.name, "dataset_name": dataset.name, **more}

    def _define(self, dataset: Dataset, at_ms: int) -> None:
        rules = [{"name": n, "expression": rule, "action": action} for n, rule, action in dataset.expectations]
        definition: Json = {"dataset_type": dataset.kind, "num_flows": 1}
        if rules:
            definition["expectations"] = rules
        name = dataset.name
        place = {"source_code_location": {"path": dataset.path, "line_number": dataset.line}}
        self.drafts.append(
            Draft(
                at_ms,
                "dataset_definition",
                f"Dataset '{name}' defined as {dataset.kind}.",
                {"dataset_definition": definition},
                origin={"dataset_name": name, **place},
            )
        )
        flow_type = "APPEND" if dataset.kind == STREAMING else dataset.kind
        flow: Json = {
            "output_dataset": name,
            "input_datasets": list(dataset.inputs),
            "flow_type": flow_type,
            "language": dataset.language,
            "once": False,
        }
        if dataset.comment:
            flow["comment"] = dataset.comment
        self.drafts.append(
            Draft(
                at_ms + 40,
                "flow_definition",
                f"Flow '{name}' defined as {flow_type}.",
                {"flow_definition": flow},
                origin=self._origin(dataset, **place),
            )
        )

    def _flow(self, dataset: Dataset, at_ms: int, status: str, **more: object) -> Draft:
        level = "WARN" if status == "SKIPPED" else "INFO"
        text = f"Flow '{dataset.name}' is {status}."
        draft = Draft(at_ms, "flow_progress", text, {"flow_progress": {"status": status, **more}}, level)
        draft.origin = self._origin(dataset)
        self.drafts.append(draft)
        return draft

    # --- flows ------------------------------------------------------------------------------------------------

    def _flows(self, chosen: list[Dataset], start_ms: int) -> Timeline:
        ends: dict[str, int] = {}
        dead: set[str] = set()
        faults: list[tuple[int, Dataset]] = []
        shown = [item for item in chosen if item.kind != "VIEW"]
        for number, dataset in enumerate(shown):
            self._flow(dataset, start_ms + 100 + number * 20, "QUEUED")
            ready = max([start_ms + 600, *(ends[name] for name in dataset.inputs if name in ends)])
            if any(name in dead for name in dataset.inputs):
                self._flow(
                    dataset, ready + 200, "SKIPPED"
                ).message = f"Flow '{dataset.name}' was skipped because an upstream flow failed."
                dead.add(dataset.name)
                ends[dataset.name] = ready + 200
                continue
            if dataset.kind == MATERIALIZED:
                self._planning(dataset, ready - 100)
            self._flow(dataset, ready, "STARTING")
            self._flow(dataset, ready + 900, "RUNNING")
            if dataset.fault is not None:
                at = ready + 900 + int(dataset.fault.seconds * 1000 or 8000)
                self._batches(dataset, ready + 900, 1)
                if not dataset.fault.cluster:
                    self._flow_failed(dataset, at)
                faults.append((at, dataset))
                dead.add(dataset.name)
                ends[dataset.name] = at
                continue
            ends[dataset.name] = self._run_flow(dataset, ready + 900)
        last = max(ends.values(), default=start_ms + 1000)
        self._resources(start_ms, last)
        if self.plan.has_hook:
            hook = {"hook_progress": {"name": "on_event_hook", "status": "COMPLETED"}}
            self.drafts.append(Draft(last + 300, "hook_progress", "Event hook ended.", hook, maturity="EVOLVING"))
        if faults:
            at, first = min(faults, key=lambda pair: pair[0])
            fault = first.fault
            assert fault is not None
            if fault.cluster:
                return self._lost(at, fault)
            return self._failed(last + 800, fault, next(d.name for _, d in faults if d.fault is fault))
        if self.continuous:
            return Timeline(self.drafts, self.states, 0)
        return self._completed(last + 1500)

    def _run_flow(self, dataset: Dataset, at_ms: int) -> int:
        if dataset.kind == STREAMING:
            count = MAX_BATCHES if self.continuous else 2 + zlib.crc32(f"{self.update_id}{dataset.name}".encode()) % 3
            end = self._batches(dataset, at_ms, count)
            if not self.continuous:
                self._flow(dataset, end, "COMPLETED").message = f"Completed a streaming update of '{dataset.name}'."
            return end
        rows = self._number(dataset, 0, 400, 5000)
        end = at_ms + 5000 + self._number(dataset, 9, 0, 6000)
        metrics = {"num_output_rows": rows, "num_upserted_rows": rows // 3, "num_deleted_rows": rows // 40}
        draft = self._flow(dataset, end, "COMPLETED", metrics=metrics, **self._quality(dataset, 0, rows))
        draft.message = f"Flow '{dataset.name}' has COMPLETED."
        return end

    def _number(self, dataset: Dataset, salt: int, low: int, span: int) -> int:
        return low + zlib.crc32(f"{self.update_id}:{dataset.name}:{salt}".encode()) % max(1, span)

    def _batches(self, dataset: Dataset, at_ms: int, count: int) -> int:
        first = self._number(dataset, 77, 100, 400)
        at = at_ms
        name = (dataset.inputs or ("files",))[0]
        for number in range(count):
            at += 4000 if not self.continuous else 15_000
            rows = self._number(dataset, number, 900, 4000)
            backlog = max(0, count - number - 1) * 40_000 if not self.continuous else rows * 12
            metrics: Json = {
                "num_output_rows": rows,
                "num_upserted_rows": rows,
                "num_deleted_rows": 0,
                "num_output_bytes": rows * 143,
                "backlog_bytes": backlog,
                "backlog_files": backlog // 20_000,
                "executor_time_ms": rows * 3,
                "executor_cpu_time_ms": rows,
                "source_metrics": [{"source_name": f"DeltaSource[{name}]", "backlog_bytes": backlog}],
            }
            quality = self._quality(dataset, number, rows)
            draft = self._flow(dataset, at, "RUNNING", metrics=metrics, **quality)
            draft.origin["batch_id"] = first + number
            draft.message = f"Flow '{dataset.name}' processed a micro-batch."
        return at + 800

    def _quality(self, dataset: Dataset, salt: int, rows: int) -> Json:
        if not dataset.expectations:
            return {}
        rules = []
        dropped = 0
        for number, (name, _, action) in enumerate(dataset.expectations):
            failed = 0 if action == "FAIL" else self._number(dataset, 1000 + salt * 10 + number, 0, max(2, rows // 150))
            dropped += failed if action == "DROP" else 0
            rules.append(
                {"name": name, "dataset": dataset.name, "passed_records": rows - failed, "failed_records": failed}
            )
        return {"data_quality": {"dropped_records": dropped, "expectations": rules}}

    def _planning(self, dataset: Dataset, at_ms: int) -> None:
        first = self._number(dataset, 5, 0, 2) == 0
        chosen = "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE" if first else "MAINTENANCE_TYPE_GROUP_AGGREGATE"
        issue = {"issue_type": "CHANGE_SET_MISSING", "prevent_incrementalization": True, "operator_name": "Aggregate"}
        technique: Json = {"maintenance_type": chosen, "is_chosen": True}
        if first:
            technique["incrementalization_issues"] = [issue]
        word = chosen.removeprefix("MAINTENANCE_TYPE_")
        text = f"Flow '{dataset.name}' has been planned in the pipeline to be executed as {word}."
        details = {"planning_information": {"technique_information": [technique]}}
        draft = Draft(at_ms, "planning_information", text, details, maturity="EVOLVING")
        draft.origin = self._origin(dataset)
        self.drafts.append(draft)

    def _resources(self, start_ms: int, end_ms: int) -> None:
        if not self.cluster_id:
            return
        for number, at in enumerate(range(start_ms + 5000, min(end_ms, start_ms + 600_000), 15_000)):
            slots = {
                "summary_duration_ms": 15000,
                "num_task_slots": 8,
                "avg_num_task_slots": 8.0,
                "avg_task_slot_utilization": round(0.3 + 0.05 * (number % 8), 2),
                "num_executors": 2,
                "avg_num_queued_tasks": 0.5 * (number % 4),
            }
            details = {
                "cluster_resources": {
                    "task_slot_metrics": slots,
                    "autoscale_info": {"state": "SUCCEEDED", "optimal_num_executors": 2},
                }
            }
            text = f"Cluster {self.cluster_id} resources."
            draft = Draft(at, "cluster_resources", text, details, "METRICS", maturity="EVOLVING")
            draft.origin = {"cluster_id": self.cluster_id}
            self.drafts.append(draft)

    # --- ends -------------------------------------------------------------------------------------------------

    def _completed(self, at_ms: int) -> Timeline:
        self._state(at_ms, "COMPLETED")
        return Timeline(self.drafts, self.states, at_ms)

    def _lost(self, at_ms: int, fault: Fault) -> Timeline:
        """The compute goes away: what was to come is not said, and no event tells why."""
        self.drafts = [draft for draft in self.drafts if draft.at_ms <= at_ms]
        self.states.append((at_ms + 20_000, "FAILED"))
        text = f"Update {self.update_id[:6]} has failed."
        return Timeline(self.drafts, self.states, at_ms + 20_000, text, fault.retryable, (at_ms, fault.cluster))

    def _flow_failed(self, dataset: Dataset, at_ms: int) -> None:
        fault = dataset.fault
        assert fault is not None
        if fault.analysis:
            text = (
                f"Flow '{dataset.name}' has FAILED fatally. An error occurred because we failed to resolve the query."
            )
        else:
            text = f"Flow '{dataset.name}' has FAILED fatally. An error occurred while processing streaming data."
        draft = Draft(at_ms, "flow_progress", text, {"flow_progress": {"status": "FAILED"}}, "ERROR")
        draft.origin = self._origin(
            dataset, source_code_location={"path": fault.path, "line_number": fault.line or dataset.line}
        )
        draft.error = {"fatal": True, "exceptions": chain(fault, dataset.name, outer=False)}
        self.drafts.append(draft)

    def _analysis_failed(self, broken: list[Dataset], at_ms: int) -> Timeline:
        for number, dataset in enumerate(broken):
            self._flow_failed(dataset, at_ms + number * 30)
        fault = broken[0].fault
        assert fault is not None
        return self._failed(at_ms + 900, fault, broken[0].name)

    def _failed(self, at_ms: int, fault: Fault, flow: str) -> Timeline:
        short = self.update_id[:6]
        text = f"Update {short} is FAILED."
        draft = Draft(at_ms, "update_progress", text, {"update_progress": {"state": "FAILED"}}, "ERROR")
        draft.error = {"fatal": True, "exceptions": chain(fault, flow, outer=True, update=short)}
        if fault.path and not flow:
            draft.origin = {"source_code_location": {"path": fault.path, "line_number": fault.line or 1}}
        self.drafts.append(draft)
        self.states.append((at_ms, "FAILED"))
        what = f"Failed to analyze/execute flow '{flow}'." if flow else "Failed to load the pipeline's source."
        return Timeline(self.drafts, self.states, at_ms, f"Update {short} has failed. {what}", fault.retryable)


def chain(fault: Fault, flow: str, *, outer: bool, update: str = "") -> list[Json]:
    """The exceptions of an ERROR event, the root cause last."""
    found: list[Json] = []
    if outer:
        what = f"Failed to analyze/execute flow '{flow}'." if flow else "Failed to load the pipeline's source."
        found.append(
            _exception(
                f"{EXCEPTIONS}.UpdateFailedException",
                f"Update {update} has failed. {what}",
                (
                    "com.databricks.pipelines.execution.core.UpdateExecution",
                    "$anonfun$run$1",
                    "UpdateExecution.scala",
                    812,
                ),
                "UPDATE_FAILED",
                "XXKST",
            )
        )
    if fault.wrapper:
        number = zlib.crc32(f"{flow}{fault.message}".encode())
        ident = f"{number:08x}-1c2d-4e5f-8a9b-{number:012x}"
        text = f"[STREAM_FAILED] Query [id = {ident}, runId = {ident[::-1]}] terminated with exception: {fault.message}"
        frame = ("org.apache.spark.sql.execution.streaming.StreamExecution", "runStream", "StreamExecution.scala", 446)
        found.append(_exception(fault.wrapper, f"{text} SQLSTATE: XXKST", frame, "STREAM_FAILED", "XXKST"))
    frame = ("org.apache.spark.sql.errors.QueryCompilationErrors$", "raise", "QueryCompilationErrors.scala", 446)
    found.append(_exception(fault.class_name, fault.message, frame))
    return found


def _exception(
    class_name: str, message: str, frame: tuple[str, str, str, int], error_class: str = "", state: str = ""
) -> Json:
    named, coded = ERROR_CLASS.match(message), SQL_STATE.search(message)
    shown: Json = {"class_name": class_name, "message": message}
    if error_class or named:
        shown["error_class"] = error_class or (named[1] if named else "")
    if state or coded:
        shown["sql_state"] = state or (coded[1] if coded else "")
    declaring, method, file, line = frame
    shown["stack"] = [{"declaring_class": declaring, "method_name": method, "file_name": file, "line_number": line}]
    return shown


def finished(draft: Draft, number: int, pipeline: Json, update_id: str) -> Json:
    """The event as the API shows it. `number` counts the events of a pipeline; `pipeline` has id, name, region."""
    serial = draft.at_ms * 1000 + number % 1000
    shown: Json = {
        "id": f"{(serial >> 16) & 0xFFFFFFFF:08x}-{serial & 0xFFFF:04x}-11f1-9a2e-{number & 0xFFFFFFFFFFFF:012x}",
        "sequence": {"control_plane_seq_no": serial, "data_plane_id": {"instance": "execution", "seq_no": serial}},
        "origin": {
            "cloud": "AWS",
            "region": "us-west-2",
            "org_id": WORKSPACE_ID,
            "pipeline_id": pipeline["id"],
            "pipeline_type": "WORKSPACE",
            "pipeline_name": pipeline["name"],
            "update_id": update_id,
            "request_id": update_id,
            **draft.origin,
        },
        "timestamp": iso(draft.at_ms),
        "message": draft.message,
        "level": draft.level,
        "maturity_level": draft.maturity,
        "event_type": draft.event_type,
        "details": draft.details,
    }
    if draft.error:
        shown["error"] = draft.error
    return shown
