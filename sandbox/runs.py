"""Runs over HTTP: run-now, submit, list, get, get-output, export, repair, cancel, cancel-all, delete.
It decides nothing about how a run goes; runengine.py does."""

from __future__ import annotations

import html

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import jobrules, runmodel
from .http import (
    ApiError,
    Json,
    as_int,
    invalid,
    json_body,
    need,
    not_found,
    offset_of,
    query_flag,
    query_int,
    respond,
    route,
    token_for,
)
from .runengine import RunEngine
from .runjson import PAGE, RunShapes
from .runmodel import IterationRef, JobRun, TaskRun
from .store import Store
from .taskrules import read_source, source_path

VERSIONS = ("2.0", "2.1", "2.2")
LIST_LIMIT = 25
MULTI_TASK = (
    "Retrieving the output of runs with multiple tasks is not supported. "
    "Please retrieve the output of each individual task run instead."
)
NEEDS_LATEST = "The latest repair ID needs to be provided in order to create a new repair"
OVERRIDES = (
    "notebook_params",
    "python_params",
    "python_named_params",
    "jar_params",
    "sql_params",
    "dbt_commands",
    "spark_submit_params",
    "pipeline_params",
)


def routes(store: Store) -> list[Route]:
    """The routes of runs."""
    api = RunsApi(store)
    table = [
        ("POST", "/jobs/run-now", api.run_now),
        ("POST", "/jobs/runs/submit", api.submit),
        ("GET", "/jobs/runs/list", api.list_runs),
        ("GET", "/jobs/runs/get", api.get),
        ("GET", "/jobs/runs/get-output", api.get_output),
        ("GET", "/jobs/runs/export", api.export),
        ("POST", "/jobs/runs/repair", api.repair),
        ("POST", "/jobs/runs/cancel", api.cancel),
        ("POST", "/jobs/runs/cancel-all", api.cancel_all),
        ("POST", "/jobs/runs/delete", api.delete),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler, versions=VERSIONS)]


def text_map(value: object, name: str) -> dict[str, str]:
    """A map of text to text; ApiError 400 for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: Expected 'Map' for {name}")
    return {str(key): item if isinstance(item, str) else str(item) for key, item in value.items()}


LISTED = ("python_params", "jar_params", "dbt_commands", "spark_submit_params")


def given_override(value: object, name: str) -> list[str] | dict[str, str]:
    """Task parameters of run-now: a list of text or a map, by their name; ApiError 400 for anything else."""
    if name in LISTED:
        if not isinstance(value, list):
            raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: Expected 'Array' for {name}")
        return [str(item) for item in value]
    return text_map(value, name)


class RunsApi:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def engine(self) -> RunEngine:
        engine: RunEngine = self.store.execution.runs
        return engine

    @property
    def shapes(self) -> RunShapes:
        shapes: RunShapes = self.store.execution.shapes
        return shapes

    def _held(self, run_id: int) -> JobRun | TaskRun | IterationRef:
        held: JobRun | TaskRun | IterationRef | None = self.store.runs.get(run_id)
        if held is None:
            raise invalid(f"Run {run_id} does not exist.")
        return held

    def _run_of(self, held: JobRun | TaskRun | IterationRef) -> JobRun:
        """The job run that something belongs to, brought up to now."""
        task = held.task if isinstance(held, IterationRef) else held
        run = task if isinstance(task, JobRun) else self.engine.job_runs[task.job_run_id]
        self.engine.advance(run, self.store.now_ms())
        return run

    # --- starting ---------------------------------------------------------------------------------------------

    async def run_now(self, request: Request) -> Response:
        body = await json_body(request)
        job_id = as_int(need(body, "job_id"), "job_id")
        job = self.store.jobs.get(job_id)
        if job is None:
            raise not_found(f"Job {job_id} does not exist.")
        token = body.get("idempotency_token") or ""
        if not isinstance(token, str) or len(token) > 64:
            raise invalid("idempotency_token must be text of at most 64 characters.")
        held = self.engine.by_token.get((job_id, token)) if token else None
        if held is not None:
            if held not in self.engine.job_runs:
                raise invalid(f"The run {held} that was created with this idempotency token has been deleted.")
            return respond({"run_id": held, "number_in_job": held})
        known = {str(item["name"]) for item in job.settings.get("parameters") or []}
        given = text_map(body.get("job_parameters"), "job_parameters")
        only = body.get("only") or []
        if not isinstance(only, list) or not all(isinstance(item, str) for item in only):
            raise invalid("only must be an array of task keys.")
        queue = body.get("queue")
        overriding: Json = {name: given_override(body[name], name) for name in OVERRIDES if body.get(name)}
        if overriding and known:
            raise invalid("Job parameters and task parameters cannot be used at the same time.")
        run = self.engine.start(
            job_id,
            job.settings,
            self.store.now_ms(),
            parameters=given,
            overriding=overriding,
            only=only,
            queue=bool(queue.get("enabled")) if isinstance(queue, dict) else None,
        )
        if token:
            self.engine.by_token[(job_id, token)] = run.run_id
        return respond({"run_id": run.run_id, "number_in_job": run.run_id})

    async def submit(self, request: Request) -> Response:
        body = await json_body(request)
        jobrules.check(body)
        settings = jobrules.with_defaults({**body, "name": body.get("run_name") or "Untitled"})
        if not settings.get("tasks"):
            raise invalid("One of task or tasks must be specified.")
        run = self.engine.start(0, settings, self.store.now_ms(), run_type="SUBMIT_RUN")
        return respond({"run_id": run.run_id})

    # --- reading ----------------------------------------------------------------------------------------------

    async def list_runs(self, request: Request) -> Response:
        query = request.query_params
        limit = query_int(request, "limit", 20)
        if limit > LIST_LIMIT:
            raise invalid(f"Invalid limit: {limit}. Limit must be in range [0, {LIST_LIMIT + 1})")
        active, completed = query_flag(request, "active_only"), query_flag(request, "completed_only")
        if active and completed:
            raise invalid("active_only and completed_only cannot both be true.")
        job_id = query_int(request, "job_id", 0)
        first, last = query_int(request, "start_time_from", 0), query_int(request, "start_time_to", 0)
        kind = query.get("run_type", "")
        self.engine.settle(self.store.now_ms())
        chosen = [
            run
            for run in self.engine.job_runs.values()
            if (not job_id or run.job_id == job_id)
            and (not active or not run.ended)
            and (not completed or run.ended)
            and (not kind or run.run_type == kind)
            and (not first or run.created_ms >= first)
            and (not last or run.created_ms <= last)
        ]
        chosen.sort(key=lambda run: (-run.created_ms, -run.run_id))
        offset = self._start_of(chosen, query.get("page_token"))
        size = limit or LIST_LIMIT
        part = chosen[offset : offset + size]
        answer: Json = {"has_more": offset + size < len(chosen)}
        if part:
            answer["runs"] = [self._listed(run, query_flag(request, "expand_tasks")) for run in part]
        if answer["has_more"]:
            answer["next_page_token"] = token_for(part[-1].run_id, "runs")
        if offset:
            answer["prev_page_token"] = token_for(chosen[max(0, offset - size - 1)].run_id, "runs")
        return respond(answer)

    def _start_of(self, runs: list[JobRun], token: str | None) -> int:
        """A page token names the last run shown, so that newer runs shift nothing."""
        if not token:
            return 0
        last = self.engine.job_runs.get(offset_of(token, "runs"))
        if last is None:
            raise invalid(f"Invalid page token: {token[:80]}")
        key = (-last.created_ms, -last.run_id)
        return next((i for i, run in enumerate(runs) if (-run.created_ms, -run.run_id) > key), len(runs))

    def _listed(self, run: JobRun, expand: bool) -> Json:
        shown = self.shapes.run(run, brief=True)
        if expand:
            shown["tasks"] = [self.shapes.task(run, task) for task in run.tasks[:PAGE]]
            shown["has_more"] = len(run.tasks) > PAGE
        return shown

    async def get(self, request: Request) -> Response:
        run_id = as_int(need(request.query_params, "run_id"), "run_id")
        held = self._held(run_id)
        run = self._run_of(held)
        offset = offset_of(request.query_params.get("page_token"), "run")
        resolved = query_flag(request, "include_resolved_values")
        if isinstance(held, IterationRef):
            return respond(self.shapes.iteration_as_run(run, held.task, held.task.iterations[held.index]))
        if isinstance(held, TaskRun):
            return respond(self._task_page(run, held, offset, resolved))
        if len(run.tasks) > PAGE and "/api/2.2/" not in request.url.path:
            raise invalid("Resources with more than 100 tasks can only be handled by API 2.2 and above")
        shown = self.shapes.run(run)
        part = run.tasks[offset : offset + PAGE]
        if part:
            shown["tasks"] = [self.shapes.task(run, task, resolved=resolved) for task in part]
        if query_flag(request, "include_history"):
            shown["repair_history"] = self.shapes.history(run)[offset : offset + PAGE]
        if offset:
            for name in ("job_parameters", "job_clusters"):
                shown.pop(name, None)
        if offset + PAGE < max(len(run.tasks), len(run.repairs)):
            shown["next_page_token"] = token_for(offset + PAGE, "run")
        return respond(shown)

    def _task_page(self, run: JobRun, task: TaskRun, offset: int, resolved: bool) -> Json:
        shown = self.shapes.task_as_run(run, task, resolved=resolved)
        now = self.store.now_ms()
        begun = [item for item in task.iterations if item.start_ms <= now]
        if task.iterations:
            if offset:
                shown["tasks"] = []
            part = begun[offset : offset + PAGE]
            shown["iterations"] = [self.shapes.iteration(run, task, item) for item in part]
            if offset + PAGE < len(begun):
                shown["next_page_token"] = token_for(offset + PAGE, "run")
        return shown

    async def get_output(self, request: Request) -> Response:
        run_id = as_int(need(request.query_params, "run_id"), "run_id")
        held = self._held(run_id)
        run = self._run_of(held)
        if isinstance(held, JobRun):
            if len(held.current) != 1:
                raise invalid(MULTI_TASK)
            held = next(iter(held.current.values()))
        if isinstance(held, IterationRef):
            return respond(self.shapes.iteration_output(run, held.task, held.task.iterations[held.index]))
        return respond(self.shapes.output(run, held))

    async def export(self, request: Request) -> Response:
        held = self._held(as_int(need(request.query_params, "run_id"), "run_id"))
        run = self._run_of(held)
        tasks = list(run.current.values()) if isinstance(held, JobRun) else [held] if isinstance(held, TaskRun) else []
        if isinstance(held, JobRun) and len(tasks) > 1:
            raise invalid("Exporting runs with multiple tasks is not supported. Please export each task run instead.")
        views = []
        for task in tasks:
            path = source_path(task.spec)
            source = read_source(self.store.files, path) if path and "notebook_task" in task.spec else None
            if source is not None:
                content = f"<!DOCTYPE html><html><body><pre>{html.escape(source.text)}</pre></body></html>"
                views.append({"content": content, "name": path.rsplit("/", 1)[-1], "type": "NOTEBOOK"})
        return respond({"views": views})

    # --- changing ---------------------------------------------------------------------------------------------

    async def repair(self, request: Request) -> Response:
        body = await json_body(request)
        run_id = as_int(need(body, "run_id"), "run_id")
        held = self._held(run_id)
        if not isinstance(held, JobRun):
            raise invalid(f"Run {run_id} is not a job run and cannot be repaired.")
        run = self._run_of(held)
        job = self.store.jobs.get(run.job_id)
        if job is None and run.run_type == "JOB_RUN":
            raise invalid(f"Job {run.job_id} does not exist.")
        if not run.ended:
            raise invalid(f"Cannot repair run {run_id}: the run is still active.")
        if run.life == "SKIPPED":
            raise invalid(f"Cannot repair run {run_id}: the run was skipped.")
        self._check_latest(run, body.get("latest_repair_id"))
        settings = job.settings if job is not None else run.settings
        keys = self._keys_to_rerun(run, body, settings)
        given = text_map(body.get("job_parameters"), "job_parameters")
        repair_id = self.engine.repair(run, settings, keys, self.store.now_ms(), given)
        return respond({"repair_id": repair_id})

    def _check_latest(self, run: JobRun, given: object) -> None:
        latest = run.repairs[-1].repair_id if len(run.repairs) > 1 else 0
        if given in (None, "", 0):
            if latest:
                raise invalid(NEEDS_LATEST)
        elif as_int(given, "latest_repair_id") != latest:
            raise invalid(NEEDS_LATEST if latest else f"Repair {given} does not exist for run {run.run_id}.")

    def _keys_to_rerun(self, run: JobRun, body: Json, settings: Json) -> set[str]:
        wanted, all_failed = body.get("rerun_tasks"), bool(body.get("rerun_all_failed_tasks"))
        if bool(wanted) == all_failed:
            raise invalid("Exactly one of rerun_tasks and rerun_all_failed_tasks must be given.")
        tasks = settings.get("tasks") or []
        known = {str(task["task_key"]) for task in tasks}
        if all_failed:
            keys = {key for key, task in run.current.items() if task.result in runmodel.FAILED_RESULTS} & known
            if not keys:
                raise invalid(f"Run {run.run_id} has no failed tasks to rerun.")
        else:
            if not isinstance(wanted, list) or not all(isinstance(item, str) for item in wanted):
                raise invalid("rerun_tasks must be an array of task keys.")
            for key in wanted:
                if key not in known:
                    raise invalid(f"Task {key} does not exist in run {run.run_id}.")
            keys = set(wanted)
        return runmodel.closure(tasks, keys) if body.get("rerun_dependent_tasks") else keys

    async def cancel(self, request: Request) -> Response:
        body = await json_body(request)
        held = self._held(as_int(need(body, "run_id"), "run_id"))
        run = self._run_of(held)
        if isinstance(held, JobRun):
            self.engine.cancel(run, self.store.now_ms())
        else:
            task = held.task if isinstance(held, IterationRef) else held
            self.engine.cancel_task(task, self.store.now_ms())
        self._run_of(held)
        return respond({})

    async def cancel_all(self, request: Request) -> Response:
        body = await json_body(request)
        now = self.store.now_ms()
        self.engine.settle(now)
        queued_only = bool(body.get("all_queued_runs"))
        job_id = as_int(body["job_id"], "job_id") if body.get("job_id") is not None else None
        if job_id is None and not queued_only:
            raise invalid("Missing required field: job_id")
        for run in list(self.engine.job_runs.values()):
            if not run.ended and job_id in (None, run.job_id) and (run.queued or not queued_only):
                self.engine.cancel(run, now)
        return respond({})

    async def delete(self, request: Request) -> Response:
        body = await json_body(request)
        run_id = as_int(need(body, "run_id"), "run_id")
        held = self._held(run_id)
        run = self._run_of(held)
        if not isinstance(held, JobRun):
            raise invalid(f"Run {run_id} is a task run and cannot be deleted alone.")
        if not run.ended:
            raise invalid(f"Cannot delete run {run_id}: the run is still active.")
        self.engine.forget(run)
        return respond({})
