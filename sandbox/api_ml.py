"""Machine learning over HTTP: MLflow experiments and models, serving endpoints, vector search.
It trains and serves nothing."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .filetree import canonical
from .http import Json, conflict, invalid, json_body, need_text, not_found, respond, route
from .store import Store

QPS = ("target_qps", "min_qps")
"""What a vector search endpoint may be asked for; it is shown as `scaling_info.requested_...`."""


def routes(store: Store) -> list[Route]:
    """The routes of experiments, models, serving and vector search."""
    flow, serving, vector = MlflowApi(store), ServingApi(store), VectorApi(store)
    mlflow, endpoint, search = "/api/2.0/mlflow", "/api/2.0/serving-endpoints", "/api/2.0/vector-search"
    table = [
        ("POST", mlflow + "/experiments/create", flow.create_experiment),
        ("GET", mlflow + "/experiments/get", flow.get_experiment),
        ("GET", mlflow + "/experiments/get-by-name", flow.get_experiment_by_name),
        ("POST", mlflow + "/experiments/update", flow.update_experiment),
        ("POST", mlflow + "/experiments/delete", flow.delete_experiment),
        ("POST", mlflow + "/registered-models/create", flow.create_model),
        ("GET", mlflow + "/databricks/registered-models/get", flow.get_model),
        ("PATCH", mlflow + "/registered-models/update", flow.update_model),
        ("DELETE", mlflow + "/registered-models/delete", flow.delete_model),
        ("GET", endpoint, serving.list_all),
        ("POST", endpoint, serving.create),
        ("GET", endpoint + "/{name}", serving.get),
        ("DELETE", endpoint + "/{name}", serving.delete),
        ("PUT", endpoint + "/{name}/config", serving.set_config),
        ("PUT", endpoint + "/{name}/ai-gateway", serving.set_gateway),
        ("PATCH", endpoint + "/{name}/notifications", serving.set_notifications),
        ("PATCH", endpoint + "/{name}/tags", serving.set_tags),
        ("PATCH", endpoint + "/{name}/telemetry-config", serving.set_telemetry),
        ("GET", search + "/endpoints", vector.list_endpoints),
        ("POST", search + "/endpoints", vector.create_endpoint),
        ("GET", search + "/endpoints/{name}", vector.get_endpoint),
        ("PATCH", search + "/endpoints/{name}", vector.patch_endpoint),
        ("PATCH", search + "/endpoints/{name}/budget-policy", vector.set_budget_policy),
        ("DELETE", search + "/endpoints/{name}", vector.delete_endpoint),
        ("GET", search + "/indexes", vector.list_indexes),
        ("POST", search + "/indexes", vector.create_index),
        ("GET", search + "/indexes/{name}", vector.get_index),
        ("DELETE", search + "/indexes/{name}", vector.delete_index),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class MlflowApi:
    """Experiments and workspace models."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _experiment(self, experiment_id: str) -> Json:
        record = self.store.kind("experiments").get(experiment_id)
        if record is None or record["lifecycle_stage"] != "active":
            raise not_found(f"Node ID {experiment_id} does not exist.")
        return record

    async def create_experiment(self, request: Request) -> Response:
        body = await json_body(request)
        name = canonical(need_text(body, "name"))
        if any(item["name"] == name and item["lifecycle_stage"] == "active" for item in self._all()):
            raise conflict(f"Node named '{name}' already exists")
        experiment_id = str(self.store.ids.number())
        who, now = self.store.identity, self.store.now_ms()
        tags = [
            {"key": "mlflow.experiment.sourceName", "value": name},
            {"key": "mlflow.ownerId", "value": who.user_id},
            {"key": "mlflow.ownerEmail", "value": who.user_name},
            {"key": "mlflow.experimentType", "value": "MLFLOW_EXPERIMENT"},
        ]
        self.store.kind("experiments")[experiment_id] = {
            **{key: body[key] for key in ("trace_location",) if key in body},
            "experiment_id": experiment_id,
            "name": name,
            "artifact_location": body.get("artifact_location") or f"dbfs:/databricks/mlflow-tracking/{experiment_id}",
            "lifecycle_stage": "active",
            "creation_time": now,
            "last_update_time": now,
            "tags": [*(body.get("tags") or []), *tags],
        }
        return respond({"experiment_id": experiment_id})

    def _all(self) -> list[Json]:
        return list(self.store.kind("experiments").values())

    async def get_experiment(self, request: Request) -> Response:
        return respond({"experiment": self._experiment(request.query_params.get("experiment_id", ""))})

    async def get_experiment_by_name(self, request: Request) -> Response:
        name = canonical(request.query_params.get("experiment_name", ""))
        for item in self._all():
            if item["name"] == name and item["lifecycle_stage"] == "active":
                return respond({"experiment": item})
        raise not_found(f"Node {name} does not exist.")

    async def update_experiment(self, request: Request) -> Response:
        body = await json_body(request)
        record = self._experiment(str(body.get("experiment_id")))
        if body.get("new_name"):
            record["name"] = canonical(str(body["new_name"]))
            for tag in record["tags"]:
                if tag.get("key") == "mlflow.experiment.sourceName":
                    tag["value"] = record["name"]
        return respond({})

    async def delete_experiment(self, request: Request) -> Response:
        self._experiment(str((await json_body(request)).get("experiment_id")))["lifecycle_stage"] = "deleted"
        return respond({})

    def _model(self, name: str) -> Json:
        record = self.store.kind("models").get(name)
        if record is None:
            raise not_found(f"Registered Model with name={name} not found")
        return record

    async def create_model(self, request: Request) -> Response:
        body = await json_body(request)
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise invalid("Got an invalid name ''. Registered Model names cannot be empty strings.")
        if name in self.store.kind("models"):
            raise conflict(f"Registered Model (name={name}) already exists.")
        record: Json = {key: body[key] for key in ("name", "description", "tags") if key in body}
        self.store.kind("models")[name] = {**record, "id": self.store.ids.hex(32)}
        return respond({"registered_model": record})

    async def get_model(self, request: Request) -> Response:
        return respond({"registered_model_databricks": self._model(request.query_params.get("name", ""))})

    async def update_model(self, request: Request) -> Response:
        body = await json_body(request)
        record = self._model(str(body.get("name")))
        record["description"] = body.get("description", "")
        return respond({"registered_model": {key: value for key, value in record.items() if key != "id"}})

    async def delete_model(self, request: Request) -> Response:
        name = request.query_params.get("name") or str((await json_body(request)).get("name"))
        self._model(name)
        del self.store.kind("models")[name]
        return respond({})


class ServingApi:
    """Serving endpoints."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request) -> Json:
        name = request.path_params["name"]
        record = self.store.kind("serving_endpoints").get(name)
        if record is None:
            raise not_found(f"Endpoint with name '{name}' does not exist.")
        return record

    async def list_all(self, _: Request) -> Response:
        return respond({"endpoints": list(self.store.kind("serving_endpoints").values())})

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        name = need_text(body, "name")
        if name in self.store.kind("serving_endpoints"):
            raise conflict(f"Endpoint with name '{name}' already exists.")
        now = self.store.now_ms()
        record: Json = {
            **{key: value for key, value in body.items() if key not in ("config", "rate_limits")},
            "id": self.store.ids.hex(32),
            "name": name,
            "creator": self.store.identity.user_name,
            "creation_timestamp": now,
            "last_updated_timestamp": now,
            "description": body.get("description", ""),
            "permission_level": "CAN_MANAGE",
            "route_optimized": bool(body.get("route_optimized", False)),
            "state": {"ready": "READY", "config_update": "NOT_UPDATING"},
        }
        if isinstance(body.get("config"), dict):
            record["config"] = _config(body["config"])
        self.store.kind("serving_endpoints")[name] = record
        return respond(record)

    async def get(self, request: Request) -> Response:
        return respond(self._find(request))

    async def delete(self, request: Request) -> Response:
        self._find(request)
        del self.store.kind("serving_endpoints")[request.path_params["name"]]
        return respond({})

    async def set_config(self, request: Request) -> Response:
        record = self._find(request)
        record["config"] = _config(await json_body(request))
        record["last_updated_timestamp"] = self.store.now_ms()
        return respond(record)

    async def set_gateway(self, request: Request) -> Response:
        record = self._find(request)
        gateway = await json_body(request)
        record["ai_gateway"] = gateway
        if not gateway:
            del record["ai_gateway"]
        return respond(gateway)

    async def set_notifications(self, request: Request) -> Response:
        record = self._find(request)
        record["email_notifications"] = (await json_body(request)).get("email_notifications")
        return respond({"name": record["name"], "email_notifications": record["email_notifications"]})

    async def set_tags(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        tags = {tag["key"]: tag for tag in record.get("tags") or [] if isinstance(tag, dict) and "key" in tag}
        for tag in body.get("add_tags") or []:
            if isinstance(tag, dict) and "key" in tag:
                tags[tag["key"]] = tag
        for key in body.get("delete_tags") or []:
            tags.pop(key, None)
        record["tags"] = [tags[key] for key in sorted(tags)]
        return respond({"tags": record["tags"]})

    async def set_telemetry(self, request: Request) -> Response:
        record = self._find(request)
        record["telemetry_config"] = (await json_body(request)).get("telemetry_config")
        return respond(record)


def _config(config: Json) -> Json:
    """A served configuration as GET shows it: plaintext secrets gone, all traffic to a single entity by default."""
    shown = {key: value for key, value in _no_secrets(config).items() if key != "name"}
    served = [item for key in ("served_entities", "served_models") for item in shown.get(key) or []]
    for item in served:
        if isinstance(item, dict):
            item.pop("burst_scaling_enabled", None)
            item.setdefault(
                "name", f"{item.get('entity_name') or item.get('model_name')}-{item.get('entity_version', 1)}"
            )
    if len(served) == 1 and not shown.get("traffic_config"):
        name = served[0].get("name")
        route_all = {"served_entity_name": name, "served_model_name": name, "traffic_percentage": 100}
        shown["traffic_config"] = {"routes": [route_all]}
    return shown


def _no_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _no_secrets(item) for key, item in value.items() if not str(key).endswith("_plaintext")}
    return [_no_secrets(item) for item in value] if isinstance(value, list) else value


def _scaling(body: Json) -> Json:
    """What a request asks of an endpoint's size, as GET shows it. Nothing where it asks for nothing."""
    return {f"requested_{key}": body[key] for key in QPS if body.get(key)}


class VectorApi:
    """Vector search endpoints and indexes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, kind: str, request: Request) -> Json:
        name = request.path_params["name"]
        record = self.store.kind(kind).get(name)
        if record is None:
            raise not_found(f"{name} not found")
        return record

    async def list_endpoints(self, _: Request) -> Response:
        return respond({"endpoints": list(self.store.kind("vector_search_endpoints").values())})

    async def create_endpoint(self, request: Request) -> Response:
        body = await json_body(request)
        name = need_text(body, "name")
        if name in self.store.kind("vector_search_endpoints"):
            raise conflict(f"Vector search endpoint {name} already exists")
        now, who = self.store.now_ms(), self.store.identity.user_name
        record: Json = {
            **{key: value for key, value in body.items() if key not in ("usage_policy_id", *QPS)},
            "id": self.store.ids.uuid(),
            "creator": who,
            "creation_timestamp": now,
            "last_updated_timestamp": now,
            "last_updated_user": who,
            "endpoint_status": {"state": "ONLINE"},
            "num_indexes": 0,
            "scaling_info": _scaling(body),
        }
        if body.get("budget_policy_id"):
            record["effective_budget_policy_id"] = body["budget_policy_id"]
        self.store.kind("vector_search_endpoints")[name] = record
        return respond(record)

    async def get_endpoint(self, request: Request) -> Response:
        return respond(self._find("vector_search_endpoints", request))

    def _touched(self, request: Request, changes: Json) -> Json:
        record = self._find("vector_search_endpoints", request)
        now, who = self.store.now_ms(), self.store.identity.user_name
        record.update({**changes, "last_updated_timestamp": now, "last_updated_user": who})
        return record

    async def patch_endpoint(self, request: Request) -> Response:
        scaling = _scaling(await json_body(request))
        held = self._find("vector_search_endpoints", request)["scaling_info"]
        return respond(self._touched(request, {"scaling_info": {**held, **scaling}}))

    async def set_budget_policy(self, request: Request) -> Response:
        policy = str((await json_body(request)).get("budget_policy_id") or "")
        self._touched(request, {"budget_policy_id": policy, "effective_budget_policy_id": policy})
        return respond({"effective_budget_policy_id": policy})

    async def delete_endpoint(self, request: Request) -> Response:
        self._find("vector_search_endpoints", request)
        del self.store.kind("vector_search_endpoints")[request.path_params["name"]]
        return respond({})

    async def list_indexes(self, _: Request) -> Response:
        return respond({"vector_indexes": list(self.store.kind("vector_search_indexes").values())})

    async def create_index(self, request: Request) -> Response:
        body = await json_body(request)
        name = need_text(body, "name")
        if name in self.store.kind("vector_search_indexes"):
            raise conflict(f"Index {name} already exists")
        parts = name.split(".")
        if len(parts) != 3 or not all(re.fullmatch(r"\w+", part, re.ASCII) for part in parts):
            raise invalid(
                f"Invalid index name {name[:200]}: catalog.schema.table, of letters, digits and _, is needed."
            )
        endpoint = need_text(body, "endpoint_name")
        if endpoint not in self.store.kind("vector_search_endpoints"):
            raise not_found(f"Vector search endpoint {endpoint} not found")
        record: Json = {
            **body,
            "creator": self.store.identity.user_name,
            "status": {"ready": True, "message": "Index is ready", "indexed_row_count": 0},
        }
        if isinstance(record.get("delta_sync_index_spec"), dict):
            record["delta_sync_index_spec"] = {**record["delta_sync_index_spec"], "pipeline_id": self.store.ids.uuid()}
        self.store.kind("vector_search_indexes")[name] = record
        return respond(record)

    async def get_index(self, request: Request) -> Response:
        return respond(self._find("vector_search_indexes", request))

    async def delete_index(self, request: Request) -> Response:
        self._find("vector_search_indexes", request)
        del self.store.kind("vector_search_indexes")[request.path_params["name"]]
        return respond({})
