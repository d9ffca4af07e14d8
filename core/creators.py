"""Which code of the bundle makes a table, a view or a dataset, and which job or pipeline runs that code.

Reads the sources as text; a name that is put together at run time counts by its last part, as far as that is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..matrix.model import Location
from .bundle import Bundle
from .sources import code_files, json_text, once, read_lines, read_text
from .task_sources import Owner, owners_of

_STRING = r"[rfbu]{0,2}(?P<quote>[\"']{1,3})(?P<name>[^\"'\n]{1,300})(?P=quote)"
_DATASET = r"@(?:dlt|dp|sdp)\.(?:table|view|materialized_view|temporary_view)"
_BEFORE_DEF = r"(?:(?!\ndef)[^@]){0,400}?"
_WORDS = ("saveastable", "totable", "writeto", "tablename", "create", "@dlt.", "@dp.", "@sdp.")
_MAKES = (
    re.compile(rf"\.(?:saveAsTable|toTable|writeTo|createTable|tableName)\s*\(\s*{_STRING}"),
    re.compile(rf"\b(?:create_streaming_table|create_table|create_target_table)\s*\(\s*(?:name\s*=\s*)?{_STRING}"),
    re.compile(rf"{_DATASET}\s*\({_BEFORE_DEF}\bname\s*=\s*{_STRING}"),
    re.compile(
        rf"{_DATASET}\b(?!{_BEFORE_DEF}\bname\s*=){_BEFORE_DEF}(?:\n@[^\n]{{0,300}}){{0,10}}\ndef\s+(?P<name>\w{{1,200}})\s*\("
    ),
    re.compile(
        r"\bCREATE\s+(?:OR\s+(?:REPLACE|REFRESH)\s+)?(?:PRIVATE\s+|EXTERNAL\s+|STREAMING\s+|LIVE\s+|MATERIALIZED\s+)*"
        r"(?:TABLE|VIEW|VOLUME|SCHEMA|FUNCTION)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[^\s(;\"']{1,300})",
        re.IGNORECASE,
    ),
)
# The order in which a lakehouse is built up; what has none of these words stands in the middle.
LAYERS = (
    (0, re.compile(r"bronze|raw|landing|ingest", re.IGNORECASE)),
    (1, re.compile(r"silver|clean|refine", re.IGNORECASE)),
    (2, re.compile(r"gold|mart|publish", re.IGNORECASE)),
    (3, re.compile(r"semantic|metric_?view|tvf", re.IGNORECASE)),
    (4, re.compile(r"monitor", re.IGNORECASE)),
    (5, re.compile(r"alert", re.IGNORECASE)),
    (6, re.compile(r"genie", re.IGNORECASE)),
)
_SETUP = re.compile(r"setup|create|ddl|init", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Creator:
    """A place that makes a thing of this name, and who runs it."""

    name: str
    location: Location
    owners: tuple[Owner, ...] = ()


def created_names(bundle: Bundle) -> dict[str, str]:
    """The last part of every name that the bundle's code makes, by its lower-case form."""
    return {name.casefold(): name for name, _ in _made(bundle)}


def creators_of(bundle: Bundle, name: str) -> tuple[Creator, ...]:
    """Where the bundle makes `name` (its last part counts), earliest layer first."""
    wanted = _last_part(name).casefold()
    if not wanted:
        return ()
    places = [(made, place) for made, place in _made(bundle) if made.casefold() == wanted]
    found = [Creator(made, place, owners_of(bundle, place.file)) for made, place in places]
    return tuple(sorted(found, key=lambda each: min(map(layer_of, each.owners), default=99)))


def layer_of(owner: Owner) -> float:
    """Where an owner stands in the order of layers: bronze, silver, gold, semantic, monitoring, alerts, Genie."""
    words = f"{owner.resource.key} {owner.resource.name} {owner.task_key}"
    rank: float = next((number for number, pattern in LAYERS if pattern.search(words)), 2.5)
    return rank - 0.5 if _SETUP.search(words) else rank


def _made(bundle: Bundle) -> list[tuple[str, Location]]:
    return once(("made", bundle.root), lambda: list(_look(bundle)))


def _look(bundle: Bundle) -> Iterator[tuple[str, Location]]:
    for file in code_files(bundle):
        lowered = read_text(bundle, file).lower()
        if not any(word in lowered for word in _WORDS):
            continue
        lines = read_lines(bundle, file)
        text = "\n".join(map(json_text, lines) if file.endswith(".ipynb") else lines)
        for pattern in _MAKES:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start("name"))
                name = _last_part(match["name"])
                if name and not lines[line].lstrip().startswith(("#", "--", "//")):
                    yield name, Location(file, line + 1)


def _last_part(name: str) -> str:
    """What stands behind the last dot, where it is written out."""
    last = name.strip().strip("`").rsplit(".", 1)[-1].strip("`{} ")
    return last if re.fullmatch(r"[\w$-]{1,255}", last) and "{" not in name.rsplit(".", 1)[-1] else ""
