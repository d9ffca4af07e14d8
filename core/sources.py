"""Where in the bundle a failure comes from: frames, cells, positions and quoted code, mapped to local file and line.

Reads source files below the bundle root only; a path from outside never leads out of it, whatever it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ..matrix.model import Location
from .bundle import Bundle

MAX_SOURCE_BYTES = 5_000_000
SOURCE_SUFFIXES = (".py", ".sql", ".ipynb", ".scala", ".r", ".R", ".yml", ".yaml")
NOTEBOOK_SUFFIXES = (".py", ".sql", ".ipynb", ".scala", ".r", ".R")

# Frames as Python, IPython and Databricks notebooks print them. Bounded repeats: the text is not ours.
_FRAME = re.compile(
    r"""(?:File\s+)"?(?P<path>[^"\n<>]{1,400}?)"?(?:,\s+line\s+|:)(?P<line>\d{1,7})(?=\D|$)""",
)
_CELL_FRAME = re.compile(r"File\s+<(?:command|ipython)[^>\n]{0,80}>(?:,\s+line\s+|:)(?P<line>\d{1,7})")
_ARROW_LINE = re.compile(r"^\s{0,8}-{2,6}>\s{0,4}(?P<line>\d{1,7})\s(?P<code>.{1,400})$", re.MULTILINE)
_CLI_PLACE = re.compile(
    r"^\s{2,6}(?:in\s+)?(?P<path>[^\s:][^:\n]{0,300}\.(?:ya?ml|json)):(?P<line>\d{1,7}):(?P<column>\d{1,7})\s*$",
    re.MULTILINE,
)
_SQL_POSITION = re.compile(r"\(?line (?P<line>\d{1,7}), pos(?:ition)? (?P<column>\d{1,7})\)?")
_SQL_ECHO = re.compile(r"^== SQL[^\n]{0,60}==\n(?P<sql>(?:[^\n]{0,400}\n){1,60})", re.MULTILINE)
_CARETS = re.compile(r"^[-\s]{0,400}\^{2,400}\s*$")


@dataclass(frozen=True, slots=True)
class Clue:
    """What is known besides the text: the workspace path of what ran, a place an event named, a task in the YAML."""

    source_path: str = ""
    event_file: str = ""
    event_line: int | None = None
    fallback: Location | None = None
    names: tuple[str, ...] = field(default=())  # names that must stand on the line: a column, a table, a module


def locate(text: str, bundle: Bundle, clue: Clue = Clue()) -> Location | None:
    """The best place for a failure, most exact first; None where nothing in the bundle can be named."""
    for place in _candidates(text, bundle, clue):
        if place is not None:
            return place
    return clue.fallback


def _candidates(text: str, bundle: Bundle, clue: Clue) -> Iterator[Location | None]:
    if clue.event_file:
        file = local_file(bundle, clue.event_file)
        if file:
            yield Location(file, clue.event_line)
    yield _cli_place(text, bundle)
    own = local_file(bundle, clue.source_path) if clue.source_path else None
    yield _from_frames(text, bundle)
    yield _from_cells(text, bundle, own)
    if own:
        yield _from_sql(text, bundle, own)
        yield next(iter(find_names(bundle, [own], clue.names)), None)
    if clue.names:
        yield next(iter(find_names(bundle, source_files(bundle), clue.names)), None)
    if own:
        yield Location(own)


def local_file(bundle: Bundle, workspace_path: str) -> str | None:
    """The bundle file behind a workspace or local path, relative to the root with `/`; None outside of the bundle."""
    path = workspace_path.strip().removeprefix("file:")
    if not path or "\x00" in path or "\n" in path:
        return None
    bases = [bundle.file_path, bundle.file_path.removeprefix("/Workspace"), str(bundle.root)]
    for base in bases:
        if base and path.startswith(base.rstrip("/") + "/"):
            found = _existing(bundle, path[len(base.rstrip("/")) + 1 :])
            if found:
                return found
    _, marker, rest = path.partition("/files/")
    if marker and (found := _existing(bundle, rest)):
        return found
    if not path.startswith("/"):
        return _existing(bundle, path)
    # Another user's deployment, or a root not resolved yet: the longest tail that exists here, two parts at least.
    parts = [part for part in path.split("/") if part]
    for start in range(len(parts) - 1):
        found = _existing(bundle, "/".join(parts[start:]))
        if found:
            return found
    return None


def _existing(bundle: Bundle, relative: str) -> str | None:
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        return None
    for suffix in ("", *NOTEBOOK_SUFFIXES):
        candidate = bundle.root / (str(pure) + suffix)
        try:
            if candidate.is_file() and candidate.resolve().is_relative_to(bundle.root.resolve()):
                return str(pure) + suffix
        except OSError:
            return None
    return None


def read_lines(bundle: Bundle, file: str) -> list[str]:
    """The lines of a bundle file without line ends; empty where it cannot be read, is huge or is not text."""
    try:
        path = bundle.root / file
        stat = path.stat()
        if stat.st_size > MAX_SOURCE_BYTES:
            return []
        return list(_lines(str(path), stat.st_mtime_ns, stat.st_size))
    except (OSError, ValueError):
        return []


@lru_cache(maxsize=256)
def _lines(path: str, _mtime_ns: int, _size: int) -> tuple[str, ...]:
    data = Path(path).read_bytes()
    if b"\x00" in data[:4096]:
        return ()
    return tuple(line.rstrip("\r") for line in data.decode("utf-8", "replace").split("\n"))


def excerpt(bundle: Bundle, location: Location, around: int = 3) -> tuple[tuple[int, str], ...]:
    """(line number, text) of the lines around a location, for the pane; empty where there is no line."""
    if location.line is None:
        return ()
    lines = read_lines(bundle, location.file)
    first = max(1, location.line - around)
    return tuple((n, lines[n - 1]) for n in range(first, min(len(lines), location.line + around) + 1))


def source_files(bundle: Bundle) -> list[str]:
    """The bundle's own source files, relative with `/`, in a stable order; hidden folders and caches left out."""
    found: list[str] = []
    stack = [bundle.root]
    while stack and len(found) < 5000:
        folder = stack.pop()
        try:
            entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in ("__pycache__", "node_modules", "dist", "build"):
                continue
            if entry.is_symlink():
                continue
            if entry.is_dir():
                stack.append(entry)
            elif entry.suffix in SOURCE_SUFFIXES:
                found.append(entry.relative_to(bundle.root).as_posix())
    return sorted(found)


def find_names(bundle: Bundle, files: Iterable[str], names: Iterable[str]) -> list[Location]:
    """Every code line that holds one of `names` as a whole word, comments and exact order of files kept."""
    wanted = [name for name in names if name]
    if not wanted:
        return []
    pattern = re.compile("|".join(rf"(?<![\w]){re.escape(name)}(?![\w])" for name in wanted))
    found = []
    for file in files:
        for number, line in enumerate(read_lines(bundle, file), start=1):
            match = pattern.search(line)
            if match and not line.lstrip().startswith(("#", "--", "//")):
                found.append(Location(file, number, match.start() + 1))
    return found


def same_class(bundle: Bundle, location: Location, name: str) -> tuple[Location, ...]:
    """Other places in sibling sources (same kind of file) with the same wrong name; the YAML is not searched."""
    suffixes = {Path(location.file).suffix} | {".py", ".sql", ".ipynb"}
    files = [file for file in source_files(bundle) if Path(file).suffix in suffixes]
    return tuple(
        place
        for place in find_names(bundle, files, [name])
        if (place.file, place.line) != (location.file, location.line)
    )


def _cli_place(text: str, bundle: Bundle) -> Location | None:
    for match in _CLI_PLACE.finditer(text):
        file = _existing(bundle, match["path"].strip())
        if file:
            return Location(file, int(match["line"]), int(match["column"]))
    return None


def _from_frames(text: str, bundle: Bundle) -> Location | None:
    """The innermost frame that is a file of the bundle: libraries' own frames are passed over."""
    best = None
    for match in _FRAME.finditer(text):
        file = local_file(bundle, match["path"])
        if file:
            best = Location(file, int(match["line"]))
    if best is None:
        return None
    if best.line is not None and best.line > max(1, len(read_lines(bundle, best.file))):
        return replace(best, line=None)
    return best


def _from_cells(text: str, bundle: Bundle, own: str | None) -> Location | None:
    """A notebook cell's line: the code that the arrow quotes is found by its text, else by the cell's own count."""
    arrows = list(_ARROW_LINE.finditer(text))
    files = [own] if own else [f for f in source_files(bundle) if Path(f).suffix in NOTEBOOK_SUFFIXES]
    for match in reversed(arrows):
        places = _find_code(bundle, files, match["code"])
        if len(places) == 1 or (places and own):
            return places[0]
    cell = next(_CELL_FRAME.finditer(text), None)
    if cell and own and len(_cell_starts(read_lines(bundle, own))) == 1:
        return Location(own, _cell_starts(read_lines(bundle, own))[0] + int(cell["line"]) - 1)
    return None


def _cell_starts(lines: list[str]) -> list[int]:
    """The first line (from 1) of each cell of a source notebook."""
    starts = [2 if lines and "Databricks notebook source" in lines[0] else 1]
    starts += [
        n + 1
        for n, line in enumerate(lines, start=1)
        if line.strip() in ("# COMMAND ----------", "-- COMMAND ----------")
    ]
    return starts


def _find_code(bundle: Bundle, files: Iterable[str | None], code: str) -> list[Location]:
    wanted = " ".join(code.split())
    if len(wanted) < 6:
        return []
    found = []
    for file in files:
        if file is None:
            continue
        for number, line in enumerate(read_lines(bundle, file), start=1):
            text = _ipynb_text(line) if file.endswith(".ipynb") else line
            if wanted == " ".join(text.split()):
                found.append(Location(file, number))
    return found


def _ipynb_text(line: str) -> str:
    """The source text of one line of a notebook's JSON, where that line is a JSON string."""
    stripped = line.strip().rstrip(",")
    try:
        value = json.loads(stripped)
    except ValueError:
        return line
    return value.rstrip("\n") if isinstance(value, str) else line


def _from_sql(text: str, bundle: Bundle, own: str) -> Location | None:
    """A SQL position: the quoted SQL is found in the source by its text, else the position counts in a .sql file."""
    position = _SQL_POSITION.search(text)
    echo = _SQL_ECHO.search(text)
    if echo:
        sql = echo["sql"].split("\n")
        marked = next((sql[n - 1] for n, line in enumerate(sql) if n and _CARETS.match(line)), None)
        for candidate in [marked, *sql]:
            if candidate and len(candidate.strip()) >= 6:
                places = _find_code(bundle, [own], candidate)
                if places:
                    return places[0]
    if position and own.endswith(".sql"):
        return Location(own, int(position["line"]), int(position["column"]) + 1)
    return None
