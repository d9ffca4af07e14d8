"""Wrong names in code: a column, a table or a function that does not resolve, replaced wherever the same one stands.

Only by a name that the platform suggests or the bundle makes itself; where a name is made on purpose, it stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..matrix.model import Diagnosis, Edit, Fix, Location
from .creators import created_names
from .propose_context import Context, best_match, proposal
from .sources import code_files, code_part, find_names, read_lines, read_text, whole_word

_NAME_ENTITY = {
    "unresolved_column": "column",
    "table_not_found": "table",
    "variable_not_defined": "variable",
    "function_not_found": "function",
    "missing_python_module": "module",
}
_NEAR = 0.8
_AROUND = 30  # lines: a statement over several lines, of which the frame names the first
MOST_PLACES = 50


def wrong_name(diagnosis: Diagnosis) -> str:
    """The name that does not resolve, where the diagnosis is about one; the last part of a dotted column name."""
    key = _NAME_ENTITY.get(diagnosis.cause, "")
    value = diagnosis.entities.get(key, "").replace("`", "").strip()
    if diagnosis.cause == "unresolved_column":
        value = value.split(".")[-1]
    if diagnosis.cause == "missing_python_module":
        value = value.split(".")[0]
    return value


def suggestions(diagnosis: Diagnosis) -> list[str]:
    """The names the platform suggests, best first, without quotes."""
    raw = diagnosis.entities.get("suggestion", "") or diagnosis.entities.get("suggestions", "")
    found = re.findall(r"`([^`]{1,200}`?(?:\.`[^`]{1,200}`){0,4})", raw) or re.split(r"[,\s]+", raw)
    names = [name.replace("`", "").strip() for name in found]
    return [name for name in names if name]


def suggested_name(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """Replace a wrong column, table or function by the one suggested, here and in the sibling sources."""
    wrong, place = wrong_name(diagnosis), diagnosis.location
    if not wrong or place is None or place.line is None:
        return []
    offered = suggestions(diagnosis)
    if diagnosis.cause == "unresolved_column":
        offered = [name.split(".")[-1] for name in offered]
    fixes: list[Fix] = []
    for right in _close(wrong, offered):
        ratio, alone = _likeness(wrong, right, offered)
        fixes += _replaced(diagnosis, context, wrong, right, sure=ratio > _NEAR and alone)
    return fixes


def made_in_the_bundle(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A table that nobody makes, but one of nearly its name is made by the bundle's own code."""
    wrong, place = wrong_name(diagnosis).split(".")[-1], diagnosis.location
    made = created_names(context.bundle)
    if not wrong or place is None or place.line is None or wrong.casefold() in made:
        return []
    right, ratio, alone = best_match(wrong, made.values(), cutoff=_NEAR)
    if not right:
        return []
    return _replaced(diagnosis, context, wrong, right, sure=ratio > 0.9 and alone)


def _close(wrong: str, offered: list[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(wrong, offered, n=3, cutoff=0.5)


def _likeness(wrong: str, right: str, offered: Iterable[str]) -> tuple[float, bool]:
    best, ratio, alone = best_match(wrong, offered, cutoff=0.5)
    return (ratio, alone) if best == right else (0.0, False)


def _replaced(diagnosis: Diagnosis, context: Context, wrong: str, right: str, *, sure: bool) -> list[Fix]:
    assert diagnosis.location is not None
    here = _replace_name([diagnosis.location], wrong, right, context)
    everywhere = _replace_name([diagnosis.location, *diagnosis.also_at], wrong, right, context)
    if not here or not everywhere:
        return []
    confidence = min(0.97, diagnosis.confidence) if sure else 0.6
    if made_on_purpose(context, wrong):
        # Somewhere the bundle makes a thing of this very name: it may be right there, and elsewhere wrong.
        confidence, everywhere = min(confidence, 0.8), here
    files = len({edit.file for edit in everywhere})
    many = len(everywhere) > 1
    title = f"{wrong} → {right}" + (f" in {len(everywhere)} lines of {files} files" if many else "")
    fixes = proposal(context, "edit", title, everywhere, confidence=confidence)
    if len(everywhere) > len(here):
        only = f"{wrong} → {right} in {diagnosis.location.file} only"
        fixes += proposal(context, "edit", only, here, confidence=min(confidence, 0.85))
    return fixes


def made_on_purpose(context: Context, name: str) -> bool:
    """Whether code of the bundle gives something this name: then it is no misspelling wherever it stands."""
    word = whole_word(name)
    makes = re.compile(
        rf"(?:alias|withColumn|withColumnRenamed|withColumnsRenamed|toDF|StructField)\s*\([^()]{{0,200}}[\"']{word}[\"']"
        rf"|\bAS\s+`?{word}|(?:ADD|RENAME)\s+COLUMNS?\s+[^;]{{0,100}}{word}"
        rf"|^\s*`?{word}`?\s+(?:STRING|INT|BIGINT|DOUBLE|FLOAT|DATE|TIMESTAMP|BOOLEAN|DECIMAL)\b"
        rf"|^\s*(?:def\s+)?{word}\s*(?:=(?!=)|\()|[\"']{word}[\"']\s*:",
        re.IGNORECASE,
    )
    files = (file for file in code_files(context.bundle) if name in read_text(context.bundle, file))
    lines = (line for file in files for line in read_lines(context.bundle, file) if name in line)
    return any(_makes(makes, line, name) for line in lines)


def _makes(makes: re.Pattern[str], line: str, name: str) -> bool:
    found = makes.search(line)
    # `withColumn("new", F.col("wrong"))` makes the first name only.
    return found is not None and not re.search(rf"(?:col|column)\s*\(\s*[\"']{re.escape(name)}[\"']", found.group())


def _replace_name(places: Iterable[Location], wrong: str, right: str, context: Context) -> list[Edit]:
    places = list(places)
    pattern = re.compile(whole_word(wrong))
    edits: dict[tuple[str, int], Edit] = {}
    for place in places:
        lines = read_lines(context.bundle, place.file)
        if place.line is None or not 0 < place.line <= len(lines):
            continue
        old = lines[place.line - 1]
        code = code_part(old, PurePosixPath(place.file).suffix)
        new = pattern.sub(lambda _: right, code) + old[len(code) :]
        if new != old:
            edits[(place.file, place.line)] = Edit(place.file, place.line, old, new)
    first = places[0]
    if (first.file, first.line or 0) not in edits:
        # A statement over several lines: the frame names its first line, the name stands a few lines off.
        nearby = [
            found
            for found in find_names(context.bundle, [first.file], [wrong])
            if abs((found.line or 0) - (first.line or 0)) <= _AROUND
        ]
        if nearby and nearby[0] not in places:
            return _replace_name([*nearby, *places[1:]], wrong, right, context)
        if not nearby:
            return []
    return list(edits.values())
