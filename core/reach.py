"""Whether a workspace can be connected to at all, asked before the CLI is: it would try for 15 minutes without a word.

Sends nothing: it opens a connection and closes it. Behind a proxy it does not know, and says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

SECONDS = 10.0


async def unreachable(host: str, env: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Why `host` (a URL) cannot be connected to, in one sentence; empty where it can, or where it is not known.

    The retry of 15 minutes is fixed in the CLI for bundle commands (bundle/config/workspace.go, v1.12).
    """
    place = urlsplit(host if "//" in host else f"https://{host}")
    name = place.hostname or ""
    try:
        port = place.port or (80 if place.scheme == "http" else 443)
    except ValueError:
        return f"{host} is no address"
    if not name or _proxied(name, place.scheme, env):
        return ""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(name, port)
    except TimeoutError:
        return f"{name} does not answer within {seconds:.0f} s"
    except socket.gaierror:
        return f"there is no host {name}"
    except OSError as error:
        return f"{name}:{port} cannot be connected to: {_reason(error)}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ""


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror or str(error)).lower()


def _proxied(name: str, scheme: str, env: Mapping[str, str]) -> bool:
    low = {key.lower(): value for key, value in env.items()}
    if not (low.get(f"{scheme}_proxy") or low.get("all_proxy")):
        return False
    exempt = [entry.strip().lstrip(".") for entry in low.get("no_proxy", "").split(",") if entry.strip()]
    return not any(entry == "*" or name == entry or name.endswith(f".{entry}") for entry in exempt)
