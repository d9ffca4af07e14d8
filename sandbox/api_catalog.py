"""Unity Catalog over HTTP: catalogs, schemas, volumes, tables, models, external locations, grants, monitors.
It keeps names and settings only; no table has rows here."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .http import (
    ApiError,
    Handler,
    Json,
    conflict,
    invalid,
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

BASE = "/api/2.1/unity-catalog"
METASTORE_NAME = "sandbox-metastore"
BAD_NAME = "is not a valid name. Valid names cannot contain spaces, periods, forward slashes, or control characters."


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of securable: where it lives, what its full name is made of, and how messages call it."""

    store_key: str
    path: str
    word: str
    list_key: str
    parents: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()
    securable: str = ""


CATALOG = Kind("catalogs", "catalogs", "Catalog", "catalogs", securable="catalog")
SCHEMA = Kind("schemas", "schemas", "Schema", "schemas", ("catalog_name",), ("name",), "schema")
VOLUME = Kind(
    "volumes", "volumes", "Volume", "volumes", ("catalog_name", "schema_name"), ("schema_name", "name"), "volume"
)
MODEL = Kind(
    "registered_models",
    "models",
    "Registered model",
    "registered_models",
    ("catalog_name", "schema_name"),
    securable="function",
)
LOCATION = Kind(
    "external_locations", "external-locations", "External location", "external_locations", securable="external_location"
)
UC_SECRET = Kind("uc_secrets", "secrets", "Secret", "secrets", ("catalog_name", "schema_name"))
KINDS = (CATALOG, SCHEMA, VOLUME, MODEL, LOCATION)


def routes(store: Store) -> list[Route]:
    """The routes of Unity Catalog."""
    api = CatalogApi(store)
    monitor = BASE + "/tables/{full_name}/monitor"
    table = [
        ("GET", BASE + "/current-metastore-assignment", api.assignment),
        ("GET", BASE + "/metastore_summary", api.summary),
        ("GET", BASE + "/storage-credentials", api.no_credentials),
        ("GET", BASE + "/permissions/{securable}/{full_name}", api.get_grants),
        ("PATCH", BASE + "/permissions/{securable}/{full_name}", api.change_grants),
        ("GET", BASE + "/tables", api.list_tables),
        ("GET", monitor, api.get_monitor),
        ("POST", monitor, api.create_monitor),
        ("PUT", monitor, api.update_monitor),
        ("DELETE", monitor, api.delete_monitor),
        ("GET", monitor + "/refreshes", api.monitor_refreshes),
        ("GET", BASE + "/tables/{full_name}", api.get_table),
        ("DELETE", BASE + "/tables/{full_name}", api.delete_table),
    ]
    for kind in KINDS:
        table += [
            ("GET", f"{BASE}/{kind.path}", api.lister(kind)),
            ("POST", f"{BASE}/{kind.path}", api.creator(kind)),
            ("GET", f"{BASE}/{kind.path}/{{full_name}}", api.getter(kind)),
            ("PATCH", f"{BASE}/{kind.path}/{{full_name}}", api.patcher(kind)),
            ("DELETE", f"{BASE}/{kind.path}/{{full_name}}", api.deleter(kind)),
        ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class CatalogApi:
    """The handlers. Catalogs need not be made first: the sandbox has every catalog that a bundle names, until
    the control endpoint or a delete takes one away."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _stamp(self) -> Json:
        who, now = self.store.identity.user_name, self.store.now_ms()
        return {
            "owner": who,
            "metastore_id": METASTORE_ID,
            "created_at": now,
            "created_by": who,
            "updated_at": now,
            "updated_by": who,
        }

    def full_name(self, kind: Kind, body: Json) -> str:
        """What the new object is called in full; ApiError 400 for a name that Unity Catalog does not take."""
        for part in (*kind.parents, "name"):
            value = need_text(body, part)
            if part in kind.lower:
                body[part] = value.lower()
        # Parents are taken to exist under whatever name they are given; only the new object's own name is checked.
        own = body["name"]
        if kind is not LOCATION and any(ord(character) < 32 or character in " ./" for character in own):
            raise invalid(f'Invalid input: RPC Create{kind.word.replace(" ", "")} name: name "{own[:200]}" {BAD_NAME}')
        return ".".join(body[part] for part in (*kind.parents, "name"))

    def need_parents(self, kind: Kind, body: Json) -> None:
        """ApiError 404 where the catalog or the schema that it would go to has been taken away."""
        catalog, schema = body.get("catalog_name"), body.get("schema_name")
        if "catalog_name" in kind.parents and catalog in self.store.kind("missing_catalogs"):
            raise not_found(f"Catalog '{catalog}' does not exist.", "CATALOG_DOES_NOT_EXIST")
        full = f"{catalog}.{schema}"
        if "schema_name" in kind.parents and full in self.store.kind("missing_schemas"):
            raise not_found(f"Schema '{full}' does not exist.", "SCHEMA_DOES_NOT_EXIST")

    def creator(self, kind: Kind) -> Handler:
        async def create(request: Request) -> Response:
            body = await json_body(request)
            full = self.full_name(kind, body)
            self.need_parents(kind, body)
            records = self.store.kind(kind.store_key)
            if full in records:
                raise conflict(
                    f"{kind.word} '{full}' already exists", f"{kind.word.upper().replace(' ', '_')}_ALREADY_EXISTS"
                )
            record = {**body, **self._stamp(), "full_name": full, **self._extra(kind, body)}
            records[full] = record
            self.store.kind(f"missing_{kind.store_key}").pop(full, None)
            return respond(record)

        return create

    def _extra(self, kind: Kind, body: Json) -> Json:
        new_id = self.store.ids.uuid()
        if kind is CATALOG:
            return {"catalog_type": "MANAGED_CATALOG", "id": new_id}
        if kind is SCHEMA:
            root = str(body.get("storage_root") or "")
            extra: Json = {"schema_id": new_id, "catalog_type": "MANAGED_CATALOG"}
            return {**extra, "storage_root": root.rstrip("/")} if root else extra
        if kind is VOLUME:
            where = str(body.get("storage_location") or "")
            if where and body.get("volume_type") != "EXTERNAL":
                raise invalid("CreateVolume storage_location can not be provided.")
            if body.get("volume_type") not in ("MANAGED", "EXTERNAL"):
                raise invalid("CreateVolume Missing required field: volume_type")
            managed = f"s3://{METASTORE_NAME}/metastore/{METASTORE_ID}/volumes/{new_id}"
            return {"volume_id": new_id, "storage_location": where.rstrip("/") or managed}
        if kind is LOCATION and not body.get("url"):
            raise invalid("CreateExternalLocation Missing required field: url")
        return {}

    def _find(self, kind: Kind, request: Request) -> Json:
        full = request.path_params["full_name"]
        record = self.store.kind(kind.store_key).get(full)
        if record is None:
            raise not_found(
                f"{kind.word} '{full}' does not exist.", f"{kind.word.upper().replace(' ', '_')}_DOES_NOT_EXIST"
            )
        return record

    def getter(self, kind: Kind) -> Handler:
        async def get(request: Request) -> Response:
            return respond(self._find(kind, request))

        return get

    def lister(self, kind: Kind) -> Handler:
        async def list_all(request: Request) -> Response:
            wanted = {name: request.query_params[name] for name in kind.parents if request.query_params.get(name)}
            records = [
                item
                for item in self.store.kind(kind.store_key).values()
                if all(item.get(name) == value for name, value in wanted.items())
            ]
            size = query_int(request, "max_results", 100, high=1000) or 100
            part, token = page(records, offset_of(request.query_params.get("page_token")), size)
            return respond({kind.list_key: part, "next_page_token": token} if token else {kind.list_key: part})

        return list_all

    def patcher(self, kind: Kind) -> Handler:
        async def patch(request: Request) -> Response:
            record = self._find(kind, request)
            body = await json_body(request)
            new_name = body.pop("new_name", None)
            changes = {name: value for name, value in body.items() if name not in ("full_name", "name", *kind.parents)}
            if not changes and not new_name:
                raise invalid(f"Update{kind.word.replace(' ', '')} Nothing to update.")
            record.update(changes)
            record.update(updated_at=self.store.now_ms(), updated_by=self.store.identity.user_name)
            if new_name:
                records = self.store.kind(kind.store_key)
                del records[record["full_name"]]
                record["name"] = str(new_name)
                record["full_name"] = ".".join(str(record[part]) for part in (*kind.parents, "name"))
                records[record["full_name"]] = record
            return respond(record)

        return patch

    def deleter(self, kind: Kind) -> Handler:
        async def delete(request: Request) -> Response:
            record = self._find(kind, request)
            full = record["full_name"]
            children = self._below(kind, full)
            if children and not query_flag(request, "force"):
                raise ApiError(
                    409,
                    f"{kind.word.upper()}_NOT_EMPTY",
                    f"{kind.word} '{full}' is not empty: it holds '{children[0]}'.",
                )
            del self.store.kind(kind.store_key)[full]
            for key in ("volumes", "registered_models", "schemas"):
                records = self.store.kind(key)
                for child in [name for name in records if name.startswith(full + ".")]:
                    del records[child]
            for name in [name for name in self.store.tables if name.startswith(full + ".")]:
                del self.store.tables[name]
            self.store.grants.pop(f"{kind.securable}/{full}", None)
            return respond({})

        return delete

    def _below(self, kind: Kind, full: str) -> list[str]:
        if kind not in (CATALOG, SCHEMA):
            return []
        keys = ("schemas", "volumes", "registered_models") if kind is CATALOG else ("volumes", "registered_models")
        names = [name for key in keys for name in self.store.kind(key)] + list(self.store.tables)
        return [name for name in names if name.startswith(full + ".")]

    async def assignment(self, _: Request) -> Response:
        return respond({"metastore_id": METASTORE_ID, "default_catalog_name": "main"})

    async def summary(self, _: Request) -> Response:
        return respond({"metastore_id": METASTORE_ID, "name": METASTORE_NAME, "cloud": "aws", "region": "us-east-1"})

    async def no_credentials(self, _: Request) -> Response:
        return respond({"storage_credentials": []})

    def _grants(self, request: Request) -> tuple[str, dict[str, list[str]]]:
        key = f"{request.path_params['securable'].lower()}/{request.path_params['full_name']}"
        return key, self.store.grants.setdefault(key, {})

    async def get_grants(self, request: Request) -> Response:
        return respond(_assignments(self._grants(request)[1]))

    async def change_grants(self, request: Request) -> Response:
        _, held = self._grants(request)
        for change in (await json_body(request)).get("changes") or []:
            if not isinstance(change, dict) or not change.get("principal"):
                continue
            who = str(change["principal"])
            add, remove = set(change.get("add") or []), set(change.get("remove") or [])
            if add & remove:
                raise invalid(f"Duplicate privileges to add and delete for principal {who}.")
            kept = set() if "ALL_PRIVILEGES" in remove else set(held.get(who, [])) - remove
            held[who] = sorted(kept | add)
            if not held[who]:
                del held[who]
        return respond(_assignments(held))

    async def list_tables(self, request: Request) -> Response:
        catalog, schema = request.query_params.get("catalog_name", ""), request.query_params.get("schema_name", "")
        prefix = f"{catalog}.{schema}."
        found = [table for name, table in sorted(self.store.tables.items()) if name.startswith(prefix)]
        return respond({"tables": found})

    async def get_table(self, request: Request) -> Response:
        full = request.path_params["full_name"]
        table = self.store.tables.get(full)
        if table is None:
            raise not_found(f"Table '{full}' does not exist.", "TABLE_DOES_NOT_EXIST")
        return respond(table)

    async def delete_table(self, request: Request) -> Response:
        if self.store.tables.pop(request.path_params["full_name"], None) is None:
            raise not_found(f"Table '{request.path_params['full_name']}' does not exist.", "TABLE_DOES_NOT_EXIST")
        return respond({})

    def _monitor(self, request: Request) -> Json:
        full = request.path_params["full_name"]
        record = self.store.kind("quality_monitors").get(full)
        if record is None:
            raise not_found(f"Monitor for table '{full}' does not exist.")
        return record

    async def get_monitor(self, request: Request) -> Response:
        return respond(self._monitor(request))

    async def create_monitor(self, request: Request) -> Response:
        full = request.path_params["full_name"]
        if full in self.store.kind("quality_monitors"):
            raise conflict(f"Monitor for table '{full}' already exists.")
        record = {
            **(await json_body(request)),
            "table_name": full,
            "status": "MONITOR_STATUS_ACTIVE",
            "monitor_version": 0,
            "profile_metrics_table_name": f"{full}_profile_metrics",
            "drift_metrics_table_name": f"{full}_drift_metrics",
            "dashboard_id": self.store.ids.hex(32),
        }
        self.store.kind("quality_monitors")[full] = record
        return respond(record)

    async def update_monitor(self, request: Request) -> Response:
        record = self._monitor(request)
        kept = ("assets_dir", "table_name", "status", "profile_metrics_table_name", "drift_metrics_table_name")
        old = {name: record[name] for name in (*kept, "dashboard_id") if name in record}
        record.clear()
        record.update({**(await json_body(request)), **old})
        return respond(record)

    async def delete_monitor(self, request: Request) -> Response:
        self._monitor(request)
        del self.store.kind("quality_monitors")[request.path_params["full_name"]]
        return respond({})

    async def monitor_refreshes(self, request: Request) -> Response:
        self._monitor(request)
        return respond({"refreshes": []})


def _assignments(held: dict[str, list[str]]) -> Json:
    if not held:
        return {}
    return {"privilege_assignments": [{"principal": who, "privileges": what} for who, what in held.items()]}
