"""The lines around the panes: header with where and who, the strip of the loop, status, and the keys at the foot.

Never decides what is shown; each is told a line for the width it has.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from .spans import Spans, fit, width_of
from .theme import DARK, Palette

Maker = Callable[[int], list[Spans]]


class Bar(Widget):
    """One or more full lines, made for the width by `maker`. Redrawn only where a line differs."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    class Pressed(Message):
        """A click at cell `x` of line `y`."""

        def __init__(self, bar: Bar, x: int, y: int) -> None:
            super().__init__()
            self.bar, self.x, self.y = bar, x, y

    def __init__(self, maker: Maker, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._maker = maker
        self._lines: list[Spans] = []
        self.palette: Palette = DARK

    def set_palette(self, palette: Palette) -> None:
        if palette != self.palette:
            self.palette = palette
            self.refresh()

    def sync(self) -> None:
        """Ask for the lines again; redraw those that differ."""
        if not self.size.width:
            return
        from textual.geometry import Region

        lines = self._maker(self.size.width)
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                start = _first_difference(old, new)
                self.refresh(Region(start, y, self.size.width - start, 1))

    def on_resize(self) -> None:
        self._lines = self._maker(self.size.width)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Pressed(self, event.x, event.y))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        line = self._lines[y] if y < len(self._lines) else ()
        styles = self.palette.styles()
        line = fit(line, width)
        segments = [Segment(text, styles[role]) for text, role in line if text]
        used = width_of(line)
        if used < width:
            segments.append(
                Segment(" " * (width - used), styles[line[-1][1] if line and "+on." in line[-1][1] else ""])
            )
        return Strip(segments, max(used, width))


def _first_difference(old: Spans, new: Spans) -> int:
    """The first cell at which two lines differ."""
    start = 0
    for a, b in zip(old, new, strict=False):
        if a != b:
            break
        start += width_of((a,))
    return start
