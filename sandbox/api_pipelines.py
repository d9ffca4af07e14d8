"""Pipelines over HTTP: list, create, get, edit, delete.
It starts no update and emits no event; updates.py does."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .http import Json, conflict, invalid, json_body, not_found, offset_of, page, query_int, respond, route
from .store import PipelineRecord, Store

# Carried by create and edit, but no part of the spec that GET shows.
NOT_IN_SPEC = ("allow_duplicate_names", "dry_run", "run_as", "parameters", "expected_last_modified", "pipeline_id")
NAME = re.compile(r"[A-Za-z0-9_]+\Z")
FILTER_NAME = re.compile(r"\s*name\s+LIKE\s+'([^']*)'\s*\Z", re.IGNORECASE)
FILTER_NOTEBOOK = re.compile(r"\s*notebook\s*=\s*'([^']*)'\s*\Z", re.IGNORECASE)


def routes(store: Store) -> list[Route]:
    """The routes of pipelines."""
    api = PipelinesApi(store)
    table = [
        ("GET", "/api/2.0/pipelines", api.list_pipelines),
        ("POST", "/api/2.0/pipelines", api.create),
        ("GET", "/api/2.0/pipelines/{pipeline_id}", api.get),
        ("PUT", "/api/2.0/pipelines/{pipeline_id}", api.edit),
        ("DELETE", "/api/2.0/pipelines/{pipeline_id}", api.delete),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


def check(spec: Json) -> None:
    """Raises ApiError 400 for a spec that the Pipelines API refuses."""
    for name, kind in (("libraries", list), ("clusters", list), ("configuration", dict), ("name", str)):
        if spec.get(name) is not None and not isinstance(spec[name], kind):
            raise invalid(f"Could not parse request object: wrong type for {name}")
    target = spec.get("target")
    if isinstance(target, str) and target and not NAME.match(target):
        raise invalid(
            f'CreatePipeline target_schema_name "{target[:200]}" is not a valid name. Valid names must contain only '
            "alphanumeric characters and underscores, and cannot contain spaces, periods, forward slashes, "
            "or control characters."
        )
    if spec.get("serverless") and spec.get("clusters"):
        raise invalid("You cannot provide cluster settings when using serverless compute.")
    if spec.get("serverless") and not spec.get("catalog"):
        raise invalid("You must specify a catalog to use serverless compute.")


class PipelinesApi:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request) -> PipelineRecord:
        pipeline_id = request.path_params["pipeline_id"]
        record = self.store.pipelines.get(pipeline_id)
        if record is None:
            raise not_found(f"The specified pipeline {pipeline_id} was not found.")
        return record

    def _check_name(self, body: Json, own: str = "") -> None:
        name = body.get("name")
        taken = any(
            record.spec.get("name") == name and record.pipeline_id != own for record in self.store.pipelines.values()
        )
        if name and taken and not body.get("allow_duplicate_names"):
            raise conflict(
                f"The pipeline name '{name}' is already used by another pipeline. "
                "This check can be skipped by setting `allow_duplicate_names = true` in the request.",
                "RESOURCE_CONFLICT",
            )

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        check(body)
        self._check_name(body)
        if body.get("dry_run"):
            return respond({"effective_settings": body})
        pipeline_id = self.store.ids.uuid()
        now = self.store.now_ms()
        record = PipelineRecord(pipeline_id, {}, now, self.store.identity.user_name, modified_ms=now)
        self._settle(record, body)
        self.store.pipelines[pipeline_id] = record
        return respond({"pipeline_id": pipeline_id})

    def _settle(self, record: PipelineRecord, body: Json) -> None:
        spec = {name: value for name, value in body.items() if name not in NOT_IN_SPEC}
        spec["id"] = record.pipeline_id
        if not spec.get("storage") and not spec.get("catalog"):
            # Without a catalog the pipeline lives in the Hive metastore, and the server picks its storage.
            spec["storage"] = f"dbfs:/pipelines/{record.pipeline_id}"
        record.spec = spec
        for name in ("run_as", "parameters"):
            if body.get(name) is not None:
                record.extra[name] = body[name]
            elif name == "parameters":
                record.extra.pop(name, None)

    def _latest(self, record: PipelineRecord) -> list[Json]:
        execution: Any = self.store.execution
        return execution.latest_updates(record.pipeline_id) if hasattr(execution, "latest_updates") else []

    def _state(self, record: PipelineRecord) -> str:
        execution: Any = self.store.execution
        state = execution.pipeline_state(record.pipeline_id) if hasattr(execution, "pipeline_state") else ""
        return state or record.state

    def _shown(self, record: PipelineRecord, latest: list[Json]) -> Json:
        run_as = record.extra.get("run_as") or {}
        shown: Json = {
            "pipeline_id": record.pipeline_id,
            "name": record.spec.get("name", ""),
            "state": self._state(record),
            "creator_user_name": record.creator,
            "run_as_user_name": run_as.get("user_name") or run_as.get("service_principal_name") or record.creator,
        }
        health = record.health or (
            {"COMPLETED": "HEALTHY", "FAILED": "UNHEALTHY"}.get(str(latest[0].get("state"))) if latest else ""
        )
        if health:
            shown["health"] = health
        if latest:
            shown["latest_updates"] = latest
        return shown

    async def get(self, request: Request) -> Response:
        record = self._find(request)
        shown = self._shown(record, self._latest(record)[:5])
        shown.update(
            {
                "spec": record.spec,
                "cluster_id": "",
                "last_modified": record.modified_ms,
                "effective_publishing_mode": "DEFAULT_PUBLISHING_MODE",
                **record.extra,
            }
        )
        return respond(shown)

    async def edit(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        check(body)
        self._check_name(body, record.pipeline_id)
        old = record.spec.get("storage")
        if old and body.get("storage") and body["storage"] != old:
            raise invalid("You cannot change the storage location of an existing pipeline.")
        if old and not body.get("storage") and not body.get("catalog"):
            body["storage"] = old
        self._settle(record, body)
        record.modified_ms = self.store.now_ms()
        return respond({})

    async def delete(self, request: Request) -> Response:
        record = self._find(request)
        if hasattr(self.store.execution, "pipeline_deleted"):
            self.store.execution.pipeline_deleted(record.pipeline_id)
        self.store.pipelines.pop(record.pipeline_id, None)
        self.store.permissions.pop(f"pipelines/{record.pipeline_id}", None)
        return respond({})

    async def list_pipelines(self, request: Request) -> Response:
        size = query_int(request, "max_results", 25, low=1, high=100)
        token = request.query_params.get("page_token")
        text = request.query_params.get("filter", "")
        offset = offset_of(token, "pipelines")
        records = [item for item in self.store.pipelines.values() if not text or _chosen(item, text)]
        records.sort(key=lambda item: str(item.spec.get("name", "")))
        part, following = page(records, offset, size, "pipelines")
        answer: Json = {}
        if part:
            answer["statuses"] = [self._shown(item, self._latest(item)[:5]) for item in part]
        if following:
            answer["next_page_token"] = following
        return respond(answer)


def _chosen(record: PipelineRecord, text: str) -> bool:
    by_name = FILTER_NAME.match(text)
    if by_name:
        pattern = ".*".join(re.escape(piece) for piece in by_name.group(1).split("%"))
        return re.fullmatch(pattern, str(record.spec.get("name", "")), re.DOTALL) is not None
    by_notebook = FILTER_NOTEBOOK.match(text)
    if by_notebook:
        return any(
            (item.get("notebook") or {}).get("path") == by_notebook.group(1)
            for item in record.spec.get("libraries") or []
            if isinstance(item, dict)
        )
    raise invalid(f"Invalid filter: {text[:200]}")
