"""Reads the few source lines around a place, for the diagnosis.

Never reads outside of the bundle's folder, and never more than a source file's worth.
"""

from __future__ import annotations

from pathlib import Path

from ..core.text import clean
from ..widgets.diagnosis import Excerpt

MAX_BYTES = 2_000_000
AROUND = 2


def read_excerpt(root: Path, file: str, line: int | None, around: int = AROUND) -> Excerpt | None:
    """The lines around `line` of `file` below `root`; None where they cannot be had. Blocking: call it in a thread."""
    if line is None:
        return None
    try:
        base = root.resolve()
        path = (base / file).resolve()
        path.relative_to(base)
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        lines = clean(path.read_text("utf-8", errors="replace")).split("\n")
    except (OSError, ValueError):
        return None
    if not 1 <= line <= len(lines):
        return None
    first = max(1, line - around)
    shown = lines[first - 1 : line + around]
    while len(shown) > line - first + 1 and not shown[-1].strip():
        shown.pop()
    return Excerpt(file, first, tuple(shown))
