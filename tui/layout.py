"""Where each pane stands for a size of the terminal. Pure arithmetic.

Never overlaps, never leaves the screen, and never gives a pane to a terminal that has no room for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Pane = Literal["resources", "run", "diagnosis", "detail"]
PANES: tuple[Pane, ...] = ("resources", "run", "diagnosis", "detail")
WIDE = 110
TALL = 24
POLL = 15
POLL_WIDE = 32  # with the requests of the last minute


class Box(NamedTuple):
    """A rectangle in cells."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What is on show where; what is missing is hidden. `wide` tells that panes stand together."""

    boxes: dict[str, Box] = field(default_factory=dict)
    wide: bool = False

    def shows(self, name: str) -> bool:
        return name in self.boxes


def arrange(
    width: int,
    height: int,
    *,
    pane: Pane = "resources",
    zoomed: bool = False,
    diagnosis_lines: int = 0,
    resource_width: int = 20,
    prompt: bool = False,
) -> Layout:
    """The layout. `pane` is the one in use, `diagnosis_lines` how many the diagnosis would like (0: none to show),
    `resource_width` the longest resource key."""
    boxes: dict[str, Box] = {}
    top, bottom = 0, height
    if height >= 6:
        boxes["header"] = Box(0, top, width, 1)
        top += 1
    if height >= 4:
        boxes["loop"] = Box(0, top, width, 1)
        top += 1
    if height >= 8:
        bottom -= 1
        boxes["footer"] = Box(0, bottom, width, 1)
    if height >= 4:
        bottom -= 1
        # The countdown is a widget of its own, so that its tick writes a few bytes and not the line.
        poll = POLL_WIDE if width >= 100 else POLL if width >= 3 * POLL else 0
        boxes["status"] = Box(0, bottom, width - poll, 1)
        if poll:
            boxes["poll"] = Box(width - poll, bottom, poll, 1)
    if prompt and bottom - top >= 2:
        bottom -= 1
        boxes["prompt"] = Box(0, bottom, width, 1)
    room = bottom - top
    if room <= 0:
        return Layout(boxes)
    if width < WIDE or zoomed or room < 8:
        boxes[pane] = Box(0, top, width, room)
        return Layout(boxes)
    left = min(max(resource_width + 27, 36), width * 36 // 100)
    lower = 0
    if diagnosis_lines:
        lower = min(max(diagnosis_lines + 1, 6), room * 42 // 100 if height >= TALL else room // 2)
    upper = room - lower
    boxes["resources"] = Box(0, top, left, upper)
    right = width - left
    if upper >= 14:
        run = max(7, upper * 52 // 100)
        boxes["run"] = Box(left, top, right, run)
        boxes["detail"] = Box(left, top + run, right, upper - run)
    else:
        shown: Pane = pane if pane in ("run", "detail") else "run"
        boxes[shown] = Box(left, top, right, upper)
    if lower:
        boxes["diagnosis"] = Box(0, top + upper, width, lower)
    return Layout(boxes, wide=True)
