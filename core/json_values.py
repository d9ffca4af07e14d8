"""Values out of a workspace's raw JSON, whatever stands where they should be: text, whole numbers, ids, objects, lists.

Never raises and never guesses: what does not fit is as if it were not there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .text import clean, clip, redact

_LARGEST = 2**63 - 1
_NAME_LIMIT = 4_096
_MESSAGE_LIMIT = 20_000


def text(value: Any, limit: int = _NAME_LIMIT) -> str:
    """A name or path, clean; numbers as they would be written; empty for anything else."""
    if isinstance(value, str):
        return clip(clean(value), limit) if value else ""
    if isinstance(value, int) and not isinstance(value, bool):
        return ident(value)
    return repr(value) if isinstance(value, float) and math.isfinite(value) else ""


def message(value: Any) -> str:
    """Words for a person, clean and without anything that looks like a secret."""
    # Redacted before it is cut: half of a secret would not be known for one.
    return clip(redact(clean(value)), _MESSAGE_LIMIT) if isinstance(value, str) else ""


def whole(value: Any) -> int:
    """A count, a duration or a time: whole and not below 0, also where it came as text; 0 where there is none."""
    if isinstance(value, str) and len(value) <= 30:
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0
    return min(_LARGEST, max(0, int(value)))


def ident(value: Any) -> str:
    """An id as text (it may pass 2**53, and comes as a number or as text); empty where there is none."""
    if isinstance(value, str):
        return clean(value).strip()[:_NAME_LIMIT]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**40:
        return ""
    return str(value)


def flag(value: Any) -> bool:
    """Whether it says yes."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(filter(None, map(text, value))) if isinstance(value, list) else ()


def shown(value: Any) -> str:
    """A parameter's value for a person: text as it is, the rest as JSON; clean, without secrets."""
    if isinstance(value, str):
        return message(value)
    try:
        return message(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return ""


def pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Parameters as (name, value); those without names are counted from 1."""
    if isinstance(value, list):
        return tuple((str(number), shown(item)) for number, item in enumerate(value, 1))
    return tuple((text(name), shown(item)) for name, item in mapping(value).items())


def inert(value: Any) -> Any:
    """The same JSON with every text in it clean and without anything that looks like a secret."""
    if isinstance(value, str):
        return message(value)
    if isinstance(value, list):
        return [inert(item) for item in value]
    if isinstance(value, dict):
        return {text(name): inert(item) for name, item in value.items()}
    return value
