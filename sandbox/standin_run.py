"""`bundle run` of the stand-in CLI: starts a job run or an update, waits, and prints what the real one prints.
It starts exactly one thing per call, and repeats no call that starts something."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .standin_bundle import Bundle
from .standin_client import ApiFailure, Client, CliError
from .standin_state import Deployment

Json = dict[str, Any]
NOT_DEPLOYED = "resource not found or not yet deployed. Did you forget to run 'databricks bundle deploy'?"
LEGACY = {
    "notebook-params": "notebook_params",
    "python-params": "python_params",
    "python-named-params": "python_named_params",
    "jar-params": "jar_params",
    "sql-params": "sql_params",
    "dbt-commands": "dbt_commands",
    "spark-submit-params": "spark_submit_params",
    "pipeline-params": "pipeline_params",
}
LISTS = ("python-params", "jar-params", "dbt-commands", "spark-submit-params")


def run(bundle: Bundle, client: Client, key: str, flags: Mapping[str, Any], *, as_json: bool) -> int:
    """Runs the job or pipeline `key` (or `jobs.key`); returns the exit status. CliError."""
    kind, name = _find(bundle, key)
    found = Deployment(bundle, client).current().id_of(f"resources.{kind}.{name}")
    if not found:
        raise CliError(NOT_DEPLOYED)
    try:
        if kind == "jobs":
            return _run_job(client, int(found), flags, as_json)
        return _run_pipeline(client, found, flags, as_json)
    except ApiFailure as problem:
        raise CliError(problem.api_message) from problem


def _find(bundle: Bundle, key: str) -> tuple[str, str]:
    known = [(kind, name) for kind, name, _ in bundle.resources() if key in (name, f"{kind}.{name}")]
    if not known:
        raise CliError(f'resource with key "{key}" not found')
    if len(known) > 1:
        names = ", ".join(f"{kind}.{name}" for kind, name in known)
        raise CliError(f"ambiguous: {key} (can resolve to all of {names})")
    if known[0][0] not in ("jobs", "pipelines"):
        raise CliError(f"resource {known[0][0]}.{known[0][1]} cannot be run by this stand-in")
    return known[0]


def _pairs(values: list[str]) -> dict[str, str]:
    found = {}
    for item in values:
        name, sign, value = item.partition("=")
        if not sign:
            raise CliError(f"invalid argument {item!r}: expected key=value")
        found[name] = value
    return found


def _run_job(client: Client, job_id: int, flags: Mapping[str, Any], as_json: bool) -> int:
    if flags.get("restart"):
        _cancel_all(client, job_id)
    body: Json = {"job_id": job_id}
    if flags.get("params"):
        body["job_parameters"] = _pairs(flags["params"])
    if flags.get("only"):
        body["only"] = flags["only"]
    for flag, name in LEGACY.items():
        if flags.get(flag):
            body[name] = flags[flag] if flag in LISTS else _pairs(flags[flag])
    run_id = client.call("POST", "/api/2.2/jobs/run-now", body)["run_id"]
    seen = _get_run(client, run_id)
    org = str(seen.get("run_page_url", "")).partition("?o=")[2].partition("#")[0]
    print(f"Run URL: {client.host}/jobs/{job_id}/runs/{run_id}?o={org}\n", file=sys.stderr)
    if flags.get("no-wait"):
        return 0
    return _wait_job(client, run_id, seen, as_json)


def _cancel_all(client: Client, job_id: int) -> None:
    found = client.call("GET", "/api/2.2/jobs/runs/list", active_only="true", job_id=job_id)
    for item in found.get("runs") or []:
        client.call("POST", "/api/2.2/jobs/runs/cancel", {"run_id": item["run_id"]})
    for item in found.get("runs") or []:
        attempt = 0
        while not (_get_run(client, item["run_id"]).get("end_time") or 0):
            attempt = min(attempt + 1, 10)
            time.sleep(attempt * 0.2)


def _get_run(client: Client, run_id: int) -> Json:
    found: Json = client.call("GET", "/api/2.2/jobs/runs/get", run_id=run_id)
    token = found.get("next_page_token")
    while token:
        more = client.call("GET", "/api/2.2/jobs/runs/get", run_id=run_id, page_token=token)
        found.setdefault("tasks", []).extend(more.get("tasks") or [])
        token = more.get("next_page_token")
    return found


def _wait_job(client: Client, run_id: int, seen: Json, as_json: bool) -> int:
    shown = None
    attempt = 0
    while True:
        state = seen.get("state") or {}
        life, result = str(state.get("life_cycle_state", "")), str(state.get("result_state") or "")
        message = str(state.get("state_message") or "")
        if (life, result) != shown:
            shown = (life, result)
            words = " ".join(word for word in (life, result, message) if word)
            now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
            print(f'{now} "{seen.get("run_name")}" {words}', file=sys.stderr, flush=True)
        if life in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR"):
            return _ended_job(client, seen, life, result, message, as_json)
        attempt = min(attempt + 1, 10)
        time.sleep(attempt)
        seen = _get_run(client, run_id)


def _ended_job(client: Client, seen: Json, life: str, result: str, message: str, as_json: bool) -> int:
    if life == "INTERNAL_ERROR":
        for task in seen.get("tasks") or []:
            if (task.get("state") or {}).get("result_state") == "FAILED":
                told = client.call("GET", "/api/2.2/jobs/runs/get-output", run_id=task["run_id"])
                text = f"Task {task['task_key']} FAILED:\n{told.get('error', '')}\n{told.get('error_trace', '')}\n"
                print(text, file=sys.stderr)
        raise CliError(f"failed to reach TERMINATED or SKIPPED, got INTERNAL_ERROR: {message}")
    if life == "SKIPPED":
        raise CliError(f"run skipped: {message}")
    words = {"CANCELED": "run canceled", "FAILED": "run failed", "TIMEDOUT": "run timed out"}
    if result in words:
        raise CliError(f"{words[result]}: {message}")
    if result == "SUCCESS":
        _print_outputs(client, seen, as_json)
    # Every other result ends with 0 and without a word, as in the real CLI (bundle/run/job.go, default branch).
    return 0


def _print_outputs(client: Client, seen: Json, as_json: bool) -> None:
    outputs: list[Json] = []
    for task in sorted(seen.get("tasks") or [], key=lambda item: item.get("end_time") or 0):
        told = client.call("GET", "/api/2.2/jobs/runs/get-output", run_id=task["run_id"])
        output: Json = {}
        if (told.get("notebook_output") or {}).get("result"):
            output = {"result": told["notebook_output"]["result"]}
        elif told.get("logs"):
            output = {"logs": told["logs"], "logs_truncated": bool(told.get("logs_truncated"))}
        if output:
            outputs.append({"TaskKey": task["task_key"], "Output": output, "EndTime": task.get("end_time")})
    if as_json:
        print(json.dumps({"task_outputs": outputs}, indent=2))
    elif len(outputs) == 1:
        print(_text(outputs[0]))
    elif outputs:
        print("Output:")
        for item in outputs:
            print(f"=======\nTask {item['TaskKey']}:\n{_text(item)}")


def _text(item: Json) -> str:
    output = item["Output"]
    return str(output.get("result") or output.get("logs") or "")


def _run_pipeline(client: Client, pipeline_id: str, flags: Mapping[str, Any], as_json: bool) -> int:
    place = f"/api/2.0/pipelines/{pipeline_id}"
    if flags.get("restart"):
        client.call("POST", f"{place}/stop", {})
        while client.call("GET", place).get("state") not in ("IDLE", "FAILED"):
            time.sleep(0.3)
    body: Json = {}
    for flag, name in (("refresh", "refresh_selection"), ("full-refresh", "full_refresh_selection")):
        if flags.get(flag):
            body[name] = flags[flag]
    for flag, name in (("full-refresh-all", "full_refresh"), ("validate-only", "validate_only")):
        if flags.get(flag):
            body[name] = True
    update_id = client.call("POST", f"{place}/updates", body)["update_id"]
    print(f"Update URL: {client.host}/#joblist/pipelines/{pipeline_id}/updates/{update_id}\n", file=sys.stderr)
    if not flags.get("no-wait"):
        _wait_update(client, place, update_id)
    if as_json:
        print(json.dumps({"update_id": update_id}, indent=2))
    else:
        print(f"Update ID: {update_id}")
    return 0


def _wait_update(client: Client, place: str, update_id: str) -> None:
    last = ""
    while True:
        # State first: what an update that is over said is then all there to read.
        state = client.call("GET", f"{place}/updates/{update_id}")["update"]["state"]
        wanted = f"update_id = '{update_id}'" + (f" AND timestamp > '{last}'" if last else "")
        found = client.call("GET", f"{place}/events", max_results=100, filter=wanted).get("events") or []
        for event in reversed(found):
            if event["event_type"] in ("update_progress", "flow_progress"):
                print(
                    f'{event["timestamp"]} {event["event_type"]:<15} {event["level"]} "{event["message"]}"',
                    file=sys.stderr,
                    flush=True,
                )
                for exception in (event.get("error") or {}).get("exceptions") or []:
                    print(exception.get("message", ""), file=sys.stderr)
        last = found[0]["timestamp"] if found else last
        if state == "COMPLETED":
            return
        if state == "FAILED":
            raise CliError("update failed")
        if state == "CANCELED":
            raise CliError("update cancelled")
        time.sleep(1)
