"""Finds names by a few letters of them: every word has to be there, starts of words count most. Pure.

Never guesses: where the letters are not there in order, it is no match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def score(query: str, text: str) -> float:
    """How well `query` fits `text`; 0 where it does not. Each word of the query is looked for by itself."""
    text = text.lower()
    total = 0.0
    for word in query.lower().split():
        best = _word(word, text)
        if best <= 0:
            return 0.0
        total += best
    return total or 1.0


def _word(word: str, text: str) -> float:
    at = text.find(word)
    while at >= 0:
        if at == 0:
            return 10.0
        if not text[at - 1].isalnum():
            return 8.0 - at / 1000
        at = text.find(word, at + 1)
    at = text.find(word)
    if at >= 0:
        return 5.0 - at / 1000
    position, gaps = -1, 0
    for char in word:
        found = text.find(char, position + 1)
        if found < 0:
            return 0.0
        gaps += found - position - 1 if position >= 0 else 0
        position = found
    return max(0.1, 2.0 - gaps / 10)


def rank(query: str, items: Iterable[T], name_of: Callable[[T], str], more_of: Callable[[T], str]) -> list[T]:
    """The items that fit, the best first; all in their order where nothing is asked for.

    The letters are looked for in the name; in the rest only whole words of the query count, and for less.
    """
    if not query.strip():
        return list(items)
    scored = []
    for number, item in enumerate(items):
        value = score(query, name_of(item))
        if not value:
            rest = f"{name_of(item)} {more_of(item)}".lower()
            value = 0.05 if all(word in rest for word in query.lower().split()) else 0.0
        scored.append((value, number, item))
    return [item for value, _, item in sorted(scored, key=lambda entry: (-entry[0], entry[1])) if value > 0]
