"""Bars over time: where a task stood in its run, drawn in a given number of cells. Pure.

Never animates: the window of a running run grows by steps, so that bars of what ended stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .glyphs import Glyphs
from .spans import Span, Spans
from .words import duration

_STEPS = (30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time in epoch ms."""

    start_ms: int
    end_ms: int

    @property
    def length(self) -> int:
        return max(1, self.end_ms - self.start_ms)


def window_of(start_ms: int, end_ms: int, now_ms: int, latest_ms: int = 0) -> Window:
    """The window of a run: to its end, or while it runs to the next of a few round lengths."""
    if not start_ms:
        return Window(now_ms, now_ms + 60_000)
    if end_ms:
        return Window(start_ms, max(end_ms, latest_ms))
    seconds = max(now_ms - start_ms, latest_ms - start_ms, 0) / 1000
    step = next((step for step in _STEPS if seconds < step), None)
    length = step if step is not None else (int(seconds) // 86_400 + 1) * 86_400
    return Window(start_ms, start_ms + length * 1000)


class Part(NamedTuple):
    """A stretch at the start of a bar: how long it is, and the sign and role it is drawn with."""

    length_ms: int
    sign: str
    role: str


def beam(
    window: Window,
    start_ms: int,
    end_ms: int,
    width: int,
    role: str,
    glyphs: Glyphs,
    *,
    parts: tuple[Part, ...] = (),
) -> Spans:
    """The bar from `start_ms` to `end_ms` in `width` cells; `parts` stand at its start, one after the other.

    What is left of the bar after the parts has `role`. Half cells are used where the signs have them.
    """
    if width <= 0:
        return ()
    if not start_ms:
        return ((" " * width, ""),)
    scale = width * 2 / window.length
    first = min(max(0, round((start_ms - window.start_ms) * scale)), width * 2 - 1)
    last = min(max(first + 1, round((end_ms - window.start_ms) * scale)), width * 2)
    halves: list[Span] = [("", "")] * (width * 2)
    position = float(first)
    for part in parts:
        stop = max(position, min(position + part.length_ms * scale, last - 1))
        for half in range(round(position), round(stop)):
            halves[half] = (part.sign, part.role)
        position = stop
    for half in range(round(position), last):
        halves[half] = (glyphs.beam, role)
    return _merged([_cell(halves[cell * 2], halves[cell * 2 + 1], glyphs) for cell in range(width)])


def _cell(left: Span, right: Span, glyphs: Glyphs) -> Span:
    """One cell of a bar from its two halves."""
    if left[0] and right[0]:
        return right
    if left[0]:
        return (glyphs.beam_right, left[1]) if left[0] == glyphs.beam else left
    if right[0]:
        return (glyphs.beam_left, right[1]) if right[0] == glyphs.beam else right
    return (" ", "")


def axis(window: Window, width: int, glyphs: Glyphs) -> Spans:
    """Marks of elapsed time over `width` cells: 0:00 at the start, its length at the end, a few in between."""
    text = [" "] * width
    count = max(1, min(6, width // 14))
    for number in range(count + 1):
        label = duration(window.length * number / count)
        at = round(width * number / count) - (len(label) if number == count else len(label) // 2 if number else 0)
        at = min(max(0, at), max(0, width - len(label)))
        if all(char == " " for char in text[max(0, at - 1) : at + len(label) + 1]):
            text[at : at + len(label)] = label
    return (("".join(text)[:width], "faint"),)


def _merged(cells: list[Span]) -> Spans:
    merged: list[Span] = []
    for text, role in cells:
        if merged and merged[-1][1] == role:
            merged[-1] = (merged[-1][0] + text, role)
        else:
            merged.append((text, role))
    return tuple(merged)
