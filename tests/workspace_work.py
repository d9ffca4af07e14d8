"""A Workspace that is signed in to a sandbox, with a guard and a journal as the engine has them, for tests.
It holds no test and no expectation."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dbops_tui.core.guard import ActKind, Guard, Permit, Policy
from dbops_tui.core.journal import Journal
from dbops_tui.core.redaction import Redactor
from dbops_tui.core.state import Identity
from dbops_tui.core.workspace import Workspace
from sandbox_fixture import SandboxBox


@dataclass
class Desk:
    """A workspace and who sits before it. `identity` can be replaced under it."""

    box: SandboxBox
    workspace: Workspace
    guard: Guard
    identity: list[Identity]
    redactor: Redactor

    async def permit(self, kind: ActKind, **data: object) -> Permit:
        """Leave for an act that a person asked for."""
        act = self.guard.act(kind, "jobs.nightly", data=data)
        return await self.guard.permit(act, confirmed=self.guard.confirm_word(act))


@dataclass
class Counting:
    """A budget that lets everything through and counts it."""

    taken: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def take(self) -> None:
        await self.gate.wait()
        self.taken += 1


@asynccontextmanager
async def desk_at(box: SandboxBox, folder: Path, **more: Any) -> AsyncIterator[Desk]:
    """A desk, its journal in `folder`; `more` goes to Workspace."""
    here = Identity(host=box.host, user="you@example.com", target="dev", mode="development")
    identity = [here]
    journal = await Journal.open(folder / "journal.sqlite3")
    guard = Guard(lambda: identity[-1], Policy(), journal)
    redactor = Redactor()
    options = more.pop("options", {"host": box.host, "token": box.token, "auth_type": "pat"})
    workspace = Workspace(more.pop("host", box.host), options, guard=guard, redactor=redactor, **more)
    try:
        yield Desk(box, workspace, guard, identity, redactor)
    finally:
        await workspace.close()
        await journal.close()


@asynccontextmanager
async def other_host(desk: Desk, host: str, **more: Any) -> AsyncIterator[Workspace]:
    """A workspace at another host, which is where the desk's identity then is."""
    desk.identity.append(replace(desk.identity[-1], host=host))
    options = {"host": host, "token": desk.box.token, "auth_type": "pat"}
    workspace = Workspace(host, options, guard=desk.guard, redactor=desk.redactor, **more)
    yield workspace
    await workspace.close()


@asynccontextmanager
async def raw_host(
    behave: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A host that does with each request what `behave(request, writer)` does; its address, and the requests it got.

    What the SDK asks at sign-in is answered with 404 and not told.
    """
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                request = head + await reader.readexactly(length)
                if b"/.well-known/" in request:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
                    continue
                requests.append(request)
                await behave(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()


def answer(status: str, body: bytes = b"{}", *headers: str) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
