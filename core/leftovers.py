"""Finds a CLI that outlived the process of ours that had started it, by the mark in its environment.

Never ends what it finds: a deploy under way is waited for, and where nobody can tell, that is said.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .clock import Clock
from .databricks_cli import OPERATION

EVERY = 0.5  # seconds


def alive(token: str) -> bool:
    """Whether a process with the mark `token` still runs on this machine. Blocking: for a thread."""
    if not token:
        return False
    mark = f"{OPERATION}={token}".encode()
    return any(mark in environment for environment in _environments())


async def wait_for_end(token: str, clock: Clock, seconds: float) -> bool:
    """Wait until no process with this mark runs any more, `seconds` at most; whether that is so."""
    import asyncio

    until = clock.monotonic() + seconds
    while await asyncio.to_thread(alive, token):
        if clock.monotonic() >= until:
            return False
        await clock.sleep(EVERY)
    return True


def _environments() -> Iterator[bytes]:
    proc = Path("/proc")
    if sys.platform == "linux" and (proc / "self/environ").exists():
        for folder in proc.iterdir():
            if folder.name.isdigit():
                try:
                    yield (folder / "environ").read_bytes()
                except OSError:
                    continue
        return
    if sys.platform != "win32":
        try:
            done = subprocess.run(["ps", "axeww"], capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return
        yield done.stdout
