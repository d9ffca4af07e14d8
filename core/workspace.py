"""The workspace over HTTP, as the engine sees it: reads as our own models, and the few acts that need no CLI.

Never creates a resource, never repeats a request by itself, never follows a redirect, and changes nothing without a
permit. The one module that knows the SDK, which is imported on a thread, at the first request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from .. import __version__
from .api_errors import WorkspaceError
from .door import Budget, Door
from .guard import Guard, Permit
from .json_values import ident, inert, mapping, objects, shown, text
from .pipeline_json import parse_pipeline, parse_update
from .pipelines import Pipeline, Update
from .profiles import same_host
from .redaction import MASK, Redactor
from .run_json import job_parameter, parse_output, parse_run, parse_task
from .runs import Run, TaskOutput, TaskRun
from .state import Warehouse
from .statements import ROW_LIMIT, StatementResult, parse_statement

__all__ = ["StatementResult", "Workspace", "WorkspaceError"]

T = TypeVar("T")

RUNS_PAGE = 24  # runs/list takes less than 25
LIST_PAGES = 40
TASK_PAGES = 60
STATEMENT_SECONDS = (5, 50)  # what the API takes as wait_timeout
_EXACT_RUNS = 200
_SECRETS = ("token", "client_secret", "password", "azure_client_secret", "google_credentials")
_JOBS = "/api/2.2/jobs/runs"
_QUIET = logging.NullHandler()


class _SignedIn:
    """The SDK's sign-in. Blocks; raises ValueError, OSError and what `requests` raises.

    Not the SDK's client: that one sends a POST again when the connection breaks (databricks-sdk 0.156, measured),
    waits out a 429 by itself, hides the status and Retry-After, follows redirects, and reads bodies without a bound.
    """

    def __init__(self, host: str, options: Mapping[str, Any]) -> None:
        # What these say goes to stderr where nobody listens, and there is the screen.
        for name in ("databricks", "urllib3"):
            logging.getLogger(name).addHandler(_QUIET)
        from databricks.sdk.core import Config

        self._config: Any = Config(
            product="dbops-tui",
            product_version=__version__,
            retry_timeout_seconds=1,
            http_timeout_seconds=10,
            **{"host": host, **options},
        )
        if not same_host(str(self._config.host), host):
            raise ValueError(f"the sign-in leads to {self._config.host}, not to {host}")

    def headers(self) -> dict[str, str]:
        """What a request is signed with now. Raises where no token can be had."""
        headers = {"User-Agent": str(self._config.user_agent), "Accept": "application/json"}
        if self._config.workspace_id:
            headers["X-Databricks-Workspace-Id"] = str(self._config.workspace_id)
        return {**headers, **self._config.authenticate()}


class Workspace:
    """One workspace as one user. Every method raises WorkspaceError; those with a permit also guard.Refused.

    `options` are keyword arguments of the SDK's Config (identity.client_options). At most `threads` requests are under
    way at once, each for `seconds` at most.
    """

    def __init__(
        self,
        host: str,
        options: Mapping[str, str],
        *,
        guard: Guard,
        redactor: Redactor,
        budget: Budget | None = None,
        threads: int = 8,
        seconds: float = 15.0,
    ) -> None:
        held = dict(options)
        for name in _SECRETS:
            redactor.add(held.get(name, ""))
        self.host = host.rstrip("/")
        self._redactor = redactor
        self._door = Door(
            self.host,
            lambda: _SignedIn(self.host, held),
            guard=guard,
            redactor=redactor,
            budget=budget,
            threads=threads,
            seconds=seconds,
        )
        self._exact: dict[str, dict[str, str]] = {}  # run id -> parameters that cannot be shown as they are

    def __repr__(self) -> str:
        return f"Workspace({self.host!r})"

    async def close(self) -> None:
        """No more requests; those under way are given up, and none is waited for."""
        self._door.close()

    # --- the one door ------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        permit: Permit | None = None,
    ) -> dict[str, Any]:
        """One request, once; the JSON object of its answer as it came. `path` has its ids quoted already."""
        found: dict[str, Any] = await self._door.ask(method, path, query, body, permit=permit)
        return found

    # --- who and what is there ---------------------------------------------------------------------------------------

    async def me(self) -> str:
        """Who we are there: the user's name, or the application id of a service principal."""
        found = await self.request("GET", "/api/2.0/preview/scim/v2/Me")
        name = text(found.get("userName"))
        if not name:
            raise WorkspaceError("bad_answer", "the workspace did not say who we are", status=200)
        return name

    async def warehouses(self) -> tuple[Warehouse, ...]:
        """The SQL warehouses that can be seen."""
        return await self._pages("/api/2.0/sql/warehouses", {}, LIST_PAGES, _read_warehouses)

    async def cluster_events(self, cluster_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """The newest events of a cluster, newest first, as JSON with all its text clean."""
        body = {"cluster_id": cluster_id, "order": "DESC", "page_size": max(1, min(limit, 500))}
        found = await self._door.ask(
            "POST", "/api/2.1/clusters/events", body=body, then=lambda answer: inert(objects(answer.get("events")))
        )
        return list(found[:limit])

    # --- runs --------------------------------------------------------------------------------------------------------

    async def active_runs(self, start_from_ms: int = 0, start_to_ms: int = 0) -> tuple[Run, ...]:
        """Every run that is under way, of all jobs, newest first, without tasks.

        Only those that started in a span of epoch ms, both ends included, where it is given; 0 is no end.
        """
        query = {
            "active_only": True,
            "limit": RUNS_PAGE,
            "start_time_from": start_from_ms or None,
            "start_time_to": start_to_ms or None,
        }
        return _once(await self._pages(f"{_JOBS}/list", query, LIST_PAGES, _read_runs))

    async def runs_of(self, job_id: str, limit: int = 10) -> tuple[Run, ...]:
        """The newest runs of a job, newest first, each with its first 100 task runs."""
        query = {"job_id": _number(job_id, "job"), "expand_tasks": True, "limit": min(limit, RUNS_PAGE)}
        return _once(await self._pages(f"{_JOBS}/list", query, -(-limit // RUNS_PAGE), _read_runs))[:limit]

    async def run(self, run_id: str) -> Run:
        """A run with every attempt and repair of every task, from all its pages."""
        query = {"run_id": _number(run_id, "run"), "include_history": True}
        pages = await self._pages(f"{_JOBS}/get", query, TASK_PAGES, lambda answer: [answer])
        whole = dict(pages[0])
        for name in ("tasks", "repair_history", "job_parameters"):
            whole[name] = [item for page in pages for item in objects(page.get(name))]
        whole["tasks"] = _latest(whole["tasks"])
        self._keep_exact(run_id, whole["job_parameters"])
        return await self._door.start(lambda: parse_run(whole))

    async def iterations(self, task_run_id: str, page_token: str = "") -> tuple[tuple[TaskRun, ...], str]:
        """A page of the iterations of a for_each task run, and the token of the next; empty where there is none."""
        query = {"run_id": _number(task_run_id, "run"), "page_token": page_token or None}
        items, token = await self._door.ask(
            "GET",
            f"{_JOBS}/get",
            query,
            then=lambda answer: (tuple(map(parse_task, objects(answer.get("iterations")))), _next_token(answer)),
        )
        return items, token

    async def output(self, task_run_id: str) -> TaskOutput:
        """The output of a task run (never of a run with several tasks: that one has none)."""
        output: TaskOutput = await self._door.ask(
            "GET",
            f"{_JOBS}/get-output",
            {"run_id": _number(task_run_id, "run")},
            then=lambda answer: parse_output(answer, self._redactor),
        )
        return replace(output, run_id=task_run_id)

    # --- pipelines ---------------------------------------------------------------------------------------------------

    async def pipeline(self, pipeline_id: str) -> Pipeline:
        return parse_pipeline(await self.request("GET", _pipeline_path(pipeline_id)))

    async def updates(self, pipeline_id: str, limit: int = 25) -> tuple[Update, ...]:
        """The newest updates of a pipeline, newest first."""
        path, query = f"{_pipeline_path(pipeline_id)}/updates", {"max_results": min(limit, 100)}
        return (await self._pages(path, query, -(-limit // 100), _read_updates))[:limit]

    async def update(self, pipeline_id: str, update_id: str) -> Update:
        return parse_update(await self.request("GET", f"{_pipeline_path(pipeline_id)}/updates/{_segment(update_id)}"))

    # --- what changes something --------------------------------------------------------------------------------------

    async def repair(
        self,
        permit: Permit,
        run_id: str,
        *,
        latest_repair_id: str | None,
        tasks: Sequence[str] = (),
        dependents: bool = False,
        parameters: Mapping[str, str] = {},
    ) -> str:
        """Run failed tasks of an ended run again: `tasks`, or all that failed. The id of the repair.

        `latest_repair_id` is that of Run.latest_repair_id: the platform refuses a repair that has not seen the last.
        """
        body: dict[str, Any] = {"run_id": _number(run_id, "run")}
        body |= {"rerun_tasks": list(tasks)} if tasks else {"rerun_all_failed_tasks": True}
        if dependents:
            body["rerun_dependent_tasks"] = True
        if latest_repair_id:
            body["latest_repair_id"] = _number(latest_repair_id, "repair")
        if parameters:
            # Without them the platform would take what the job says now.
            body["job_parameters"] = self._exactly(run_id, parameters)
        found = await self.request("POST", f"{_JOBS}/repair", body=body, permit=permit)
        repair_id = ident(found.get("repair_id"))
        if not repair_id:
            why = "the workspace did not say which repair it started"
            raise WorkspaceError("bad_answer", why, status=200, unknown=True)
        return repair_id

    async def cancel(self, permit: Permit, run_id: str) -> None:
        """Ask for the end of a run, or of one task run; it ends some time later."""
        await self.request("POST", f"{_JOBS}/cancel", body={"run_id": _number(run_id, "run")}, permit=permit)

    async def stop_pipeline(self, permit: Permit, pipeline_id: str) -> None:
        """Ask for the end of the active update of a pipeline; it ends some time later."""
        await self.request("POST", f"{_pipeline_path(pipeline_id)}/stop", body={}, permit=permit)

    async def statement(self, permit: Permit, warehouse_id: str, sql: str, seconds: float) -> StatementResult:
        """Run the statement that was permitted, for `seconds` (5 to 50): what takes longer the workspace cancels."""
        if permit.act.data.get("statement") != sql:
            raise WorkspaceError("refused", "another statement was permitted")
        least, most = STATEMENT_SECONDS
        wait = max(least, min(most, round(seconds)))
        result: StatementResult = await self._door.ask(
            "POST",
            "/api/2.0/sql/statements",
            body={
                "warehouse_id": warehouse_id,
                "statement": sql,
                "wait_timeout": f"{wait}s",
                "on_wait_timeout": "CANCEL",
                "row_limit": ROW_LIMIT,
                "disposition": "INLINE",
                "format": "JSON_ARRAY",
            },
            permit=permit,
            then=parse_statement,
            wait=wait,
        )
        return result

    # --- helpers -----------------------------------------------------------------------------------------------------

    async def _pages(
        self, path: str, query: Mapping[str, object], limit: int, read: Callable[[dict[str, Any]], list[T]]
    ) -> tuple[T, ...]:
        """What `read` finds on each page, on a thread; `limit` pages at most."""
        found: list[T] = []
        token, seen = "", {""}
        for _ in range(max(1, limit)):
            items, token = await self._door.ask(
                "GET",
                path,
                {**query, "page_token": token or None},
                then=lambda answer: (read(answer), _next_token(answer)),
            )
            found += items
            if token in seen:
                break
            seen.add(token)
        return tuple(found)

    def _keep_exact(self, run_id: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Remember parameters that are shown otherwise than they are, for a repair of this run."""
        exact = {str(item.get("name")): str(job_parameter(item)) for item in parameters}
        exact = {name: value for name, value in exact.items() if shown(value) != value}
        self._exact.pop(run_id, None)
        if exact:
            self._exact[run_id] = exact
            while len(self._exact) > _EXACT_RUNS:
                del self._exact[next(iter(self._exact))]

    def _exactly(self, run_id: str, parameters: Mapping[str, str]) -> dict[str, str]:
        held = mapping(self._exact.get(run_id))
        whole = {
            name: held[name] if name in held and shown(held[name]) == value else value
            for name, value in parameters.items()
        }
        masked = next((name for name, value in whole.items() if MASK in value), "")
        if masked:
            raise WorkspaceError("refused", f"the parameter {masked} holds a secret that is not known here any more")
        return whole


def _next_token(answer: Mapping[str, Any]) -> str:
    token = answer.get("next_page_token")
    return token if isinstance(token, str) else ""


def _read_runs(answer: Mapping[str, Any]) -> list[Run]:
    return list(map(parse_run, objects(answer.get("runs"))))


def _read_updates(answer: Mapping[str, Any]) -> list[Update]:
    return list(map(parse_update, objects(answer.get("updates"))))


def _read_warehouses(answer: Mapping[str, Any]) -> list[Warehouse]:
    return [
        Warehouse(ident(item.get("id")), text(item.get("name")), text(item.get("state")))
        for item in objects(answer.get("warehouses"))
    ]


def _number(value: str, what: str) -> int:
    """An id that the API takes as a number, of 64 bits."""
    if not (value.isascii() and value.isdigit() and int(value[:20]) < 2**63 and len(value) < 20):
        raise WorkspaceError("not_found", f"{value[:40]!r} is no id of a {what}")
    return int(value)


def _segment(value: str) -> str:
    if not value or value in (".", ".."):
        raise WorkspaceError("not_found", f"{value!r} is no id")
    return quote(value, safe="")


def _pipeline_path(pipeline_id: str) -> str:
    return f"/api/2.0/pipelines/{_segment(pipeline_id)}"


def _latest(tasks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each task run once, as the last page that has it tells it; a run can move on between two pages."""
    found: dict[str, Mapping[str, Any]] = {}
    for number, task in enumerate(tasks):
        found[ident(task.get("run_id")) or f"without an id {number}"] = task
    return list(found.values())


def _once(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Each run once: what starts while the pages are read moves others onto the next page."""
    return tuple({run.run_id: run for run in runs}.values())
