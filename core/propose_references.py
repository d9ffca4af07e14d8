"""What in the YAML leads nowhere: variables, resources, paths, includes; and what is declared twice.

A reference is changed only where exactly one thing is there that it can mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from ..matrix.model import Diagnosis, Edit, Fix
from .bundle import Bundle
from .bundle_files import ROOT_NAMES, SUFFIXES
from .locating import cli_places
from .propose_context import Context, best_match, in_places, proposal, yaml_proposal
from .sources import NOTEBOOK_SUFFIXES, code_part, existing, read_lines, source_files
from .yaml_edit import Splice, Spot, YamlFile, scalar
from .yaml_marks import YamlProblem, read

_SURE = 0.8
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.\[\]-]{0,300})\}")
_MOST_DEPTH = 7
_WANTS_ENDING = "Local notebook references are expected"


def reference(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A reference that leads nowhere: the `var.` that is missing, or the nearest variable or resource there is."""
    named = diagnosis.entities.get("reference") or diagnosis.entities.get("variable") or ""
    found = _REFERENCE.search(named) or _REFERENCE.search("${" + named.strip("${}") + "}")
    if found is None:
        return []
    wrong = found[1]
    right, confidence = _meant(wrong, context)
    if not right:
        return _not_included(wrong, context)
    edits = list(_replaced(context, wrong, right))
    title = f"${{{wrong}}} → ${{{right}}}" + (f" in {len(edits)} lines" if len(edits) > 1 else "")
    return proposal(context, "yaml", title, edits, confidence=confidence)


def _meant(wrong: str, context: Context) -> tuple[str, float]:
    declared = list(context.bundle.variables)
    if wrong in declared:
        return f"var.{wrong}", 0.95
    prefix, _, rest = wrong.partition(".")
    if prefix in ("var", "variables", "vars") or "." not in wrong:
        name = rest if "." in wrong else wrong
        head, dot, tail = name.partition(".")
        if head in declared and prefix == "vars":
            return f"var.{name}", 0.95
        best, ratio, alone = best_match(head, declared)
        return (f"var.{best}{dot}{tail}", 0.93 if ratio > _SURE and alone else 0.7) if best else ("", 0.0)
    if prefix == "resources":
        parts = wrong.split(".")
        refs = {res.ref: None for res in context.bundle.resources}
        best, ratio, alone = best_match(".".join(parts[1:3]), refs, cutoff=0.75)
        if best:
            return ".".join(["resources", best, *parts[3:]]), 0.93 if ratio > 0.88 and alone else 0.7
    return "", 0.0


def _replaced(context: Context, wrong: str, right: str) -> Iterator[Edit]:
    pattern = re.compile(r"\$\{" + re.escape(wrong) + r"(?=[}\[])")
    for file in context.bundle.files:
        for number, line in enumerate(read_lines(context.bundle, file), start=1):
            code = code_part(line, ".yml")
            new = pattern.sub(lambda _: "${" + right, code) + line[len(code) :]
            if new != line:
                yield Edit(file, number, line, new)


# --- includes ---------------------------------------------------------------------------------------------------------


def not_included(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A resource that is not defined stands in a file that no `include` covers: the pattern that covers it is added."""
    named = diagnosis.entities.get("resource") or diagnosis.entities.get("key") or diagnosis.entities.get("job") or ""
    return _not_included(named, context)


def _not_included(named: str, context: Context) -> list[Fix]:
    parts = named.strip("${}").removeprefix("resources.").split(".")
    key = parts[1] if len(parts) > 1 else parts[0]
    if not key:
        return []
    holders = [file for file in _left_out(context.bundle) if _declares(context.bundle, file, key)]
    if len(holders) != 1:
        return []
    return _include(context, holders[0], f"include {holders[0]}, which declares {key}")


def include_matches_nothing(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A pattern of `include` that no file fits: the one that does, where the files are there under another one."""
    wrong = diagnosis.entities.get("file", "").strip("'\"")
    left_out = _left_out(context.bundle)
    fixes: list[Fix] = []
    for document, spot in _include_entries(context):
        if spot.value.value != wrong:
            continue
        for right in _other_patterns(wrong, left_out):
            splice = document.set_value(spot, right)
            fixes += yaml_proposal(context, f"include: {wrong} → {right}", {document.file: [splice]}, confidence=0.92)
    return fixes if len(fixes) == 1 else []


def _other_patterns(wrong: str, files: list[str]) -> list[str]:
    """The pattern with another ending, or another depth, where that fits files that nothing includes."""
    stem, ending = os.path.splitext(wrong)
    tried = [stem + other for other in SUFFIXES if other != ending]
    if "**" in wrong:
        tried += [wrong.replace("**/", ""), wrong.replace("**", "*")]
    return [pattern for pattern in tried if any(PurePosixPath(file).match(pattern) for file in files)]


def _include(context: Context, file: str, title: str) -> list[Fix]:
    root = next((document for document in context.documents() if document.file in ROOT_NAMES), None)
    if root is None:
        return []
    folder, name = os.path.split(file)
    many = sum(os.path.split(other)[0] == folder for other in _left_out(context.bundle))
    pattern = f"{folder}/*{os.path.splitext(name)[1]}" if folder and many > 1 else file
    held = root.at(("include",))
    if held is not None:
        splice = root.append(held, scalar(pattern))
    else:
        splice = root.add(Spot((), None, root.root), "include", f"\n- {scalar(pattern)}")
    return yaml_proposal(context, title, {root.file: [splice]}, confidence=0.92)


def _include_entries(context: Context) -> Iterator[tuple[YamlFile, Spot]]:
    for document in context.documents():
        if document.file in ROOT_NAMES:
            for spot in document.scalars():
                if spot.path[:1] == ("include",):
                    yield document, spot


def _left_out(bundle: Bundle) -> list[str]:
    """YAML files below the root that the bundle did not read, those of another bundle in a folder below left out."""
    files = [file for file in source_files(bundle) if file.endswith((".yml", ".yaml"))]
    others = {os.path.dirname(file) for file in files if os.path.basename(file) in ROOT_NAMES} - {""}
    known = set(bundle.files)
    return [
        file
        for file in files
        if file not in known and not any(file == other or file.startswith(f"{other}/") for other in others)
    ]


def _declares(bundle: Bundle, file: str, key: str) -> bool:
    try:
        data: Any = read(bundle.root / file).data
    except YamlProblem:
        return False
    resources = data.get("resources") if isinstance(data, dict) else None
    groups = resources.values() if isinstance(resources, dict) else ()
    return any(isinstance(group, dict) and key in group for group in groups)


# --- paths ------------------------------------------------------------------------------------------------------------


def wrong_path(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A path that leads to no file: the same one with more or fewer `../`, its extension, or the nearest name there."""
    names = ("path", "file", "notebook", "file_path")
    named = next((diagnosis.entities[name] for name in names if diagnosis.entities.get(name)), "")
    tail = named.rstrip("/").split("/")[-1]
    if not tail or not named.isprintable():
        return []
    fixes: list[Fix] = []
    for document in context.documents():
        for spot in document.scalars():
            written = str(spot.value.value)
            if written.rstrip("/").split("/")[-1] != tail or written.startswith("/") or "${" in written:
                continue
            if _WANTS_ENDING in context.text:
                right, confidence = _with_ending(context.bundle, document.file, written)
            elif _resolved(context.bundle, document.file, written):
                continue
            else:
                right, confidence = _right_path(context.bundle, document.file, written)
            if right:
                splices = [document.set_value(spot, right)]
                fixes += yaml_proposal(context, f"{written} → {right}", {document.file: splices}, confidence=confidence)
    return _together(context, fixes)


def _together(context: Context, fixes: list[Fix]) -> list[Fix]:
    """One change set of the same mistake in several places, where there is more than one."""
    edits = [edit for fix in fixes if fix.patch for edit in fix.patch.edits]
    if len(fixes) < 2:
        return fixes
    titles = list(dict.fromkeys(fix.title for fix in fixes))
    title = titles[0] + (f" and {len(titles) - 1} more" if len(titles) > 1 else f" in {len(fixes)} places")
    return proposal(context, "yaml", title, edits, confidence=min(fix.confidence for fix in fixes)) or fixes


def _right_path(bundle: Bundle, declared_in: str, written: str) -> tuple[str, float]:
    """(the path that is meant, how sure that is); empty where there is none, or more than one."""
    bare = re.sub(r"^(?:\.{1,2}/)+", "", written)
    depths = [f"{'../' * depth or './'}{bare}" for depth in range(_MOST_DEPTH)]
    right = [path for path in depths if _resolved(bundle, declared_in, path)]
    if len(right) == 1:
        return right[0], 0.93
    if right:
        return "", 0.0
    tail = written.split("/")[-1]
    near, ratio, alone = best_match(tail, _names_beside(bundle, declared_in, written), cutoff=0.75)
    if near:
        return written[: -len(tail)] + near, 0.91 if ratio > 0.88 and alone else 0.7
    moved = [file for file in source_files(bundle) if file.split("/")[-1] == tail]
    if len(moved) == 1:
        relative = os.path.relpath(moved[0], os.path.dirname(declared_in) or ".").replace(os.sep, "/")
        return relative if relative.startswith(".") else f"./{relative}", 0.85
    return "", 0.0


def _with_ending(bundle: Bundle, declared_in: str, written: str) -> tuple[str, float]:
    """The path with the extension of the notebook that is there, where the CLI asks for it."""
    if written.endswith(NOTEBOOK_SUFFIXES):
        return "", 0.0
    names = [written + suffix for suffix in NOTEBOOK_SUFFIXES if _is_file(bundle, declared_in, written + suffix)]
    return (names[0], 0.95) if len(names) == 1 else ("", 0.0)


def _joined(declared_in: str, written: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(declared_in), written)).replace(os.sep, "/")


def _resolved(bundle: Bundle, declared_in: str, written: str) -> bool:
    """Whether the path leads to a file, or a folder, of the bundle; a notebook's extension may be left out."""
    joined = _joined(declared_in, written)
    if joined.startswith("../") or joined in ("..", "."):
        return False
    return existing(bundle, joined) is not None or (bundle.root / joined).is_dir()


def _is_file(bundle: Bundle, declared_in: str, written: str) -> bool:
    return existing(bundle, _joined(declared_in, written)) == _joined(declared_in, written)


def _names_beside(bundle: Bundle, declared_in: str, written: str) -> list[str]:
    folder = Path(_joined(declared_in, written)).parent
    if ".." in folder.parts:
        return []
    try:
        return [entry.name for entry in (bundle.root / folder).iterdir() if entry.is_file()]
    except OSError:
        return []


# --- twice ------------------------------------------------------------------------------------------------------------


def declared_twice(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A key that two resources have: the second one goes where both say the same, else one of the two at choice."""
    key = diagnosis.entities.get("key", "").strip("'\"")
    declared = [
        (document, spot)
        for document in context.documents()
        for spot in document.spots()
        if spot.key is not None and len(spot.path) == 3 and spot.path[0] == "resources" and spot.path[2] == key
    ]
    if not key or len(declared) < 2:
        return []
    told = {(place.file, place.line) for place in cli_places(context.text, context.bundle)}
    declared.sort(key=lambda each: (each[0].file, each[1].line) not in told)
    first, *others = declared
    same = all(spot.path == first[1].path and _same(first[1].value, spot.value) for _, spot in others)
    if same:
        changes: dict[str, list[Splice | None]] = {}
        for document, spot in others:
            changes.setdefault(document.file, []).append(document.remove(spot))
        title = in_places(f"remove the second {key}, which says the same", changes)
        return yaml_proposal(context, title, changes, confidence=0.92)
    fixes: list[Fix] = []
    for document, spot in declared:
        title = f"remove {key} at {document.file}:{spot.line}"
        risk = "What only this one says is gone from the bundle."
        fixes += yaml_proposal(context, title, {document.file: [document.remove(spot)]}, confidence=0.5, risk=risk)
    return fixes


def _same(one: Any, other: Any) -> bool:
    return bool(_data(one) == _data(other))


def _data(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(getattr(key, "value", "")): _data(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_data(item) for item in node.value]
    return (node.tag, node.value)
