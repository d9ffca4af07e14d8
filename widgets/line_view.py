"""The one view of the console: draws a page line by line, with title, cursor and scroll mark, only what changed.

Never knows what a line means, and never holds more than what is on screen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from .glyphs import UNICODE, Glyphs
from .page import Look, Page
from .spans import Spans, fit, inert, spread, width_of
from .theme import DARK, Palette, on

# (action, keys, label, what it does): the moves within a pane; the table of actions shows them too.
MOVES: tuple[tuple[str, str, str, str], ...] = (
    ("line_up", "up,k", "up", "one line up"),
    ("line_down", "down,j", "down", "one line down"),
    ("page_up", "pageup,ctrl+b", "page up", "one page up"),
    ("page_down", "pagedown,ctrl+f", "page down", "one page down"),
    ("to_start", "home,g", "start", "to the first line"),
    ("to_end", "end,G", "end", "to the last line; where new lines come in, follow them"),
    ("inwards", "right,l", "open", "open the line, or scroll to the right"),
    ("outwards", "left,h", "close", "close the line or go to the one above it, or scroll to the left"),
    ("choose", "enter", "choose", "open what is under the cursor"),
    ("open_close", "space", "open/close", "open or close the line"),
)


BREATH = 0.001  # seconds between two slices of a page's work


def _same_ground(one: Style, other: Style) -> bool:
    """Whether a blank looks the same in both styles."""
    drawn = one.underline or one.reverse or one.strike or other.underline or other.reverse or other.strike
    return not drawn and one.bgcolor == other.bgcolor and one.link == other.link


@dataclass(frozen=True, slots=True)
class Frame:
    """How a view is joined to its neighbours: a line on its left, and the corner and crossings of its top line."""

    side: bool = False
    corner: str = ""
    crossings: tuple[tuple[int, str], ...] = ()


class LineView(Widget, can_focus=True):
    """Shows one page at a time. The title line is its first line; it is drawn even where the page is empty."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "LineView { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(keys, action, label, show=False, id=f"move.{action}") for action, keys, label, _ in MOVES
    ]

    class Chosen(Message):
        """Enter, or a click on the line under the cursor."""

        def __init__(self, view: LineView, page: Page, key: str) -> None:
            super().__init__()
            self.view, self.page, self.key = view, page, key

    class Moved(Message):
        """The cursor rests on another line."""

        def __init__(self, view: LineView, page: Page, key: str) -> None:
            super().__init__()
            self.view, self.page, self.key = view, page, key

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineView.Moved) and message.view is self.view

    class Toggled(Message):
        """A line was opened or closed; `opened` where something may have to be loaded."""

        def __init__(self, view: LineView, page: Page, key: str, opened: bool) -> None:
            super().__init__()
            self.view, self.page, self.key, self.opened = view, page, key, opened

    class TitlePressed(Message):
        """A click on the title line; `x` in cells from the start of the title."""

        def __init__(self, view: LineView, x: int) -> None:
            super().__init__()
            self.view, self.x = view, x

    def __init__(self, page: Page, *, glyphs: Glyphs = UNICODE, title_line: bool = True, id: str | None = None) -> None:
        self._drawn: dict[int, Strip] = {}  # rows as they are on screen
        self._fresh: dict[int, Strip] = {}  # rows that are about to be
        super().__init__(id=id)
        self.page = page
        self.glyphs = glyphs
        self.number = ""
        self.title_line = title_line
        self.lit = False  # whether the cursor is drawn as in use though the keys go elsewhere, to a field above it
        self.frame = Frame()
        self.palette: Palette = DARK
        self.now_ms = int(time.time() * 1000)
        self._pinned: list[Spans] = []
        self._empty: list[Spans] | None = None
        # What the cursor is on before anybody has moved it is no news.
        self._last_key = page.home()
        self._laid_out: tuple[Page, Size] | None = None
        self._going_on = False

    # --- what the app tells ------------------------------------------------------------------------------------------

    def show(self, page: Page) -> None:
        """Show another page; it keeps its own cursor and scroll."""
        if page is not self.page:
            self.page = page
            page.touch()
        self.sync()

    def set_palette(self, palette: Palette) -> None:
        """Draw with these colours from now on."""
        if palette != self.palette:
            self.palette = palette
            self.refresh()

    def set_frame(self, frame: Frame, number: str) -> None:
        """Join to the neighbours, and show `number` as the key that leads here."""
        if (frame, number) != (self.frame, self.number):
            self.frame, self.number = frame, number
            self.page.touch()
            self.sync()

    def tick(self, now_ms: int) -> None:
        """Time has passed: redraw the lines that show it, and no others."""
        self.now_ms = now_ms
        self._fresh = {}
        if not self.is_attached or not self.size.height:
            return
        first, last = self.page.top, min(self.page.count, self.page.top + self.body_height)
        whole, lines, (start, width) = self.page.tick(now_ms, first, last, self.body_width)
        if whole:
            self.sync()
        for index in lines:
            y = index - self.page.top
            self.refresh(Region(self._margin + 1 + start, y + self._head_height, width or self.body_width, 1))

    def sync(self) -> None:
        """Draw what the page says has changed since the last time."""
        page = self.page
        self._fresh = {}
        if not self.size.width or not self.size.height:
            return
        page.fit(self.body_width)
        self._laid_out = (page, self.size)
        pinned_before = len(self._pinned)
        everything, head, lines = page.take_changes()
        if everything or head:
            self._pinned = page.pinned(self.body_width, self._look())
        height = self.body_height
        page.settle(height)
        again, head_again, more = page.take_changes()
        everything, head, lines = everything or again, head or head_again, lines | more
        if everything or pinned_before != len(self._pinned):
            self._empty = None
            self._refresh_what_differs()
        else:
            if head:
                self.refresh(Region(0, 0, self.size.width, self._head_height))
            for index in lines:
                self._refresh_line(index)
        key = page.home()
        if key != self._last_key:
            self._last_key = key
            self.post_message(self.Moved(self, page, key))
        if page.unfinished and not self._going_on:
            self._going_on = True
            # By a timer: one message after the other would not let anything else have its turn.
            self.set_timer(BREATH, self._go_on)

    def _go_on(self) -> None:
        """Let the page do a slice of its work and show what came of it; keys have their turn in between."""
        self._going_on = False
        if self.is_attached and self.page.unfinished:
            self.page.go_on()
            self.sync()

    # --- geometry ----------------------------------------------------------------------------------------------------

    @property
    def _head_height(self) -> int:
        return len(self._pinned) + (1 if self.title_line else 0)

    @property
    def body_height(self) -> int:
        """Lines of the page on screen."""
        return max(0, self.size.height - self._head_height)

    @property
    def _margin(self) -> int:
        return 1 if self.frame.side else 0

    @property
    def body_width(self) -> int:
        """Cells for a line of the page: without frame, cursor mark and scroll mark."""
        return max(1, self.size.width - self._margin - 2)

    def _refresh_what_differs(self) -> None:
        """Everything may have changed, and seldom has: a slow line carries the rows that look different."""
        fresh = {y: self._draw(y) for y in range(self.size.height)}
        differ = [y for y, strip in fresh.items() if self._drawn.get(y) != strip]
        if differ:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in differ))
        self._fresh = fresh

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> LineView:
        if not regions:
            self._fresh = {}  # focus, size or colours are other ones
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self

    def _refresh_line(self, index: int) -> None:
        y = index - self.page.top
        if 0 <= y < self.body_height:
            self.refresh(Region(0, y + self._head_height, self.size.width, 1))

    # --- drawing -----------------------------------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        # The first drawing may come before the first Resize: then the page has not been laid out yet.
        if self._laid_out != (self.page, self.size):
            self._lay_out()
        return super().render_lines(crop)

    def _lay_out(self) -> None:
        self._laid_out = (self.page, self.size)
        self.page.fit(self.body_width)
        self._pinned = self.page.pinned(self.body_width, self._look())
        self._empty = None
        self.page.settle(self.body_height)
        # All of it is about to be drawn, so nothing of it is left to be drawn again.
        self.page.take_changes()

    def _look(self) -> Look:
        return Look(self.glyphs, self.now_ms, self.has_focus or self.lit, self.palette.mono)

    def render_line(self, y: int) -> Strip:
        strip = self._fresh.pop(y, None) or self._draw(y)
        self._drawn[y] = strip
        return strip

    def _draw(self, y: int) -> Strip:
        width = self.size.width
        if self.title_line and y == 0:
            return self._strip(self._title(), width)
        side: Spans = ((self.glyphs.side, "rule"),) if self.frame.side else ()
        y -= 1 if self.title_line else 0
        if y < len(self._pinned):
            return self._strip((*side, (" ", ""), *fit(self._pinned[y], self.body_width)), width)
        page, row = self.page, y - len(self._pinned)
        index = page.top + row
        mark: Spans = ((self._scroll_mark(row), "faint"),)
        if index >= page.count:
            if page.count == 0:
                if self._empty is None:
                    self._empty = page.empty(self.body_width)
                line = self._empty[row] if row < len(self._empty) else ()
                return self._strip((*side, (" ", ""), *line), width)
            return self._strip((*side, (" " * (width - self._margin - 1), ""), *mark), width)
        here = index == page.cursor and page.selectable(index)
        tint = page.tint(index)
        in_use = self.has_focus or self.lit
        if here:
            tint = "select" if in_use else "select_faint" if page.keeps_cursor else tint
        gutter = (self.glyphs.mark if here and in_use else " ", "accent")
        line = fit(page.line(index, self.body_width, self._look()), self.body_width, skip=page.left)
        gap = self.body_width - width_of(line)
        body: Spans = (gutter, *line, (" " * gap, ""))
        return self._strip((*side, *body, *mark), width, tint, len(side), len(side) + len(body))

    def _strip(self, line: Spans, width: int, tint: str = "", first: int = 0, last: int = 0) -> Strip:
        styles = self.palette.styles()
        # Neighbours in the same style become one segment: fewer escape codes on a slow line.
        texts: list[str] = []
        looks: list[Style] = []
        for number, (text, role) in enumerate(line):
            if not text:
                continue
            if not text.isprintable():
                text = inert(text)
            style = styles[on(role, tint) if tint and first <= number < last else role]
            if looks and (looks[-1] is style or (text.isspace() and _same_ground(looks[-1], style))):
                texts[-1] += text
            else:
                texts.append(text)
                looks.append(style)
        segments = [Segment(text, style) for text, style in zip(texts, looks, strict=True)]
        used = sum(segment.cell_length for segment in segments)
        if used < width:
            segments.append(Segment(" " * (width - used), styles[""]))
            used = width
        strip = Strip(segments, used)
        return strip if used == width else strip.crop(0, width)

    def _title(self) -> Spans:
        glyphs, page = self.glyphs, self.page
        start: list[tuple[str, str]] = [(self.frame.corner or glyphs.rule, "rule")]
        if self.number:
            start += [(f" {self.number}", "accent+b" if self.has_focus else "faint")]
        start += [(" ", "rule")]
        start += page.title
        start.append((" ", "rule"))
        aside = page.head_aside()
        right: Spans = ((" ", "rule"), *aside, (" ", "rule"), (glyphs.rule, "rule")) if aside else ()
        line = spread(tuple(start), right, self.size.width, fill=(glyphs.rule, "rule"))
        return _crossed(line, self.frame.crossings, glyphs.rule)

    def _scroll_mark(self, row: int) -> str:
        height, count = self.body_height, self.page.count
        if count <= height or height < 2:
            return " "
        size = max(1, height * height // count)
        start = round(self.page.top * (height - size) / (count - height))
        return self.glyphs.thumb if start <= row < start + size else " "

    # --- keys and mouse ----------------------------------------------------------------------------------------------

    def action_line_up(self) -> None:
        self._move(-1)

    def action_line_down(self) -> None:
        self._move(1)

    def action_page_up(self) -> None:
        self._move(-max(1, self.body_height - 1))

    def action_page_down(self) -> None:
        self._move(max(1, self.body_height - 1))

    def action_to_start(self) -> None:
        self.page.set_follow(False)
        self.page.scroll_to(0, self.body_height)
        self.page.move_to(0, self.body_height)
        self.sync()

    def action_to_end(self) -> None:
        self.page.move_to(self.page.count - 1, self.body_height, down=False)
        self.page.scroll_to(self.page.count, self.body_height)
        self.sync()

    def action_inwards(self) -> None:
        if self.page.sideways:
            self.page.sideways_by(8)
            self.sync()
        elif not self._toggle(opened=True):
            self._move(1)

    def action_outwards(self) -> None:
        if self.page.sideways:
            self.page.sideways_by(-8)
            self.sync()
        else:
            self._toggle(opened=False)

    def action_open_close(self) -> None:
        if not self._toggle():
            self.action_choose()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self, self.page, self.page.home()))

    def _move(self, delta: int) -> None:
        self.page.move(delta, self.body_height)
        self.sync()

    def _toggle(self, *, opened: bool | None = None) -> bool:
        key = self.page.home()
        before = self.page.cursor
        if not self.page.toggle(self.page.cursor, opened=opened):
            return False
        now_open = self.page.cursor == before and self.page.home() == key and opened is not False
        self.page.reveal(self.body_height)
        self.sync()
        self.post_message(self.Toggled(self, self.page, key, now_open))
        return True

    def on_resize(self) -> None:
        if self._laid_out != (self.page, self.size):
            self._lay_out()
        if self.page.keeps_cursor:
            self.page.reveal(self.body_height)
        self.sync()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.page.scroll_to(self.page.top + 3, self.body_height)
        self.sync()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.page.scroll_to(self.page.top - 3, self.body_height)
        self.sync()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if self.title_line and event.y == 0:
            # Corner, blank, number, blank stand before the title's own text.
            self.post_message(self.TitlePressed(self, event.x - 2 - (1 + len(self.number) if self.number else 0)))
            return
        index = self.page.top + event.y - self._head_height
        if event.y < self._head_height or index >= self.page.count or not self.page.selectable(index):
            return
        if event.x == self.size.width - 1 and self.page.count > self.body_height:
            self.page.scroll_to(
                round((event.y - self._head_height) * self.page.count / self.body_height), self.body_height
            )
            self.sync()
            return
        again = index == self.page.cursor
        self.page.move_to(index, self.body_height)
        self.sync()
        if again and not self._toggle():
            self.action_choose()


def _crossed(line: Spans, crossings: tuple[tuple[int, str], ...], rule: str) -> Spans:
    """`line` with its rule replaced by a crossing at the given cells, where the rule is what stands there."""
    for at, sign in crossings:
        changed: list[tuple[str, str]] = []
        start = 0
        for text, role in line:
            offset = at - start
            if role == "rule" and 0 <= offset < len(text) and text[offset] == rule:
                text = text[:offset] + sign + text[offset + 1 :]
            changed.append((text, role))
            start += len(text) if text.isascii() or set(text) == {rule} else width_of(((text, role),))
        line = tuple(changed)
    return line
