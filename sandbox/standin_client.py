"""The HTTP client of the stand-in CLI: one loopback sandbox, plain http, JSON in and out.
It refuses every other host before a token is sent anywhere, and keeps nothing."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Json = dict[str, Any]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class CliError(Exception):
    """What the CLI prints after `Error: ` before it ends with 1; `detail` follows after an empty line."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ApiFailure(CliError):
    """An answer that is an error, worded as the real CLI words it."""

    def __init__(self, status: int, reason: str, code: str, message: str, endpoint: str) -> None:
        self.status, self.code, self.api_message = status, code, message
        detail = (
            f"Endpoint: {endpoint}\nHTTP Status: {status} {reason}\nAPI error_code: {code}\nAPI message: {message}\n"
        )
        super().__init__(f"{message} ({status} {code})", detail)


class Client:
    """Calls to one sandbox. Raises CliError where the host is no sandbox on loopback."""

    def __init__(self, host: str, token: str) -> None:
        place = urlsplit(host if "://" in host else f"https://{host}")
        if place.scheme != "http" or place.hostname not in LOOPBACK:
            raise CliError(
                f"this stand-in for the databricks CLI speaks to a sandbox on this machine only, not to {host}",
                "Install the Databricks CLI to work with a workspace.",
            )
        self.host = host.rstrip("/")
        self._address = (place.hostname, place.port or 80)
        self._token = token
        self._checked = False

    @classmethod
    def from_env(cls) -> Client:
        """The client that DATABRICKS_HOST and DATABRICKS_TOKEN name. CliError where they do not."""
        host, token = os.environ.get("DATABRICKS_HOST", ""), os.environ.get("DATABRICKS_TOKEN", "")
        if not host or not token:
            raise CliError(
                "default auth: cannot configure default credentials, please check "
                "https://docs.databricks.com/en/dev-tools/auth.html#databricks-client-unified-authentication "
                "to configure credentials for your preferred authentication method. Config: databricks_cli_path=sandbox"
            )
        return cls(host, token)

    def check(self) -> None:
        """Makes sure that a sandbox answers there. CliError otherwise."""
        if self._checked:
            return
        status, _, body = self._send("GET", "/.well-known/databricks-config", None, token=False)
        if status == 200 and isinstance(body, dict) and body.get("workspace_id"):
            status, _, body = self._send("GET", "/sandbox/clock", None)
            if status == 200 and isinstance(body, dict) and "now_ms" in body:
                self._checked = True
                return
            if status in (401, 403) and isinstance(body, dict):
                raise CliError(f"{body.get('message')}. Config: host={self.host}, token=***, auth_type=pat")
        raise CliError(f"{self.host} does not answer as a sandbox, and this stand-in speaks to nothing else")

    def _send(
        self, method: str, path: str, body: Any, *, raw: bytes | None = None, token: bool = True
    ) -> tuple[int, str, Any]:
        connection = http.client.HTTPConnection(*self._address, timeout=90)
        try:
            data = raw if raw is not None else None if body is None else json.dumps(body).encode()
            headers = {"User-Agent": "cli/1.13.0 sandbox-standin", "Host": self.host.split("://", 1)[1]}
            if token:
                headers["Authorization"] = f"Bearer {self._token}"
            if data is not None:
                headers["Content-Type"] = "application/json" if raw is None else "application/octet-stream"
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            content = answer.read()
            if "json" in (answer.getheader("Content-Type") or ""):
                try:
                    return answer.status, answer.reason, json.loads(content)
                except ValueError:
                    return answer.status, answer.reason, {"message": "unable to parse response"}
            return answer.status, answer.reason, content
        except http.client.IncompleteRead as problem:
            raise CliError(f"{method} {self.host}{path.partition('?')[0]}: unexpected EOF") from problem
        except (OSError, http.client.HTTPException) as problem:
            raise CliError(f"{method} {self.host}{path.partition('?')[0]}: {problem}") from problem
        finally:
            connection.close()

    def call(self, method: str, place: str, body: Any = None, /, **query: Any) -> Any:
        """The parsed answer. ApiFailure for an error."""
        self.check()
        full = f"{place}?{urlencode(query)}" if query else place
        status, reason, found = self._send(method, full, body)
        return self._settled(method, place, status, reason, found)

    def _settled(self, method: str, path: str, status: int, reason: str, found: Any) -> Any:
        if status < 400:
            return found
        told = found if isinstance(found, dict) else {}
        message = str(told.get("message") or (found[:200] if isinstance(found, bytes) else found))
        raise ApiFailure(status, reason, str(told.get("error_code") or ""), message, f"{method} {self.host}{path}")

    def upload(self, path: str, content: bytes, *, overwrite: bool = True) -> None:
        """Writes one workspace file, its folder made where it is missing. ApiFailure."""
        self.check()
        place = f"/api/2.0/workspace-files/import-file/{quote(path.lstrip('/'), safe='')}"
        for attempt in (1, 2):
            status, reason, found = self._send("POST", f"{place}?overwrite={str(overwrite).lower()}", None, raw=content)
            if status == 404 and attempt == 1:
                self.call("POST", "/api/2.0/workspace/mkdirs", {"path": path.rsplit("/", 1)[0]})
                continue
            self._settled("POST", place, status, reason, found)
            return

    def download(self, path: str) -> bytes | None:
        """The bytes of a workspace file; None where there is none."""
        try:
            found = self.call("GET", "/api/2.0/workspace/export", path=path, direct_download="true")
        except ApiFailure as problem:
            if problem.status == 404:
                return None
            raise
        return found if isinstance(found, bytes) else json.dumps(found).encode()

    def exists(self, path: str) -> bool:
        """Whether something stands at a workspace path."""
        try:
            self.call("GET", "/api/2.0/workspace/get-status", path=path)
        except ApiFailure as problem:
            if problem.status == 404:
                return False
            raise
        return True
