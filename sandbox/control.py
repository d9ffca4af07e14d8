"""`/sandbox/...`: the switchboard of tests and demos: faults, time, quirks, the token, a held lock, the calls seen.
It is no part of the simulated API: no client of a real workspace would call it.

POST /sandbox/faults   a rule (see faults.Rule) or {"rules": [...]}; GET lists them with `struck` counts; DELETE clears
GET /sandbox/calls     {"calls": [...], "total"}; query since=N (call number), path=glob, method; DELETE forgets them
POST /sandbox/clock    {"scale"?, "advance_ms"?, "freeze"?: bool}; GET tells {"now_ms", "scale", "frozen"}
POST /sandbox/quirks   any of store.Quirks; GET tells them
POST /sandbox/token    {"expired": bool} or {"rotate": true} -> {"token"}; the control itself accepts an expired token
POST /sandbox/lock     {"state_path": "/Workspace/.../state", "holder"?} holds a deploy lock; DELETE lets go
POST /sandbox/forget   {"path"} | {"job_id"} | {"pipeline_id"} removes it behind the client's back
POST /sandbox/edit     {"job_id", "settings": {...}} merges into job settings behind the client's back (drift)
GET /sandbox/files     ?path=  {"files": [{path, type, size}]}, everything below; with content=true also the text
POST /sandbox/reset    empties the workspace and the faults; token and clock stay
GET /sandbox/state     counts
"""

from __future__ import annotations

import fnmatch
import json
import secrets
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .faults import Faults
from .filetree import canonical, parent_of
from .http import as_int, invalid, json_body, need_text, not_found, query_flag, query_int, respond, route
from .store import Quirks, Store


def routes(store: Store, faults: Faults, install: Callable[[Store], None]) -> list[Route]:
    """The control routes over `store` and `faults`."""
    panel = Panel(store, faults, install)
    table = [
        ("POST", "/sandbox/faults", panel.add_faults),
        ("GET", "/sandbox/faults", panel.list_faults),
        ("DELETE", "/sandbox/faults", panel.clear_faults),
        ("GET", "/sandbox/calls", panel.list_calls),
        ("DELETE", "/sandbox/calls", panel.clear_calls),
        ("POST", "/sandbox/clock", panel.set_clock),
        ("GET", "/sandbox/clock", panel.get_clock),
        ("POST", "/sandbox/quirks", panel.set_quirks),
        ("GET", "/sandbox/quirks", panel.get_quirks),
        ("POST", "/sandbox/token", panel.set_token),
        ("POST", "/sandbox/lock", panel.hold_lock),
        ("DELETE", "/sandbox/lock", panel.release_lock),
        ("POST", "/sandbox/forget", panel.forget),
        ("POST", "/sandbox/edit", panel.edit),
        ("GET", "/sandbox/files", panel.files),
        ("POST", "/sandbox/reset", panel.reset),
        ("GET", "/sandbox/state", panel.state),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


class Panel:
    """The handlers of `/sandbox/...`."""

    def __init__(self, store: Store, faults: Faults, install: Callable[[Store], None]) -> None:
        self.store = store
        self.install = install
        self.table = faults

    async def add_faults(self, request: Request) -> Response:
        body = await json_body(request)
        wanted = body.get("rules", [body])
        if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
            raise invalid("rules must be a list of objects")
        added = [self.table.add(item) for item in wanted]
        return respond({"id": added[0].rule_id if added else None, "ids": [rule.rule_id for rule in added]})

    async def list_faults(self, _: Request) -> Response:
        return respond({"faults": [rule.as_json() for rule in self.table.rules]})

    async def clear_faults(self, _: Request) -> Response:
        self.table.rules.clear()
        return respond({})

    async def list_calls(self, request: Request) -> Response:
        since = query_int(request, "since", 0)
        method, pattern = request.query_params.get("method", ""), request.query_params.get("path", "*")
        chosen = [
            call.as_json()
            for call in self.table.calls
            if call.number > since and method in ("", call.method) and fnmatch.fnmatchcase(call.path, pattern)
        ]
        return respond({"calls": chosen, "total": self.table.total_calls})

    async def clear_calls(self, _: Request) -> Response:
        self.table.calls.clear()
        return respond({"total": self.table.total_calls})

    async def set_clock(self, request: Request) -> Response:
        body = await json_body(request)
        clock = self.store.clock
        unknown = set(body) - {"scale", "advance_ms", "freeze"}
        if unknown:
            raise invalid(f"a clock has no {', '.join(sorted(map(str, unknown)))}")
        try:
            if "scale" in body:
                scale = float(body["scale"])
                if not 0 < scale <= 1e6:
                    raise ValueError(scale)
                clock.set_scale(scale)
            if "advance_ms" in body:
                clock.advance(min(float(body["advance_ms"]), 1e12))
        except (TypeError, ValueError) as problem:
            raise invalid("scale and advance_ms must be numbers above 0") from problem
        if "freeze" in body:
            clock.freeze(bool(body["freeze"]))
        return await self.get_clock(request)

    async def get_clock(self, _: Request) -> Response:
        clock = self.store.clock
        return respond({"now_ms": clock.now_ms(), "scale": clock.scale, "frozen": clock.frozen})

    async def set_quirks(self, request: Request) -> Response:
        for name, value in (await json_body(request)).items():
            if name not in Quirks.__dataclass_fields__:
                raise invalid(f"unknown quirk {name!r}; known: {', '.join(Quirks.__dataclass_fields__)}")
            wanted = as_int(value, name) if name.endswith("_ms") else bool(value)
            setattr(self.store.quirks, name, wanted)
        return await self.get_quirks(request)

    async def get_quirks(self, _: Request) -> Response:
        return respond({name: getattr(self.store.quirks, name) for name in Quirks.__dataclass_fields__})

    async def set_token(self, request: Request) -> Response:
        body = await json_body(request)
        if "expired" in body:
            self.store.token_expired = bool(body["expired"])
        if body.get("rotate"):
            self.store.token = f"dapi{secrets.token_hex(16)}"
            self.store.token_expired = False
        return respond({"token": self.store.token, "expired": self.store.token_expired})

    async def hold_lock(self, request: Request) -> Response:
        body = await json_body(request)
        path = canonical(need_text(body, "state_path")) + "/deploy.lock"
        # The CLI's lock file: libs/locker of databricks/cli.
        lock = {
            "ID": self.store.ids.uuid(),
            "AcquisitionTime": "2026-08-24T09:00:00.000000000Z",
            "IsForced": False,
            "User": str(body.get("holder", "someone.else@example.com")),
        }
        self.store.files.mkdirs(parent_of(path))
        self.store.files.write(path, json.dumps(lock).encode(), overwrite=True)
        return respond({"path": path, "lock": lock})

    async def release_lock(self, request: Request) -> Response:
        path = canonical(request.query_params.get("state_path", "")) + "/deploy.lock"
        self.store.files.delete(path, recursive=False)
        return respond({})

    async def forget(self, request: Request) -> Response:
        body = await json_body(request)
        if "path" in body:
            self.store.files.delete(need_text(body, "path"), recursive=True)
        elif "job_id" in body:
            if self.store.jobs.pop(as_int(body["job_id"], "job_id"), None) is None:
                raise not_found("no such job")
        elif self.store.pipelines.pop(str(body.get("pipeline_id")), None) is None:
            raise not_found("no such pipeline")
        return respond({})

    async def edit(self, request: Request) -> Response:
        body = await json_body(request)
        job = self.store.jobs.get(as_int(body.get("job_id"), "job_id"))
        if job is None:
            raise not_found("no such job")
        settings = body.get("settings")
        if not isinstance(settings, dict):
            raise invalid("settings must be an object")
        job.settings = {**job.settings, **settings}
        return respond({"settings": job.settings})

    async def files(self, request: Request) -> Response:
        path = request.query_params.get("path", "/")
        with_content = query_flag(request, "content")
        shown = []
        for entry in self.store.files.children(path, recursive=True):
            item = {"path": entry.path, "type": entry.object_type, "size": len(entry.content)}
            if with_content:
                item["content"] = entry.content.decode("utf-8", "replace")
            shown.append(item)
        return respond({"files": shown})

    async def reset(self, _: Request) -> Response:
        self.store.reset()
        self.table.rules.clear()
        self.table.calls.clear()
        self.install(self.store)
        return respond({})

    async def state(self, _: Request) -> Response:
        store = self.store
        counts = {kind: len(records) for kind, records in store.kinds.items() if records}
        return respond(
            {
                "jobs": sorted(store.jobs),
                "pipelines": sorted(store.pipelines),
                "runs": sorted(store.runs),
                "updates": sorted(store.updates),
                "kinds": counts,
                "files": len(store.files.children("/", recursive=True)),
                "scenario": store.scenario_name,
            }
        )
