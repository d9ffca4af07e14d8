"""What is left when the program fails: one sentence on the terminal, and a file for the report, without any values.

Never writes local variables, secrets or terminal sequences, and never fails itself.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from .text import Redactor, clean, clip

KEEP_FILES = 20
_MAX_TEXT = 200_000
_MAX_FRAMES = 60


def format_crash(error: BaseException, *, redactor: Redactor | None = None, about: Iterable[str] = ()) -> str:
    """The report of a failure: versions, `about` (one fact a line), and the traceback without local variables."""
    try:
        lines = traceback.TracebackException.from_exception(error, limit=_MAX_FRAMES, capture_locals=False).format()
        trace = "".join(lines)
    except Exception as second:
        # A class that cannot even say its own name must not hide that something failed.
        trace = f"{type(error).__name__} (its text cannot be shown: {type(second).__name__})\n"
    head = [
        f"at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        f"Python {platform.python_version()} on {platform.system()} {platform.release()}",
        *about,
    ]
    text = "\n".join(head) + "\n\n" + trace
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    # Redacted before it is cut: half of a secret would not be known for one.
    return clip((redactor or Redactor()).redact(clean(text)), _MAX_TEXT)


def write_crash(
    error: BaseException, folder: Path, *, redactor: Redactor | None = None, about: Iterable[str] = ()
) -> Path | None:
    """Write the report into `folder`, readable for its user only; None where that cannot be done. Raises nothing."""
    try:
        name = f"crash-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}.txt"
        path = folder / name
        text = format_crash(error, redactor=redactor, about=about)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        _keep_few(folder)
    except Exception:
        return None
    return path


def sentence(error: BaseException, path: Path | None, *, redactor: Redactor | None = None) -> str:
    """What a person is told: what failed, in one line, and where the rest is."""
    try:
        said = str(error)
    except Exception:
        said = ""
    name = type(error).__name__
    text = (redactor or Redactor()).redact(clean(f"{name}: {said}" if said else name))
    line = clip(" ".join(text.split()), 300).replace("\n", " ")
    where = f"the report without any values is {path}" if path else "no report could be written"
    return f"dbops-tui failed: {line} ({where})"


def install(
    folder: Callable[[], Path],
    *,
    redactor: Redactor | None = None,
    about: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """From now on an error that nobody caught, in any thread, ends in one sentence and a file, and nothing else."""

    def told(error: BaseException) -> None:
        path = None
        with contextlib.suppress(Exception):
            path = write_crash(error, folder(), redactor=redactor, about=about)
        with contextlib.suppress(Exception):
            print(sentence(error, path, redactor=redactor), file=stream or sys.stderr)

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        told(error)

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and not issubclass(arguments.exc_type, SystemExit):
            told(arguments.exc_value)

    sys.excepthook = hook
    threading.excepthook = thread_hook


def forbid_core_dumps() -> None:
    """A core file would hold every token in memory: this process and its children write none."""
    try:
        import resource
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _keep_few(folder: Path) -> None:
    for old in sorted(folder.glob("crash-*.txt"))[:-KEEP_FILES]:
        with contextlib.suppress(OSError):
            old.unlink()
