"""Regexes of rows: macros, the literal behind the prefilter, and the static proof that none can run away.

Never runs a pattern against a text, and never accepts a repeat without a bound (whitespace is collapsed beforehand).
"""

from __future__ import annotations

import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parse  # type: ignore[import-not-found]
from functools import lru_cache
from typing import Any, Final

# Quotes differ between tools and get escaped inside JSON, so every macro takes any of them, or none.
_QUOTES: Final = "`'\"‘’“”´"
_Q: Final = rf"[{_QUOTES}\\]{{0,4}}"

_BODIES: Final[dict[str, str]] = {
    "name": r"[\w$.`\-\[\]*]{0,299}[\w$`\]*]",
    "quoted": rf"[^{_QUOTES}\\]{{1,300}}",
    "path": rf"[^\s{_QUOTES},;()<>|\\]{{0,499}}[^\s{_QUOTES},;()<>|\\.:]",
    "num": r"\d{1,20}",
    "id": r"[\w\-\[\]<>*]{1,120}",
    "word": r"[A-Za-z_]\w{0,80}",
    "value": rf"[^\s{_QUOTES},;()\\]{{1,200}}",
    "text": r".{1,300}?",
    "host": r"[\w.\-\[\]]{1,253}",
}
_MACRO: Final = re.compile(r"<<(?P<macro>[a-z]+)(?::(?P<entity>[a-z_][a-z_0-9]*))?>>")
_WIDE: Final = 16
_MAX_WIDE: Final = 6
_MAX_WORK: Final = 10**9
_SHORTEST_LITERAL: Final = 5


class PatternError(ValueError):
    """A regex that a row may not carry; the message says why."""


def expand_macros(regex: str) -> str:
    """`<<macro>>` and `<<macro:entity>>` replaced by bounded regexes. Raises PatternError on an unknown macro.

    `<<q>>` optional quotes; `<<gap>>` up to 200 characters; `<<gap20>>`-like gaps are not macros, write `.{0,20}?`.
    name (dotted name), quoted (inside quotes), path, num, id, word, value (no blanks), text (lazy), host: the value,
    with quotes around it taken but not captured; `quoted` wants the quotes.
    """

    def replace(found: re.Match[str]) -> str:
        macro, entity = found["macro"], found["entity"]
        if macro == "q":
            return _Q
        if macro == "gap":
            return r".{0,200}?"
        body = _BODIES.get(macro)
        if body is None:
            raise PatternError(f"unknown macro <<{macro}>>; known: q, gap, {', '.join(_BODIES)}")
        group = f"(?P<{entity}>{body})" if entity else f"(?:{body})"
        if macro == "quoted":
            return rf"\\?[{_QUOTES}]{{1,2}}{group}\\?[{_QUOTES}]{{1,2}}"
        return group if macro == "text" else f"{_Q}{group}{_Q}"

    return _MACRO.sub(replace, regex)


def derive_literal(expanded: str) -> str:
    """The longest run of fixed text that every match of the regex contains. Raises PatternError if it is too short."""
    best = ""
    run = ""
    for operation, argument in _flatten(sre_parse.parse(expanded)):
        run = run + chr(argument) if operation is sre.LITERAL else ""
        if len(run.strip()) > len(best.strip()):
            best = run
    if len(best.strip()) < _SHORTEST_LITERAL:
        raise PatternError(f"has no fixed text of {_SHORTEST_LITERAL} characters; name a `literal`")
    return best


@lru_cache(maxsize=4096)
def unsafe(expanded: str) -> str:
    """Why the regex could backtrack without bound, or "" where it cannot.

    Every repeat but that of plain whitespace must have an upper bound, repeats must not nest widely, and the product
    of all repeat widths bounds the work per starting point.
    """
    try:
        tree = sre_parse.parse(expanded)
    except re.error as error:
        return f"does not compile: {error}"
    widths: list[int] = []
    reason = _walk(tree, widths, inside=1)
    if reason:
        return reason
    if len(widths) > _MAX_WIDE * 2:
        return f"has {len(widths)} wide repeats; at most {_MAX_WIDE * 2} are allowed"
    return ""


def _walk(tree: Any, widths: list[int], inside: int) -> str:
    for operation, argument in tree:
        if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            low, high, body = argument
            if high is sre.MAXREPEAT:
                if _is_space(body) and inside == 1:
                    continue
                return "has a repeat without an upper bound; write {0,200} or the like"
            if high > 1 and inside > 1 and inside * high > _WIDE * 4:
                return "nests repeats; write the inner one without a repeat or lower the bounds"
            if high - low >= _WIDE:
                widths.append(high)
            reason = _walk(body, widths, inside * max(1, high))
        elif operation is sre.SUBPATTERN:
            reason = _walk(argument[3], widths, inside)
        elif operation is sre.BRANCH:
            reason = ""
            for branch in argument[1]:
                reason = reason or _walk(branch, widths, inside)
        elif operation in (sre.ASSERT, sre.ASSERT_NOT):
            reason = _walk(argument[1], widths, inside)
        elif operation is sre.ATOMIC_GROUP:
            reason = _walk(argument, widths, inside)
        elif operation is sre.GROUPREF:
            reason = "refers back to a group"
        else:
            reason = ""
        if reason:
            return reason
    return ""


def _is_space(body: Any) -> bool:
    return len(body) == 1 and (
        body[0] == (sre.LITERAL, 32) or body[0] == (sre.IN, [(sre.CATEGORY, sre.CATEGORY_SPACE)])
    )


def _flatten(tree: Any) -> list[tuple[Any, Any]]:
    """Top-level operations with plain groups opened; alternatives and optional parts become a break."""
    flat: list[tuple[Any, Any]] = []
    for operation, argument in tree:
        if operation is sre.SUBPATTERN:
            flat.extend(_flatten(argument[3]))
        elif operation is sre.MAX_REPEAT and argument[0] == argument[1] == 1:
            flat.extend(_flatten(argument[2]))
        else:
            flat.append((operation, argument))
    return flat
