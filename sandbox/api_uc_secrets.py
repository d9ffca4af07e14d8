"""Secrets of Unity Catalog over HTTP: who may see the value when, and what an update leaves as it is.
The catalogs and schemas that they live in belong to api_catalog.py."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .api_catalog import BASE, UC_SECRET, CatalogApi
from .api_dashboards import iso
from .http import (
    Json,
    conflict,
    json_body,
    need_text,
    not_found,
    offset_of,
    page,
    query_flag,
    query_int,
    respond,
    route,
)
from .store import METASTORE_ID, Store

SETTABLE = ("value", "comment", "owner", "expire_time")


def routes(store: Store) -> list[Route]:
    """The routes of secrets."""
    api = UcSecretsApi(store)
    one = BASE + "/secrets/{full_name}"
    table = [
        ("GET", BASE + "/secrets", api.list_all),
        ("POST", BASE + "/secrets", api.create),
        ("GET", one, api.get),
        ("PATCH", one, api.update),
        ("DELETE", one, api.delete),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class UcSecretsApi:
    """The handlers. A value is told by the answer to a write and by a GET that asks for it, as `effective_value`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.catalog = CatalogApi(store)

    def _find(self, request: Request) -> Json:
        full = request.path_params["full_name"]
        record = self.store.kind("uc_secrets").get(full)
        if record is None:
            raise not_found(f"Secret '{full}' does not exist.")
        return record

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        full = self.catalog.full_name(UC_SECRET, body)
        self.catalog.need_parents(UC_SECRET, body)
        need_text(body, "value")
        records = self.store.kind("uc_secrets")
        if full in records:
            raise conflict(f"Secret '{full}' already exists")
        who, now = self.store.identity.user_name, iso(self.store.now_ms())
        named = (*UC_SECRET.parents, "name", *SETTABLE)
        record = {key: body[key] for key in named if body.get(key)}
        record |= {"full_name": full, "metastore_id": METASTORE_ID, "owner": body.get("owner") or who}
        record |= {"create_time": now, "created_by": who, "update_time": now, "updated_by": who}
        records[full] = record
        return respond(_shown(record, with_value=True))

    async def get(self, request: Request) -> Response:
        return respond(_shown(self._find(request), with_value=query_flag(request, "include_value")))

    async def list_all(self, request: Request) -> Response:
        wanted = {key: request.query_params[key] for key in UC_SECRET.parents if request.query_params.get(key)}
        records = [
            _shown(item, with_value=False)
            for item in self.store.kind("uc_secrets").values()
            if all(item.get(key) == value for key, value in wanted.items())
        ]
        size = query_int(request, "page_size", 100, high=1000) or 100
        part, token = page(records, offset_of(request.query_params.get("page_token")), size)
        return respond({"secrets": part, "next_page_token": token} if token else {"secrets": part})

    async def update(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        # A comment can be emptied; the rest stays where the request has nothing for it, also under the mask `*`.
        record.update({key: body[key] for key in SETTABLE if body.get(key)})
        if body.get("comment") == "":
            record.pop("comment", None)
        record |= {"update_time": iso(self.store.now_ms()), "updated_by": self.store.identity.user_name}
        return respond(_shown(record, with_value=True))

    async def delete(self, request: Request) -> Response:
        self._find(request)
        del self.store.kind("uc_secrets")[request.path_params["full_name"]]
        return respond({})


def _shown(record: Json, *, with_value: bool) -> Json:
    shown = {key: value for key, value in record.items() if key != "value"}
    shown["effective_owner"] = record["owner"]
    if with_value:
        shown["effective_value"] = record["value"]
    return shown
