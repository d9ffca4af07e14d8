"""YAML with places: every mapping key and list item keeps its line and column, and nothing in a file can hurt.

Reads the YAML of bundles only as data: no tags are executed, aliases are shared and not copied, cycles are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES = 5_000_000
MAX_NODES = 400_000
MAX_DEPTH = 120

Mark = tuple[int, int]  # line and column, from 1
Path_ = tuple[str | int, ...]


class YamlProblem(Exception):
    """What is wrong with a YAML text, in one sentence; `mark` is (line, column) from 1 where it is known."""

    def __init__(self, summary: str, mark: Mark | None = None, detail: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.mark = mark
        self.detail = detail


@dataclass(slots=True)
class Marked:
    """The data of a document and where each path in it stands; `duplicates` are keys given twice in one mapping."""

    data: Any
    marks: dict[Path_, Mark] = field(default_factory=dict)
    duplicates: list[tuple[Path_, Mark]] = field(default_factory=list)


def read(path: Path) -> Marked:
    """The document in `path`. Raises YamlProblem for anything that is not a small, well-formed YAML text."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise YamlProblem(
                f"{size / 1e6:,.0f} MB is too large for a bundle file (limit {MAX_BYTES // 1_000_000} MB)"
            )
        data = path.read_bytes()
    except OSError as error:
        raise YamlProblem(f"cannot be read: {error.strerror or error}") from error
    if b"\x00" in data:
        raise YamlProblem("this is a binary file, not YAML", (data[: data.index(b"\x00")].count(b"\n") + 1, 1))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise YamlProblem("this is not UTF-8 text", (line, 1)) from error
    return parse(text)


def parse(text: str) -> Marked:
    """The document in `text`; an empty one gives None as data. Raises YamlProblem."""
    _check_depth(text)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else None
        raise YamlProblem(error.problem or str(error), at, error.context or "") from error
    except yaml.YAMLError as error:
        raise YamlProblem(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise YamlProblem("nested too deeply") from error
    result = Marked(None)
    if node is not None:
        result.data = _Builder(result).build(node, ())
    return result


def _check_depth(text: str) -> None:
    """The parser recurses: refuse what is nested deeper than any bundle before it is parsed."""
    depth = 0
    for match in re.finditer(r"[\[{\]}]", text):
        depth += 1 if match.group() in "[{" else -1
        if depth > MAX_DEPTH:
            raise YamlProblem("nested too deeply", (text.count("\n", 0, match.start()) + 1, 1))
        depth = max(depth, 0)
    for match in re.finditer(rf"^(?: {{{MAX_DEPTH * 8},}}\S|(?:\s*-){{{MAX_DEPTH},}})", text, re.MULTILINE):
        raise YamlProblem("nested too deeply", (text.count("\n", 0, match.start()) + 1, 1))


class _Builder:
    def __init__(self, result: Marked) -> None:
        self._result = result
        self._built: dict[int, Any] = {}
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, path: Path_) -> Any:
        self._count += 1
        if self._count > MAX_NODES:
            raise YamlProblem("too many values for a bundle file")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        key = id(node)
        if key in self._open:
            raise YamlProblem("an alias refers to itself", _mark(node))
        if key in self._built:
            return self._built[key]
        self._open.add(key)
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = []
            for index, item in enumerate(node.value):
                self._result.marks[(*path, index)] = _mark(item)
                value.append(self.build(item, (*path, index)))
        else:
            value = self._mapping(node, path)
        self._open.discard(key)
        self._built[key] = value
        return value

    def _mapping(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key == "<<" and key_node.tag == "tag:yaml.org,2002:merge":
                value = self.build(value_node, (*path, "<<"))
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, dict):
                        merged = {**part, **merged}
                continue
            if key in own:
                self._result.duplicates.append(((*path, key), _mark(key_node)))
            self._result.marks[(*path, key)] = _mark(key_node)
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}


def _mark(node: yaml.Node) -> Mark:
    return (node.start_mark.line + 1, node.start_mark.column + 1)


def _scalar(node: yaml.ScalarNode) -> Any:
    tag, text = node.tag, node.value
    if tag == "tag:yaml.org,2002:null":
        return None
    if tag == "tag:yaml.org,2002:bool":
        return text.lower() in ("true", "yes", "on")
    try:
        if tag == "tag:yaml.org,2002:int":
            return (
                int(text.replace("_", ""), 0)
                if not text.lstrip("-+").startswith("0") or text.strip("-+") == "0"
                else text
            )
        if tag == "tag:yaml.org,2002:float":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    return text
