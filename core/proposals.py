"""From a cause to exact edits: each known cause has one small function that proposes a patch for this bundle.

Proposes only what it can write down exactly; where it is not sure, it proposes nothing. Writes no file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..matrix.model import Diagnosis, Edit, Fix, Location
from .bundle import Bundle, Resource
from .patches import PatchRefused, make_patch
from .sources import find_names, read_lines, same_class

SAFE_CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Context:
    """Where the failure happened: the bundle, the resource and the task, and names known to be valid."""

    bundle: Bundle
    resource: Resource | None = None
    task_key: str = ""
    known_fields: tuple[str, ...] = ()


Proposer = Callable[[Diagnosis, Context], list[Fix]]


def propose(diagnosis: Diagnosis, context: Context) -> Diagnosis:
    """The diagnosis with exact patches put before the row's own advice, and the other places of the same class."""
    name = wrong_name(diagnosis)
    also: tuple[Location, ...] = ()
    if name and diagnosis.location is not None and diagnosis.location.line is not None:
        also = same_class(context.bundle, diagnosis.location, name)[:50]
    diagnosis = replace(diagnosis, also_at=also)
    fixes: list[Fix] = []
    for proposer in PROPOSERS.get(diagnosis.cause, ()):
        try:
            fixes += proposer(diagnosis, context)
        except PatchRefused:
            continue
    return replace(diagnosis, fixes=(*fixes, *diagnosis.fixes))


def wrong_name(diagnosis: Diagnosis) -> str:
    """The name that does not resolve, where the diagnosis is about one; the last part of a dotted column name."""
    key = _NAME_ENTITY.get(diagnosis.cause, "")
    value = diagnosis.entities.get(key, "").strip("`")
    if diagnosis.cause == "unresolved_column":
        value = value.split(".")[-1].strip("`")
    return value


_NAME_ENTITY = {
    "unresolved_column": "column",
    "table_not_found": "table",
    "variable_not_defined": "variable",
    "function_not_found": "function",
}


def suggestions(diagnosis: Diagnosis) -> list[str]:
    """The names the platform suggests, best first, without quotes; the last part where the wrong name has one part."""
    raw = diagnosis.entities.get("suggestion", "") or diagnosis.entities.get("suggestions", "")
    found = re.findall(r"`([^`]{1,200}`?(?:\.`[^`]{1,200}`){0,4})", raw) or re.split(r"[,\s]+", raw)
    names = [name.replace("`", "").strip() for name in found]
    return [name for name in names if name]


def _suggested_name(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """Replace a wrong column, table or variable by the one suggested, wherever the same wrong name stands."""
    wrong, place = wrong_name(diagnosis), diagnosis.location
    if not wrong or place is None or place.line is None:
        return []
    offered = suggestions(diagnosis)
    if diagnosis.cause == "unresolved_column":
        offered = [name.split(".")[-1] for name in offered]
    close = difflib.get_close_matches(wrong, offered, n=3, cutoff=0.5)
    fixes = []
    for right in close:
        edits = _replace_name([place, *diagnosis.also_at], wrong, right, context)
        if not edits:
            continue
        ratio = difflib.SequenceMatcher(None, wrong, right).ratio()
        only = len([name for name in offered if difflib.SequenceMatcher(None, wrong, name).ratio() > 0.8]) == 1
        confidence = min(0.97, diagnosis.confidence) if ratio > 0.8 and only else 0.6
        files = len({edit.file for edit in edits})
        title = f"{wrong} → {right}" + (f" in {len(edits)} lines of {files} files" if len(edits) > 1 else "")
        patch = make_patch(context.bundle.root, tuple(edits))
        fixes.append(Fix(kind="edit", title=title, patch=patch, confidence=confidence))
    return fixes


def _replace_name(places: list[Location], wrong: str, right: str, context: Context) -> list[Edit]:
    pattern = re.compile(rf"(?<![\w]){re.escape(wrong)}(?![\w])")
    edits: dict[tuple[str, int], Edit] = {}
    for place in places:
        lines = read_lines(context.bundle, place.file)
        if place.line is None or not 0 < place.line <= len(lines):
            continue
        old = lines[place.line - 1]
        new = pattern.sub(lambda _: right, old)
        if new != old:
            edits[(place.file, place.line)] = Edit(place.file, place.line, old, new)
    if not edits and places:
        # A statement over several lines: the frame names its first line, the name stands a few lines below.
        nearby = [
            found
            for found in find_names(context.bundle, [places[0].file], [wrong])
            if abs((found.line or 0) - (places[0].line or 0)) <= 30
        ]
        if nearby:
            return _replace_name(nearby, wrong, right, context)
    return list(edits.values())


def _rename_field(right_of: dict[str, str]) -> Proposer:
    """Rename a YAML key at the place the CLI named; nothing where the line does not hold it."""

    def proposer(diagnosis: Diagnosis, context: Context) -> list[Fix]:
        place = diagnosis.location
        if place is None or place.line is None:
            return []
        lines = read_lines(context.bundle, place.file)
        if not 0 < place.line <= len(lines):
            return []
        old = lines[place.line - 1]
        for wrong, right in right_of.items():
            new = re.sub(rf"^(\s*(?:-\s+)?){re.escape(wrong)}(\s*:)", rf"\g<1>{right}\g<2>", old)
            if new != old:
                patch = make_patch(context.bundle.root, (Edit(place.file, place.line, old, new),))
                return [Fix(kind="yaml", title=f"{wrong} → {right}", patch=patch, confidence=0.95)]
        return []

    return proposer


def _nearest_field(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A misspelt field: the nearest name the schema knows."""
    wrong = diagnosis.entities.get("field", "").split(".")[-1]
    close = difflib.get_close_matches(wrong, context.known_fields, n=1, cutoff=0.75)
    return _rename_field({wrong: close[0]})(diagnosis, context) if wrong and close else []


def _variable(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A reference to a variable that is not declared: the nearest declared one, or the missing `var.` prefix."""
    wrong = diagnosis.entities.get("variable", "").removeprefix("${").removesuffix("}")
    if not wrong:
        return []
    declared = list(context.bundle.variables)
    bare = wrong.removeprefix("var.")
    if bare in declared and not wrong.startswith("var."):
        right = f"var.{bare}"
    else:
        close = difflib.get_close_matches(bare, declared, n=1, cutoff=0.6)
        if not close:
            return []
        right = f"var.{close[0]}"
    edits = []
    for file in context.bundle.files:
        for number, line in enumerate(read_lines(context.bundle, file), start=1):
            new = line.replace(f"${{{wrong}}}", f"${{{right}}}")
            if new != line and not line.lstrip().startswith("#"):
                edits.append(Edit(file, number, line, new))
    if not edits:
        return []
    patch = make_patch(context.bundle.root, tuple(edits))
    return [Fix(kind="yaml", title=f"${{{wrong}}} → ${{{right}}}", patch=patch, confidence=0.93)]


def _path_depth(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A path that resolves nowhere: the same path with more or fewer `../` where exactly one depth hits a file."""
    named = diagnosis.entities.get("path") or diagnosis.entities.get("file") or diagnosis.entities.get("notebook") or ""
    tail = named.strip("./").split("/")[-1]
    if not tail:
        return []
    root = context.bundle.root
    fixes: list[Fix] = []
    for file in context.bundle.files:
        folder = (root / file).parent
        for number, line in enumerate(read_lines(context.bundle, file), start=1):
            match = re.search(
                rf"""(?P<path>(?:\.{{1,2}}/){{0,8}}[\w./ -]{{0,200}}{re.escape(tail)})(?=["'\s,]|$)""", line
            )
            if not match or line.lstrip().startswith("#"):
                continue
            written = match["path"].strip()
            if _hits(folder / written):
                continue
            bare = re.sub(r"^(?:\.{1,2}/)+", "", written)
            depths = [f"{'../' * depth or './'}{bare}" for depth in range(7)]
            right = [
                candidate for candidate in depths if _within(folder / candidate, root) and _hits(folder / candidate)
            ]
            if len(right) == 1:
                new = line.replace(written, right[0])
                patch = make_patch(root, (Edit(file, number, line, new),))
                fixes.append(Fix(kind="yaml", title=f"{written} → {right[0]}", patch=patch, confidence=0.93))
                continue
            near = difflib.get_close_matches(tail, _siblings(folder / written, root), n=1, cutoff=0.75)
            if near:
                new = line.replace(written, written[: -len(tail)] + near[0])
                patch = make_patch(root, (Edit(file, number, line, new),))
                fixes.append(Fix(kind="yaml", title=f"{tail} → {near[0]}", patch=patch, confidence=0.91))
    return fixes[:3]


def _hits(path: Path) -> bool:
    return any(Path(str(path) + suffix).exists() for suffix in ("", ".py", ".sql", ".ipynb", ".scala", ".r"))


def _within(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except OSError:
        return False


def _siblings(path: Path, root: Path) -> list[str]:
    folder = path.parent
    if not _within(folder, root) or not folder.is_dir():
        return []
    return [entry.name for entry in folder.iterdir()]


PROPOSERS: dict[str, tuple[Proposer, ...]] = {
    "unresolved_column": (_suggested_name,),
    "table_not_found": (_suggested_name,),
    "function_not_found": (_suggested_name,),
    "variable_not_defined": (_variable,),
    "variable_missing_prefix": (_variable,),
    "notebook_not_found": (_path_depth,),
    "bundle_file_not_found": (_path_depth,),
    "invalid_task_type": (_rename_field({"python_task": "spark_python_task"}), _nearest_field),
    "wrong_job_reference_field": (_rename_field({"job_task": "run_job_task"}),),
    "invalid_notebook_parameters": (_rename_field({"parameters": "base_parameters"}),),
    "unknown_field": (_nearest_field,),
}
