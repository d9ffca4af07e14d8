"""A page: what a pane shows, line by line, with its cursor, scroll and search. Plain Python; the view draws it.

Never touches a terminal and never does I/O; everything it needs to know is handed to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from .glyphs import UNICODE, Glyphs
from .spans import Spans, wrap


@dataclass(frozen=True, slots=True)
class Look:
    """What drawing depends on besides the data: signs, the time (epoch ms), focus, and whether colours tell apart."""

    glyphs: Glyphs = UNICODE
    now_ms: int = 0
    focused: bool = True
    mono: bool = False


# (whether all has to be looked at again, lines, (first cell, cells) of each of them; 0 cells is the whole line)
Tick = tuple[bool, tuple[int, ...], tuple[int, int]]
NO_TICK: Tick = (False, (), (0, 0))


class Page:
    """Base of all pages. `cursor` is a line, -1 where the page only scrolls; `top` the first line on screen."""

    sideways = False  # whether left and right scroll (else they open and close)
    keeps_cursor = False  # whether the cursor is on show while another pane is in use

    def __init__(self, title: Spans = (), *, cursor: bool = False) -> None:
        self.title: Spans = title
        self.aside: Spans = ()
        self.cursor = 0 if cursor else -1
        self.top = 0
        self.left = 0
        self.follow = False
        self._all_changed = True
        self._changed: set[int] = set()
        self._head_changed = True

    # --- what a page is made of -------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many lines there are, once `fit` was told the width."""
        return 0

    def fit(self, width: int) -> None:
        """Lay out for lines of `width` cells; called before drawing whenever the width may have changed."""

    def line(self, index: int, width: int, look: Look) -> Spans:
        """Line `index`, at most `width` cells; longer ones are cut."""
        return ()

    def tint(self, index: int) -> str:
        """The role of the background of line `index`; empty for none."""
        return ""

    def pinned(self, width: int, look: Look) -> list[Spans]:
        """Lines that stand above the scrolling ones."""
        return []

    def empty(self, width: int) -> list[Spans]:
        """What is shown where there is no line."""
        return []

    def key(self, index: int) -> str:
        """What line `index` stands for; empty where it stands for nothing."""
        return ""

    def selectable(self, index: int) -> bool:
        """Whether the cursor may rest on line `index`."""
        return True

    def tick(self, now_ms: int, first: int, last: int, width: int) -> Tick:
        """What changes among the lines `first`..`last` (exclusive) by the passing of time alone."""
        return NO_TICK

    def toggle(self, index: int, *, opened: bool | None = None) -> bool:
        """Open or close line `index`; True where that was possible."""
        return False

    def home(self) -> str:
        """The key under the cursor."""
        return self.key(self.cursor) if 0 <= self.cursor < self.count else ""

    @property
    def unfinished(self) -> bool:
        """Whether `go_on` has something left to do."""
        return False

    def go_on(self) -> None:
        """Do a slice of what a change left to do, in a few milliseconds."""

    # --- changes, for the view --------------------------------------------------------------------------------------

    def touch(self, lines: Iterable[int] | None = None) -> None:
        """Say that these lines look different now; None says all, and their number may differ."""
        if lines is None:
            self._all_changed = True
        else:
            self._changed.update(lines)

    def touch_head(self) -> None:
        """Say that the title or the pinned lines look different."""
        self._head_changed = True

    def set_head(self, title: Spans, aside: Spans = ()) -> None:
        """Set the title and what stands at its right end; nothing is redrawn where both are the same."""
        if (title, aside) != (self.title, self.aside):
            self.title, self.aside = title, aside
            self._head_changed = True

    def take_changes(self) -> tuple[bool, bool, set[int]]:
        """(all lines, head, single lines) that changed since the last call."""
        taken = (self._all_changed, self._head_changed, self._changed)
        self._all_changed, self._head_changed, self._changed = False, False, set()
        return taken

    # --- cursor and scroll ------------------------------------------------------------------------------------------

    def move_to(self, index: int, height: int, *, down: bool = True) -> None:
        """Put the cursor on the nearest line that takes it, seen from `index`, and bring it on screen."""
        count = self.count
        if self.cursor < 0 or count == 0:
            return
        index = min(max(index, 0), count - 1)
        for candidate in chain(
            range(index, count) if down else range(index, -1, -1),
            range(index, -1, -1) if down else range(index, count),
        ):
            if self.selectable(candidate):
                index = candidate
                break
        else:
            self.scroll_to(index, height)
            return
        if index != self.cursor:
            self.touch((self.cursor, index))
            self.cursor = index
        self.reveal(height)

    def move(self, delta: int, height: int) -> None:
        """Move the cursor by `delta` lines, or scroll where there is no cursor or nothing to rest on."""
        if self.cursor < 0 or not any(self.selectable(i) for i in self._near(delta)):
            self.scroll_to(self.top + delta, height)
        else:
            self.move_to(self.cursor + delta, height, down=delta > 0)

    def _near(self, delta: int) -> range:
        return range(self.cursor + 1, self.count) if delta > 0 else range(self.cursor - 1, -1, -1)

    def reveal(self, height: int) -> None:
        """Scroll as little as needed for the cursor to be on screen."""
        if self.cursor < 0 or height <= 0:
            return
        if self.cursor < self.top:
            self.scroll_to(self.cursor if self.cursor > 1 else 0, height)
        elif self.cursor >= self.top + height:
            self.scroll_to(self.cursor - height + 1, height)

    def scroll_to(self, top: int, height: int) -> None:
        """Make `top` the first line on screen, within bounds. At its end a page that can follow goes on following."""
        top = min(max(top, 0), max(0, self.count - height))
        if top != self.top:
            self.top = top
            self._all_changed = True
        if self.can_follow:
            self.set_follow(self.top >= self.count - height)

    can_follow = False

    def head_aside(self) -> Spans:
        """What stands at the right end of the title."""
        if self.can_follow and self.count and not self.aside:
            return (("following" if self.follow else "end follows", "faint"),)
        return self.aside

    def set_follow(self, follow: bool) -> None:
        """Whether new lines are scrolled to."""
        if self.can_follow and follow != self.follow:
            self.follow = follow
            self._head_changed = True

    def settle(self, height: int) -> None:
        """After the number of lines or the height changed: keep cursor and scroll within bounds, or at the end."""
        count = self.count
        top = max(0, count - height) if self.follow else min(self.top, max(0, count - height))
        if top != self.top:
            self.top = top
            self._all_changed = True
        if self.cursor >= count > 0:
            self.cursor = count - 1
        if self.cursor >= 0 and count and not self.selectable(self.cursor):
            # Not brought on screen: what stands above the first line to rest on is to be read first.
            lines = (*range(self.cursor, count), *range(self.cursor, -1, -1))
            self.cursor = next((line for line in lines if self.selectable(line)), self.cursor)

    def sideways_by(self, delta: int) -> None:
        """Scroll `delta` cells to the right."""
        left = max(0, self.left + delta)
        if left != self.left:
            self.left = left
            self._all_changed = True


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a text page. Wrapped parts are indented by `indent` cells, and a table's row is not wrapped; the
    cursor may rest on one with a key."""

    spans: Spans = ()
    key: str = ""
    indent: int = 0
    tint: str = ""
    wraps: bool = True


class TextPage(Page):
    """Lines of styled text, wrapped to the width or scrolled sideways."""

    def __init__(self, title: Spans = (), *, cursor: bool = False, wraps: bool = True) -> None:
        super().__init__(title, cursor=cursor)
        self.wraps = wraps
        self.sideways = not wraps
        self._source: tuple[TextLine, ...] = ()
        self._lines: list[tuple[TextLine, Spans, bool]] = []
        self._fitted = -1
        self._held = ""
        self._empty: tuple[Spans, ...] = ()

    def set_lines(self, lines: Iterable[TextLine | Spans], *, empty: Iterable[Spans] = ()) -> None:
        """Show `lines`; keeps the place by line number, and the cursor by key. Nothing is redrawn where all is same."""
        source = tuple(line if isinstance(line, TextLine) else TextLine(line) for line in lines)
        nothing = tuple(empty)
        if source == self._source and nothing == self._empty:
            return
        if self._fitted >= 0:
            self._held = self.home()
        self._source, self._empty = source, nothing
        self._fitted = -1
        self.touch()

    @property
    def source(self) -> tuple[TextLine, ...]:
        """The lines as they were given."""
        return self._source

    @property
    def count(self) -> int:
        return len(self._lines)

    def fit(self, width: int) -> None:
        if width == self._fitted:
            return
        held = self.home() if self._fitted >= 0 else self._held
        self._held = ""
        self._fitted = width
        self._lines = []
        for line in self._source:
            parts = wrap(line.spans, width, indent=line.indent) if self.wraps and line.wraps else [line.spans]
            self._lines.extend((line, part, number == 0) for number, part in enumerate(parts))
        if held:
            self.cursor = next((i for i, (line, _, first) in enumerate(self._lines) if first and line.key == held), 0)

    def line(self, index: int, width: int, look: Look) -> Spans:
        return self._lines[index][1]

    def tint(self, index: int) -> str:
        return self._lines[index][0].tint

    def key(self, index: int) -> str:
        return self._lines[index][0].key

    def selectable(self, index: int) -> bool:
        line, _, first = self._lines[index]
        return bool(line.key) and first

    def empty(self, width: int) -> list[Spans]:
        return [part for line in self._empty for part in wrap(line, width)]

    def move(self, delta: int, height: int) -> None:
        """To the next line to rest on where that is on screen; else scroll, as one reads."""
        if self.cursor < 0:
            self.scroll_to(self.top + delta, height)
            return
        if self.top <= self.cursor < self.top + height:
            order = self._near(delta)
        else:
            order = range(self.top, self.top + height) if delta > 0 else range(self.top + height - 1, self.top - 1, -1)
        after = next((line for line in order if 0 <= line < self.count and self.selectable(line)), -1)
        if abs(delta) == 1 and self.top <= after < self.top + height:
            self.touch((self.cursor, after))
            self.cursor = after
            return
        self.scroll_to(self.top + delta, height)
        if not self.top <= self.cursor < self.top + height:
            shown = range(self.top, min(self.top + height, self.count))
            order = shown if delta > 0 else shown[::-1]
            self.cursor = next((line for line in order if self.selectable(line)), self.cursor)
        if abs(delta) > 1 and after >= 0 and self.top <= after < self.top + height:
            self.touch((self.cursor, after))
            self.cursor = after

    def go_to(self, key: str, height: int) -> None:
        """Put the cursor on the line of `key`."""
        for index, (line, _, first) in enumerate(self._lines):
            if first and line.key == key:
                self.move_to(index, height)
                return
