"""Wrong fields and values in the bundle's YAML: names that no place has, words that are no value of their field.

Changes only the key or the value in question, in every file of the bundle where the same mistake stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml

from ..matrix.model import Diagnosis, Fix
from .propose_context import Context, best_match, in_places, yaml_proposal
from .yaml_edit import Splice, Spot, YamlFile

_SURE = 0.8
_UNKNOWN = re.compile(r"unknown field: ([\w-]{1,100})")
# How the CLI and the API word a value that is none of those allowed (CLI: validate/enum; Jobs API: MALFORMED_REQUEST).
_ALLOWED = r"\[?(?P<allowed>[\w, |'\"-]{1,2000})\]?"
_ENUMS = (
    re.compile(
        r'invalid value "(?P<value>[^"\n]{1,100})" for enum field\. Valid values are \[(?P<allowed>[^\]\n]{1,4000})\]'
    ),
    re.compile(
        r"[Ee]xpected one of \[(?P<allowed>[^\]\n]{1,4000})\](?: for (?P<field>[\w.]{1,80}))?,? but (?:got|was) ['\"]?"
        r"(?P<value>[\w-]{1,100})"
    ),
    re.compile(
        rf"(?P<field>[\w.]{{1,80}}) must be one of:? ?{_ALLOWED},? (?:but )?(?:got|was):? "
        r"['\"]?(?P<value>[\w-]{1,100})"
    ),
    re.compile(
        r"['\"]?(?P<value>[\w-]{1,100})['\"]? is not a valid (?:enum )?value[^\n]{0,80}?"
        rf"(?:one of|[Vv]alid values(?: are)?|[Aa]llowed values(?: are)?):? ?{_ALLOWED}"
    ),
)


def nearest_field(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A misspelt field: the nearest name that the schema knows at this place, or anywhere."""
    wrong = diagnosis.entities.get("field", "").split(".")[-1]
    found = _spots_of_key(diagnosis, context, wrong)
    if not wrong or not found:
        return []
    document, spot = found[0]
    held = _siblings(document, spot)
    at_place = context.schema.fields_at(spot.path[:-1]) if context.schema else ()
    anywhere = (*context.known_fields, *(context.schema.fields if context.schema else ()))
    if wrong in at_place or (not at_place and wrong in anywhere):
        # Spelt well, and in the wrong place: where it belongs is for a person to say.
        return []
    right, ratio, alone = best_match(wrong, (name for name in at_place if name not in held))
    confidence = 0.95 if ratio > _SURE and alone else 0.7
    if not right:
        used = _names_used(context, spot.path)
        right, ratio, alone = best_match(wrong, (name for name in (*used, *anywhere) if name not in held), cutoff=0.75)
        # A name from anywhere need not be one that may stand here; one that stands beside others of its kind does.
        confidence = 0.92 if ratio > 0.88 and alone else 0.7
    if not right:
        return []
    return _renamed(context, found, wrong, right, confidence)


def missing_field(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A required field that is not there: the CLI warned of one with nearly its name, which nobody knows."""
    right = diagnosis.entities.get("field", "").split(".")[-1]
    wrong, ratio, alone = best_match(right, _UNKNOWN.findall(context.text))
    found = _spots_of_key(diagnosis, context, wrong) if right and wrong else []
    return _renamed(context, found, wrong, right, 0.95 if ratio > _SURE and alone else 0.7)


def enum_value(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A word that is no value of its field: the nearest of those that are, wherever the field has the same word."""
    fixes: list[Fix] = []
    seen: set[tuple[str, str]] = set()
    for wrong, allowed, name in _told(diagnosis, context):
        spots = _spots_of_value(diagnosis, context, wrong, name.split(".")[-1])
        if not spots or (wrong, str(spots[0][1].path[-1])) in seen:
            continue
        seen.add((wrong, str(spots[0][1].path[-1])))
        known = allowed or (context.schema.values_at(spots[0][1].path) if context.schema else ())
        right, ratio, alone = best_match(wrong, known)
        if not right:
            continue
        changes: dict[str, list[Splice | None]] = {}
        for document, spot in spots:
            changes.setdefault(document.file, []).append(document.set_value(spot, right))
        title = in_places(f"{spots[0][1].path[-1]}: {wrong} → {right}", changes)
        fixes += yaml_proposal(context, title, changes, confidence=0.95 if ratio > _SURE and alone else 0.7)
    return fixes


def _told(diagnosis: Diagnosis, context: Context) -> list[tuple[str, list[str], str]]:
    """(value, the words allowed, the field where it is named) of every complaint about a value."""
    text = "\n".join([*(item.text for item in diagnosis.evidence), context.text])
    found: list[tuple[str, list[str], str]] = [
        (match["value"], _words(match["allowed"]), match.groupdict().get("field") or "")
        for pattern in _ENUMS
        for match in pattern.finditer(text)
    ]
    value = diagnosis.entities.get("value", "")
    return found or ([(value, [], diagnosis.entities.get("field", ""))] if value else [])


# --- where a key or a value stands ------------------------------------------------------------------------------------


def _spots_of_key(diagnosis: Diagnosis, context: Context, name: str) -> list[tuple[YamlFile, Spot]]:
    """Where the key stands that the CLI complains of, first; then those of the same name in places of the same kind."""
    everywhere = [(document, spot) for document in context.documents() for spot in document.named(name)]
    place = diagnosis.location
    first = [
        (document, spot)
        for document, spot in everywhere
        if place is not None and document.file == place.file and spot.line == place.line
    ]
    if not first and len({_kind(spot) for _, spot in everywhere}) == 1:
        # The CLI named no place: where the name is used in one way only, there is no doubt.
        first = everywhere
    if not first:
        return []
    kind = _kind(first[0][1])
    return [first[0], *(each for each in everywhere if each[1] is not first[0][1] and _kind(each[1]) == kind)]


def _spots_of_value(diagnosis: Diagnosis, context: Context, value: str, name: str) -> list[tuple[YamlFile, Spot]]:
    """Where the field has the value: the field is named, or the one at the place of the complaint, or the only one."""
    found = [
        (document, spot)
        for document in context.documents()
        for spot in document.scalars()
        if spot.value.value == value and (not name or spot.path[-1] == name)
    ]
    if not name:
        place = diagnosis.location
        at = [
            spot.path[-1]
            for document, spot in found
            if place is not None and document.file == place.file and spot.line == place.line
        ]
        names = {at[0]} if at else {spot.path[-1] for _, spot in found}
        found = [(document, spot) for document, spot in found if spot.path[-1] in names] if len(names) == 1 else []
    return found


def _kind(spot: Spot) -> str:
    """What kind of mapping an entry is in: the name of what holds it, list positions and keys of resources aside."""
    path = [step for step in spot.path if isinstance(step, str)]
    if "resources" in path[:-1]:
        after = path[path.index("resources") + 1 :]
        return ".".join([after[0], *after[2:-1]]) if len(after) > 2 else "." + ".".join(after[:-1])
    return ".".join(path[:-1])


def _siblings(document: YamlFile, spot: Spot) -> set[str]:
    parent = document.at(spot.path[:-1]) if len(spot.path) > 1 else Spot((), None, document.root)
    pairs = parent.value.value if parent is not None and isinstance(parent.value, yaml.MappingNode) else ()
    return {str(key.value) for key, _ in pairs}


def _names_used(context: Context, path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The names that stand in mappings of the same kind elsewhere in the bundle, more than once."""
    kind = _kind(Spot(path, None, None))
    used: dict[str, int] = {}
    for document in context.documents():
        for spot in document.spots():
            if spot.key is not None and _kind(spot) == kind:
                used[str(spot.path[-1])] = used.get(str(spot.path[-1]), 0) + 1
    return tuple(name for name, count in used.items() if count > 1)


def _renamed(
    context: Context, found: Iterable[tuple[YamlFile, Spot]], wrong: str, right: str, confidence: float
) -> list[Fix]:
    changes: dict[str, list[Splice | None]] = {}
    for document, spot in found:
        if right not in _siblings(document, spot):
            changes.setdefault(document.file, []).append(document.rename(spot, right))
    return yaml_proposal(context, in_places(f"{wrong} → {right}", changes), changes, confidence=confidence)


def _words(allowed: str) -> list[str]:
    return [word for word in re.split(r"[\s,|'\"]+", allowed) if word and word not in ("or", "and")]
