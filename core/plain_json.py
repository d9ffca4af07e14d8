"""Frozen dataclasses from the JSON data that `events.plain` made of them, for what the journal gives back.

Never trusts the data: what does not fit its type becomes the field's default, or raises ValueError where there is none.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_plain(kind: type[T], data: Any) -> T:
    """A `kind` (a dataclass) from its JSON object. Raises ValueError."""
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__}: not an object")
    values = {}
    for name, (hint, required) in _shape(kind).items():
        if name not in data:
            if required:
                raise ValueError(f"{kind.__name__}.{name} is missing")
            continue
        values[name] = _value(hint, data[name], f"{kind.__name__}.{name}")
    return kind(**values)


def _shape(kind: type) -> dict[str, tuple[Any, bool]]:
    """Type of each field, and whether it has to be there."""
    held = _SHAPES.get(kind)
    if held is None:
        hints = get_type_hints(kind)
        held = _SHAPES[kind] = {
            item.name: (hints[item.name], item.default is MISSING and item.default_factory is MISSING)
            for item in fields(kind)
        }
    return held


_SHAPES: dict[type, dict[str, tuple[Any, bool]]] = {}


def _value(hint: Any, data: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), data, where)
    if origin is Literal:
        if data in get_args(hint):
            return data
    elif origin is tuple:
        return _tuple(get_args(hint), data, where)
    elif origin is dict:
        key, value = get_args(hint)
        if isinstance(data, dict):
            return {_value(key, k, where): _value(value, v, where) for k, v in data.items()}
    elif hint is Any:
        return data
    elif isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    elif isinstance(hint, type) and is_dataclass(hint):
        return from_plain(hint, data)
    elif hint is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        return float(data)
    elif isinstance(hint, type) and isinstance(data, hint):
        return data
    raise ValueError(f"{where}: {data!r:.60} does not fit")


def _one_of(hints: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in hints:
        return None
    for hint in hints:
        if hint is type(None):
            continue
        try:
            return _value(hint, data, where)
        except ValueError:
            continue
    raise ValueError(f"{where}: {data!r:.60} does not fit")


def _tuple(hints: tuple[Any, ...], data: Any, where: str) -> Any:
    if not isinstance(data, (list, tuple)):
        raise ValueError(f"{where}: not a list")
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_value(hints[0], item, where) for item in data)
    if len(hints) != len(data):
        raise ValueError(f"{where}: {len(data)} values, not {len(hints)}")
    return tuple(_value(hint, item, where) for hint, item in zip(hints, data, strict=True))
