"""Who and where: well-known config, current user, users and groups, permissions of objects, telemetry.
It decides about no access itself; the gate in server.py does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .http import Json, invalid, json_body, respond, route
from .store import WORKSPACE_ID, Store

# The request's object type -> what the answer calls it (Permissions API).
OBJECT_TYPES = {
    "alertsv2": "alertv2",
    "apps": "apps",
    "authorization": "tokens",
    "cluster-policies": "cluster-policy",
    "clusters": "cluster",
    "dashboards": "dashboard",
    "database-instances": "database-instances",
    "database-projects": "database-projects",
    "dbsql-dashboards": "dashboard",
    "directories": "directory",
    "experiments": "mlflowExperiment",
    "files": "file",
    "genie": "genie-space",
    "instance-pools": "instance-pool",
    "jobs": "job",
    "notebooks": "notebook",
    "pipelines": "pipelines",
    "registered-models": "registered-model",
    "repos": "repo",
    "serving-endpoints": "serving-endpoint",
    "sql/alerts": "alert",
    "sql/queries": "query",
    "sql/warehouses": "warehouses",
    "vector-search-endpoints": "vector-search-endpoints",
}
OWNED = {"jobs": "job", "pipelines": "pipeline"}
PRINCIPALS = ("user_name", "group_name", "service_principal_name")


def routes(store: Store) -> list[Route]:
    """The routes of identity and permissions."""
    api = IdentityApi(store)
    table = [
        ("GET", "/.well-known/databricks-config", api.well_known),
        ("GET", "/oidc/.well-known/oauth-authorization-server", api.oidc),
        ("GET", "/api/2.0/preview/scim/v2/Me", api.me),
        ("GET", "/api/2.0/preview/scim/v2/Users", api.users),
        ("GET", "/api/2.0/preview/scim/v2/Groups", api.groups),
        ("POST", "/api/2.0/preview/scim/v2/Groups", api.create_group),
        ("GET", "/api/2.0/preview/scim/v2/ServicePrincipals", api.principals),
        ("POST", "/api/2.0/preview/scim/v2/ServicePrincipals", api.create_principal),
        ("POST", "/telemetry-ext", api.telemetry),
        ("GET", "/api/2.0/permissions/{object_type}/{object_id}", api.get_permissions),
        ("GET", "/api/2.0/permissions/{prefix}/{object_type}/{object_id}", api.get_permissions),
        ("PUT", "/api/2.0/permissions/{object_type}/{object_id}", api.set_permissions),
        ("PUT", "/api/2.0/permissions/{prefix}/{object_type}/{object_id}", api.set_permissions),
        ("PATCH", "/api/2.0/permissions/{object_type}/{object_id}", api.add_permissions),
        ("PATCH", "/api/2.0/permissions/{prefix}/{object_type}/{object_id}", api.add_permissions),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class IdentityApi:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def well_known(self, _: Request) -> Response:
        return respond(
            {
                "oidc_endpoint": f"{self.store.host}/oidc",
                "workspace_id": str(WORKSPACE_ID),
                "account_id": "00000000-0000-0000-0000-000000000000",
                "cloud": "AWS",
            }
        )

    async def oidc(self, _: Request) -> Response:
        base = f"{self.store.host}/oidc/v1"
        return respond({"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"})

    def _user(self) -> Json:
        who = self.store.identity
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": who.user_id,
            "userName": who.user_name,
            "displayName": who.display_name,
            "active": True,
            "emails": [{"type": "work", "value": who.user_name, "primary": True}],
            "groups": [{"display": "users", "type": "direct", "value": "100"}],
        }

    async def me(self, _: Request) -> Response:
        return respond(self._user())

    async def users(self, _: Request) -> Response:
        return respond({"totalResults": 1, "startIndex": 1, "itemsPerPage": 1, "Resources": [self._user()]})

    async def groups(self, _: Request) -> Response:
        names = ["users", "admins", *self.store.kind("groups")]
        found = [{"id": str(100 + index), "displayName": name} for index, name in enumerate(names)]
        return respond({"totalResults": len(found), "startIndex": 1, "itemsPerPage": len(found), "Resources": found})

    async def create_group(self, request: Request) -> Response:
        name = str((await json_body(request)).get("displayName") or "")
        if not name:
            raise invalid("displayName is required")
        self.store.kind("groups")[name] = {"displayName": name}
        return respond({"id": str(101 + len(self.store.kind("groups"))), "displayName": name}, 201)

    async def principals(self, _: Request) -> Response:
        found = list(self.store.kind("service_principals").values())
        return respond({"totalResults": len(found), "startIndex": 1, "itemsPerPage": len(found), "Resources": found})

    async def create_principal(self, request: Request) -> Response:
        body = await json_body(request)
        new_id = str(self.store.ids.number())
        record: Json = {
            "id": new_id,
            "applicationId": body.get("applicationId") or self.store.ids.uuid(),
            "displayName": str(body.get("displayName") or ""),
            "active": True,
        }
        self.store.kind("service_principals")[new_id] = record
        return respond(record, 201)

    async def telemetry(self, request: Request) -> Response:
        logs = (await json_body(request)).get("protoLogs") or []
        return respond({"errors": None, "numProtoSuccess": len(logs) if isinstance(logs, list) else 0})

    def _object(self, request: Request) -> tuple[str, str, str]:
        kind = request.path_params["object_type"]
        prefix = request.path_params.get("prefix")
        kind = f"{prefix}/{kind}" if prefix else kind
        if kind not in OBJECT_TYPES:
            raise invalid(f"'{kind[:80]}' is not a supported object type for permissions.")
        object_id = request.path_params["object_id"]
        return kind, object_id, f"{kind}/{object_id}"

    def _answer(self, kind: str, key: str) -> Response:
        entries = [dict(item) for item in self.store.permissions.get(key, [])]
        if kind == "jobs":
            inherited = {"inherited": True, "inherited_from_object": ["/jobs/"], "permission_level": "CAN_MANAGE"}
            entries.append({"group_name": "admins", "all_permissions": [inherited]})
        return respond({"object_id": f"/{key}", "object_type": OBJECT_TYPES[kind], "access_control_list": entries})

    async def get_permissions(self, request: Request) -> Response:
        kind, _, key = self._object(request)
        if key not in self.store.permissions and kind in OWNED:
            owner = {"inherited": False, "permission_level": "IS_OWNER"}
            self.store.permissions[key] = [
                {"user_name": self.store.identity.user_name, "all_permissions": [owner]},
            ]
        return self._answer(kind, key)

    async def set_permissions(self, request: Request) -> Response:
        return await self._change(request, replace=True)

    async def add_permissions(self, request: Request) -> Response:
        return await self._change(request, replace=False)

    async def _change(self, request: Request, *, replace: bool) -> Response:
        kind, _, key = self._object(request)
        wanted = (await json_body(request)).get("access_control_list") or []
        if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
            raise invalid("access_control_list must be an array of objects")
        by_principal: dict[str, Json] = {}
        if not replace:
            by_principal = {_principal(item): item for item in self.store.permissions.get(key, [])}
        for item in wanted:
            by_principal[_principal(item)] = _shown(item)
        entries = list(by_principal.values())
        owners = sum(
            1
            for item in entries
            for level in item.get("all_permissions", [])
            if level["permission_level"] == "IS_OWNER"
        )
        if kind in OWNED and owners != 1:
            raise invalid(f"The {OWNED[kind]} must have exactly one owner.")
        self.store.permissions[key] = entries
        return self._answer(kind, key)


def _principal(item: Json) -> str:
    for name in PRINCIPALS:
        if item.get(name):
            return f"{name}:{item[name]}"
    raise invalid("An access control entry needs user_name, group_name or service_principal_name.")


def _shown(item: Json) -> Json:
    shown: Json = {name: item[name] for name in PRINCIPALS if item.get(name)}
    display = item.get("user_name") or item.get("service_principal_name")
    if display:
        shown["display_name"] = display
    if item.get("permission_level"):
        shown["all_permissions"] = [{"inherited": False, "permission_level": str(item["permission_level"])}]
    return shown
