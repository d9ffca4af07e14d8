"""Keeps what is only held for its convenience from growing for ever: of a dict, the entries that came last stay.

Never decides how much that is; whoever holds it knows, and can read again what has gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def newest(held: dict[str, T], most: int, size: Callable[[T], int] = lambda _: 1) -> dict[str, T]:
    """`held` itself, without its first entries as long as all of them are larger than `most`; the last one stays."""
    total = sum(map(size, held.values()))
    while total > most and len(held) > 1:
        total -= size(held.pop(next(iter(held))))
    return held
