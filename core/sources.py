"""The bundle's own source files: which there are, what stands in them, and the local file behind a workspace path.

Reads below the bundle root only; a path from outside never leads out of it, whatever it says.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ..matrix.model import Location
from .atomicfile import inside
from .bundle import Bundle

MAX_SOURCE_BYTES = 5_000_000
MAX_FILES = 5_000
SOURCE_SUFFIXES = (".py", ".sql", ".ipynb", ".scala", ".r", ".R", ".yml", ".yaml")
NOTEBOOK_SUFFIXES = (".py", ".sql", ".ipynb", ".scala", ".r", ".R")
_SKIPPED = frozenset({"__pycache__", "node_modules", "dist", "build", "venv", "site-packages"})
_COMMENTS = {".py": "#", ".r": "#", ".yml": "#", ".yaml": "#", ".sql": "--", ".scala": "//", ".ipynb": "#"}
_NOTEBOOK_HEADS = ("# Databricks notebook source", "-- Databricks notebook source", "// Databricks notebook source")
_CELL_ENDS = ("# COMMAND ----------", "-- COMMAND ----------", "// COMMAND ----------")
_LONGEST_PATH = 1_000
LOOK_CHARACTERS = 200_000_000  # of source text that one look keeps

T = TypeVar("T")


def local_file(bundle: Bundle, workspace_path: str) -> str | None:
    """The bundle file behind a workspace or local path, relative to the root with `/`; None outside of the bundle."""
    path = workspace_path.strip().removeprefix("file:")
    if not path or len(path) > _LONGEST_PATH or not path.isprintable():
        return None
    bases = [bundle.file_path, bundle.file_path.removeprefix("/Workspace"), str(bundle.root)]
    for base in bases:
        if base and path.startswith(base.rstrip("/") + "/"):
            found = existing(bundle, path[len(base.rstrip("/")) + 1 :])
            if found:
                return found
    _, marker, rest = path.partition("/files/")
    if marker and (found := existing(bundle, rest)):
        return found
    if not path.startswith("/"):
        return existing(bundle, path)
    # Another user's deployment, or a root not resolved yet: the longest tail that exists here, two parts at least.
    parts = [part for part in path.split("/") if part]
    for start in range(len(parts) - 1):
        found = existing(bundle, "/".join(parts[start:]))
        if found:
            return found
    return None


def written_path(bundle: Bundle, written: str, declared_in: str) -> str | None:
    """The bundle file that a path in the YAML file `declared_in` leads to; None where it leads to none."""
    if written.startswith("/"):
        return local_file(bundle, written)
    joined = os.path.normpath(os.path.join(os.path.dirname(declared_in), written)).replace(os.sep, "/")
    return existing(bundle, joined)


def existing(bundle: Bundle, relative: str) -> str | None:
    """The file of that name below the root, its extension added where it lacks one; None where there is none."""
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or len(relative) > _LONGEST_PATH:
        return None
    for suffix in ("", *NOTEBOOK_SUFFIXES):
        candidate = bundle.root / (str(pure) + suffix)
        try:
            if candidate.is_file() and candidate.resolve().is_relative_to(bundle.root.resolve()):
                return str(pure) + suffix
        except (OSError, ValueError):
            return None
    return None


@dataclass(slots=True)
class _Look:
    """What was read in one look at the sources."""

    texts: dict[tuple[Path, str], str] = field(default_factory=dict)
    found: dict[Hashable, Any] = field(default_factory=dict)
    room: int = LOOK_CHARACTERS


_LOOK: ContextVar[_Look | None] = ContextVar("look", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Within it each file is read once: what is said of many failures is said of one state of the sources."""
    token = _LOOK.set(_LOOK.get() or _Look())
    try:
        yield
    finally:
        _LOOK.reset(token)


def once(key: Hashable, find: Callable[[], T]) -> T:
    """What `find` gives; within one look it is asked once for each key."""
    look = _LOOK.get()
    if look is None:
        return find()
    if key not in look.found:
        look.found[key] = find()
    found: T = look.found[key]
    return found


def read_text(bundle: Bundle, file: str) -> str:
    """The text of a bundle file with plain line ends; empty where it cannot be read, is huge or is not text."""
    look = _LOOK.get()
    key = (bundle.root, file)
    if look is not None and key in look.texts:
        return look.texts[key]
    try:
        path = inside(bundle.root / file, bundle.root)
        stat = path.stat()
        text = "" if stat.st_size > MAX_SOURCE_BYTES else _text(str(path), stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError):
        text = ""
    if look is not None and look.room > len(text):
        look.texts[key] = text
        look.room -= len(text)
    return text


def read_lines(bundle: Bundle, file: str) -> list[str]:
    """The lines of `read_text`, without line ends."""
    lines = read_text(bundle, file).split("\n")
    return lines if lines[-1] else lines[:-1]


@lru_cache(maxsize=64)
def _text(path: str, _mtime_ns: int, _size: int) -> str:
    data = Path(path).read_bytes()
    if b"\x00" in data[:4096]:
        return ""
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace("\r\n", "\n")


def excerpt(bundle: Bundle, location: Location, around: int = 3) -> tuple[tuple[int, str], ...]:
    """(line number, text) of the lines around a location, for the pane; empty where there is no line."""
    if location.line is None:
        return ()
    lines = read_lines(bundle, location.file)
    first = max(1, location.line - around)
    return tuple((n, lines[n - 1]) for n in range(first, min(len(lines), location.line + around) + 1))


def source_files(bundle: Bundle) -> list[str]:
    """The bundle's own source files, relative with `/`, in a stable order; hidden folders and caches left out."""
    return once(("files", bundle.root), lambda: _source_files(bundle))


def _source_files(bundle: Bundle) -> list[str]:
    found: list[str] = []
    stack = [bundle.root]
    while stack and len(found) < MAX_FILES:
        folder = stack.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        if folder != bundle.root and any(entry.name == "pyvenv.cfg" for entry in listed):
            continue
        for entry in listed:
            if entry.name.startswith(".") or entry.name in _SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                stack.append(Path(entry.path))
            elif entry.name.endswith(SOURCE_SUFFIXES) and entry.is_file(follow_symlinks=False):
                found.append(Path(entry.path).relative_to(bundle.root).as_posix())
    return sorted(found)


def code_files(bundle: Bundle) -> list[str]:
    """The source files that hold code: all but the YAML."""
    return [file for file in source_files(bundle) if not file.endswith((".yml", ".yaml"))]


def is_notebook(bundle: Bundle, file: str) -> bool:
    """Whether the platform imports the file as a notebook: a Jupyter one, or one with the head of a source notebook."""
    if file.endswith(".ipynb"):
        return True
    lines = read_lines(bundle, file)
    return bool(lines) and lines[0].strip() in _NOTEBOOK_HEADS


def cell_starts(lines: Iterable[str]) -> list[int]:
    """The first line (from 1) of each cell of a source notebook; that of code that is no notebook is 1."""
    starts = [1]
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.strip() in _NOTEBOOK_HEADS:
            starts = [2]
        elif line.strip() in _CELL_ENDS:
            starts.append(number + 1)
    return starts


def code_part(line: str, suffix: str) -> str:
    """The line without a comment at its end; strings are passed over, as far as one line can tell."""
    mark = _COMMENTS.get(suffix.lower(), "#")
    quote = ""
    at = 0
    while at < len(line):
        char = line[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'`":
            quote = char
        elif line.startswith(mark, at) and (at == 0 or mark != "#" or not line[at - 1].isalnum()):
            return line[:at]
        at += 1
    return line


def find_names(bundle: Bundle, files: Iterable[str], names: Iterable[str]) -> list[Location]:
    """Every code line that holds one of `names` as a whole word, in the order of files and lines; comments left out."""
    wanted = [name for name in names if name]
    if not wanted:
        return []
    pattern = re.compile("|".join(whole_word(name) for name in wanted))
    found = []
    for file in files:
        if not any(name in read_text(bundle, file) for name in wanted):
            continue
        suffix = PurePosixPath(file).suffix
        for number, line in enumerate(read_lines(bundle, file), start=1):
            match = pattern.search(line)
            if match and (match := pattern.search(code_part(line, suffix))):
                found.append(Location(file, number, match.start() + 1))
    return found


def whole_word(name: str) -> str:
    """A regular expression for the name where it is no part of a longer word."""
    return rf"(?<![\w]){re.escape(name)}(?![\w])"


def same_class(bundle: Bundle, location: Location, name: str) -> tuple[Location, ...]:
    """Other places in sibling sources (same kind of file) with the same wrong name; the YAML is not searched."""
    return tuple(
        place
        for place in find_names(bundle, code_files(bundle), [name])
        if (place.file, place.line) != (location.file, location.line)
    )


def find_code(bundle: Bundle, files: Iterable[str], code: str, *, part: bool = False) -> list[Location]:
    """The lines that say `code`, blanks aside; with `part` also those that hold it among other things."""
    wanted = " ".join(code.split())
    if len(wanted) < (12 if part else 6):
        return []
    found = []
    for file in files:
        notebook = file.endswith(".ipynb")
        for number, line in enumerate(read_lines(bundle, file), start=1):
            text = " ".join((json_text(line) if notebook else line).split())
            if text == wanted or (part and wanted in text):
                found.append(Location(file, number))
    return found


def json_text(line: str) -> str:
    """The source text of one line of a notebook's JSON, where that line is a JSON string."""
    stripped = line.strip().rstrip(",")
    if not stripped.startswith('"'):
        return line
    try:
        value = json.loads(stripped)
    except ValueError:
        return line
    return value.rstrip("\n") if isinstance(value, str) else line
