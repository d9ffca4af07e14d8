"""What the CLI does to a configuration before it uses it: merging overrides, choosing variables, filling in references.

Pure. It knows as much as names, targets and the tree of resources need, and leaves the truth to `bundle validate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# Lists whose items are merged by a key, by type of resource (bundle/config/mutator/resourcemutator/merge_*.go).
_KEYED: Mapping[str, Mapping[str, str]] = {
    "jobs": {"tasks": "task_key", "job_clusters": "job_cluster_key", "parameters": "name"},
    "pipelines": {"clusters": "label"},
    "apps": {"resources": "name"},
    **{
        kind: {"grants": "principal"}
        for kind in ("catalogs", "schemas", "external_locations", "secrets", "volumes", "registered_models")
    },
}
_REFERENCE = re.compile(r"\$\{([A-Za-z][\w.\-\[\]]{0,300})\}")
_INDEX = re.compile(r"\[(\d{1,6})\]")
_LONGEST = 10_000
_DEFINITION_KEYS = frozenset({"default", "type", "description", "lookup", "value"})

Conflict = tuple[tuple[str, ...], str]  # path, what cannot be merged


def merge(
    base: dict[str, Any],
    over: dict[str, Any],
    conflicts: list[Conflict] | None = None,
    path: tuple[str, ...] = (),
) -> dict[str, Any]:
    """`over` laid on `base` as the CLI does (libs/dyn/merge): maps deep, lists appended, null changes nothing.

    Neither is changed. Where the kinds differ the CLI gives up: `over` wins here, and `conflicts` gets a sentence.
    """
    result = dict(base)
    for key, value in over.items():
        held = result.get(key)
        if value is None and key in result:
            continue
        if held is None:
            result[key] = value
        elif isinstance(held, dict) and isinstance(value, dict):
            result[key] = merge(held, value, conflicts, (*path, key))
        elif isinstance(held, list) and isinstance(value, list):
            result[key] = held + value
        else:
            if conflicts is not None and _kind(held) != _kind(value):
                conflicts.append(((*path, key), f"cannot merge {_kind(held)} with {_kind(value)}"))
            result[key] = value
    return result


def collapse(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """`config` with items of the same key merged into one, in the lists where the CLI does that for `kind`."""
    keyed = _KEYED.get(kind)
    if not keyed:
        return config
    result = config
    for name, key in keyed.items():
        items = config.get(name)
        if not isinstance(items, list) or len(items) < 2:
            continue
        merged = _by_key(items, key, "default" if name == "clusters" else "", replace=kind == "apps")
        if len(merged) < len(items):
            result = {**result, name: merged}
    return result


def _by_key(items: list[Any], key: str, default: str, *, replace: bool) -> list[Any]:
    result: list[Any] = []
    seen: dict[str, int] = {}
    for item in items:
        name = str(item.get(key) or default) if isinstance(item, dict) else None
        at = seen.get(name) if name is not None else None
        if at is None:
            if name is not None:
                seen[name] = len(result)
            result.append(item)
        else:
            result[at] = item if replace else merge(result[at], item)
    return result


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "map"
    if isinstance(value, list):
        return "sequence"
    if isinstance(value, bool):
        return "bool"
    return {int: "int", float: "float", str: "string"}.get(type(value), "nil")


def variable_values(
    definitions: Mapping[str, Any],
    overrides: Mapping[str, Any],
    saved: Mapping[str, Any],
    env: Mapping[str, str],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(value of each variable, names without one), by the CLI's order: BUNDLE_VAR_x, file, target, default.

    `saved` is what `variable-overrides.json` holds. A variable with a lookup has its value from the workspace: None.
    """
    values: dict[str, Any] = {}
    missing: list[str] = []
    for name, body in definitions.items():
        definition = body if isinstance(body, dict) else {"default": body}
        value, looked_up = definition.get("default"), bool(definition.get("lookup"))
        if name in overrides:
            given = overrides[name]
            if isinstance(given, dict) and given and given.keys() <= _DEFINITION_KEYS:
                value = given.get("default", None if given.get("lookup") else value)
                looked_up = bool(given.get("lookup")) or (looked_up and given.get("default") is None)
            elif given is not None:
                value, looked_up = given, False
        if name in saved:
            value = saved[name]
        if f"BUNDLE_VAR_{name}" in env:
            value = env[f"BUNDLE_VAR_{name}"]
        values[name] = value
        if value is None and not looked_up:
            missing.append(name)
    return values, tuple(missing)


def substitute(text: str, known: Mapping[str, Any]) -> str:
    """`text` with the references filled in that lead to a plain value in the tree `known`; others stay as they are."""
    for _ in range(8):
        if "${" not in text:
            break
        after = _REFERENCE.sub(lambda match: _plain(look_up(known, match[1]), match[0]), text)
        if after == text or len(after) > _LONGEST:
            break
        text = after
    return text


def look_up(known: Mapping[str, Any], reference: str, depth: int = 0) -> Any:
    """What stands at `var.a.b[0]` in the tree; None where nothing does. `variables.x.value` is `var.x`."""
    at: Any = known
    if reference.startswith("variables."):
        name, _, rest = reference.removeprefix("variables.").partition(".value")
        reference = f"var.{name}{rest}"
    for step in _INDEX.sub(r".\1", reference).split("."):
        if isinstance(at, Mapping):
            at = at.get(step)
        elif isinstance(at, list) and step.isdigit() and int(step) < len(at):
            at = at[int(step)]
        else:
            return None
        # A value that is nothing but a reference stands for what it leads to.
        if isinstance(at, str) and depth < 10 and (match := _REFERENCE.fullmatch(at)):
            found = look_up(known, match[1], depth + 1)
            at = at if found is None else found
    return at


def _plain(value: Any, otherwise: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else otherwise


def display_name(config: Mapping[str, Any], key: str) -> str:
    """What a resource is called in the workspace, as far as its configuration says; its key otherwise."""
    for name in ("name", "display_name", "title", "table_name"):
        value = config.get(name)
        if isinstance(value, (str, int, float)) and str(value).strip():
            return str(value)
    return key


def strings(value: Any) -> tuple[str, ...]:
    """The texts of a list; nothing for what is no list."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def mapping(value: Any) -> dict[str, Any]:
    """`value` where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> Iterable[tuple[int, dict[str, Any]]]:
    """The mappings of a list with their index."""
    return [(i, item) for i, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []
