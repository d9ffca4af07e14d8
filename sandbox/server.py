"""The HTTP server of the sandbox: the routes behind host check, token check, faults and error shape, on loopback.
It never listens on another interface, and holds no rule of any resource."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
import traceback
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import (
    api_catalog,
    api_compute,
    api_dashboards,
    api_identity,
    api_jobs,
    api_misc,
    api_ml,
    api_pipelines,
    api_uc_secrets,
    api_workspace,
    control,
)
from .faults import Connections, FaultLayer, Faults
from .http import ApiError, respond
from .scenario import ScenarioError
from .store import WORKSPACE_ID, Store

LOOPBACK = "127.0.0.1"
OPEN_PATHS = ("/.well-known/databricks-config", "/oidc/.well-known/oauth-authorization-server")


def install_execution(store: Store) -> None:
    if find_spec(f"{__package__}.execution"):
        import_module(".execution", __package__).install(store)


def collect_routes(store: Store, faults: Faults) -> list[Route]:
    """Every route of the workspace."""
    modules: tuple[Any, ...] = (
        api_identity,
        api_workspace,
        api_jobs,
        *(import_module(f".{name}", __package__) for name in ("runs", "updates") if find_spec(f"{__package__}.{name}")),
        api_pipelines,
        api_dashboards,
        api_catalog,
        api_uc_secrets,
        api_ml,
        api_compute,
        api_misc,
    )
    found: list[Route] = [each for module in modules for each in module.routes(store)]
    return [*found, *control.routes(store, faults, install_execution)]


class Gate:
    """ASGI layer: refuses foreign Host headers and tokens, and names the workspace in each answer."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store
        self.token_fault: ApiError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-databricks-org-id", str(WORKSPACE_ID).encode()),
                ]
            await send(message)

        if refusal is not None:
            await refusal.response()(scope, receive, named)
            return
        await self._app(scope, receive, named)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> ApiError | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        port = (scope.get("server") or ("", 0))[1]
        if host not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
            return ApiError(421, "BAD_REQUEST", "This sandbox answers on its loopback address only.")
        path: str = scope["path"]
        if path in OPEN_PATHS:
            return None
        given = headers.get(b"authorization", b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not token:
            text = "Credential was not sent or was of an unsupported type for this API."
            return ApiError(401, "UNAUTHENTICATED", text)
        if token.strip() != self._store.token:
            return ApiError(403, "403", "Invalid access token.")
        if self._store.token_expired and not path.startswith("/sandbox/"):
            return ApiError(401, "UNAUTHENTICATED", "Access token expired.")
        return None


async def _unknown_route(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 404
    if status == 405:
        text = f"No API found for '{request.method} {request.url.path}'"
        return ApiError(404, "ENDPOINT_NOT_FOUND", text).response()
    if status == 404:
        text = f"No API found for '{request.method} {request.url.path}'"
        return ApiError(404, "ENDPOINT_NOT_FOUND", text).response()
    return respond({"error_code": "BAD_REQUEST", "message": str(problem)}, status)


async def _api_error(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, ApiError)
    return problem.response()


async def _crash(request: Request, problem: Exception) -> Response:
    traceback.print_exception(problem, file=sys.stderr)
    text = f"The sandbox failed at {request.method} {request.url.path}: {type(problem).__name__}"
    return ApiError(500, "INTERNAL_ERROR", text).response()


class _CatchAll:
    """Turns any exception of a route into a JSON 500, so that no request can end the server or leak a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as problem:
            if started or scope["type"] != "http":
                raise
            await (await _crash(Request(scope), problem))(scope, receive, send)


def create_app(store: Store, connections: Connections | None = None) -> ASGIApp:
    """The whole workspace as one ASGI app."""
    faults = Faults()
    install_execution(store)
    inner: ASGIApp = Starlette(
        routes=collect_routes(store, faults),
        exception_handlers={ApiError: _api_error, HTTPException: _unknown_route},
    )
    inner = _CatchAll(inner)
    layered = FaultLayer(Gate(inner, store), faults, connections or Connections(), store.now_ms)
    return layered


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, first_line: str) -> None:
        super().__init__(config)
        self._first_line = first_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._first_line, flush=True)


def _protocol(connections: Connections) -> type[H11Protocol]:
    class TrackedProtocol(H11Protocol):
        """Registers its socket, so that a fault can break it."""

        _peer: tuple[str, int] = ("", 0)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._peer = tuple(transport.get_extra_info("peername") or ("", 0))[:2]
            connections.opened(self._peer, transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.closed(self._peer)
            super().connection_lost(exc)

    return TrackedProtocol


def _stop_at_end_of_stdin(server: uvicorn.Server) -> None:
    def wait() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        server.should_exit = True

    threading.Thread(target=wait, daemon=True, name="stdin").start()


def main(argv: list[str]) -> int:
    """`serve`: listens until it is stopped. The first line on stdout is JSON {"host", "token", "pid"}."""
    parser = argparse.ArgumentParser(
        prog="dbops-tui sandbox", description="A simulated Databricks workspace on loopback."
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--time-scale", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--scenario", default="", help="how jobs and pipelines behave when they run")
    parser.add_argument("--seed", type=int, default=20260824, help="ids are the same for the same seed")
    parser.add_argument("--big-ids", action="store_true", help="numeric ids above 2^53, which are legal int64")
    parser.add_argument("--user", default="you@example.com", help="user name that the token belongs to")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(argv)
    if not 0 <= options.port <= 65535:
        parser.error("--port must be between 0 and 65535")
    if not 0 < options.time_scale <= 1e6:
        parser.error("--time-scale must be above 0 and at most 1000000")
    store = Store(
        scale=options.time_scale,
        seed=options.seed,
        big_ids=options.big_ids,
        scenario_name=options.scenario,
        user_name=options.user,
    )
    # With its protocol named, or asyncio would not take it for TCP, and answers would wait for the other side's leave.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, options.port))
    except OSError as problem:
        print(f"cannot listen on {LOOPBACK}:{options.port}: {problem.strerror}", file=sys.stderr)
        return 1
    store.host = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    connections = Connections()
    try:
        app = create_app(store, connections)
    except ScenarioError as problem:
        parser.error(str(problem))
    config = uvicorn.Config(
        app,
        http=_protocol(connections),
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, json.dumps({"host": store.host, "token": store.token, "pid": os.getpid()}))
    if options.until_stdin_closes:
        _stop_at_end_of_stdin(server)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0
