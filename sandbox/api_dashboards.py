"""AI/BI over HTTP: Lakeview dashboards with their published form, Genie spaces, SQL alerts.
It renders nothing and runs no query."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .filetree import canonical, parent_of
from .http import (
    ApiError,
    Json,
    conflict,
    invalid,
    json_body,
    not_found,
    offset_of,
    page,
    query_flag,
    query_int,
    respond,
    route,
)
from .store import Store


def routes(store: Store) -> list[Route]:
    """The routes of dashboards, Genie spaces and alerts."""
    boards, spaces, alerts = DashboardsApi(store), GenieApi(store), AlertsApi(store)
    board, space, alert = "/api/2.0/lakeview/dashboards", "/api/2.0/genie/spaces", "/api/2.0/alerts"
    table = [
        ("GET", board, boards.list_all),
        ("POST", board, boards.create),
        ("GET", board + "/{dashboard_id}", boards.get),
        ("PATCH", board + "/{dashboard_id}", boards.update),
        ("DELETE", board + "/{dashboard_id}", boards.trash),
        ("POST", board + "/{dashboard_id}/published", boards.publish),
        ("GET", board + "/{dashboard_id}/published", boards.get_published),
        ("DELETE", board + "/{dashboard_id}/published", boards.unpublish),
        ("GET", board + "/{dashboard_id}/schedules", boards.schedules),
        ("GET", space, spaces.list_all),
        ("POST", space, spaces.create),
        ("GET", space + "/{space_id}", spaces.get),
        ("PATCH", space + "/{space_id}", spaces.update),
        ("DELETE", space + "/{space_id}", spaces.trash),
        ("GET", alert, alerts.list_all),
        ("POST", alert, alerts.create),
        ("GET", alert + "/{alert_id}", alerts.get),
        ("PATCH", alert + "/{alert_id}", alerts.update),
        ("DELETE", alert + "/{alert_id}", alerts.trash),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds, as these APIs write times."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def serialized(text: str, catalog: str, schema: str) -> str:
    """A serialized dashboard as the server stores it: page types filled in, dataset overrides applied, one newline."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(content, dict):
        return text
    changed = not content
    for item in content.get("pages") or []:
        if isinstance(item, dict):
            item["pageType"] = "PAGE_TYPE_CANVAS"
            changed = True
    for item in content.get("datasets") or []:
        if isinstance(item, dict) and (catalog or schema):
            item.update({name: value for name, value in (("catalog", catalog), ("schema", schema)) if value})
            changed = True
    result = json.dumps(content, separators=(",", ":"), ensure_ascii=False) if changed else text
    return result if result.endswith("\n") else result + "\n"


class DashboardsApi:
    """Lakeview dashboards."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request) -> Json:
        dashboard_id = request.path_params["dashboard_id"]
        record = self.store.kind("dashboards").get(dashboard_id)
        if record is None:
            raise not_found(f"Unable to find dashboard [{dashboard_id}]")
        return record

    async def list_all(self, request: Request) -> Response:
        size = query_int(request, "page_size", 20, low=1, high=1000)
        offset = offset_of(request.query_params.get("page_token"))
        keep = ("dashboard_id", "display_name", "create_time", "warehouse_id", "lifecycle_state", "path", "parent_path")
        trashed = query_flag(request, "show_trashed")
        records = [item for item in self.store.kind("dashboards").values() if trashed or _active(item)]
        part, token = page(records, offset, size)
        answer: Json = {"dashboards": [{name: item[name] for name in keep if name in item} for item in part]}
        return respond({**answer, "next_page_token": token} if token else answer)

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        name = body.get("display_name")
        if not isinstance(name, str) or not name:
            raise invalid("display_name is required")
        folder = canonical(str(body.get("parent_path") or self.store.home))
        self.store.files.get(folder)
        path = f"{folder}/{name.replace('/', '_')}.lvdash.json"
        if self.store.files.exists(path):
            raise conflict(f"Node named '{name}.lvdash.json' already exists")
        text = self._text(request, body)
        dashboard_id = self.store.ids.hex(32)
        now = iso(self.store.now_ms())
        record: Json = {
            "dashboard_id": dashboard_id,
            "display_name": name,
            "path": path,
            "parent_path": folder,
            "create_time": now,
            "update_time": now,
            "etag": "80611980",
            "lifecycle_state": "ACTIVE",
        }
        if body.get("warehouse_id"):
            record["warehouse_id"] = body["warehouse_id"]
        if text:
            record["serialized_dashboard"] = text
        self.store.files.write(
            path, text.encode("utf-8", "replace"), overwrite=False, object_type="DASHBOARD", resource_id=dashboard_id
        )
        self.store.kind("dashboards")[dashboard_id] = record
        return respond(record)

    def _text(self, request: Request, body: Json) -> str:
        text = body.get("serialized_dashboard") or ""
        if not isinstance(text, str):
            raise invalid("serialized_dashboard must be a string")
        query = request.query_params
        return serialized(text, query.get("dataset_catalog", ""), query.get("dataset_schema", "")) if text else ""

    async def get(self, request: Request) -> Response:
        return respond(self._find(request))

    async def update(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        if body.get("etag") and body["etag"] != record["etag"]:
            raise conflict("The etag does not match: the dashboard was changed by someone else.", "ABORTED")
        name = body.get("display_name")
        if isinstance(name, str) and name and name != record["display_name"]:
            path = f"{parent_of(record['path'])}/{name.replace('/', '_')}.lvdash.json"
            self.store.files.move(record["path"], path)
            record.update(display_name=name, path=path)
        text = self._text(request, body)
        if text:
            record["serialized_dashboard"] = text
            self.store.files.write(
                record["path"],
                text.encode("utf-8", "replace"),
                overwrite=True,
                object_type="DASHBOARD",
                resource_id=record["dashboard_id"],
            )
        if "warehouse_id" in body:
            record["warehouse_id"] = body["warehouse_id"]
        record.update(etag=str(int(record["etag"]) + 1), update_time=iso(self.store.now_ms()), lifecycle_state="ACTIVE")
        return respond(record)

    async def trash(self, request: Request) -> Response:
        record = self._find(request)
        if self.store.files.exists(record["path"]):
            self.store.files.delete(record["path"], recursive=False)
        record.update(lifecycle_state="TRASHED", parent_path=f"{self.store.home}/Trash")
        self.store.kind("published_dashboards").pop(record["dashboard_id"], None)
        return respond({})

    async def publish(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        published: Json = {
            "display_name": record["display_name"],
            "embed_credentials": bool(body.get("embed_credentials", False)),
            "revision_create_time": iso(self.store.now_ms()),
        }
        warehouse = body.get("warehouse_id") or record.get("warehouse_id")
        if warehouse:
            published["warehouse_id"] = warehouse
        self.store.kind("published_dashboards")[record["dashboard_id"]] = published
        return respond(published)

    async def get_published(self, request: Request) -> Response:
        dashboard_id = request.path_params["dashboard_id"]
        published = self.store.kind("published_dashboards").get(dashboard_id)
        if published is None:
            raise not_found(f"Unable to find published dashboard [{dashboard_id}]")
        return respond(published)

    async def unpublish(self, request: Request) -> Response:
        record = self._find(request)
        self.store.kind("published_dashboards").pop(record["dashboard_id"], None)
        return respond({})

    async def schedules(self, request: Request) -> Response:
        self._find(request)
        return respond({"schedules": []})


def _active(record: Json) -> bool:
    return bool(record.get("lifecycle_state") == "ACTIVE")


class GenieApi:
    """Genie spaces."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request) -> Json:
        record = self.store.kind("genie_spaces").get(request.path_params["space_id"])
        if record is None:
            # The real one does not tell a space that is not there from one that is not yours.
            raise ApiError(403, "PERMISSION_DENIED", "Genie space not found")
        return record

    async def list_all(self, _: Request) -> Response:
        return respond({"spaces": [_without(item, "serialized_space", "etag") for item in self._all()]})

    def _all(self) -> list[Json]:
        return list(self.store.kind("genie_spaces").values())

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        space_id = self.store.ids.hex(32)
        record: Json = {
            **{name: body[name] for name in ("title", "description", "warehouse_id") if body.get(name)},
            "space_id": space_id,
            "parent_path": canonical(str(body.get("parent_path") or self.store.home)),
            "serialized_space": _space(body.get("serialized_space")),
            "etag": "1",
        }
        self.store.kind("genie_spaces")[space_id] = record
        return respond(record)

    async def get(self, request: Request) -> Response:
        record = self._find(request)
        full = query_flag(request, "include_serialized_space")
        return respond(record if full else _without(record, "serialized_space", "etag"))

    async def update(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        if body.get("etag") and body["etag"] != record["etag"]:
            raise conflict(f"Etag mismatch: expected {record['etag']}, got {str(body['etag'])[:40]}", "ABORTED")
        for name in ("title", "description", "warehouse_id"):
            if body.get(name):
                record[name] = body[name]
        if body.get("parent_path"):
            record["parent_path"] = canonical(str(body["parent_path"]))
        text = _space(body.get("serialized_space"))
        if text and text != record["serialized_space"]:
            record.update(serialized_space=text, etag=str(int(record["etag"]) + 1))
        return respond(record)

    async def trash(self, request: Request) -> Response:
        self._find(request)
        del self.store.kind("genie_spaces")[request.path_params["space_id"]]
        return respond({})


def _space(value: Any) -> str:
    """A serialized space as stored: the server migrates version 1 to 2 and adds `data_sources`."""
    if not isinstance(value, str):
        return ""
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if not isinstance(content, dict) or content.get("version") != 1:
        return value
    return json.dumps({"data_sources": {}, **content, "version": 2}, separators=(",", ":"))


def _without(record: Json, *names: str) -> Json:
    return {name: value for name, value in record.items() if name not in names}


class AlertsApi:
    """SQL alerts (v2)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request) -> Json:
        record = self.store.kind("alerts").get(request.path_params["alert_id"])
        if record is None:
            raise not_found(f"Alert {request.path_params['alert_id']} does not exist")
        return record

    async def list_all(self, request: Request) -> Response:
        size = query_int(request, "page_size", 50, low=1, high=1000)
        records = [item for item in self.store.kind("alerts").values() if _active(item)]
        part, token = page(records, offset_of(request.query_params.get("page_token")), size)
        return respond({"alerts": part, "next_page_token": token} if token else {"alerts": part})

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        alert_id = self.store.ids.uuid()
        now = iso(self.store.now_ms())
        record: Json = {
            **body,
            "id": alert_id,
            "lifecycle_state": "ACTIVE",
            "create_time": now,
            "update_time": now,
            "owner_user_name": self.store.identity.user_name,
        }
        self.store.kind("alerts")[alert_id] = record
        return respond(record)

    async def get(self, request: Request) -> Response:
        return respond(self._find(request))

    async def update(self, request: Request) -> Response:
        record = self._find(request)
        mask = request.query_params.get("update_mask", "")
        if not mask:
            raise invalid("update_mask is required")
        body = await json_body(request)
        fields = list(body) if mask == "*" else [name.split(".")[0] for name in mask.split(",")]
        for name in fields:
            if name in body:
                record[name] = body[name]
            else:
                record.pop(name, None)
        record["id"] = request.path_params["alert_id"]
        record["update_time"] = iso(self.store.now_ms())
        record["lifecycle_state"] = "ACTIVE"
        return respond(record)

    async def trash(self, request: Request) -> Response:
        record = self._find(request)
        if query_flag(request, "purge"):
            del self.store.kind("alerts")[request.path_params["alert_id"]]
        else:
            record["lifecycle_state"] = "DELETED"
        return respond({})
