"""Runs, task runs and outputs from the raw JSON of Jobs API 2.2; what is said in `status` counts before `state`.

Never raises, whatever comes: unknown words are kept as they are, and count as active unless the end is proven.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .json_values import flag, ident, mapping, message, objects, pairs, shown, text, whole
from .runs import ForEachStats, Outcome, RepairItem, Run, RunState, TaskOutput, TaskRun
from .text import Redactor, clean, clip, strip_html_spans

# `status.state`, and `state.life_cycle_state` where it differs (facts of Jobs API 2.2).
_ACTIVE = {
    "QUEUED": Outcome.QUEUED,
    "PENDING": Outcome.PENDING,
    "BLOCKED": Outcome.BLOCKED,
    "RUNNING": Outcome.RUNNING,
    "TERMINATING": Outcome.TERMINATING,
    "WAITING": Outcome.WAITING_FOR_RETRY,
    "WAITING_FOR_RETRY": Outcome.WAITING_FOR_RETRY,
}
_ENDED = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_BY_CODE = {
    "SUCCESS": Outcome.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": Outcome.SUCCEEDED_WITH_FAILURES,
    "USER_CANCELED": Outcome.CANCELED,
    "CANCELED": Outcome.CANCELED,
    "SKIPPED": Outcome.SKIPPED,
    "DISABLED": Outcome.DISABLED,
    "MAX_CONCURRENT_RUNS_EXCEEDED": Outcome.MAX_CONCURRENT_RUNS,
    **dict.fromkeys(
        (
            *("INTERNAL_ERROR", "DRIVER_ERROR", "CLUSTER_ERROR", "CLUSTER_TERMINATED_BY_USER", "CLOUD_FAILURE"),
            *("REPOSITORY_CHECKOUT_FAILED", "INVALID_CLUSTER_REQUEST", "CLUSTER_REQUEST_LIMIT_EXCEEDED"),
            *("WORKSPACE_RUN_LIMIT_EXCEEDED", "FEATURE_DISABLED", "STORAGE_ACCESS_ERROR", "RUN_EXECUTION_ERROR"),
            *("UNAUTHORIZED_ERROR", "LIBRARY_INSTALLATION_ERROR", "MAX_SPARK_CONTEXTS_EXCEEDED"),
            *("MAX_JOB_QUEUE_SIZE_EXCEEDED", "RESOURCE_NOT_FOUND", "INVALID_RUN_CONFIGURATION", "BREAKING_CHANGE"),
            "BUDGET_POLICY_LIMIT_EXCEEDED",
        ),
        Outcome.FAILED,
    ),
}
_BY_TYPE = {
    "SUCCESS": Outcome.SUCCEEDED,
    "CLIENT_ERROR": Outcome.FAILED,
    "INTERNAL_ERROR": Outcome.FAILED,
    "CLOUD_FAILURE": Outcome.FAILED,
}
_BY_RESULT = {
    "SUCCESS": Outcome.SUCCEEDED,
    "SUCCESS_WITH_FAILURES": Outcome.SUCCEEDED_WITH_FAILURES,
    "FAILED": Outcome.FAILED,
    "TIMEDOUT": Outcome.TIMED_OUT,
    "CANCELED": Outcome.CANCELED,
    "EXCLUDED": Outcome.EXCLUDED,
    "DISABLED": Outcome.DISABLED,
    "UPSTREAM_FAILED": Outcome.UPSTREAM_FAILED,
    "UPSTREAM_CANCELED": Outcome.UPSTREAM_CANCELED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": Outcome.MAX_CONCURRENT_RUNS,
}
# One code stands for several ends: there the result tells which it was.
_FINER = {
    Outcome.SUCCEEDED: (Outcome.SUCCEEDED_WITH_FAILURES, Outcome.EXCLUDED, Outcome.DISABLED),
    Outcome.CANCELED: (Outcome.TIMED_OUT, Outcome.UPSTREAM_CANCELED),
    Outcome.FAILED: (
        *(Outcome.TIMED_OUT, Outcome.CANCELED, Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CANCELED),
        Outcome.MAX_CONCURRENT_RUNS,
    ),
    Outcome.SKIPPED: (
        *(Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CANCELED, Outcome.EXCLUDED, Outcome.DISABLED, Outcome.CANCELED),
        Outcome.MAX_CONCURRENT_RUNS,
    ),
}
_QUEUE_WORDS = {
    "ACTIVE_RUNS_LIMIT_REACHED": "the workspace runs as many jobs as it may",
    "MAX_CONCURRENT_RUNS_REACHED": "the job has as many runs as it may have at once",
    "ACTIVE_RUN_JOB_TASKS_LIMIT_REACHED": "the workspace has as many run-job tasks under way as it may",
}
_LEGACY_URL = re.compile(r"(https?://[^/?#\s]+)/?(\?[^#\s]*)?#job/(\d+)/run/(\d+)")
_KNOWN_KINDS = (
    "notebook",
    "spark_python",
    "python_wheel",
    "sql",
    "dbt",
    "pipeline",
    "run_job",
    "for_each",
    "condition",
)
# Where the parameters of each kind of task stand; the first that is there counts.
_PARAMETERS = ("base_parameters", "named_parameters", "job_parameters", "parameters", "commands")
_OUTPUT_LIMIT = 6_000_000  # characters; the platform keeps the last 5 MB of logs, the first 5 MB of a result


def parse_state(raw: Mapping[str, Any], *, end_ms: int = 0) -> RunState:
    """State of a run, a task run or an item of the repair history; `end_ms` is when it ended, 0 where it did not."""
    status, old = mapping(raw.get("status")), mapping(raw.get("state"))
    details, queue = mapping(status.get("termination_details")), mapping(status.get("queue_details"))
    new_life, old_life = text(status.get("state")), text(old.get("life_cycle_state"))
    code, kind, result = text(details.get("code")), text(details.get("type")), text(old.get("result_state"))
    life = new_life or old_life
    ended = life in _ENDED
    if life not in _ACTIVE:
        # An unknown word, or none: only what cannot be said of an active run proves the end.
        ended = ended or old_life in _ENDED or code in _BY_CODE or result in _BY_RESULT or end_ms > 0
    outcome = _end(code, kind, result, life, old_life) if ended else _ACTIVE.get(life, Outcome.UNKNOWN)
    return _the_same(
        RunState(
            outcome,
            life,
            result,
            code,
            kind,
            message(details.get("message")) or message(old.get("state_message")),
            "" if ended else _queue_reason(queue, old),
            ended=ended,
        )
    )


@lru_cache(500)
def _the_same(state: RunState) -> RunState:
    """One object for equal states: of hundreds of runs and their tasks, nearly all are in one of a few."""
    return state


def _end(code: str, kind: str, result: str, life: str, old_life: str) -> Outcome:
    by_result = _BY_RESULT.get(result)
    outcome = _BY_CODE.get(code) or _BY_TYPE.get(kind) or by_result
    if outcome is None:
        lives = (life, old_life)
        return (
            Outcome.SKIPPED if "SKIPPED" in lives else Outcome.FAILED if "INTERNAL_ERROR" in lives else Outcome.UNKNOWN
        )
    return by_result if by_result is not None and by_result in _FINER.get(outcome, ()) else outcome


def _queue_reason(queue: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    code = text(queue.get("code"))
    return message(queue.get("message")) or message(old.get("queue_reason")) or _QUEUE_WORDS.get(code, code)


def parse_run(raw: Any) -> Run:
    """A run of `runs/get` (its task pages joined) or an entry of `runs/list`."""
    raw = mapping(raw)
    end_ms = whole(raw.get("end_time"))
    return Run(
        run_id=ident(raw.get("run_id")),
        job_id=ident(raw.get("job_id")),
        name=text(raw.get("run_name")),
        state=parse_state(raw, end_ms=end_ms),
        start_ms=whole(raw.get("start_time")),
        end_ms=end_ms,
        setup_ms=whole(raw.get("setup_duration")),
        # Runs with several tasks have 0 as their own durations, and tell the whole in `run_duration`.
        execution_ms=whole(raw.get("execution_duration")) or whole(raw.get("run_duration")),
        queue_ms=whole(raw.get("queue_duration")),
        trigger=text(raw.get("trigger")),
        creator=text(raw.get("creator_user_name")),
        page_url=page_url(raw.get("run_page_url")),
        tasks=tuple(map(parse_task, objects(raw.get("tasks")))),
        repairs=tuple(map(_parse_repair, objects(raw.get("repair_history")))),
        parameters=tuple(
            (text(item.get("name")), shown(job_parameter(item))) for item in objects(raw.get("job_parameters"))
        ),
        parent_task_run_id=ident(mapping(raw.get("trigger_info")).get("run_id")),
    )


def job_parameter(item: Mapping[str, Any]) -> Any:
    """The value of an element of `job_parameters`: what the run was given, else the job's default."""
    return item["value"] if item.get("value") is not None else item.get("default", "")


def _parse_repair(raw: Mapping[str, Any]) -> RepairItem:
    end_ms, ids = whole(raw.get("end_time")), raw.get("task_run_ids")
    return RepairItem(
        kind=text(raw.get("type")),
        id=ident(raw.get("id")),
        state=parse_state(raw, end_ms=end_ms),
        start_ms=whole(raw.get("start_time")),
        end_ms=end_ms,
        task_run_ids=tuple(filter(None, map(ident, ids))) if isinstance(ids, list) else (),
    )


def parse_task(raw: Any) -> TaskRun:
    """An element of `tasks` or of `iterations`: one attempt of one task."""
    raw = mapping(raw)
    kind = _kind(raw)
    spec = mapping(raw.get(f"{kind}_task"))
    end_ms = whole(raw.get("end_time"))
    return TaskRun(
        run_id=ident(raw.get("run_id")),
        task_key=text(raw.get("task_key")),
        state=_task_state(raw, end_ms),
        attempt=whole(raw.get("attempt_number")),
        kind=kind,
        depends_on=tuple(
            (text(item.get("task_key")), text(item.get("outcome"))) for item in objects(raw.get("depends_on"))
        ),
        run_if=text(raw.get("run_if")) or "ALL_SUCCESS",
        start_ms=whole(raw.get("start_time")),
        end_ms=end_ms,
        setup_ms=whole(raw.get("setup_duration")),
        execution_ms=whole(raw.get("execution_duration")),
        cleanup_ms=whole(raw.get("cleanup_duration")),
        queue_ms=whole(raw.get("queue_duration")),
        source_path=_source_path(kind, spec),
        page_url=page_url(raw.get("run_page_url")),
        cluster_id=text(mapping(raw.get("cluster_instance")).get("cluster_id")) or text(raw.get("existing_cluster_id")),
        environment_key=text(raw.get("environment_key")),
        job_id=ident(spec.get("job_id")) if kind == "run_job" else "",
        pipeline_id=ident(spec.get("pipeline_id")) if kind == "pipeline" else "",
        condition_outcome=text(spec.get("outcome")) if kind == "condition" else "",
        for_each=_for_each(mapping(spec.get("stats"))) if kind == "for_each" else None,
        parameters=_parameters(raw, kind, spec),
    )


def _task_state(raw: Mapping[str, Any], end_ms: int) -> RunState:
    state = parse_state(raw, end_ms=end_ms)
    if flag(raw.get("disabled")) and state.outcome in (Outcome.SKIPPED, Outcome.EXCLUDED, Outcome.UNKNOWN):
        return RunState(
            Outcome.DISABLED, state.life, state.result, state.code, state.type, state.message, ended=state.ended
        )
    return state


def _kind(raw: Mapping[str, Any]) -> str:
    """What the task runs; a kind that is not known is named as it comes."""
    found = [
        key.removesuffix("_task") for key, value in raw.items() if key.endswith("_task") and isinstance(value, dict)
    ]
    return next((kind for kind in _KNOWN_KINDS if kind in found), text(found[0]) if found else "")


def _source_path(kind: str, spec: Mapping[str, Any]) -> str:
    if kind == "for_each":
        inner = mapping(spec.get("task"))
        kind = _kind(inner)
        spec = mapping(inner.get(f"{kind}_task"))
    if kind == "sql":
        return text(mapping(spec.get("file")).get("path"))
    return text(spec.get({"notebook": "notebook_path", "spark_python": "python_file"}.get(kind, "")))


def _parameters(raw: Mapping[str, Any], kind: str, spec: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the task was given; resolved, where the answer tells so."""
    for place in (mapping(mapping(raw.get("resolved_values")).get(f"{kind}_task")), spec):
        for name in _PARAMETERS:
            if place.get(name):
                return pairs(place[name])
    return ()


def _for_each(stats: Mapping[str, Any]) -> ForEachStats:
    counts = mapping(stats.get("task_run_stats"))
    total, scheduled, active, completed, succeeded, failed = (
        whole(counts.get(f"{name}_iterations"))
        for name in ("total", "scheduled", "active", "completed", "succeeded", "failed")
    )
    errors = tuple(
        (whole(item.get("count")), strip_html_spans(message(item.get("error_message"))))
        for item in objects(stats.get("error_message_stats"))
    )
    return ForEachStats(total, scheduled, active, completed, succeeded, failed, errors)


def page_url(value: Any) -> str:
    """The page of a run. The API gives a legacy address that sends who is no admin to the start page: rewritten."""
    url = text(value)
    if not url.startswith(("https://", "http://")):
        return ""
    match = _LEGACY_URL.fullmatch(url)
    if match is None:
        return url
    host, query, job_id, run_id = match.groups()
    return f"{host}/jobs/{job_id}/runs/{run_id}{query or ''}"


def parse_output(raw: Any, redactor: Redactor) -> TaskOutput:
    """`runs/get-output` of one task run, without terminal sequences, colour spans and secrets."""
    raw = mapping(raw)

    def told(value: Any) -> str:
        if not isinstance(value, str) or not value:
            return ""
        return clip(redactor.redact(clean(value)), _OUTPUT_LIMIT)

    notebook, sql = mapping(raw.get("notebook_output")), mapping(raw.get("sql_output"))
    extra = {
        "info": raw.get("info"),
        "dbt_artifacts": mapping(raw.get("dbt_output")).get("artifacts_link"),
        "query": mapping(sql.get("query_output")).get("query_text"),
        "query_link": mapping(sql.get("query_output")).get("output_link"),
        "warehouse_id": mapping(sql.get("query_output")).get("warehouse_id"),
    }
    return TaskOutput(
        run_id=ident(mapping(raw.get("metadata")).get("run_id")),
        error=strip_html_spans(told(raw.get("error"))),
        error_trace=strip_html_spans(told(raw.get("error_trace"))),
        result=told(notebook.get("result")) or told("\n".join(_sql_summary(sql, raw))),
        logs=told(raw.get("logs")),
        result_truncated=flag(notebook.get("truncated")),
        logs_truncated=flag(raw.get("logs_truncated")),
        child_run_id=ident(mapping(raw.get("run_job_output")).get("run_id")),
        extra={name: value for name, value in ((name, told(value)) for name, value in extra.items()) if value},
    )


def _sql_summary(sql: Mapping[str, Any], raw: Mapping[str, Any]) -> list[str]:
    """What a dashboard's widgets and an alert came to, one line each."""
    lines = []
    for widget in objects(mapping(sql.get("dashboard_output")).get("widgets")):
        name = text(widget.get("widget_title")) or ident(widget.get("widget_id"))
        said = message(mapping(widget.get("error")).get("message"))
        lines.append(": ".join(filter(None, (name, text(widget.get("status")), said))))
    for alert in (mapping(sql.get("alert_output")), mapping(raw.get("alert_output"))):
        if alert.get("alert_state"):
            lines.append(f"alert: {text(alert['alert_state'])}")
    return lines
