"""Scripted faults and the record of calls: the layer between socket and routes that breaks what it is told to.
It knows no resource, and passes everything through while no rule is set."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .http import Json, as_int, invalid, need_text

STATUS_KINDS: dict[str, tuple[int, str, str]] = {
    "401": (401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type for this API."),
    "403": (403, "PERMISSION_DENIED", "User does not have permission to perform this action."),
    "404": (404, "RESOURCE_DOES_NOT_EXIST", "The resource does not exist."),
    "429": (
        429,
        "REQUEST_LIMIT_EXCEEDED",
        "Your request was rejected since your organization has exceeded the rate limit. "
        "Please retry your request later.",
    ),
    "500": (500, "INTERNAL_ERROR", "An internal error occurred. Please contact support."),
    "503": (
        503,
        "TEMPORARILY_UNAVAILABLE",
        "The service at {path} is temporarily unavailable. Please try again later.",
    ),
    "504": (
        504,
        "TEMPORARILY_UNAVAILABLE",
        "The service at {path} is taking too long to process your request. "
        "Please try again later or try a faster operation.",
    ),
}
BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    b"<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
)
SIGN_IN_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to continue</body></html>"
KINDS = (*STATUS_KINDS, "502", "slow", "cut", "reset", "half_json", "empty", "wrong_type", "wrong_shape", "huge")
HISTORY_LIMIT = 20_000


@dataclass(slots=True)
class Rule:
    """One scripted fault.

    kind: one of KINDS. path: a glob on the decoded path. method: `*` or a verb. query: text the query must contain.
    skip: calls let through first. times: how often it strikes, -1 for ever. after: the call is carried out and then
    its answer spoiled (the change is made, the client does not learn of it). seconds: how long `slow` waits.
    size: bytes for `huge`, and where `cut` stops. retry_after: header value as given, so it may be nonsense.
    """

    rule_id: int
    kind: str
    path: str = "*"
    method: str = "*"
    query: str = ""
    skip: int = 0
    times: int = 1
    after: bool = False
    seconds: float = 0.0
    size: int = 0
    retry_after: str | None = None
    message: str = ""
    error_code: str = ""
    struck: int = 0

    def as_json(self) -> Json:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def matches(self, method: str, path: str, query: str) -> bool:
        """Whether the rule is about this call, whatever its count says."""
        return (
            self.method in ("*", method)
            and (not self.query or self.query in query)
            and fnmatch.fnmatchcase(path, self.path)
        )


def parse_rule(body: Json, rule_id: int) -> Rule:
    """A rule from the control endpoint's JSON; ApiError 400 for an unknown kind or a wrong value."""
    kind = need_text(body, "kind")
    if kind not in KINDS:
        raise invalid(f"unknown fault kind {kind!r}; known: {', '.join(KINDS)}")
    retry_after = body.get("retry_after")
    try:
        seconds = min(600.0, max(0.0, float(body.get("seconds", 0.0))))
    except (TypeError, ValueError) as problem:
        raise invalid("seconds must be a number") from problem
    return Rule(
        rule_id,
        kind,
        path=str(body.get("path", "*")),
        method=str(body.get("method", "*")).upper(),
        query=str(body.get("query", "")),
        skip=as_int(body.get("skip", 0), "skip"),
        times=as_int(body.get("times", 1), "times"),
        after=bool(body.get("after", False)),
        seconds=seconds,
        size=as_int(body.get("size", 0), "size"),
        retry_after=None if retry_after is None else str(retry_after),
        message=str(body.get("message", "")),
        error_code=str(body.get("error_code", "")),
    )


@dataclass(slots=True)
class Call:
    """One request as it was answered. `status` 0: the connection was broken on purpose. Times in sandbox ms."""

    number: int
    method: str
    path: str
    query: str
    at: int
    status: int = 0
    fault: str = ""
    user_agent: str = ""
    duration_ms: int = 0

    def as_json(self) -> Json:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(slots=True)
class Faults:
    """The rules in force and the calls seen. The first rule that matches, in the order added, strikes."""

    rules: list[Rule] = field(default_factory=list)
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=HISTORY_LIMIT))
    total_calls: int = 0
    next_rule: int = 1

    def add(self, body: Json) -> Rule:
        """Adds a rule and returns it."""
        rule = parse_rule(body, self.next_rule)
        self.next_rule += 1
        self.rules.append(rule)
        return rule

    def strike(self, method: str, path: str, query: str) -> Rule | None:
        """The rule that spoils this call, counted, or None."""
        for rule in self.rules:
            if not rule.matches(method, path, query):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.times == 0:
                continue
            rule.times -= 1 if rule.times > 0 else 0
            rule.struck += 1
            return rule
        return None


class Connections:
    """The open sockets by the client's address, so that a fault can break the very connection it came on."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def opened(self, peer: tuple[str, int], transport: asyncio.Transport) -> None:
        """Remembers a new connection."""
        self._open[peer] = transport

    def closed(self, peer: tuple[str, int]) -> None:
        """Forgets it."""
        self._open.pop(peer, None)

    def reset(self, peer: tuple[str, int]) -> None:
        """Breaks it at once: the client sees `connection reset by peer`."""
        transport = self._open.get(peer)
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def hang_up(self, peer: tuple[str, int]) -> None:
        """Closes it after what was written: the client sees the end in the middle of an answer."""
        transport = self._open.get(peer)
        if transport is not None:
            transport.close()


@dataclass(slots=True)
class _Answer:
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class FaultLayer:
    """ASGI layer: records every call, and spoils those that a rule names. `/sandbox/` passes untouched."""

    def __init__(self, app: ASGIApp, faults: Faults, connections: Connections, now_ms: Any) -> None:
        self._app = app
        self._faults = faults
        self._connections = connections
        self._now = now_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self._app(scope, receive, send)
            return
        faults = self._faults
        path, method = scope["path"], scope["method"]
        query = unquote(scope.get("query_string", b"").decode("latin-1"))
        faults.total_calls += 1
        agent = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"user-agent"), "")
        call = Call(faults.total_calls, method, path, query, self._now(), user_agent=agent[:200])
        faults.calls.append(call)
        rule = faults.strike(method, path, query)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                call.duration_ms = self._now() - call.at
            await send(message)

        if rule is None:
            await self._app(scope, receive, noting)
            return
        call.fault = rule.kind
        await self._spoil(rule, scope, receive, noting)

    async def _spoil(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        peer = tuple(scope.get("client") or ("", 0))
        if rule.kind == "slow":
            await asyncio.sleep(rule.seconds)
            await self._app(scope, receive, send)
            return
        needs_answer = rule.after or rule.kind in ("cut", "half_json", "wrong_shape", "huge")
        answer = await self._carry_out(scope, receive) if needs_answer else _Answer()
        if rule.seconds:
            await asyncio.sleep(rule.seconds)
        if rule.kind == "reset":
            self._connections.reset(peer)
            return
        if rule.kind == "cut":
            await self._cut(rule, answer, peer, send)
            return
        await _send(spoiled(rule, answer, scope["path"]), send)

    async def _carry_out(self, scope: Scope, receive: Receive) -> _Answer:
        answer = _Answer()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message.get("headers", []))
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")

        await self._app(scope, receive, keep)
        return answer

    async def _cut(self, rule: Rule, answer: _Answer, peer: Any, send: Send) -> None:
        full = answer.body or b'{"cut": "short"}'
        keep = min(rule.size or len(full) // 2, len(full) - 1)
        headers = [*_without_length(answer.headers), (b"content-length", str(len(full)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": full[:keep], "more_body": True})
        self._connections.hang_up(peer)


def spoiled(rule: Rule, answer: _Answer, path: str) -> _Answer:
    """The answer that the client gets instead of `answer`."""
    json_type = (b"content-type", b"application/json")
    if rule.kind == "502":
        return _Answer(502, [(b"content-type", b"text/html")], BAD_GATEWAY)
    if rule.kind == "empty":
        return _Answer(200, [json_type], b"")
    if rule.kind == "wrong_type":
        return _Answer(200, [(b"content-type", b"text/html; charset=utf-8")], SIGN_IN_PAGE)
    if rule.kind == "wrong_shape":
        return _Answer(answer.status, [json_type], b"[" + (answer.body or b"{}") + b"]")
    if rule.kind == "half_json":
        body = answer.body or b'{"runs": [{"run_id": 1}]}'
        return _Answer(answer.status, [json_type], body[: max(1, len(body) // 2)])
    if rule.kind == "huge":
        padding = b'"padding":"' + b"x" * (rule.size or 20_000_000) + b'"'
        rest = answer.body.strip()[1:] if answer.body.lstrip().startswith(b"{") else b"}"
        return _Answer(answer.status, [json_type], b"{" + padding + (b"" if rest.startswith(b"}") else b",") + rest)
    status, code, message = STATUS_KINDS[rule.kind]
    told = {"error_code": rule.error_code or code, "message": rule.message or message.format(path=path)}
    headers = [json_type]
    if rule.retry_after is not None:
        headers.append((b"retry-after", rule.retry_after.encode("latin-1", "replace")))
    return _Answer(status, headers, json.dumps(told).encode())


def _without_length(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() != b"content-length"]


async def _send(answer: _Answer, send: Send) -> None:
    headers = [*_without_length(answer.headers), (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
