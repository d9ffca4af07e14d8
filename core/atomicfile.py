"""Writes a file whole or not at all: temporary file beside it, synced, renamed over it, folder synced.

Never follows a link at the last step and never loosens the mode a file has.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replace `path` by `data`. Its mode stays, or is `mode` where given or where it is new (0600). Raises OSError."""
    target = path.resolve() if path.is_symlink() else path
    try:
        kept: int | None = target.stat().st_mode & 0o7777
    except FileNotFoundError:
        kept = None
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode if mode is not None else kept if kept is not None else 0o600)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable where the system can (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
