"""The lines around the panes: header with where and who, the strip of the loop, status, and the keys at the foot.

Never decides what is shown; each is told a line for the width it has.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from .spans import Spans, fit, inert, width_of
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
        self._made_for = -1
        self.palette: Palette = DARK

    def set_palette(self, palette: Palette) -> None:
        if palette != self.palette:
            self.palette = palette
            self.refresh()

    def sync(self) -> None:
        """Ask for the lines again; redraw those that differ."""
        if not self.size.width:
            return
        before = self._lines
        self._make()
        lines = self._lines
        if len(before) != len(lines):
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                start, end = _difference(old, new, self.size.width)
                self.refresh(Region(start, y, end - start, 1))

    def render_lines(self, crop: Region) -> list[Strip]:
        # The first drawing may come before anybody asked for the lines of this width.
        if self._made_for != self.size.width:
            self._make()
        return super().render_lines(crop)

    def _make(self) -> None:
        self._made_for = self.size.width
        self._lines = self._maker(self.size.width)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Pressed(self, event.x, event.y))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        line = self._lines[y] if y < len(self._lines) else ()
        styles = self.palette.styles()
        line = fit(tuple((inert(text), role) for text, role in line), width)
        segments = [Segment(text, styles[role]) for text, role in line if text]
        used = width_of(line)
        if used < width:
            segments.append(
                Segment(" " * (width - used), styles[line[-1][1] if line and "+on." in line[-1][1] else ""])
            )
        return Strip(segments, max(used, width))


def _difference(old: Spans, new: Spans, width: int) -> tuple[int, int]:
    """The cells, from and to, outside of which two lines look the same."""
    start = 0
    for (a, a_role), (b, b_role) in zip(old, new, strict=False):
        if (a, a_role) != (b, b_role):
            if a_role == b_role and a.isascii() and b.isascii():
                start += next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            break
        start += width_of(((a, a_role),))
    if width_of(old) != width_of(new):
        return start, width
    end = width_of(new)
    for (a, a_role), (b, b_role) in zip(reversed(old), reversed(new), strict=False):
        if (a, a_role) != (b, b_role):
            if a_role == b_role and a.isascii() and b.isascii():
                pairs = zip(reversed(a), reversed(b), strict=False)
                end -= next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
            break
        end -= width_of(((a, a_role),))
    return min(start, width - 1), min(max(end, start + 1), width)
