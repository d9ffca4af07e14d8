"""The event stream of an update: filters, following, events over time by level, and the detail of one event.

Never copies an event, and never works longer than a moment: of a million events it looks first at those on screen.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..core.event_filter import Sieve, Wanted
from ..core.event_json import raw_of
from ..core.event_log import RARE, EventLog, EventView
from ..core.pipelines import PipelineEvent, PipelineException
from ..core.search import pattern_of
from .event_times import histogram
from .glyphs import Glyphs
from .page import Look, Page, TextLine
from .spans import Span, Spans, pad, paragraphs, span
from .words import iso_clock, percent, plural, short_count

__all__ = ["LEVELS", "EventsPage", "event_lines", "histogram", "pattern_of"]

LEVELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("all", frozenset()),
    ("no metrics", frozenset({"METRICS", "DEBUG"})),
    ("warnings and errors", frozenset({"METRICS", "DEBUG", "INFO"})),
    ("errors", frozenset({"METRICS", "DEBUG", "INFO", "WARN"})),
)
_LOOKS = {"ERROR": ("failed", "error"), "WARN": ("partly", "warn"), "INFO": ("quiet", "muted")}
SLICE = 0.006  # seconds of work at a time; what is left goes on after the next key
TELL_EVERY = 0.2  # seconds between two words of how far a search has come
SHOWN_AT_ONCE = 200  # more lines than any screen has


class EventsPage(Page):
    """Events, oldest first. `show` takes a longer list, or a newer snapshot; only what is new is looked at."""

    can_follow = True

    def __init__(self) -> None:
        super().__init__((("Events", ""),), cursor=True)
        self.follow = True
        self.level = 1
        self.text = ""
        self._given: Sequence[PipelineEvent] = ()
        self._own = EventLog()  # of events that came as a plain list
        self._view = self._own.snapshot()
        self._target = -1  # the row that the cursor is to stay on, or to come near to; -1 for none
        self._picture: tuple[int, int, Spans] = (-1, 0, ())
        self._sieve = self._new_sieve(0)
        self._told = 0.0  # when the head last said how far the search has come

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show(self, events: Sequence[PipelineEvent]) -> None:
        """Show `events`. Where they go on from those of the last call, the place is kept."""
        if events is self._given:
            return
        before, self._view = self._view, self._view_of(events)
        if self._view.log is not before.log or len(self._view) < len(before):
            self._target = -1
            self.cursor, self.top = 0, 0
            self._restart()
            return
        known = self.count
        self._sieve.follow(self._view)
        self._look_on()
        if self.follow or known - self.top < SHOWN_AT_ONCE:
            self.touch()
        self.touch_head()

    def _view_of(self, events: Sequence[PipelineEvent]) -> EventView:
        before, self._given = self._given, events
        if isinstance(events, EventView):
            return events
        known = len(before)
        goes_on = not isinstance(before, EventView) and known <= len(events)
        if not goes_on or (known and (events[0] != before[0] or events[known - 1] != before[-1])):
            self._own, known = EventLog(), 0
        # A list is in order as it is, also where times are the same.
        self._own.add(
            {**raw_of(events[number]), "sequence": {"control_plane_seq_no": number}}
            for number in range(known, len(events))
        )
        return self._own.snapshot()

    def set_level(self, level: int) -> None:
        """Which levels are shown: an index of LEVELS."""
        self.level = level % len(LEVELS)
        self._restart()

    def set_text(self, text: str) -> None:
        """Show only events in whose type, flow, dataset, message or exceptions it is found: /regex/, else as it stands.

        `type:`, `flow:` or `level:` before a name at its start choose by those.
        """
        self.text = text
        self._restart()

    @property
    def wanted(self) -> Wanted:
        """What passes the filter."""
        return Wanted(hidden=LEVELS[self.level][1]).with_text(self.text)

    @property
    def events(self) -> EventView:
        """All events, whether they pass or not."""
        return self._view

    @property
    def count(self) -> int:
        return len(self._sieve)

    def row(self, index: int) -> int:
        """The row in the log of line `index`."""
        return self._sieve.rows[index]

    def event(self) -> PipelineEvent | None:
        """The event under the cursor."""
        return self._view.log.event(self.row(self.cursor)) if 0 <= self.cursor < self.count else None

    def key(self, index: int) -> str:
        return self._view.log.id(self.row(index))

    def names(self) -> tuple[Counter[str], Counter[str]]:
        """How many events there are of each type, and of each flow or dataset."""
        types: Counter[str] = Counter()
        flows: Counter[str] = Counter()
        for kind, number in zip(self._view.log.kinds, self._view.log.counts, strict=True):
            types[kind.event_type] += number
            flows[kind.flow or kind.dataset] += number
        del flows[""], types[""]
        return types, flows

    # --- looking for what passes, a slice at a time ------------------------------------------------------------------

    def _new_sieve(self, at: int) -> Sieve:
        return Sieve(self._view, self.wanted, at)

    def _restart(self) -> None:
        """Filter anew, from the place on: first a screen of it, the rest in slices."""
        rows, log = self._view.rows, self._view.log
        at = len(self._view)
        if self._target >= 0 and not self.follow:
            at = bisect_left(rows, log.key(self._target), hi=len(self._view), key=log.key)
        self._sieve = self._new_sieve(at)
        self._picture = (-1, 0, ())
        self._look_on()
        self.touch()

    @property
    def unfinished(self) -> bool:
        return not self._sieve.finished

    def go_on(self) -> None:
        seen = self.count - self.top
        self._look_on()
        now = time.perf_counter()
        # What is found far off changes nothing on screen but the numbers, and those can wait a little.
        if seen < SHOWN_AT_ONCE or not self.unfinished:
            self.touch()
        elif now < self._told + TELL_EVERY:
            return
        self._told = now
        self.touch_head()

    def _look_on(self) -> None:
        """Work for a moment. What is found above moves the place down with it."""
        offset, moved, empty = self.cursor - self.top, 0, not self.count
        end = time.perf_counter() + SLICE
        while not self._sieve.finished:
            moved += self._sieve.step()
            if time.perf_counter() >= end:
                break
        if not self.count or self.follow:
            self.cursor, self.top = (self.cursor + moved, self.top + moved) if not empty else (self.cursor, self.top)
        elif self._target >= 0:
            self.cursor = min(self._sieve.position(self._target), self.count - 1)
            self.top = max(0, self.cursor - offset)

    # --- the place ---------------------------------------------------------------------------------------------------

    def settle(self, height: int) -> None:
        if self.follow and self.count and self.cursor != self.count - 1:
            self.cursor = self.count - 1
        elif not self.count:
            self.cursor = 0
        super().settle(height)

    def move_to(self, index: int, height: int, *, down: bool = True) -> None:
        # Every line takes the cursor, so none has to be looked for among a million.
        if not self.count:
            return
        index = min(max(index, 0), self.count - 1)
        if index != self.cursor:
            self.touch((self.cursor, index))
            self.cursor = index
        self._target = self.row(index)
        self.reveal(height)
        self.set_follow(self.cursor >= self.count - 1)

    def set_follow(self, follow: bool) -> None:
        if not follow and self.follow and 0 <= self.cursor < self.count:
            self._target = self.row(self.cursor)
        super().set_follow(follow)

    def next_problem(self, height: int, *, back: bool = False) -> bool:
        """Go to the next error or warning among what is shown; False where there is none."""
        log, rows, here = self._view.log, self._sieve.rows, self.cursor
        found: list[int] = []
        for level in RARE:
            rare = log.of_level(level)
            key = log.key(self.row(here)) if 0 <= here < self.count else (0, 0, "")
            at = bisect_left(rare.rows, key, hi=len(rare), key=log.key)
            for place in range(at - 1, -1, -1) if back else range(at, len(rare)):
                line = self._sieve.position(rare.rows[place])
                if line < self.count and rows[line] == rare.rows[place] and line != here:
                    found.append(line)
                    break
        if not found:
            return False
        self.set_follow(False)
        self.move_to(max(found) if back else min(found), height)
        return True

    def go_to_time(self, at: int, height: int) -> None:
        """Go to the first event shown that is of epoch microsecond `at` or later."""
        log = self._view.log
        place = bisect_left(self._view.rows, at, hi=len(self._view), key=log.time)
        if not self._view:
            return
        self.set_follow(False)
        self._target = self._view.rows[min(place, len(self._view) - 1)]
        if self.unfinished:
            self._restart()
        self.move_to(self._sieve.position(self._target), height)

    # --- drawing -----------------------------------------------------------------------------------------------------

    def pinned(self, width: int, look: Look) -> list[Spans]:
        if not self._view:
            return []
        dot, levels = f" {look.glyphs.dot} ", self._view.log.levels()
        facts: list[Span] = [(plural(len(self._view), "event"), "muted")]
        for level, word, role in (("ERROR", "error", "error"), ("WARN", "warning", "warn")):
            if levels.get(level):
                facts += [(dot, "faint"), (plural(levels[level], word), role)]
        if self.level or self.text:
            what = LEVELS[self.level][0] + (f" with {span(self.text)[0]}" if self.text else "")
            facts.append((f"{dot}showing {short_count(self.count)}: {what}", "muted"))
        if self.unfinished:
            facts.append((f"{dot}looked at {percent(self._sieve.looked_at, len(self._view))}", "accent"))
        room = min(60, width - sum(len(text) for text, _ in facts) - 2)
        if room >= 12:
            facts += [("  ", ""), *self._drawn(room, look.glyphs)]
        return [tuple(facts)]

    def _drawn(self, room: int, glyphs: Glyphs) -> Spans:
        """Events over time; drawn anew only when there are noticeably more of them, or another width."""
        count, wide, spans = self._picture
        if wide != room or not count <= len(self._view) <= count + max(20, count // 50):
            spans = histogram(self._view, room, glyphs)
            self._picture = (len(self._view), room, spans)
        return spans

    def empty(self, width: int) -> list[Spans]:
        if self.unfinished:
            return [(("No event has passed the filter so far.", "muted"),)]
        if self._view:
            return [(("No event passes the filter.", "muted"),)]
        return [(("No events: they come with an update of a pipeline.", "muted"),)]

    def line(self, index: int, width: int, look: Look) -> Spans:
        log, row = self._view.log, self.row(index)
        kind = log.kind(row)
        sign, role = _LOOKS.get(kind.level, ("quiet", "faint"))
        parts: list[Span] = [
            (iso_clock(log.timestamp(row))[:8] + " ", "faint"),
            (str(getattr(look.glyphs, sign)) + " ", role),
            (pad(span(kind.level)[0], 8), role if kind.level in RARE else "faint"),
        ]
        if width >= 100:
            parts.append((pad(span(kind.event_type)[0], 20) + " ", "muted"))
        # What does not fit need not be looked at.
        parts.append(span(log.message(row)[: 4 * width], "" if kind.level != "METRICS" else "muted"))
        return tuple(parts)


# --- one event --------------------------------------------------------------------------------------------------------


def event_lines(event: PipelineEvent, place: str = "") -> list[TextLine]:
    """Everything about one event: what, where in the bundle, then its exceptions, root cause first.

    `place` is `file:line` below the bundle's folder, where that is known better than by the path in the workspace.
    """
    lines = [TextLine(line) for line in paragraphs(event.message)]
    facts = [
        ("level", event.level + (" (fatal)" if event.fatal else "")),
        ("type", event.event_type),
        ("time", event.timestamp),
        ("flow", event.flow),
        ("dataset", event.dataset),
        ("update", event.update_id),
        ("id", event.id),
    ]
    lines.append(TextLine())
    lines += [TextLine(((f"{name:<9}", "muted"), span(value)), indent=9) for name, value in facts if value]
    if event.source_file and not place:
        place = event.source_file + (f":{event.source_line}" if event.source_line else "")
    if place:
        lines.append(TextLine((("source   ", "muted"), span(place, "accent")), key=f"place:{place}", indent=9))
    chain = event.exceptions[::-1]
    for number, error in enumerate(chain):
        lines += [TextLine(), *_exception_lines(error, number, len(chain))]
    details = {name: value for name, value in event.details.items() if value not in (None, "", [], {})}
    if details:
        lines.append(TextLine())
    for name, value in details.items():
        lines += _value_lines(name, value)
    return lines


def _value_lines(name: str, value: Any) -> list[TextLine]:
    if isinstance(value, (dict, list)):
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    if "\n" not in text and len(text) <= 60:
        return [TextLine(((f"{span(name)[0]:<9}", "muted"), (" ", ""), span(text)), indent=10)]
    head = TextLine(((span(name)[0], "muted"),))
    return [head, *(TextLine((("  ", ""), *line), indent=2) for line in paragraphs(text, limit=120))]


def _exception_lines(error: PipelineException, number: int, total: int) -> list[TextLine]:
    label = "root cause" if number == 0 else "led to"
    head: list[Span] = [(f"{label:<11}", "error+b" if number == 0 else "muted"), span(error.class_name)]
    if error.error_class:
        head.append(span(f"  {error.error_class}", "warn"))
    if error.sql_state:
        head.append(span(f"  SQLSTATE {error.sql_state}", "muted"))
    lines = [TextLine(tuple(head), indent=11)]
    lines += [TextLine((("  ", ""), *line), indent=2) for line in paragraphs(error.message, limit=60)]
    for class_name, method, file, line_number in error.stack[:12]:
        where = f"{file}:{line_number}" if line_number else file
        ours = file.endswith((".py", ".sql", ".ipynb"))
        frame: Spans = (("    at ", "faint"), span(f"{class_name}.{method}", "muted"), (" (", "faint"))
        lines.append(
            TextLine((*frame, span(where, "accent" if ours else "faint"), (")", "faint")), f"place:{where}" * ours)
        )
    if len(error.stack) > 12:
        lines.append(TextLine(((f"    {len(error.stack) - 12} more frames", "faint"),)))
    return lines
