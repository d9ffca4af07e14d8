"""Workspace objects over HTTP: status, list, mkdirs, delete, export, import, and the file routes of `bundle deploy`.
The rules live in filetree.py; nothing here knows what a file is for."""

from __future__ import annotations

import base64
import binascii
from email.parser import BytesParser
from email.policy import HTTP as HTTP_POLICY

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .filetree import MAX_FILE_BYTES, Entry, canonical, missing
from .http import ApiError, Json, invalid, json_body, need_text, query_flag, raw_body, respond, route
from .store import Store

SUFFIX = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}


def routes(store: Store) -> list[Route]:
    """The workspace routes."""
    api = WorkspaceApi(store)
    table = [
        ("GET", "/api/2.0/workspace/get-status", api.get_status),
        ("GET", "/api/2.0/workspace/list", api.list_folder),
        ("POST", "/api/2.0/workspace/mkdirs", api.mkdirs),
        ("POST", "/api/2.0/workspace/delete", api.delete),
        ("GET", "/api/2.0/workspace/export", api.export),
        ("POST", "/api/2.0/workspace/import", api.import_object),
        ("POST", "/api/2.0/workspace-files/import-file/{path:path}", api.import_file),
        ("GET", "/api/2.0/workspace-files/{path:path}", api.read_file),
    ]
    return [each for method, path, handler in table for each in route(method, path, handler)]


def shown(entry: Entry, asked: str) -> Json:
    """An entry as the API shows it: below `/Workspace` where the path that was asked for is; `//Workspace` is not."""
    mount = "/Workspace" if asked == "/Workspace" or asked.startswith("/Workspace/") else ""
    info: Json = {
        "object_type": entry.object_type,
        "path": (mount + entry.path).rstrip("/") or "/",
        "object_id": entry.object_id,
        "resource_id": entry.resource_id or str(entry.object_id),
    }
    if entry.object_type in ("FILE", "NOTEBOOK", "DASHBOARD"):
        info["created_at"] = entry.created_ms
        info["modified_at"] = entry.modified_ms
    if entry.object_type == "FILE":
        info["size"] = len(entry.content)
    if entry.language:
        info["language"] = entry.language
    return info


class WorkspaceApi:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def get_status(self, request: Request) -> Response:
        path = need_text(request.query_params, "path")
        entry = self.store.files.get(path)
        info = shown(entry, path)
        if query_flag(request, "return_export_info") and entry.object_type == "NOTEBOOK":
            info["repos_export_format"] = entry.format
        return respond(info)

    async def list_folder(self, request: Request) -> Response:
        path = need_text(request.query_params, "path")
        objects = [shown(entry, path) for entry in self.store.files.children(path)]
        return respond({"objects": objects} if objects else {})

    async def mkdirs(self, request: Request) -> Response:
        self.store.files.mkdirs(need_text(await json_body(request), "path"))
        return respond({})

    async def delete(self, request: Request) -> Response:
        body = await json_body(request)
        gone = self.store.files.delete(need_text(body, "path"), recursive=bool(body.get("recursive")))
        for entry in gone:
            if entry.object_type == "DASHBOARD":
                self.store.kind("dashboards").pop(entry.resource_id, None)
        return respond({})

    async def export(self, request: Request) -> Response:
        path = need_text(request.query_params, "path")
        entry = self.store.files.get(path)
        if entry.object_type in ("DIRECTORY", "REPO"):
            raise invalid(f"{path} is a directory; only a notebook or a file can be exported here")
        if query_flag(request, "direct_download"):
            return Response(entry.content, media_type="application/octet-stream")
        kind = SUFFIX.get(entry.language, "").lstrip(".") or path.rpartition(".")[2]
        if entry.format == "JUPYTER":
            kind = "ipynb"
        return respond({"content": base64.b64encode(entry.content).decode(), "file_type": kind})

    async def import_object(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            body, content = _multipart(kind, await raw_body(request, MAX_FILE_BYTES))
        else:
            body = await json_body(request)
            content = _decoded(body.get("content"))
        path = canonical(need_text(body, "path"))
        wanted = str(body.get("format") or "SOURCE").upper()
        overwrite = str(body.get("overwrite", "")).lower() in ("true", "1")
        files = self.store.files
        if wanted in ("SOURCE", "JUPYTER", "HTML"):
            language = str(body.get("language") or "").upper() or ("PYTHON" if wanted == "JUPYTER" else "")
            if not language:
                raise invalid("The language must be specified when format is SOURCE")
            files.write(
                path,
                content,
                overwrite=overwrite,
                object_type="NOTEBOOK",
                language=language,
                source_format="JUPYTER" if wanted == "JUPYTER" else "SOURCE",
            )
        elif wanted == "RAW":
            files.write(path, content, overwrite=overwrite, object_type="FILE")
        elif wanted == "AUTO":
            files.write(path, content, overwrite=overwrite)
        else:
            raise invalid(f"Unsupported format: {wanted[:40]}")
        return respond({})

    async def import_file(self, request: Request) -> Response:
        # The CLI escapes the whole path, so it arrives as %2FWorkspace%2F...; the server has decoded it once.
        path = "/" + request.path_params["path"].lstrip("/")
        content = await raw_body(request, MAX_FILE_BYTES)
        self.store.files.write(path, content, overwrite=query_flag(request, "overwrite"))
        return respond({})

    async def read_file(self, request: Request) -> Response:
        path = "/" + request.path_params["path"].lstrip("/")
        entry = self.store.files.get(path)
        if entry.object_type in ("DIRECTORY", "REPO"):
            raise missing(path)
        return Response(entry.content, media_type="application/octet-stream")


def _decoded(value: object) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise ApiError(400, "MALFORMED_REQUEST", "Could not parse request object: Expected 'string' for content")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise invalid("Could not decode content: it is not base64") from problem


def _multipart(content_type: str, raw: bytes) -> tuple[Json, bytes]:
    """Fields and the `content` part of a form upload (what databricks-sdk sends for `workspace.upload`)."""
    header = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP_POLICY).parsebytes(header + raw)
    if not message.is_multipart():
        raise invalid("Malformed multipart body")
    fields: Json = {}
    content = b""
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        if name == "content":
            content = data
        elif isinstance(name, str):
            fields[name] = data.decode("utf-8", "replace")
    return fields, content
