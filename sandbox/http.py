"""What every route of the sandbox shares: JSON bodies, the error shape of the real API, paging, query values.
It knows no resource and keeps no state."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

Json = dict[str, Any]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
MAX_JSON_BYTES = 32 * 1024 * 1024


class ApiError(Exception):
    """An answer that is an error: HTTP status, `error_code`, `message`, and optionally `details` and headers."""

    def __init__(
        self,
        status: int,
        error_code: str,
        message: str,
        *,
        details: Sequence[Json] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.details = tuple(details)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        body: Json = {"error_code": self.error_code, "message": self.message}
        if self.details:
            body["details"] = list(self.details)
        return respond(body, self.status, self.headers)


def invalid(message: str) -> ApiError:
    """400 INVALID_PARAMETER_VALUE."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def not_found(message: str, code: str = "RESOURCE_DOES_NOT_EXIST") -> ApiError:
    """404."""
    return ApiError(404, code, message)


def conflict(message: str, code: str = "RESOURCE_ALREADY_EXISTS") -> ApiError:
    """409."""
    return ApiError(409, code, message)


def respond(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. Lone surrogates that came in with a hostile body become `?`."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(
        text.encode("utf-8", "replace"),
        status,
        headers=dict(headers or {}),
        media_type="application/json; charset=utf-8",
    )


async def raw_body(request: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes; ApiError 413 beyond, 400 where the client went away."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise ApiError(413, "REQUEST_TOO_LARGE", f"Request body is larger than {limit} bytes")
            chunks.append(chunk)
    except ClientDisconnect as gone:
        raise ApiError(400, "MALFORMED_REQUEST", "The client closed the connection") from gone
    return b"".join(chunks)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


async def json_body(request: Request) -> Json:
    """The body as an object; an empty body is `{}`. ApiError 400 MALFORMED_REQUEST otherwise."""
    raw = await raw_body(request, MAX_JSON_BYTES)
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise ApiError(
            400, "MALFORMED_REQUEST", f"Invalid JSON given in the body of the request - {problem}"[:300]
        ) from problem
    if not isinstance(value, dict):
        raise ApiError(400, "MALFORMED_REQUEST", "Invalid JSON given in the body of the request - expected a map")
    return value


def need(body: Mapping[str, Any], name: str) -> Any:
    """`body[name]`; ApiError 400 where it is missing, null or empty."""
    value = body.get(name)
    if value is None or value == "":
        raise invalid(f"Missing required field: {name}")
    return value


def need_text(body: Mapping[str, Any], name: str) -> str:
    """`body[name]` as text; ApiError 400 where it is missing or something else."""
    value = need(body, name)
    if not isinstance(value, str):
        raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: Expected 'string' for {name}")
    return value


def as_int(value: Any, name: str) -> int:
    """An int64 given as a number or as text; ApiError 400 otherwise."""
    try:
        if isinstance(value, bool) or value is None:
            raise ValueError(value)
        number = int(value)
    except (ValueError, TypeError, OverflowError) as problem:
        raise invalid(f"Invalid value for {name}: expected an integer") from problem
    if not -(2**63) <= number < 2**63:
        raise invalid(f"Invalid value for {name}: out of range")
    return number


def query_int(request: Request, name: str, default: int, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """A query value as an int within bounds; ApiError 400 otherwise."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    number = as_int(text, name)
    if not low <= number <= high:
        raise invalid(f"Invalid value for {name}: {number} is not between {low} and {high}")
    return number


def query_flag(request: Request, name: str, default: bool = False) -> bool:
    """A query value as a bool: `true` and `1` are true."""
    text = request.query_params.get(name)
    return default if text is None else text.lower() in ("true", "1")


def token_for(offset: int, kind: str = "o") -> str:
    """An opaque page token for `offset`."""
    return base64.urlsafe_b64encode(f"{kind}:{offset}".encode()).decode().rstrip("=")


def offset_of(token: str | None, kind: str = "o") -> int:
    """The offset in a page token made by `token_for`; 0 for none. ApiError 400 for a token that is not ours."""
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        prefix, _, number = text.partition(":")
        if prefix != kind or not number.isdigit():
            raise ValueError(token)
        return int(number)
    except (ValueError, UnicodeDecodeError) as problem:
        raise invalid(f"Invalid page token: {token[:80]}") from problem


def page(items: Sequence[Any], offset: int, size: int, kind: str = "o") -> tuple[list[Any], str]:
    """`size` items from `offset`, and the token of the next page, or "" at the end."""
    end = offset + size
    return list(items[offset:end]), token_for(end, kind) if end < len(items) else ""


def route(method: str, path: str, handler: Handler, *, versions: Sequence[str] = ()) -> list[Route]:
    """One route; with `versions` ("2.1", "2.2") one per version, where `path` starts below `/api/<version>`."""
    paths = [f"/api/{version}{path}" for version in versions] if versions else [path]
    return [Route(each, handler, methods=[method]) for each in paths]
