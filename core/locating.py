"""Where in the bundle a failure comes from: frames, cells, positions and quoted code, mapped to local file and line.

Never names a place outside of the bundle, and no line where it would have to guess one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..matrix.model import Location
from .bundle import Bundle
from .sources import (
    NOTEBOOK_SUFFIXES,
    cell_starts,
    existing,
    find_code,
    find_names,
    json_text,
    local_file,
    read_lines,
    source_files,
)
from .text import clean

# Frames as Python, IPython and Databricks notebooks print them. Bounded repeats: the text is not ours.
_FRAME = re.compile(
    r"(?:File\s{1,4}\"?|was called from\s{1,4}|\bat (?=/))(?P<path>[^\"\n<>,]{1,400}?)\"?(?:, line |:)"
    r"(?P<line>\d{1,7})(?!\d)"
)
_BARE_FRAME = re.compile(
    r"(?<![\w/.\"-])(?P<path>(?:/|\.{0,2}/?[\w.-]{1,100}/)[\w./@+-]{1,300}\.(?:py|sql|ipynb|scala|r|R)):"
    r"(?P<line>\d{1,7})(?!\d)"
)
_CELL_FRAME = re.compile(r"File \"?<(?:command|ipython|stdin)[^>\n]{0,80}>\"?(?:, line |:)(?P<line>\d{1,7})")
_IN_CELL = re.compile(r"(?:Cell In ?|in cell )\[(?P<cell>\d{1,5})\], line (?P<line>\d{1,7})")
_LINE_IN_CELL = re.compile(r"line (?P<line>\d{1,7}) in cell \[(?P<cell>\d{1,5})\]")
_ARROW_LINE = re.compile(r"^\s{0,8}-{2,6}> ?\s{0,4}(?P<line>\d{1,7})\s(?P<code>.{1,400})$", re.MULTILINE)
_CODE_OF_FRAME = re.compile(
    r"File \"?<(?:command|ipython|stdin)[^>\n]{0,80}>\"?,? ?(?:line |:)?(?P<line>\d{1,7})[^\n]{0,200}\n"
    r"\s{2,12}(?P<code>\S.{5,300})"
)
_CLI_PLACE = re.compile(
    r"^\s{2,6}(?:in\s+)?(?P<path>[^\s:][^:\n]{0,300}\.(?:ya?ml|json)):(?P<line>\d{1,7}):(?P<column>\d{1,7})\s*$"
    r"|(?<!\w)in (?P<path_2>[^\s:\"'(),]{1,300}\.(?:ya?ml|json)):(?P<line_2>\d{1,7}):(?P<column_2>\d{1,7})",
    re.MULTILINE,
)
_SQL_POSITION = re.compile(r"\(?\bline (?P<line>\d{1,7}),? pos(?:ition)? (?P<column>\d{1,7})\)?")
_SQL_ECHO = re.compile(r"^== SQL[^\n]{0,80}==\n(?P<sql>(?:[^\n]{0,400}(?:\n|\Z)){1,60})", re.MULTILINE)
_CARETS = re.compile(r"^[-\s]{0,400}\^{1,400}[-\s]{0,20}$")
_AROUND = 40  # lines below a frame in which the name may stand that the frame's statement is about
MOST_PATHS = 500
MOST_QUOTES = 50
MOST_TEXT = 400_000  # characters of a failure that are looked at


@dataclass(frozen=True, slots=True)
class Clue:
    """What is known besides the text: the workspace path of what ran, a place an event named, names on the line.

    `evidence` is the line of the text that the diagnosis quotes, `files` those that the task or pipeline runs.
    """

    source_path: str = ""
    event_file: str = ""
    event_line: int | None = None
    fallback: Location | None = None
    names: tuple[str, ...] = ()  # names that must stand on the line: a column, a table, a module
    evidence: str = ""
    files: tuple[str, ...] = ()


def locate(text: str, bundle: Bundle, clue: Clue = Clue()) -> Location | None:
    """The best place for a failure, most exact first; None where nothing in the bundle can be named."""
    text = clean(text if len(text) <= MOST_TEXT else text[: MOST_TEXT // 2] + text[-MOST_TEXT // 2 :])
    for place in _candidates(text, bundle, clue):
        if place is not None:
            return _checked(bundle, place)
    return clue.fallback


def cli_places(text: str, bundle: Bundle) -> list[Location]:
    """Every place in a file of the bundle that the CLI names, in its order."""
    found: dict[Location, None] = {}
    files: dict[str, str | None] = {}
    for match in _CLI_PLACE.finditer(clean(text)):
        path = (match["path"] or match["path_2"]).strip().removeprefix("./")
        if path not in files and len(files) < MOST_PATHS:
            files[path] = existing(bundle, path)
        file = files.get(path)
        if file:
            line, column = match["line"] or match["line_2"], match["column"] or match["column_2"]
            found[Location(file, int(line), int(column))] = None
    return list(found)


def _candidates(text: str, bundle: Bundle, clue: Clue) -> Iterator[Location | None]:
    if clue.event_file:
        file = local_file(bundle, clue.event_file)
        if file:
            place = Location(file, clue.event_line)
            # The event names the dataset that failed; the name that is wrong stands in the lines below.
            yield _name_near(bundle, place, clue.names) or place
    yield _cli_place(text, bundle, clue.evidence)
    own = _own_files(bundle, clue)
    yield _from_frames(text, bundle, clue.evidence)
    yield _from_cells(text, bundle, own)
    if own:
        yield _from_sql(text, bundle, own)
        yield _only(find_names(bundle, own, clue.names), first=len(own) == 1)
    if clue.names and not own:
        yield _only(find_names(bundle, source_files(bundle), clue.names))
    if len(own) == 1:
        yield Location(own[0])


def _own_files(bundle: Bundle, clue: Clue) -> tuple[str, ...]:
    file = local_file(bundle, clue.source_path) if clue.source_path else None
    return (file,) if file else clue.files


def _checked(bundle: Bundle, place: Location) -> Location:
    """The place without a line that the file does not have."""
    if place.line is not None and not 0 < place.line <= max(1, len(read_lines(bundle, place.file))):
        return replace(place, line=None, column=None)
    return place


def _only(places: list[Location], *, first: bool = False) -> Location | None:
    """The first place, where all of them are in one file: a name that stands in many says nothing of where."""
    if not places or (not first and len({place.file for place in places}) > 1):
        return None
    return places[0]


def _name_near(bundle: Bundle, place: Location, names: Iterable[str]) -> Location | None:
    """Where one of the names stands at a place or in the lines below it."""
    start = place.line or 1
    return next(
        (found for found in find_names(bundle, [place.file], names) if start <= (found.line or 0) <= start + _AROUND),
        None,
    )


def _cli_place(text: str, bundle: Bundle, evidence: str) -> Location | None:
    """The place of the complaint that the diagnosis quotes, which stands below it; else the first one."""
    at = text.find(evidence.strip()[:120]) if evidence.strip() else -1
    if at >= 0:
        for part in (text[at:].split("\n\n")[0], text[at:]):
            places = cli_places(part, bundle)
            if places:
                return places[0]
    places = cli_places(text, bundle)
    return places[0] if places else None


def _from_frames(text: str, bundle: Bundle, evidence: str) -> Location | None:
    """The innermost frame that is a file of the bundle, of the traceback that ends in the message quoted.

    Libraries' own frames are passed over. A traceback names its exception below its frames.
    """
    matches = [match for pattern in (_FRAME, _BARE_FRAME) for match in pattern.finditer(text)]
    # One path may stand in thousands of frames; thousands of paths are no traceback that anybody could follow.
    paths = list(dict.fromkeys(match["path"].strip() for match in matches))
    files = {path: local_file(bundle, path) for path in (*paths[:MOST_PATHS], *paths[-MOST_PATHS:])}
    frames = [
        (match.start(), Location(file, int(match["line"])))
        for match in matches
        if (file := files.get(match["path"].strip()))
    ]
    if not frames:
        return None
    frames.sort(key=lambda each: each[0])
    for end in _ends_of(text, evidence):
        above = [place for start, place in frames if start < end]
        if above:
            return above[-1]
    return frames[-1][1]


def _ends_of(text: str, evidence: str) -> list[int]:
    """Where the quoted message stands, the last time first."""
    message = " ".join(evidence.split())[:80]
    if len(message) < 8:
        return []
    found: list[int] = []
    at = text.rfind(message)
    while at >= 0 and len(found) < 20:
        found.append(at)
        at = text.rfind(message, 0, at)
    return found


def _from_cells(text: str, bundle: Bundle, own: tuple[str, ...]) -> Location | None:
    """A notebook cell's line: the code that the trace quotes is found by its text, else by the cell's own count."""
    files = own or tuple(file for file in source_files(bundle) if file.endswith(NOTEBOOK_SUFFIXES))
    quoted = sorted([*_ARROW_LINE.finditer(text), *_CODE_OF_FRAME.finditer(text)], key=lambda each: each.start())
    distinct = {(match["code"], match["line"]): match for match in quoted}
    for match in list(reversed(distinct.values()))[:MOST_QUOTES]:
        places = find_code(bundle, files, match["code"])
        if len(places) > 1:
            places = [p for p in places if int(match["line"]) in _lines_in_cell(bundle, p)] or (places if own else [])
        if len(places) == 1 or (places and own):
            return places[0]
    if len(own) != 1:
        return None
    counted = next(_LINE_IN_CELL.finditer(text), None) or next(_IN_CELL.finditer(text), None)
    if counted is not None:
        return _line_of_cell(bundle, own[0], int(counted["cell"]), int(counted["line"]))
    cell = next(_CELL_FRAME.finditer(text), None)
    starts = cell_starts(read_lines(bundle, own[0]))
    if cell and len(starts) == 1 and not own[0].endswith(".ipynb"):
        return _line_of_cell(bundle, own[0], 1, int(cell["line"]))
    return None


def _line_of_cell(bundle: Bundle, file: str, cell: int, line: int) -> Location | None:
    lines = read_lines(bundle, file)
    starts = cell_starts(lines)
    if file.endswith(".ipynb") or not 0 < cell <= len(starts) or not line:
        return None
    return Location(file, _first_code(lines, starts[cell - 1]) + line - 1)


def _first_code(lines: list[str], start: int) -> int:
    """The line from which a cell counts: blank lines between the mark and the code are not shown."""
    while start < len(lines) and not lines[start - 1].strip():
        start += 1
    return start


def _lines_in_cell(bundle: Bundle, place: Location) -> tuple[int, ...]:
    """Which line of its cell a line is: counted from the mark, and from the first line of code."""
    lines, number = read_lines(bundle, place.file), place.line or 1
    if place.file.endswith(".ipynb"):
        first = number
        while first > 1 and json_text(lines[first - 1]) != lines[first - 1]:
            first -= 1
        return (number - first,)
    start = max((each for each in cell_starts(lines) if each <= number), default=1)
    return (number - start + 1, number - _first_code(lines, start) + 1)


def _from_sql(text: str, bundle: Bundle, own: tuple[str, ...]) -> Location | None:
    """A SQL position: the quoted SQL is found in the source by its text, else the position counts in a .sql file."""
    position = _SQL_POSITION.search(text)
    echo = _SQL_ECHO.search(text)
    if echo:
        sql = echo["sql"].split("\n")
        marked = next((sql[n - 1] for n, line in enumerate(sql) if n and _CARETS.match(line)), None)
        for candidate in [marked, *sql]:
            if candidate is None or _CARETS.match(candidate):
                continue
            places = find_code(bundle, own, candidate) or find_code(bundle, own, candidate, part=True)
            if places:
                return places[0]
    if position and len(own) == 1 and own[0].endswith(".sql"):
        return Location(own[0], int(position["line"]), int(position["column"]) + 1)
    return None
