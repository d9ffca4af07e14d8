"""What of a failure is worth reading closely: all of a short text, the lines around hits of a long one.

Never holds more than an excerpt of a long log, and never runs a regex over the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .matcher import Matrix, Scanner
from .model import ExceptionInfo, Failure
from .text import Passage, is_low_level, numbered

#: Texts up to this many characters are read whole.
SHORT: Final = 192 * 1024
_CHUNK: Final = 256 * 1024
_KEEP_FIRST: Final = 6
_KEEP_LAST: Final = 6
_KEEP_LOW: Final = 2
_LINES_BEFORE: Final = 3
_LINES_AFTER: Final = 10
_SIDE: Final = 3000
_HEAD: Final = 2_000
_TAIL: Final = 16_000
_MOST: Final = 256 * 1024
_SIGNS: Final = (
    b"sqlstate: ",
    b"traceback (most recent",
    b"caused by: ",
    b"exception in thread",
    b"panic: ",
    b"\nerror: ",
    b"fatal ",
)


def passage_of(failure: Failure, matrix: Matrix) -> Passage:
    """The lines of a failure that diagnosis reads, with their numbers in the whole text."""
    text = failure.text
    lines = numbered(text) if len(text) <= SHORT else excerpt(text, matrix)
    lines.extend(_exception_lines(failure.exceptions, text if len(text) <= SHORT else ""))
    return Passage(lines)


def excerpt(text: str, matrix: Matrix) -> list[tuple[int, str]]:
    """Numbered lines of a long text around every literal of the matrix (the first and last few of each), and its end.

    Lines far longer than a log line are cut around the hit, keeping their number.
    """
    data = text.encode("utf-8", "surrogatepass")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    spots = _spots(data, _scanner(matrix))
    spans = _merge(sorted(_spans(data, spots)))
    lines: list[tuple[int, str]] = []
    number = 1
    position = 0
    for low, high in spans:
        number += data.count(b"\n", position, low)
        position = low
        for offset, piece in enumerate(data[low:high].decode("utf-8", "replace").split("\n")):
            lines.append((number + offset, piece))
    return lines


def _scanner(matrix: Matrix) -> Scanner:
    found = _SCANNERS.get(id(matrix))
    if found is None or found[0] is not matrix:
        _SCANNERS.clear()
        _SCANNERS[id(matrix)] = found = (matrix, Scanner((*dict.fromkeys((*matrix.literals, *_SIGNS)),)))
    return found[1]


_SCANNERS: dict[int, tuple[Matrix, Scanner]] = {}


def _spots(data: bytes, scanner: Scanner) -> set[int]:
    """Offsets of hits worth a look: of each literal the first few and the last few on lines of error level."""
    first: dict[int, int] = {}
    low_seen: dict[int, int] = {}
    last: dict[int, list[int]] = {}
    spots: set[int] = set()
    size = len(data)
    overlap = max((len(literal) for literal in scanner.literals), default=1)
    position = 0
    while position < size:
        folded = data[position : position + _CHUNK + overlap].lower()
        for index, start, _ in scanner.find(folded):
            if start >= _CHUNK:
                continue
            seen = first.get(index, 0)
            place = position + start
            if seen >= _KEEP_FIRST:
                ring = last.setdefault(index, [])
                if len(ring) >= 64 * _KEEP_LAST:
                    del ring[:-_KEEP_LAST]
                ring.append(place)
                continue
            line = data.rfind(b"\n", max(0, place - 4096), place) + 1 or max(0, place - 4096)
            if is_low_level(data[line : min(line + 160, place + 60)]):
                count = low_seen.get(index, 0)
                if count < _KEEP_LOW:
                    low_seen[index] = count + 1
                    spots.add(place)
            else:
                first[index] = seen + 1
                spots.add(place)
        position += _CHUNK
    for ring in last.values():
        spots.update(ring[-_KEEP_LAST:])
    return spots


def _spans(data: bytes, spots: set[int]) -> Iterator[tuple[int, int]]:
    size = len(data)
    yield _whole_lines(data, 0, _HEAD)
    yield _whole_lines(data, max(0, size - _TAIL), size)
    budget = _MOST
    # The end of a log tells more than its middle: where hits are many, the late ones are kept.
    for place in sorted(spots, reverse=True):
        low = place
        for _ in range(_LINES_BEFORE + 1):
            low = data.rfind(b"\n", max(0, place - _SIDE), max(0, low - 1)) + 1 or max(0, place - _SIDE)
        high = place
        for _ in range(_LINES_AFTER + 1):
            found = data.find(b"\n", high + 1, place + _SIDE)
            if found < 0:
                high = min(size, place + _SIDE)
                break
            high = found
        if budget <= 0 and place > _MOST // 4:
            continue
        budget -= high - low
        yield low, high


def _whole_lines(data: bytes, low: int, high: int) -> tuple[int, int]:
    start = data.find(b"\n", low, low + _SIDE) + 1 if low else 0
    end = data.rfind(b"\n", low, high) if high < len(data) else len(data)
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
