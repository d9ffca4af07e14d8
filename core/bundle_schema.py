"""The JSON schema that `databricks bundle schema` prints: which fields and values a place of a bundle may have.

Never validates a bundle; it only answers what is known at a path, and knows nothing where the schema says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from .yaml_marks import Path_

_DEEPEST = 60
_ROOT = "#/"


class BundleSchema:
    """Fields and values by path. `data` is the schema as it was parsed; a shape that is odd is passed over."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def fields_at(self, path: Path_) -> tuple[str, ...]:
        """The names that a mapping at `path` may hold; none where any may stand there, or nothing is known."""
        found: dict[str, None] = {}
        for node in self._nodes(path):
            properties = node.get("properties")
            if isinstance(properties, dict):
                found |= dict.fromkeys(map(str, properties))
        return tuple(found)

    def values_at(self, path: Path_) -> tuple[str, ...]:
        """The words that the value at `path` has to be one of; none where it may be any."""
        found: dict[str, None] = {}
        for node in self._nodes(path):
            values = node.get("enum")
            if isinstance(values, list):
                found |= dict.fromkeys(str(value) for value in values if isinstance(value, str))
        return tuple(found)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Every name of a field, wherever it may stand."""
        found: dict[str, None] = {}
        stack: list[Any] = [self._data]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                properties = value.get("properties")
                if isinstance(properties, dict):
                    found |= dict.fromkeys(map(str, properties))
                stack.extend(value.values())
            elif isinstance(value, list):
                stack.extend(value)
        return tuple(found)

    def _nodes(self, path: Path_) -> list[Mapping[str, Any]]:
        nodes = list(self._open(self._data, 0))
        for step in path:
            nodes = [inner for node in nodes for value in _children(node, step) for inner in self._open(value, 0)]
        return nodes

    def _open(self, value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
        """The alternatives of a node, references followed."""
        if not isinstance(value, dict) or depth > _DEEPEST:
            return
        yield value
        if isinstance(value.get("$ref"), str):
            yield from self._open(self._resolve(value["$ref"]), depth + 1)
        for name in ("oneOf", "anyOf", "allOf"):
            alternatives = value.get(name)
            for each in alternatives if isinstance(alternatives, list) else ():
                yield from self._open(each, depth + 1)

    def _resolve(self, reference: str) -> Any:
        """What a reference leads to. Names with a `/` are nested as deep as they have parts, as the CLI writes them."""
        at: Any = self._data
        for part in reference.removeprefix(_ROOT).split("/"):
            if not reference.startswith(_ROOT) or not isinstance(at, dict):
                return None
            at = at.get(part.replace("~1", "/").replace("~0", "~"))
        return at


def _children(node: Mapping[str, Any], step: str | int) -> Iterator[Any]:
    if isinstance(step, int):
        yield node.get("items")
        return
    properties = node.get("properties")
    if isinstance(properties, dict) and step in properties:
        yield properties[step]
    else:
        yield node.get("additionalProperties")
