"""The rest over HTTP: secret scopes, apps, database instances, files in volumes, repos.
Small records without behaviour; what needs rules of its own has a module of its own."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .filetree import MAX_FILE_BYTES
from .http import ApiError, Handler, Json, conflict, invalid, json_body, need_text, not_found, raw_body, respond, route
from .store import Store


def routes(store: Store) -> list[Route]:
    """The routes of secrets, apps, databases, volume files and repos."""
    secrets, apps, records, files = SecretsApi(store), AppsApi(store), RecordsApi(store), VolumeFilesApi(store)
    app, database = "/api/2.0/apps", "/api/2.0/database"
    table = [
        ("POST", "/api/2.0/secrets/scopes/create", secrets.create_scope),
        ("GET", "/api/2.0/secrets/scopes/list", secrets.list_scopes),
        ("POST", "/api/2.0/secrets/scopes/delete", secrets.delete_scope),
        ("POST", "/api/2.0/secrets/put", secrets.put),
        ("POST", "/api/2.0/secrets/delete", secrets.delete),
        ("GET", "/api/2.0/secrets/list", secrets.list_secrets),
        ("GET", "/api/2.0/secrets/get", secrets.get),
        ("GET", "/api/2.0/secrets/acls/list", secrets.list_acls),
        ("GET", "/api/2.0/secrets/acls/get", secrets.get_acl),
        ("POST", "/api/2.0/secrets/acls/put", secrets.put_acl),
        ("POST", "/api/2.0/secrets/acls/delete", secrets.delete_acl),
        ("GET", app, apps.list_all),
        ("POST", app, apps.create),
        ("GET", app + "/{name}", apps.get),
        ("PATCH", app + "/{name}", apps.patch),
        ("DELETE", app + "/{name}", apps.delete),
        ("POST", app + "/{name}/start", apps.start),
        ("POST", app + "/{name}/stop", apps.stop),
        ("POST", app + "/{name}/deployments", apps.deploy),
        ("GET", app + "/{name}/deployments", apps.deployments),
        ("GET", app + "/{name}/deployments/{deployment_id}", apps.deployment),
        ("POST", app + "/{name}/update", apps.update),
        ("GET", app + "/{name}/update", apps.updated),
        ("PUT", "/api/2.0/fs/directories/{path:path}", files.make_folder),
        ("HEAD", "/api/2.0/fs/directories/{path:path}", files.head_folder),
        ("GET", "/api/2.0/fs/directories/{path:path}", files.list_folder),
        ("PUT", "/api/2.0/fs/files/{path:path}", files.write),
        ("HEAD", "/api/2.0/fs/files/{path:path}", files.read),
        ("GET", "/api/2.0/fs/files/{path:path}", files.read),
        ("DELETE", "/api/2.0/fs/files/{path:path}", files.delete),
    ]
    for kind in ("instances", "catalogs", "synced_tables"):
        table += [
            ("GET", f"{database}/{kind}", records.lister(f"database_{kind}")),
            ("POST", f"{database}/{kind}", records.creator(f"database_{kind}")),
            ("GET", f"{database}/{kind}/{{name}}", records.getter(f"database_{kind}")),
            ("PATCH", f"{database}/{kind}/{{name}}", records.patcher(f"database_{kind}")),
            ("DELETE", f"{database}/{kind}/{{name}}", records.deleter(f"database_{kind}")),
        ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class SecretsApi:
    """Secret scopes. Values are kept, because a scenario may need them, and never listed."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _scope(self, name: str) -> Json:
        record = self.store.kind("secret_scopes").get(name)
        if record is None:
            raise not_found(f"Scope {name} does not exist!")
        return record

    async def create_scope(self, request: Request) -> Response:
        body = await json_body(request)
        name = need_text(body, "scope")
        if name in self.store.kind("secret_scopes"):
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"Scope {name} already exists!")
        shown: Json = {"name": name, "backend_type": body.get("scope_backend_type") or "DATABRICKS"}
        if body.get("backend_azure_keyvault"):
            shown["keyvault_metadata"] = body["backend_azure_keyvault"]
        acls = {self.store.identity.user_name: "MANAGE"}
        if body.get("initial_manage_principal"):
            acls[str(body["initial_manage_principal"])] = "MANAGE"
        self.store.kind("secret_scopes")[name] = {"shown": shown, "acls": acls, "values": {}}
        return respond({})

    async def list_scopes(self, _: Request) -> Response:
        scopes = [record["shown"] for record in self.store.kind("secret_scopes").values()]
        return respond({"scopes": scopes} if scopes else {})

    async def delete_scope(self, request: Request) -> Response:
        name = need_text(await json_body(request), "scope")
        self._scope(name)
        del self.store.kind("secret_scopes")[name]
        return respond({})

    async def put(self, request: Request) -> Response:
        body = await json_body(request)
        scope = self._scope(need_text(body, "scope"))
        value = body.get("string_value") or body.get("bytes_value") or ""
        scope["values"][need_text(body, "key")] = {"value": value, "at": self.store.now_ms()}
        return respond({})

    async def delete(self, request: Request) -> Response:
        body = await json_body(request)
        if self._scope(need_text(body, "scope"))["values"].pop(need_text(body, "key"), None) is None:
            raise not_found(f"Secret does not exist with scope: {body['scope']} and key: {body['key']}")
        return respond({})

    async def list_secrets(self, request: Request) -> Response:
        values = self._scope(need_text(request.query_params, "scope"))["values"]
        shown = [{"key": key, "last_updated_timestamp": held["at"]} for key, held in values.items()]
        return respond({"secrets": shown} if shown else {})

    async def get(self, request: Request) -> Response:
        key = need_text(request.query_params, "key")
        held = self._scope(need_text(request.query_params, "scope"))["values"].get(key)
        if held is None:
            raise not_found(f"Secret does not exist with scope: {request.query_params['scope']} and key: {key}")
        return respond({"key": key, "value": held["value"]})

    async def list_acls(self, request: Request) -> Response:
        acls = self._scope(need_text(request.query_params, "scope"))["acls"]
        return respond({"items": [{"principal": who, "permission": what} for who, what in acls.items()]})

    async def get_acl(self, request: Request) -> Response:
        who = need_text(request.query_params, "principal")
        acls = self._scope(need_text(request.query_params, "scope"))["acls"]
        if who not in acls:
            raise not_found(f"Failed to get secret acl for principal {who}.")
        return respond({"principal": who, "permission": acls[who]})

    async def put_acl(self, request: Request) -> Response:
        body = await json_body(request)
        level = body.get("permission")
        if level not in ("MANAGE", "READ", "WRITE"):
            raise invalid(f"Invalid permission {str(level)[:40]}")
        self._scope(need_text(body, "scope"))["acls"][need_text(body, "principal")] = level
        return respond({})

    async def delete_acl(self, request: Request) -> Response:
        body = await json_body(request)
        if self._scope(need_text(body, "scope"))["acls"].pop(need_text(body, "principal"), None) is None:
            raise not_found(f"Failed to delete secret acl for principal {body['principal']}.")
        return respond({})


class AppsApi:
    """Apps. Starting, deploying and deleting end at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, request: Request) -> Json:
        name = request.path_params["name"]
        record = self.store.kind("apps").get(name)
        if record is None:
            raise not_found(f"App with name {name} does not exist or is deleted.")
        return record

    async def list_all(self, _: Request) -> Response:
        return respond({"apps": list(self.store.kind("apps").values())})

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        name = need_text(body, "name")
        if name in self.store.kind("apps"):
            raise conflict(f"An app with the same name already exists: {name}")
        record: Json = {
            "compute_size": "MEDIUM",
            **body,
            "id": self.store.ids.uuid(),
            "url": f"{self.store.host}/apps/{name}",
            "creator": self.store.identity.user_name,
            "service_principal_id": self.store.ids.number(),
            "service_principal_client_id": self.store.ids.uuid(),
            "service_principal_name": f"app-{name}",
        }
        _power(record, on=request.query_params.get("no_compute") != "true")
        self.store.kind("apps")[name] = record
        return respond(record)

    async def get(self, request: Request) -> Response:
        return respond(self._find(request))

    async def patch(self, request: Request) -> Response:
        record = self._find(request)
        record.update({key: value for key, value in (await json_body(request)).items() if key not in ("name", "id")})
        return respond(record)

    async def delete(self, request: Request) -> Response:
        record = self._find(request)
        del self.store.kind("apps")[request.path_params["name"]]
        return respond(record)

    async def start(self, request: Request) -> Response:
        record = self._find(request)
        _power(record, on=True)
        return respond(record)

    async def stop(self, request: Request) -> Response:
        record = self._find(request)
        _power(record, on=False)
        record.pop("active_deployment", None)
        return respond(record)

    async def deploy(self, request: Request) -> Response:
        record = self._find(request)
        if record["compute_status"]["state"] != "ACTIVE":
            raise ApiError(400, "BAD_REQUEST", f"Cannot deploy app {record['name']} as its compute is not running.")
        deployment = {
            **(await json_body(request)),
            "deployment_id": self.store.ids.hex(32),
            "creator": self.store.identity.user_name,
            "status": {"state": "SUCCEEDED", "message": "App started successfully"},
        }
        record["active_deployment"] = deployment
        record["default_source_code_path"] = deployment.get("source_code_path", "")
        return respond(deployment)

    async def deployments(self, request: Request) -> Response:
        active = self._find(request).get("active_deployment")
        return respond({"app_deployments": [active] if active else []})

    async def deployment(self, request: Request) -> Response:
        active = self._find(request).get("active_deployment") or {}
        if active.get("deployment_id") != request.path_params["deployment_id"]:
            raise not_found(f"Deployment {request.path_params['deployment_id']} does not exist.")
        return respond(active)

    async def update(self, request: Request) -> Response:
        record = self._find(request)
        body = await json_body(request)
        change = body.get("app")
        for name in str(body.get("update_mask") or "").split(","):
            if isinstance(change, dict) and name.strip() in change:
                record[name.strip()] = change[name.strip()]
        return respond({"status": {"state": "SUCCEEDED"}})

    async def updated(self, request: Request) -> Response:
        self._find(request)
        return respond({"status": {"state": "SUCCEEDED"}})


def _power(record: Json, *, on: bool) -> None:
    record["compute_status"] = (
        {"state": "ACTIVE", "message": "App compute is running."}
        if on
        else {"state": "STOPPED", "message": "App compute is stopped."}
    )
    record["app_status"] = (
        {"state": "RUNNING", "message": "App is running."}
        if on
        else {"state": "UNAVAILABLE", "message": "App status is unavailable."}
    )


class RecordsApi:
    """Named records that are kept and given back: database instances, catalogs, synced tables."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _find(self, kind: str, request: Request) -> Json:
        record = self.store.kind(kind).get(request.path_params["name"])
        if record is None:
            raise not_found(f"{kind} {request.path_params['name']} not found")
        return record

    def lister(self, kind: str) -> Handler:
        async def list_all(_: Request) -> Response:
            return respond({kind: list(self.store.kind(kind).values())})

        return list_all

    def creator(self, kind: str) -> Handler:
        async def create(request: Request) -> Response:
            body = await json_body(request)
            name = need_text(body, "name")
            if name in self.store.kind(kind):
                raise conflict(f"{kind} {name} already exists")
            instance = str(body.get("database_instance_name") or "")
            if instance and instance not in self.store.kind("database_instances"):
                raise not_found(f"Database instance '{instance}' not found.")
            record = {**body, "uid": self.store.ids.uuid()}
            if kind == "database_instances":
                record |= {"state": "AVAILABLE", "creator": self.store.identity.user_name}
            self.store.kind(kind)[name] = record
            return respond(record)

        return create

    def getter(self, kind: str) -> Handler:
        async def get(request: Request) -> Response:
            return respond(self._find(kind, request))

        return get

    def patcher(self, kind: str) -> Handler:
        async def patch(request: Request) -> Response:
            record = self._find(kind, request)
            if kind == "database_synced_tables":
                raise ApiError(501, "NOT_IMPLEMENTED", "Synced tables cannot be changed.")
            record.update(
                {key: value for key, value in (await json_body(request)).items() if key not in ("name", "uid")}
            )
            return respond(record)

        return patch

    def deleter(self, kind: str) -> Handler:
        async def delete(request: Request) -> Response:
            self._find(kind, request)
            del self.store.kind(kind)[request.path_params["name"]]
            return respond({})

        return delete


class VolumeFilesApi:
    """Files below /Volumes (the Files API). They live beside the workspace files, under their own root."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def _path(self, request: Request) -> str:
        path = "/" + str(request.path_params["path"]).strip("/")
        if not path.startswith("/Volumes/"):
            raise invalid(f"Invalid path: {path[:200]}; it must start with /Volumes")
        parts = path.split("/")
        if len(parts) >= 5 and ".".join(parts[2:5]) not in self.store.kind("volumes"):
            raise not_found(f"Volume '{'.'.join(parts[2:5])}' does not exist.")
        return path

    async def make_folder(self, request: Request) -> Response:
        self.store.files.mkdirs(self._path(request))
        return Response(status_code=204)

    def _is_folder(self, path: str) -> bool:
        entry = self.store.files.find(path)
        at_root = len(path.split("/")) == 5
        return at_root or (entry is not None and entry.object_type == "DIRECTORY")

    async def head_folder(self, request: Request) -> Response:
        return Response(status_code=200 if self._is_folder(self._path(request)) else 404)

    async def list_folder(self, request: Request) -> Response:
        path = self._path(request)
        if not self._is_folder(path):
            raise not_found(f"The directory being accessed is not found: {path}", "NOT_FOUND")
        entries = self.store.files.children(path) if self.store.files.exists(path) else []
        contents = [
            {
                "path": entry.path,
                "name": entry.path.rpartition("/")[2],
                "is_directory": entry.object_type == "DIRECTORY",
                "file_size": len(entry.content),
                "last_modified": entry.modified_ms,
            }
            for entry in entries
        ]
        return respond({"contents": contents} if contents else {})

    async def write(self, request: Request) -> Response:
        path = self._path(request)
        content = await raw_body(request, MAX_FILE_BYTES)
        overwrite = request.query_params.get("overwrite", "") == "true"
        if self.store.files.exists(path) and not overwrite:
            raise conflict(f"The file being created already exists: {path}", "ALREADY_EXISTS")
        self.store.files.mkdirs(path.rpartition("/")[0])
        self.store.files.write(path, content, overwrite=True, object_type="FILE")
        return Response(status_code=204)

    async def read(self, request: Request) -> Response:
        path = self._path(request)
        entry = self.store.files.find(path)
        if entry is None or entry.object_type != "FILE":
            raise not_found(f"The file being accessed is not found: {path}", "NOT_FOUND")
        return Response(entry.content, media_type="application/octet-stream")

    async def delete(self, request: Request) -> Response:
        path = self._path(request)
        if self.store.files.find(path) is None:
            raise not_found(f"The file being accessed is not found: {path}", "NOT_FOUND")
        self.store.files.delete(path, recursive=False)
        return Response(status_code=204)
