"""Jobs over HTTP: create, get, list, reset, update, delete, with paging by 100 elements.
It starts no run and knows no run's state; runs.py does."""

from __future__ import annotations

import copy

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import jobrules
from .http import (
    ApiError,
    Json,
    as_int,
    invalid,
    json_body,
    need,
    not_found,
    offset_of,
    page,
    query_flag,
    query_int,
    respond,
    route,
    token_for,
)
from .store import JobRecord, Store

VERSIONS = ("2.0", "2.1", "2.2")
PAGE = 100
PAGED = ("tasks", "job_clusters", "environments", "parameters")


def routes(store: Store) -> list[Route]:
    """The routes of jobs."""
    api = JobsApi(store)
    table = [
        ("POST", "/jobs/create", api.create),
        ("GET", "/jobs/get", api.get),
        ("GET", "/jobs/list", api.list_jobs),
        ("POST", "/jobs/reset", api.reset),
        ("POST", "/jobs/update", api.update),
        ("POST", "/jobs/delete", api.delete),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler, versions=VERSIONS)]


class JobsApi:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, job_id: int) -> JobRecord:
        job = self.store.jobs.get(job_id)
        if job is None:
            raise not_found(f"Job {job_id} does not exist.")
        return job

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        access = body.pop("access_control_list", None)
        body.pop("idempotency_token", None)
        jobrules.check(body)
        self._check_references(body)
        job_id = self.store.ids.number()
        now = self.store.now_ms()
        self.store.jobs[job_id] = JobRecord(
            job_id, jobrules.with_defaults(body), now, self.store.identity.user_name, modified_ms=now
        )
        if isinstance(access, list):
            self.store.permissions[f"jobs/{job_id}"] = [item for item in access if isinstance(item, dict)]
        return respond({"job_id": job_id})

    def _check_references(self, settings: Json) -> None:
        for task in jobrules.all_tasks(settings):
            child = (task.get("run_job_task") or {}).get("job_id")
            if child is not None and as_int(child, "job_id") not in self.store.jobs:
                raise invalid(f"Job {child} in run_job_task of task '{task.get('task_key')}' does not exist.")

    def _shown(self, job: JobRecord, settings: Json) -> Json:
        run_as = settings.get("run_as") or {}
        return {
            "job_id": job.job_id,
            "creator_user_name": job.creator,
            "run_as_user_name": run_as.get("user_name") or run_as.get("service_principal_name") or job.creator,
            "run_as_owner": not run_as,
            "settings": settings,
            "created_time": job.created_ms,
            **job.extra,
        }

    async def get(self, request: Request) -> Response:
        job = self._find(as_int(need(request.query_params, "job_id"), "job_id"))
        settings = copy.copy(job.settings)
        longest = max((len(settings.get(name) or []) for name in PAGED), default=0)
        if longest > PAGE and "/api/2.2/" not in request.url.path:
            raise invalid("Resources with more than 100 tasks can only be handled by API 2.2 and above")
        offset = offset_of(request.query_params.get("page_token"), "job")
        for name in PAGED:
            items = settings.get(name)
            if items is None:
                continue
            settings[name] = items[offset : offset + PAGE]
            if not settings[name] and offset:
                del settings[name]
        shown = self._shown(job, settings)
        if offset + PAGE < longest:
            shown["has_more"] = True
            shown["next_page_token"] = token_for(offset + PAGE, "job")
        return respond(shown)

    async def list_jobs(self, request: Request) -> Response:
        size = query_int(request, "limit", 20, low=1, high=100)
        offset = offset_of(request.query_params.get("page_token"), "jobs") or query_int(request, "offset", 0)
        name = request.query_params.get("name", "").lower()
        expand = query_flag(request, "expand_tasks")
        chosen = [
            job
            for job in sorted(self.store.jobs.values(), key=lambda item: (-item.created_ms, -item.job_id))
            if not name or str(job.settings.get("name", "")).lower() == name
        ]
        part, token = page(chosen, offset, size, "jobs")
        answer: Json = {"has_more": bool(token)}
        if part:
            answer["jobs"] = [self._brief(job, expand) for job in part]
        if token:
            answer["next_page_token"] = token
        if offset:
            answer["prev_page_token"] = token_for(max(0, offset - size), "jobs")
        return respond(answer)

    def _brief(self, job: JobRecord, expand: bool) -> Json:
        settings = {name: value for name, value in job.settings.items() if expand or name not in PAGED}
        more = any(len(job.settings.get(name) or []) > PAGE for name in PAGED)
        for name in PAGED:
            if name in settings:
                settings[name] = settings[name][:PAGE]
        shown = self._shown(job, settings)
        for name in ("run_as_user_name", "run_as_owner"):
            shown.pop(name)
        return {**shown, "has_more": True} if more and expand else shown

    async def reset(self, request: Request) -> Response:
        body = await json_body(request)
        job = self._find(as_int(need(body, "job_id"), "job_id"))
        settings = body.get("new_settings")
        if not isinstance(settings, dict):
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "Missing required field: new_settings")
        jobrules.check(settings)
        self._check_references(settings)
        if "run_as" not in settings and "run_as" in job.settings:
            # Known quirk of the real API: reset without run_as keeps the former identity.
            settings = {**settings, "run_as": job.settings["run_as"]}
        job.settings = jobrules.with_defaults(settings)
        job.modified_ms = self.store.now_ms()
        return respond({})

    async def update(self, request: Request) -> Response:
        body = await json_body(request)
        job = self._find(as_int(need(body, "job_id"), "job_id"))
        change, removed = body.get("new_settings") or {}, body.get("fields_to_remove") or []
        if not isinstance(change, dict) or not isinstance(removed, list):
            raise invalid("new_settings must be an object and fields_to_remove an array")
        merged = jobrules.merge(job.settings, change, removed)
        jobrules.check(merged)
        self._check_references(merged)
        job.settings = jobrules.with_defaults(merged)
        job.modified_ms = self.store.now_ms()
        return respond({})

    async def delete(self, request: Request) -> Response:
        job_id = as_int(need(await json_body(request), "job_id"), "job_id")
        self._find(job_id)
        if hasattr(self.store.execution, "job_deleted"):
            self.store.execution.job_deleted(job_id)
        del self.store.jobs[job_id]
        self.store.permissions.pop(f"jobs/{job_id}", None)
        return respond({})
