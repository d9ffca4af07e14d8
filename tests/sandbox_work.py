"""Puts code and jobs into a sandbox, moves its clock, and reads runs and updates back, for tests.
It holds no test and no expectation."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from sandbox_fixture import SandboxBox

HOME = "/Workspace/Users/you@example.com"
NOTEBOOK = "# Databricks notebook source\n"


def put(box: SandboxBox, path: str, text: str) -> str:
    """Writes one workspace file below the home folder, its folder made; returns the full path given."""
    full = path if path.startswith("/") else f"{HOME}/{path}"
    box.post("/api/2.0/workspace/mkdirs", {"path": full.rsplit("/", 1)[0]})
    place = f"/api/2.0/workspace-files/import-file/{quote(full.lstrip('/'), safe='')}?overwrite=true"
    reply = box.call("POST", place, raw=text.encode())
    assert reply.status == 200, reply
    return full


def notebook(box: SandboxBox, name: str, body: str = "x = 1\n") -> str:
    """Writes a notebook and returns the path that a task names."""
    return put(box, f"{name}.py", NOTEBOOK + body).removesuffix(".py")


def job(box: SandboxBox, *tasks: dict[str, Any], **settings: Any) -> int:
    """Makes a job; returns its id."""
    made: int = box.post("/api/2.2/jobs/create", {"name": "a job", "tasks": list(tasks), **settings})["job_id"]
    return made


def nb_task(key: str, path: str, *after: str, **more: Any) -> dict[str, Any]:
    """A notebook task."""
    task: dict[str, Any] = {"task_key": key, "notebook_task": {"notebook_path": path}, **more}
    if after:
        task["depends_on"] = [{"task_key": name} for name in after]
    return task


def start(box: SandboxBox, job_id: int, **body: Any) -> int:
    """Runs a job; returns the run id."""
    run_id: int = box.post("/api/2.2/jobs/run-now", {"job_id": job_id, **body})["run_id"]
    return run_id


def advance(box: SandboxBox, seconds: float) -> None:
    """Moves the clock."""
    box.control("POST", "clock", {"advance_ms": seconds * 1000})


def get_run(box: SandboxBox, run_id: int, **query: Any) -> dict[str, Any]:
    """A run with all its task pages and its history."""
    found: dict[str, Any] = box.get("/api/2.2/jobs/runs/get", run_id=run_id, include_history="true", **query)
    token = found.get("next_page_token")
    while token:
        more = box.get("/api/2.2/jobs/runs/get", run_id=run_id, page_token=token, **query)
        found["tasks"] += more.get("tasks", [])
        token = more.get("next_page_token")
    return found


def latest(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The newest attempt of each task key."""
    found: dict[str, dict[str, Any]] = {}
    for task in run["tasks"]:
        held = found.get(task["task_key"])
        if held is None or (task["start_time"], task["attempt_number"]) >= (held["start_time"], held["attempt_number"]):
            found[task["task_key"]] = task
    return found


def results(run: dict[str, Any]) -> dict[str, str]:
    """What became of each task: result_state, else the life cycle."""
    return {
        key: task["state"].get("result_state") or task["state"]["life_cycle_state"] for key, task in latest(run).items()
    }


def output(box: SandboxBox, run_id: int) -> dict[str, Any]:
    """get-output of a task run."""
    found: dict[str, Any] = box.get("/api/2.2/jobs/runs/get-output", run_id=run_id)
    return found


def exit_json(output: dict[str, Any]) -> Any:
    """The notebook's exit value, parsed."""
    return json.loads(output["notebook_output"]["result"])
