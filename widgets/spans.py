"""Styled text as plain data: a line is a tuple of (text, role) pairs, measured, cropped and wrapped in cells.

Never parses markup and never lets a control character through; a role becomes a colour only in the view.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

Span = tuple[str, str]
Spans = tuple[Span, ...]

_BREAK = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_UNSEEN = re.compile(r"[^\S ]")


def inert(text: str) -> str:
    """`text` as one printable line: line ends become `↵`, tabs blanks; what a terminal would obey becomes visible."""
    if text.isprintable():
        return text
    text = _BREAK.sub(" ↵ ", text.strip("\r\n")).replace("\t", "    ")
    if not text.isprintable():
        from ..core.text import clean

        text = _UNSEEN.sub(" ", clean(text).replace("\n", " "))
        text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text


def span(text: str, role: str = "") -> Span:
    """One inert span."""
    return (inert(text), role)


def width_of(line: Spans) -> int:
    """Cells that `line` takes."""
    return sum(cells(text) for text, _ in line)


@lru_cache(4096)
def _wide(text: str) -> int:
    return cell_len(text)


def cells(text: str) -> int:
    """Cells that `text` takes in a terminal; two for East Asian wide characters."""
    return len(text) if text.isascii() else _wide(text)


def crop(text: str, width: int, mark: str = "…") -> str:
    """`text` in at most `width` cells, its end replaced by `mark` where it is too long."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    room = width - len(mark)
    return mark[:width] if room <= 0 else set_cell_size(text, room).rstrip() + mark


def crop_start(text: str, width: int, mark: str = "…") -> str:
    """Like `crop`, but the start goes: for paths, whose end tells them apart."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - len(mark):
        text = text[1:]
    return mark + text


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells."""
    text = crop(text, width)
    blank = " " * (width - cells(text))
    return blank + text if right else text + blank


def fit(line: Spans, width: int, *, skip: int = 0) -> Spans:
    """`line` without its first `skip` cells, in at most `width` cells, with `…` where something is cut off."""
    if skip:
        line = _skip(line, skip)
    if width_of(line) <= width:
        return line
    kept: list[Span] = []
    left = width
    for text, role in line:
        size = cells(text)
        if size < left:
            kept.append((text, role))
            left -= size
            continue
        kept.append((crop(text + " " * (size == left), left), role))
        break
    return tuple(kept)


def _skip(line: Spans, count: int) -> Spans:
    kept: list[Span] = []
    for text, role in line:
        size = cells(text)
        if count >= size:
            count -= size
            continue
        if count:
            text = text[count:] if text.isascii() else _cut_start(text, count)
            count = 0
        kept.append((text, role))
    return tuple(kept)


def _cut_start(text: str, count: int) -> str:
    used = 0
    for index, char in enumerate(text):
        if used >= count:
            return " " * (used - count) + text[index:]
        used += cells(char)
    return ""


def spread(left: Spans, right: Spans, width: int, *, fill: Span = (" ", "")) -> Spans:
    """`left` and `right` at the two ends of `width` cells; `left` gives way where both do not fit."""
    right = fit(right, max(0, width // 2)) if width_of(left) + width_of(right) + 1 > width else right
    room = width - width_of(right)
    left = fit(left, room)
    gap = room - width_of(left)
    return (*left, (fill[0] * gap, fill[1]), *right)


def join(parts: Iterable[Spans], between: Span) -> Spans:
    """The lines one after the other with `between` in between; empty ones left out."""
    line: list[Span] = []
    for part in parts:
        if not part:
            continue
        if line:
            line.append(between)
        line.extend(part)
    return tuple(line)


def wrap(line: Spans, width: int, *, indent: int = 0) -> list[Spans]:
    """`line` broken at blanks into lines of at most `width` cells, the later ones indented by `indent` cells."""
    width = max(width, 4)
    indent = min(indent, width - 4)
    if width_of(line) <= width:
        return [line]
    lines: list[Spans] = []
    current: list[Span] = []
    used = 0
    for text, role in line:
        for word in re.findall(r"\s+|\S+", text):
            size = cells(word)
            if word.isspace() and ((used == indent and lines) or used + size > width):
                if used + size > width and current:
                    lines.append(tuple(current))
                    current, used = ([(" " * indent, "")] if indent else []), indent
                continue
            if used + size > width and used > indent:
                lines.append(tuple(current))
                current, used = ([(" " * indent, "")] if indent else []), indent
            while used + size > width:
                room = width - used
                head = set_cell_size(word, room)
                head = head if head.strip() else word[:1]
                current.append((head, role))
                lines.append(tuple(current))
                current, used = ([(" " * indent, "")] if indent else []), indent
                word = word[len(head.rstrip()) :]
                size = cells(word)
            if word:
                current.append((word, role))
                used += size
    if width_of(tuple(current)) > indent:
        lines.append(tuple(current))
    return lines


def text_of(line: Spans) -> str:
    """What a person reads in `line`."""
    return "".join(text for text, _ in line)


def paragraphs(text: str, role: str = "", limit: int = 2_000) -> list[Spans]:
    """Each line of `text` as a line of one span; at most `limit`, with a note of how many were left out."""
    lines = text.replace("\r\n", "\n").split("\n")
    shown: Sequence[str] = lines[:limit]
    result: list[Spans] = [(span(line, role),) for line in shown]
    if len(lines) > limit:
        result.append(((f"[{len(lines) - limit:,} more lines]", "faint"),))
    return result
