"""Reads the few source lines around a place for the diagnosis, and finds the line of a key below a resource.

Never reads outside of the bundle's folder, and never more than a source file's worth.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def line_below(root: Path, file: str, line: int, section: str, names: Sequence[str]) -> int:
    """The line of the first of `names` within `section` of the mapping whose key stands on `line`; 0 where it is not.

    Looks at the indentation only, as one does in an editor. Blocking: call it in a thread.
    """
    try:
        base = root.resolve()
        path = (base / file).resolve()
        path.relative_to(base)
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return 0
        lines = clean(path.read_text("utf-8", errors="replace")).split("\n")
    except (OSError, ValueError):
        return 0
    if not 1 <= line <= len(lines):
        return 0
    body = _block(lines, line)
    start = next((n for n in body if lines[n - 1].strip().startswith(f"{section}:")), 0)
    if not start:
        return 0
    inner = _block(lines, start)
    return next((n for name in names for n in inner if lines[n - 1].strip().startswith(f"{name}:")), start)


def _block(lines: Sequence[str], start: int) -> range:
    """The lines (from 1) that stand deeper than line `start`, up to the first that does not."""
    depth = _depth(lines[start - 1])
    end = start
    for number in range(start + 1, len(lines) + 1):
        text = lines[number - 1]
        if text.strip() and not text.lstrip().startswith("#") and _depth(text) <= depth:
            break
        end = number
    return range(start + 1, end + 1)


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
