"""Writes a file whole or not at all: temporary file beside it, synced, renamed over it, folder synced.

Never leaves half a file, never loosens the mode a file has, and never leads out of the folder it was told to stay in.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from glob import escape
from pathlib import Path


class Outside(OSError):
    """The path, or a link on the way to it, leads out of the folder that was named, or to what is no plain file."""


class Changed(OSError):
    """The file is not what it was when the change was made for it."""


def inside(path: Path, root: Path) -> Path:
    """The real path of `path`, which need not exist. Raises Outside where it is not below `root`, or no plain file."""
    try:
        real, base = path.resolve(), root.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise Outside(f"{path.name!r} cannot be followed: {error}") from error
    if real == base or not real.is_relative_to(base):
        raise Outside(f"{path} leads out of {root}")
    try:
        mode = real.lstat().st_mode
    except FileNotFoundError:
        return real
    except OSError as error:
        raise Outside(f"{path.name[:80]!r} is no name of a file: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        raise Outside(f"{path} is not a plain file")
    return real


def write_atomic(path: Path, data: bytes, *, mode: int | None = None, root: Path | None = None) -> None:
    """Replace `path` by `data`; a link is followed, where `root` is given only to what is below it.

    Mode and owner stay; a new file gets `mode`, else 0600. Raises OSError (Outside) and then nothing has changed.
    """
    target = inside(path, root) if root is not None else path.resolve() if path.is_symlink() else path
    name = _staged(target, data, mode)
    try:
        os.replace(name, target)
    except BaseException:
        _forget(name)
        raise
    sync_folder(target.parent)


def write_all(files: Mapping[Path, tuple[bytes | None, bytes | None]], *, root: Path, new_mode: int = 0o600) -> None:
    """Take several files below `root` from (before) to (after), all or none; None is a file that is not there.

    Everything is on disk beside them before the first rename. Raises Changed where one is not as before any more, and
    OSError (Outside); then nothing has changed, as far as what was renamed already could be put back.
    """
    targets = {path: inside(path, root) for path in files}
    if len(set(targets.values())) < len(targets):
        raise Outside("two of the names lead to one file")
    staged: dict[Path, str] = {}
    done: list[Path] = []
    try:
        for path, (_, after) in files.items():
            if after is not None:
                mode = None if targets[path].exists() else new_mode
                staged[path] = _staged(targets[path], after, mode)
        for path, (before, _) in files.items():
            if _bytes_of(targets[path]) != before:
                raise Changed(f"{path.name} was changed meanwhile")
        for path in files:
            if path in staged:
                os.replace(staged[path], targets[path])
            else:
                targets[path].unlink(missing_ok=True)
            done.append(path)
    except BaseException:
        for name in staged.values():
            _forget(name)
        for path in done:
            with contextlib.suppress(OSError):
                _put_back(targets[path], files[path][0])
        raise
    for folder in {target.parent for target in targets.values()}:
        sync_folder(folder)


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _put_back(target: Path, data: bytes | None) -> None:
    if data is None:
        target.unlink(missing_ok=True)
    else:
        write_atomic(target, data)


def clear_staged(target: Path) -> None:
    """Remove what a process that was killed left beside `target` of a write that never came to its end."""
    for path in target.parent.glob(f".{escape(target.name[:40])}.*.tmp"):
        if len(path.name) == len(target.name[:40]) + 14 and path.is_file() and not path.is_symlink():
            _forget(str(path))


def _forget(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)


def _staged(target: Path, data: bytes, mode: int | None) -> str:
    """The name of a synced temporary file beside `target` that holds `data` and has its mode and owner."""
    before: os.stat_result | None = None
    with contextlib.suppress(FileNotFoundError):
        before = target.stat()
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            _keep_owner(name, before)
        kept = 0o600 if before is None else stat.S_IMODE(before.st_mode)
        os.chmod(name, mode if mode is not None else kept)
    except BaseException:
        _forget(name)
        raise
    return name


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable where the system can (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _keep_owner(name: str, before: os.stat_result) -> None:
    if not hasattr(os, "chown"):
        return
    now = os.stat(name)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        # Only root may give a file away; a group of our own may be kept by anybody.
        with contextlib.suppress(OSError):
            os.chown(name, before.st_uid, before.st_gid)
