"""Bundle YAML with the place of every value, and the merging of files and targets; diagnostics in the CLI's grammar.
It knows the shape of YAML, not what a bundle means."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .standin_client import CliError

Places = dict[str, "Place"]
# Lists whose elements are told apart by a key when a target overrides them.
KEYED = {
    "tasks": "task_key",
    "job_clusters": "job_cluster_key",
    "parameters": "name",
    "environments": "environment_key",
}
MAX_BYTES = 20_000_000
MAX_NODES = 400_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: file relative to the bundle root, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One diagnostic as the CLI renders it."""

    severity: str
    summary: str
    paths: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    detail: str = ""

    def render(self) -> str:
        """The text, an empty line at its end."""
        lines = [f"{self.severity}: {self.summary}"]
        lines += [("  at " if not i else "     ") + path for i, path in enumerate(self.paths)]
        lines += [("  in " if not i else "     ") + str(place) for i, place in enumerate(self.places)]
        text = "\n".join(lines) + "\n\n"
        return text + (self.detail.rstrip("\n") + "\n\n" if self.detail else "")


class Stop(CliError):
    """An error with places that ends the command."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.summary, diagnostic.detail)
        self.diagnostic = diagnostic


@dataclass(slots=True)
class Tree:
    """A configuration: plain values, and for each path like `resources.jobs.a.tasks[0]` the places of value and key."""

    value: dict[str, Any] = field(default_factory=dict)
    places: Places = field(default_factory=dict)
    keys: Places = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    """The file in which a value stands, by path: what relative paths are relative to."""

    def place(self, path: str) -> tuple[Place, ...]:
        """The place of a path, or none."""
        found = self.places.get(path)
        return (found,) if found else ()


def load(root: Path, relative: str) -> Tree:
    """One file. CliError as the CLI words it for YAML that is broken."""
    path = root / relative
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise CliError(f"failed to load {path}: {problem.strerror}") from problem
    if len(data) > MAX_BYTES:
        raise CliError(f"failed to load {path}: the file is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.MarkedYAMLError, yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(problem, "problem", None) or str(problem)
        raise CliError(f"failed to load {path}: yaml: {line}{what}") from problem
    tree = Tree()
    if node is None:
        return tree
    if not isinstance(node, yaml.MappingNode):
        raise CliError(f"failed to load {path}: expected a map, found something else")
    reader = _Reader(relative, tree)
    value = reader.build(node, "", ())
    tree.value = value if isinstance(value, dict) else {}
    return tree


class _Reader:
    def __init__(self, file: str, tree: Tree) -> None:
        self.file = file
        self.tree = tree
        self.count = 0
        self.plain = yaml.SafeLoader("")

    def _place(self, node: yaml.Node) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def build(self, node: yaml.Node, path: str, above: tuple[int, ...]) -> Any:
        """The value of a node; ends on cycles of anchors and on bombs of them."""
        self.count += 1
        if id(node) in above or self.count > MAX_NODES:
            raise CliError(f"failed to load {self.file}: anchors refer to themselves or unfold to too much")
        self.tree.places[path] = self._place(node)
        self.tree.bases[path] = self.file
        inside = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{path}[{i}]", inside) for i, item in enumerate(node.value)]
        if node.tag == "tag:yaml.org,2002:timestamp":
            return str(node.value)
        return self.plain.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: str, inside: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                parts = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for part in parts:
                    value = self.build(part, path, inside)
                    merged = {**(value if isinstance(value, dict) else {}), **merged}
                continue
            key = str(key_node.value)
            below = f"{path}.{key}" if path else key
            # A key given twice counts as given last, as in the real CLI.
            found[key] = self.build(value_node, below, inside)
            self.tree.keys[below] = self._place(key_node)
        self.tree.places[path] = self._place(node)
        return {**merged, **found}


def merge(base: Tree, over: Tree, at: str = "") -> None:
    """Lays `over` (its paths as they are) onto `base`; maps are joined, keyed lists joined by key, others replaced."""
    base.value = _join(base.value, over.value, "", base, over)
    for path, place in over.places.items():
        base.places.setdefault(path, place)
        base.bases.setdefault(path, over.bases.get(path, ""))
    for path, place in over.keys.items():
        base.keys.setdefault(path, place)


def _join(old: Any, new: Any, path: str, base: Tree, over: Tree) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        joined = dict(old)
        for key, value in new.items():
            below = f"{path}.{key}" if path else key
            joined[key] = _join(old[key], value, below, base, over) if key in old else value
        return joined
    if isinstance(old, list) and isinstance(new, list):
        name = path.rsplit(".", 1)[-1]
        if name in KEYED:
            return _join_keyed(old, new, KEYED[name], path, base, over)
        return [*old, *new]
    if new is None:
        return old
    _replaced(path, base, over)
    return new


def _join_keyed(old: list[Any], new: list[Any], key: str, path: str, base: Tree, over: Tree) -> list[Any]:
    joined = list(old)
    index = {item.get(key): i for i, item in enumerate(old) if isinstance(item, dict)}
    for number, item in enumerate(new):
        at = index.get(item.get(key)) if isinstance(item, dict) else None
        if at is None:
            joined.append(item)
            _moved(f"{path}[{number}]", f"{path}[{len(joined) - 1}]", base, over)
        else:
            joined[at] = _join(joined[at], item, f"{path}[{at}]", base, over)
    return joined


def _replaced(path: str, base: Tree, over: Tree) -> None:
    if path in over.places:
        base.places[path], base.bases[path] = over.places[path], over.bases.get(path, "")


def _moved(source: str, target: str, base: Tree, over: Tree) -> None:
    for path, place in list(over.places.items()):
        if path == source or path.startswith((f"{source}.", f"{source}[")):
            base.places[target + path[len(source) :]] = place
            base.bases[target + path[len(source) :]] = over.bases.get(path, "")


def sort_list(tree: Tree, path: str, items: list[Any], key: str) -> list[Any]:
    """The list at `path` in the order of `key`, its places moved along."""
    order = sorted(range(len(items)), key=lambda i: str(items[i].get(key)) if isinstance(items[i], dict) else "")
    for held in (tree.places, tree.keys, tree.bases):
        _reorder(held, path, {old: new for new, old in enumerate(order)})
    return [items[i] for i in order]


def _reorder(held: dict[str, Any], path: str, position: dict[int, int]) -> None:
    moved = {}
    for name in [name for name in held if name.startswith(f"{path}[")]:
        number, _, rest = name[len(path) + 1 :].partition("]")
        moved[f"{path}[{position[int(number)]}]{rest}"] = held.pop(name)
    held.update(moved)


def below(tree: Tree, prefix: str) -> Tree:
    """The part of a tree under `prefix` as a tree of its own."""
    value: Any = tree.value
    for part in prefix.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    picked = Tree(value if isinstance(value, dict) else {})
    start = f"{prefix}."
    for source, target in ((tree.places, picked.places), (tree.keys, picked.keys)):
        for path, place in source.items():
            if path.startswith(start):
                target[path[len(start) :]] = place
    picked.bases = {path[len(start) :]: file for path, file in tree.bases.items() if path.startswith(start)}
    return picked


def included(root: Path, patterns: Iterable[Any], tree: Tree) -> list[str]:
    """The files that `include` names, sorted, relative to the root."""
    found: dict[str, None] = {}
    for number, pattern in enumerate(patterns):
        text = str(pattern)
        if os.path.isabs(text):
            raise CliError(f"{text}: includes must be relative paths")
        matches = sorted(root.glob(text)) if any(mark in text for mark in "*?[") else [root / text]
        if not any(path.exists() for path in matches) and not any(mark in text for mark in "*?["):
            where = tree.place(f"include[{number}]")
            raise Stop(Diagnostic("Error", f"{text} defined in 'include' section does not match any files", (), where))
        for path in matches:
            relative = Path(os.path.relpath(path, root)).as_posix()
            if path.is_dir() or relative in ("databricks.yml", "databricks.yaml", "bundle.yml", "bundle.yaml"):
                continue
            if path.suffix not in (".yml", ".yaml", ".json"):
                detail = (
                    f"The file {relative} in the 'include' configuration section is not a YAML or JSON file, "
                    "and only such files are supported."
                )
                where = tree.place(f"include[{number}]")
                text = "Files in the 'include' configuration section must be YAML or JSON files."
                raise Stop(Diagnostic("Error", text, (), where, detail))
            found[relative] = None
    return sorted(found)
