"""Sends one HTTP request to one host, once: within a time, up to a size, with no retry and no redirect.

Blocks, and so belongs on a thread. Never sends anything to another host, and never keeps what it signed with.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

QUIET_SECONDS = 10.0  # the longest silence of a connection
ANSWER_LIMIT = 32_000_000  # bytes; 5 MB of logs and 5 MB of a result still fit with most of it escaped
_CHUNK = 65_536


class Abandoned(Exception):
    """Nobody waited for it any more before it was sent."""


@dataclass(slots=True, eq=False)
class Call:
    """One request. `changes`: it is to change something. Whoever gives it up asks `abandon` whether it had begun."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    changes: bool = False
    seconds: float = 15.0
    quiet: float = QUIET_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _socket: socket.socket | None = field(default=None, repr=False)
    _begun: bool = False
    _abandoned: bool = False

    def begin(self) -> bool:
        """Whether it may still be sent; from here on it counts as sent."""
        with self._lock:
            self._begun = not self._abandoned
            return self._begun

    def abandon(self) -> bool:
        """Give it up: it is not sent any more, or not read to its end, and a thread that waits in its socket wakes up.

        True where it may have been sent already.
        """
        with self._lock:
            self._abandoned = True
            self._wake()
            return self._begun

    def watch(self, waits_in: socket.socket | None) -> None:
        """Told by the thread: the socket it is going to wait in, and None when it does so no more."""
        with self._lock:
            self._socket = waits_in
            if self._abandoned:
                self._wake()

    def _wake(self) -> None:
        if self._socket is not None:
            # The plain one, under TLS too: its own would take the connection apart that the thread is still reading.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @property
    def abandoned(self) -> bool:
        return self._abandoned


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (any case) and the whole body; `too_long` where there was more than ANSWER_LIMIT."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    too_long: bool = False


class Transport:
    """Connections to one host, shared by threads."""

    def __init__(self, host: str, *, connections: int) -> None:
        # Not at the top: this comes with the SDK, and takes its time (databricks-sdk 0.156 needs it anyway).
        import requests
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

        self._host = host.rstrip("/")
        self._requests: Any = requests
        self._connections = connections
        self._current = threading.local()
        self._pools = {"http": self._watched(HTTPConnectionPool), "https": self._watched(HTTPSConnectionPool)}
        self._session = self._open()

    def _watched(self, pool: Any) -> Any:
        """A pool whose connections tell the call that is under way which socket it is going to wait in."""
        current = self._current

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def getresponse(self) -> Any:
                current.call.watch(self.sock)
                return super().getresponse()

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    def _open(self) -> Any:
        session = self._requests.Session()
        # Without retries, as is the default there; http:// has a pool of the same size as https://.
        adapter = self._requests.adapters.HTTPAdapter(self._connections, self._connections, max_retries=0)
        adapter.poolmanager.pool_classes_by_scheme = self._pools
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def send(self, call: Call, headers: Mapping[str, str]) -> Answer:
        """The answer, whatever its status. Raises Abandoned, and what `requests` raises where none came."""
        deadline = time.monotonic() + call.seconds
        if not call.begin():
            raise Abandoned

        def signed(prepared: Any) -> Any:
            # As `auth`, so that no ~/.netrc takes its place.
            prepared.headers.update(headers)
            return prepared

        # What changes something gets a connection of its own: one that the other side has just closed for its age
        # would leave us with a call of unknown end.
        session = self._open() if call.changes else self._session
        self._current.call = call
        try:
            with session.request(
                call.method,
                f"{self._host}{call.path}",
                params=dict(call.query) or None,
                data=json.dumps(call.body).encode() if call.body is not None else None,
                headers={"Content-Type": "application/json"} if call.body is not None else None,
                auth=signed,
                allow_redirects=False,
                stream=True,
                timeout=(min(QUIET_SECONDS, call.seconds), min(call.quiet, call.seconds)),
            ) as response:
                body, too_long = self._read(response.iter_content(_CHUNK), deadline)
                return Answer(response.status_code, response.headers, body, too_long)
        finally:
            call.watch(None)
            if call.changes:
                session.close()

    def _read(self, chunks: Any, deadline: float) -> tuple[bytes, bool]:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > ANSWER_LIMIT:
                return bytes(body[:_CHUNK]), True
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(body), False

    def close(self) -> None:
        """Close the connections that wait for a next request."""
        self._session.close()
