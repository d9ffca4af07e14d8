"""What of a failure is worth reading closely: all of a short text, the lines around hits of a long one.

Never holds more than an excerpt of a long log, and never runs a regex over the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from .matcher import Matrix, Scanner
from .model import ExceptionInfo, Failure
from .text import Passage, is_low_level, numbered

#: Texts up to this many characters are read whole.
SHORT: Final = 192 * 1024
_CHUNK: Final = 64 * 1024
_KEEP_FIRST: Final = 6
_KEEP_LAST: Final = 6
_KEEP_LOW: Final = 2
_LOOKS: Final = 96
_RING: Final = 512
_BUSY: Final = 20_000
_LINES_BEFORE: Final = 3
_LINES_AFTER: Final = 10
_SIDE: Final = 3000
_HEAD: Final = 2_000
_TAIL: Final = 16_000
_EARLY: Final = 24
_RARE: Final = 2
_MOST_RARE: Final = 40
_MOST: Final = 128 * 1024
_SIGNS: Final = (
    b"sqlstate: ",
    b"traceback (most recent",
    b"caused by: ",
    b"exception in thread",
    b"exception: ",
    b"error: ",
    b" error ",
    b"panic: ",
    b"fatal ",
    b" failed",
    b"cannot ",
    b" denied",
)


def passage_of(failure: Failure, matrix: Matrix) -> Passage:
    """The lines of a failure that diagnosis reads, with their numbers in the whole text."""
    text = failure.text
    lines = numbered(text) if len(text) <= SHORT else excerpt(text, matrix)
    lines.extend(_exception_lines(failure.exceptions, text if len(text) <= SHORT else ""))
    return Passage(lines)


def excerpt(text: str, matrix: Matrix) -> list[tuple[int, str]]:
    """Numbered lines of a long text around every telling literal of the matrix (the first and last few of each), and
    its end.

    Lines far longer than a log line are cut around the hit, keeping their number.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    spans = _merge(sorted(_spans(text, _spots(text, _scanner(matrix)))))
    lines: list[tuple[int, str]] = []
    number = 1
    position = 0
    for low, high in spans:
        number += text.count("\n", position, low)
        position = low
        for offset, piece in enumerate(text[low:high].split("\n")):
            lines.append((number + offset, piece))
    return lines


def _scanner(matrix: Matrix) -> Scanner:
    found = _SCANNERS.get(id(matrix))
    if found is None or found[0] is not matrix:
        _SCANNERS.clear()
        _SCANNERS[id(matrix)] = found = (matrix, Scanner((*dict.fromkeys((*matrix.telling_literals, *_SIGNS)),)))
    return found[1]


_SCANNERS: dict[int, tuple[Matrix, Scanner]] = {}


@dataclass(slots=True)
class _Seen:
    """What is remembered of one literal while a long text is scanned."""

    hits: int = 0
    loud: int = 0
    low: int = 0
    early: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)


def _spots(text: str, scanner: Scanner) -> dict[int, int]:
    """Offsets worth a look, with how often their literal occurs: of each literal the first and the last few loud hits.

    A literal that is everywhere in this text tells nothing about it, and is not looked for any longer.
    """
    seen = {literal: _Seen() for literal in scanner.literals}
    records = list(seen.values())
    overlap = max((len(literal) for literal in scanner.literals), default=1)
    total = 0
    for position in range(0, len(text), _CHUNK):
        # One byte a character, so that offsets hold for the text too.
        folded = text[position : position + _CHUNK + overlap].encode("ascii", "replace").lower()
        for index, start, _ in scanner.find(folded):
            if start >= _CHUNK:
                continue
            record = records[index]
            record.hits += 1
            total += 1
            place = position + start
            if record.loud >= _KEEP_FIRST or record.hits > _LOOKS:
                record.late.append(place)
                if len(record.late) >= 2 * _RING:
                    del record.late[:-_RING]
            elif not _is_low(text, place):
                record.loud += 1
                record.early.append(place)
            elif record.low < _KEEP_LOW:
                record.low += 1
                record.early.append(place)
        if total > _BUSY:
            telling = [literal for literal in scanner.literals if seen[literal].hits < _BUSY // 20]
            if len(telling) < len(scanner.literals):
                scanner = Scanner(telling)
                records = [seen[literal] for literal in telling]
            total = 0
    spots: dict[int, int] = {}
    for record in seen.values():
        late = islice((place for place in reversed(record.late) if not _is_low(text, place)), _KEEP_LAST)
        for place in (*record.early, *late):
            spots[place] = min(record.hits, spots.get(place, record.hits))
    return spots


def _is_low(text: str, place: int) -> bool:
    line = text.rfind("\n", max(0, place - 4096), place) + 1 or max(0, place - 4096)
    return is_low_level(text[line : min(line + 160, place + 60)])


def _spans(text: str, spots: dict[int, int]) -> Iterator[tuple[int, int]]:
    size = len(text)
    yield _whole_lines(text, 0, _HEAD)
    yield _whole_lines(text, max(0, size - _TAIL), size)
    budget = _MOST
    # Where hits are many, what occurs once or twice tells most, then the start and the end of the log.
    ordered = sorted(spots)
    rare = [place for place in ordered if spots[place] <= _RARE]
    for place in dict.fromkeys((*rare[-_MOST_RARE:], *ordered[:_EARLY], *reversed(ordered))):
        if budget <= 0:
            break
        low = place
        for _ in range(_LINES_BEFORE + 1):
            low = text.rfind("\n", max(0, place - _SIDE), max(0, low - 1)) + 1 or max(0, place - _SIDE)
        high = place
        for _ in range(_LINES_AFTER + 1):
            found = text.find("\n", high + 1, place + _SIDE)
            if found < 0:
                high = min(size, place + _SIDE)
                break
            high = found
        budget -= high - low
        yield low, high


def _whole_lines(text: str, low: int, high: int) -> tuple[int, int]:
    start = text.find("\n", low, low + _SIDE) + 1 if low else 0
    end = text.rfind("\n", low, high) if high < len(text) else len(text)
    return (start or low), (end if end > low else high)


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in spans:
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _exception_lines(exceptions: tuple[ExceptionInfo, ...], text: str) -> Iterator[tuple[int, str]]:
    """The links of a chain as lines, unless the text already holds them; numbered as the first line of the text."""
    for position, link in enumerate(exceptions):
        message = link.message or ""
        if message and message[:200] in text:
            continue
        head = "Caused by: " if position else ""
        name = f"{link.class_name}: " if link.class_name else ""
        known = f"[{link.error_class}] " if link.error_class and f"[{link.error_class}" not in message else ""
        state = f" SQLSTATE: {link.sql_state}" if link.sql_state and link.sql_state not in message else ""
        for offset, line in enumerate(f"{head}{name}{known}{message}{state}".split("\n")):
            yield 1 + offset if not text else 1, line
