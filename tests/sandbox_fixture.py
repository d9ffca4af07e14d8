"""Starts the sandbox as a subprocess on a free port: host, token, control client and a hermetic CLI environment.
It holds no test and no expectation."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from quick import quick

INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


@dataclass(frozen=True)
class Reply:
    """An answer: status, parsed JSON (or text), headers in lower case."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class SandboxBox:
    """A running sandbox. `host` has no trailing slash."""

    host: str
    token: str
    pid: int

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        /,
        *,
        raw: bytes | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Reply:
        """One request; JSON answers are parsed. `raw` sends bytes as they are. OSError where the socket breaks."""
        place = urlsplit(self.host)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        try:
            data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
            sent = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
            if query:
                path = f"{path}?{urlencode(query)}"
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            content = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            if "json" in found.get("content-type", ""):
                try:
                    return Reply(answer.status, json.loads(content), found)
                except ValueError:
                    return Reply(answer.status, content, found)
            return Reply(answer.status, content, found)
        finally:
            connection.close()

    def get(self, path: str, /, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        reply = self.call("GET", path, **query)
        assert reply.status == 200, (path, reply)
        return reply.body

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST that must succeed."""
        reply = self.call("POST", path, body)
        assert reply.status == 200, (path, reply)
        return reply.body

    def control(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        """`/sandbox/...` that must succeed: `control("POST", "faults", {...})`."""
        reply = self.call(method, f"/sandbox/{path.lstrip('/')}", body, **query)
        assert reply.status == 200, (path, reply)
        return reply.body

    def calls(self, **query: Any) -> list[dict[str, Any]]:
        """The requests seen, oldest first."""
        found: list[dict[str, Any]] = self.control("GET", "calls", **query)["calls"]
        return found

    def env(self, home: Path) -> dict[str, str]:
        """The environment for a CLI or SDK that knows this sandbox and nothing else; `home` is a folder of the test."""
        for name in ("home", "cache"):
            (home / name).mkdir(parents=True, exist_ok=True)
        (home / "databrickscfg").touch()
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "HOME": str(home / "home"),
            "DATABRICKS_HOST": self.host,
            "DATABRICKS_TOKEN": self.token,
            "DATABRICKS_CONFIG_FILE": str(home / "databrickscfg"),
            "DATABRICKS_CACHE_DIR": str(home / "cache"),
            "DATABRICKS_BUNDLE_ENGINE": "direct",
            "DATABRICKS_CLI_DISABLE_TELEMETRY": "1",
            "DATABRICKS_CLI_DISABLE_UPDATE_CHECK": "true",
            "DATABRICKS_RATE_LIMIT": "500",
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def running_sandbox(
    *, time_scale: float = 1.0, scenario: str = "", arguments: tuple[str, ...] = ()
) -> Iterator[SandboxBox]:
    """A sandbox of its own, stopped at the end of the block."""
    command = [*quick("dbops_tui.sandbox"), "serve", "--port", "0", "--time-scale", str(time_scale)]
    if scenario:
        command += ["--scenario", scenario]
    process = subprocess.Popen(
        [*command, "--until-stdin-closes", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(10)
            reader.join(5)
            raise AssertionError(f"the sandbox did not start: {''.join(errors)[-2000:]}")
        told = json.loads(line)
        yield SandboxBox(told["host"], told["token"], told["pid"])
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.fixture(scope="module")
def sandbox_box() -> Iterator[SandboxBox]:
    """One sandbox for the tests of a module; import it there to use it."""
    with running_sandbox() as box:
        yield box


def real_cli() -> str:
    """The path of the real `databricks`; skips the test where there is none."""
    found = os.environ.get("DATABRICKS_CLI_PATH") or shutil.which("databricks")
    if not found:
        pytest.skip("no databricks CLI found (PATH or DATABRICKS_CLI_PATH)")
    return found
