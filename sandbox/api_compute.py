"""Compute over HTTP: clusters with their events, instance pools, policies, SQL warehouses, statements, query history.
Nothing runs on it: a cluster is a record with a state, and a statement answers with an empty result."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .http import (
    ApiError,
    Json,
    as_int,
    invalid,
    json_body,
    need_text,
    not_found,
    offset_of,
    page,
    query_int,
    respond,
    route,
)
from .store import WORKSPACE_ID, Store

CLUSTER_VERSIONS = ("2.0", "2.1")


def routes(store: Store) -> list[Route]:
    """The routes of clusters, pools, warehouses and statements."""
    clusters, pools, sql = ClustersApi(store), PoolsApi(store), WarehousesApi(store)
    cluster_table = [
        ("POST", "/clusters/create", clusters.create),
        ("POST", "/clusters/edit", clusters.edit),
        ("GET", "/clusters/get", clusters.get),
        ("GET", "/clusters/list", clusters.list_all),
        ("POST", "/clusters/delete", clusters.terminate),
        ("POST", "/clusters/permanent-delete", clusters.remove),
        ("POST", "/clusters/start", clusters.start),
        ("POST", "/clusters/restart", clusters.start),
        ("POST", "/clusters/resize", clusters.resize),
        ("POST", "/clusters/events", clusters.events),
        ("GET", "/clusters/spark-versions", clusters.spark_versions),
        ("GET", "/clusters/list-node-types", clusters.node_types),
    ]
    base, statements = "/api/2.0/sql/warehouses", "/api/2.0/sql/statements"
    table = [
        ("GET", "/api/2.0/policies/clusters/list", pools.policies),
        ("POST", "/api/2.0/instance-pools/create", pools.create),
        ("POST", "/api/2.0/instance-pools/edit", pools.edit),
        ("POST", "/api/2.0/instance-pools/delete", pools.delete),
        ("GET", "/api/2.0/instance-pools/get", pools.get),
        ("GET", "/api/2.0/instance-pools/list", pools.list_all),
        ("GET", base, sql.list_all),
        ("POST", base, sql.create),
        ("GET", base + "/{warehouse_id}", sql.get),
        ("DELETE", base + "/{warehouse_id}", sql.delete),
        ("POST", base + "/{warehouse_id}/edit", sql.edit),
        ("POST", base + "/{warehouse_id}/start", sql.start),
        ("POST", base + "/{warehouse_id}/stop", sql.stop),
        ("GET", "/api/2.0/preview/sql/data_sources", sql.data_sources),
        ("POST", statements, sql.execute),
        ("GET", statements + "/{statement_id}", sql.statement),
        ("POST", statements + "/{statement_id}/cancel", sql.cancel),
        ("GET", "/api/2.0/sql/history/queries", sql.history),
    ]
    found = [each for method, path, handler in table for each in route(method, path, handler)]
    for method, path, handler in cluster_table:
        found += route(method, path, handler, versions=CLUSTER_VERSIONS)
    return found


class ClustersApi:
    """Clusters. A record that another module puts into the store is served as it is."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, cluster_id: str) -> Json:
        record = self.store.kind("clusters").get(cluster_id)
        if record is None:
            raise invalid(f"Cluster {cluster_id} does not exist")
        return record

    def _settled(self, body: Json) -> Json:
        record: Json = {
            "aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "zone_id": "us-east-1c", "first_on_demand": 1},
            "enable_elastic_disk": False,
            "autotermination_minutes": 120,
            **body,
        }
        if record.get("node_type_id"):
            record.setdefault("driver_node_type_id", record["node_type_id"])
        if record.get("data_security_mode") == "SINGLE_USER":
            record.setdefault("single_user_name", self.store.identity.user_name)
        if record.pop("apply_policy_default_values", False):
            record["spec"] = {"apply_policy_default_values": True}
        return record

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        if not body.get("spark_version"):
            raise invalid("Missing required field 'spark_version'")
        now = self.store.now_ms()
        cluster_id = f"0824-{self.store.ids.number() % 1_000_000:06d}-{self.store.ids.hex(8)}"
        who = self.store.identity.user_name
        self.store.kind("clusters")[cluster_id] = {
            **self._settled(body),
            "cluster_id": cluster_id,
            "state": "RUNNING",
            "state_message": "",
            "start_time": now,
            "creator_user_name": who,
            "cluster_source": "API",
        }
        created = {"cluster_id": cluster_id, "timestamp": now, "type": "CREATING", "details": {"user": who}}
        running = {"cluster_id": cluster_id, "timestamp": now, "type": "RUNNING", "details": {}}
        self.store.kind("cluster_events")[cluster_id] = {"events": [running, created]}
        return respond({"cluster_id": cluster_id})

    async def edit(self, request: Request) -> Response:
        body = await json_body(request)
        cluster_id = need_text(body, "cluster_id")
        old = self._find(cluster_id)
        kept = ("state", "state_message", "start_time", "creator_user_name", "cluster_source")
        record = {**self._settled(body), **{name: old[name] for name in kept if name in old}, "cluster_id": cluster_id}
        self.store.kind("clusters")[cluster_id] = record
        return respond({})

    async def get(self, request: Request) -> Response:
        return respond(self._find(need_text(request.query_params, "cluster_id")))

    async def list_all(self, request: Request) -> Response:
        records = list(self.store.kind("clusters").values())
        size = query_int(request, "page_size", 20, high=100) or 20
        part, token = page(records, offset_of(request.query_params.get("page_token")), size)
        answer: Json = {"clusters": part} if part else {}
        return respond({**answer, "next_page_token": token} if token else answer)

    async def terminate(self, request: Request) -> Response:
        record = self._find(need_text(await json_body(request), "cluster_id"))
        reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": self.store.identity.user_name}}
        record.update(state="TERMINATED", terminated_time=self.store.now_ms(), termination_reason=reason)
        return respond({})

    async def remove(self, request: Request) -> Response:
        cluster_id = need_text(await json_body(request), "cluster_id")
        self._find(cluster_id)
        del self.store.kind("clusters")[cluster_id]
        return respond({})

    async def start(self, request: Request) -> Response:
        record = self._find(need_text(await json_body(request), "cluster_id"))
        record.update(state="RUNNING", start_time=self.store.now_ms())
        record.pop("termination_reason", None)
        return respond({})

    async def resize(self, request: Request) -> Response:
        body = await json_body(request)
        record = self._find(need_text(body, "cluster_id"))
        if record["state"] != "RUNNING":
            raise ApiError(400, "INVALID_STATE", f"Cluster {record['cluster_id']} is not running")
        for name in ("num_workers", "autoscale"):
            record.pop(name, None)
            if body.get(name) is not None:
                record[name] = body[name]
        return respond({})

    async def events(self, request: Request) -> Response:
        body = await json_body(request)
        cluster_id = need_text(body, "cluster_id")
        held = self.store.kind("cluster_events").get(cluster_id)
        if held is None:
            self._find(cluster_id)
        events = list((held or {}).get("events", []))
        wanted = body.get("event_types")
        if isinstance(wanted, list) and wanted:
            events = [event for event in events if event.get("type") in wanted]
        if body.get("order") == "ASC":
            events.reverse()
        size = min(500, max(1, as_int(body.get("page_size") or body.get("limit") or 50, "page_size")))
        token = body.get("page_token")
        offset = offset_of(token if isinstance(token, str) else None) or as_int(body.get("offset") or 0, "offset")
        part, following = page(events, max(0, offset), size)
        answer: Json = {"events": part, "total_count": len(events)}
        if following:
            answer["next_page_token"] = following
            answer["next_page"] = {
                "cluster_id": cluster_id,
                "order": body.get("order") or "DESC",
                "offset": max(0, offset) + size,
                "limit": size,
            }
        return respond(answer)

    async def spark_versions(self, _: Request) -> Response:
        names = {"16.4.x-scala2.12": "16.4 LTS", "15.4.x-scala2.12": "15.4 LTS", "13.3.x-scala2.12": "13.3 LTS"}
        return respond({"versions": [{"key": key, "name": name} for key, name in names.items()]})

    async def node_types(self, _: Request) -> Response:
        kind = {"node_type_id": "i3.xlarge", "memory_mb": 31232, "num_cores": 4.0, "description": "i3.xlarge"}
        return respond({"node_types": [kind]})


class PoolsApi:
    """Instance pools and cluster policies."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, pool_id: str) -> Json:
        record = self.store.kind("instance_pools").get(pool_id)
        if record is None:
            raise not_found(f"Can't find an instance pool with id: {pool_id}.")
        return record

    async def policies(self, _: Request) -> Response:
        return respond({"policies": list(self.store.kind("cluster_policies").values())})

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        need_text(body, "instance_pool_name")
        pool_id = f"0824-{self.store.ids.hex(6)}-pool-{self.store.ids.hex(8)}"
        defaults = {"enable_elastic_disk": True, "idle_instance_autotermination_minutes": 60, "state": "ACTIVE"}
        self.store.kind("instance_pools")[pool_id] = {**defaults, **body, "instance_pool_id": pool_id}
        return respond({"instance_pool_id": pool_id})

    async def edit(self, request: Request) -> Response:
        body = await json_body(request)
        self._find(need_text(body, "instance_pool_id")).update(body)
        return respond({})

    async def delete(self, request: Request) -> Response:
        pool_id = need_text(await json_body(request), "instance_pool_id")
        self._find(pool_id)
        del self.store.kind("instance_pools")[pool_id]
        return respond({})

    async def get(self, request: Request) -> Response:
        return respond(self._find(need_text(request.query_params, "instance_pool_id")))

    async def list_all(self, _: Request) -> Response:
        return respond({"instance_pools": list(self.store.kind("instance_pools").values())})


class WarehousesApi:
    """SQL warehouses, statements and query history."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _all(self) -> dict[str, Json]:
        """The warehouses; a fresh workspace has the serverless starter warehouse, stopped."""
        records = self.store.kind("sql_warehouses")
        if not self.store.kind("warehouses_seeded"):
            self.store.kind("warehouses_seeded")["done"] = {}
            starter = self.store.ids.hex(16)
            records[starter] = {
                **self._settled({"name": "Serverless Starter Warehouse", "enable_serverless_compute": True}),
                "id": starter,
                "state": "STOPPED",
            }
        return records

    def _settled(self, body: Json) -> Json:
        return {
            "cluster_size": "Small",
            "min_num_clusters": 1,
            "max_num_clusters": 1,
            "auto_stop_mins": 120,
            "num_clusters": 0,
            "warehouse_type": "PRO",
            "enable_serverless_compute": False,
            "creator_name": self.store.identity.user_name,
            **{name: value for name, value in body.items() if value is not None},
        }

    def _find(self, request: Request) -> Json:
        warehouse_id = request.path_params["warehouse_id"]
        record = self._all().get(warehouse_id)
        if record is None:
            raise not_found(f"SQL warehouse {warehouse_id} was not found.")
        return record

    async def list_all(self, _: Request) -> Response:
        return respond({"warehouses": list(self._all().values())})

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        name = need_text(body, "name")
        if any(item["name"] == name for item in self._all().values()):
            raise ApiError(400, "ALREADY_EXISTS", f"SQL warehouse with name `{name}` already exists")
        warehouse_id = self.store.ids.hex(16)
        path = f"/sql/1.0/warehouses/{warehouse_id}"
        self._all()[warehouse_id] = {
            **self._settled(body),
            "id": warehouse_id,
            "state": "RUNNING",
            "num_clusters": 1,
            "odbc_params": {"hostname": "127.0.0.1", "path": path, "port": 443, "protocol": "https"},
            "jdbc_url": f"jdbc:spark://127.0.0.1:443/default;httpPath={path};o={WORKSPACE_ID}",
        }
        return respond({"id": warehouse_id})

    async def get(self, request: Request) -> Response:
        return respond(self._find(request))

    async def delete(self, request: Request) -> Response:
        self._find(request)
        del self._all()[request.path_params["warehouse_id"]]
        return respond({})

    async def edit(self, request: Request) -> Response:
        record = self._find(request)
        changes = {name: value for name, value in (await json_body(request)).items() if name not in ("id", "state")}
        record.update(changes)
        return respond({})

    async def start(self, request: Request) -> Response:
        self._find(request).update(state="RUNNING", num_clusters=1)
        return respond({})

    async def stop(self, request: Request) -> Response:
        self._find(request).update(state="STOPPED", num_clusters=0)
        return respond({})

    async def data_sources(self, _: Request) -> Response:
        return respond([{"id": key, "name": item["name"], "warehouse_id": key} for key, item in self._all().items()])

    async def execute(self, request: Request) -> Response:
        body = await json_body(request)
        text, warehouse_id = need_text(body, "statement"), need_text(body, "warehouse_id")
        warehouse = self._all().get(warehouse_id)
        if warehouse is None:
            raise not_found(f"The SQL warehouse {warehouse_id} was not found.")
        # Starting a stopped warehouse is what a real statement does, and what it costs.
        warehouse.update(state="RUNNING", num_clusters=1)
        statement_id = self.store.ids.uuid()
        answer = self._answer(text, statement_id)
        self.store.kind("statements")[statement_id] = {"answer": answer, "text": text, "at": self.store.now_ms()}
        return respond(answer)

    def _answer(self, text: str, statement_id: str) -> Json:
        execution = self.store.execution
        told = execution.statement_answer(text) if hasattr(execution, "statement_answer") else None
        if isinstance(told, dict):
            return {"statement_id": statement_id, **told}
        manifest = {"format": "JSON_ARRAY", "schema": {"column_count": 0, "columns": []}, "total_row_count": 0}
        return {
            "statement_id": statement_id,
            "status": {"state": "SUCCEEDED"},
            "manifest": {**manifest, "total_chunk_count": 0, "truncated": False},
            "result": {"chunk_index": 0, "row_offset": 0, "row_count": 0, "data_array": []},
        }

    async def statement(self, request: Request) -> Response:
        held = self.store.kind("statements").get(request.path_params["statement_id"])
        if held is None:
            raise not_found(f"The statement {request.path_params['statement_id']} was not found.")
        return respond(held["answer"])

    async def cancel(self, request: Request) -> Response:
        if request.path_params["statement_id"] not in self.store.kind("statements"):
            raise not_found(f"The statement {request.path_params['statement_id']} was not found.")
        return respond({})

    async def history(self, _: Request) -> Response:
        states = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELED": "CANCELED"}
        queries = [
            {
                "query_id": key,
                "query_text": held["text"],
                "status": states.get(held["answer"]["status"]["state"], "RUNNING"),
                "query_start_time_ms": held["at"],
                "user_name": self.store.identity.user_name,
            }
            for key, held in self.store.kind("statements").items()
        ]
        return respond({"res": queries[::-1][:100], "has_next_page": False})
