"""The event stream of an update: level and text filters, following, a histogram, and the detail of one event.

Never copies an event: it keeps the positions of those that pass the filter, and draws what is on screen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..core.pipelines import PipelineEvent, PipelineException
from .glyphs import Glyphs
from .page import Look, Page, TextLine
from .spans import Span, Spans, pad, paragraphs, span
from .words import iso_clock, iso_ms, plural, short_count

LEVELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("all", frozenset()),
    ("no metrics", frozenset({"METRICS", "DEBUG"})),
    ("warnings and errors", frozenset({"METRICS", "DEBUG", "INFO"})),
    ("errors", frozenset({"METRICS", "DEBUG", "INFO", "WARN"})),
)
_LOOKS = {"ERROR": ("failed", "error"), "WARN": ("partly", "warn"), "INFO": ("quiet", "muted")}


class EventsPage(Page):
    """Events, oldest first. `show` takes the longer list each time; only what is new is looked at."""

    can_follow = True

    def __init__(self) -> None:
        super().__init__((("Events", ""),), cursor=True)
        self.follow = True
        self.level = 1
        self.text = ""
        self._pattern: re.Pattern[str] | None = None
        self._events: Sequence[PipelineEvent] = ()
        self._shown: list[int] = []
        self._counts: dict[str, int] = {}
        self._histogram: tuple[int, int, Spans] = (-1, 0, ())

    def show(self, events: Sequence[PipelineEvent]) -> None:
        """Show `events`. Where they go on from those of the last call, the place is kept."""
        before, self._events = self._events, events
        if events is before:
            return
        known = len(before)
        if known > len(events) or (known and (events[0] is not before[0] or events[known - 1] is not before[-1])):
            self._refill()
            return
        for index in range(known, len(events)):
            self._count(events[index])
            if self._passes(events[index]):
                self._shown.append(index)
        self.touch()

    def set_level(self, level: int) -> None:
        """Which levels are shown: an index of LEVELS."""
        self.level = level % len(LEVELS)
        self._refill()

    def set_text(self, text: str) -> None:
        """Show only events in whose type, flow, dataset or message `text` is found: /regex/, else words as they are."""
        self.text = text
        self._pattern = pattern_of(text)
        self._refill()

    def _refill(self) -> None:
        held = self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else -1
        passes = self._passes
        self._counts = {}
        self._histogram = (-1, 0, ())
        for event in self._events:
            self._count(event)
        self._shown = [index for index, event in enumerate(self._events) if passes(event)]
        if held >= 0:
            self.cursor = next((line for line, index in enumerate(self._shown) if index >= held), 0)
        self.touch()

    def _count(self, event: PipelineEvent) -> None:
        self._counts[event.level] = self._counts.get(event.level, 0) + 1

    def _passes(self, event: PipelineEvent) -> bool:
        if event.level in LEVELS[self.level][1]:
            return False
        pattern = self._pattern
        return pattern is None or any(
            pattern.search(text) for text in (event.message, event.event_type, event.flow, event.dataset) if text
        )

    @property
    def count(self) -> int:
        return len(self._shown)

    def event(self) -> PipelineEvent | None:
        """The event under the cursor."""
        return self._events[self._shown[self.cursor]] if 0 <= self.cursor < len(self._shown) else None

    def key(self, index: int) -> str:
        return self._events[self._shown[index]].id or str(self._shown[index])

    def settle(self, height: int) -> None:
        if self.follow and self.count and self.cursor != self.count - 1:
            self.cursor = self.count - 1
        super().settle(height)

    def move_to(self, index: int, height: int, *, down: bool = True) -> None:
        super().move_to(index, height, down=down)
        self.set_follow(self.cursor >= self.count - 1)

    def pinned(self, width: int, look: Look) -> list[Spans]:
        if not self._events:
            return []
        facts: list[Span] = [(plural(len(self._events), "event"), "muted")]
        for level, role in (("ERROR", "error"), ("WARN", "warn")):
            if self._counts.get(level):
                word = {"ERROR": "error", "WARN": "warning"}[level]
                facts += [(f" {look.glyphs.dot} ", "faint"), (plural(self._counts[level], word), role)]
        shown = LEVELS[self.level][0]
        if self.level or self.text:
            what = shown + (f" with {span(self.text)[0]}" if self.text else "")
            facts += [(f" {look.glyphs.dot} showing {short_count(self.count)}: {what}", "muted")]
        used = sum(len(text) for text, _ in facts)
        room = min(60, width - used - 2)
        if room >= 12:
            facts += [("  ", ""), *self._picture(room, look.glyphs)]
        return [tuple(facts)]

    def _picture(self, room: int, glyphs: Glyphs) -> Spans:
        """The histogram; made anew only when there are noticeably more events, or another width."""
        count, wide, spans = self._histogram
        if wide != room or not count <= len(self._events) <= count + max(20, count // 50):
            spans = histogram(self._events, room, glyphs)
            self._histogram = (len(self._events), room, spans)
        return spans

    def empty(self, width: int) -> list[Spans]:
        if self._events:
            return [(("No event passes the filter.", "muted"),)]
        return [(("No events: they come with an update of a pipeline.", "muted"),)]

    def line(self, index: int, width: int, look: Look) -> Spans:
        event = self._events[self._shown[index]]
        sign, role = _LOOKS.get(event.level, ("quiet", "faint"))
        parts: list[Span] = [
            (iso_clock(event.timestamp)[:8] + " ", "faint"),
            (str(getattr(look.glyphs, sign)) + " ", role),
            (pad(span(event.level)[0], 8), role if event.level in ("ERROR", "WARN") else "faint"),
        ]
        if width >= 100:
            parts.append((pad(span(event.event_type)[0], 20) + " ", "muted"))
        parts.append(span(event.message, "" if event.level != "METRICS" else "muted"))
        return tuple(parts)


def pattern_of(text: str) -> re.Pattern[str] | None:
    """What to search for: `/regex/`, else the text itself; case counts only where the text has capitals."""
    if not text:
        return None
    flags = re.IGNORECASE if text == text.lower() else re.NOFLAG
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            return re.compile(text[1:-1], flags)
        except re.error:
            pass
    return re.compile(re.escape(text), flags)


def histogram(events: Sequence[PipelineEvent], width: int, glyphs: Glyphs) -> Spans:
    """Events over time in `width` cells: height is how many, colour the worst level among them."""
    if len(events) < 2:
        return ()
    first, last = iso_ms(events[0].timestamp), iso_ms(events[-1].timestamp)
    if last <= first:
        return ()
    # A few thousand are enough for a picture; the errors among the others are looked at one by one.
    step = max(1, len(events) // 5_000)
    counts, worst = [0] * width, [0] * width
    for number, event in enumerate(events):
        severity = 2 if event.level == "ERROR" else 1 if event.level == "WARN" else 0
        if number % step and not severity:
            continue
        at = min(width - 1, max(0, (iso_ms(event.timestamp) - first) * width // (last - first)))
        counts[at] += 1
        worst[at] = max(worst[at], severity)
    most = max(counts)
    bars = glyphs.bars
    line: list[Span] = []
    for number, severity in zip(counts, worst, strict=True):
        sign = bars[min(len(bars) - 1, number * (len(bars) - 1) // most)] if number else " "
        line.append((sign, ("faint", "warn", "error")[severity]))
    return tuple(line)


def event_lines(event: PipelineEvent) -> list[TextLine]:
    """Everything about one event: what, where in the bundle, then its exceptions, root cause first."""
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
    if event.source_file:
        place = event.source_file + (f":{event.source_line}" if event.source_line else "")
        lines.append(TextLine((("source   ", "muted"), span(place, "accent")), key=f"place:{place}", indent=9))
    chain = event.exceptions[::-1]
    for number, error in enumerate(chain):
        lines += [TextLine(), *_exception_lines(error, number, len(chain))]
    for name, value in event.details.items():
        text = repr(value) if not isinstance(value, str) else value
        if text and name != "error":
            lines += [TextLine(), TextLine(((span(name)[0], "muted"),))]
            lines += [TextLine((("  ", ""), *line), indent=2) for line in paragraphs(text, limit=40)]
    return lines


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
        lines.append(
            TextLine((("    at ", "faint"), span(f"{class_name}.{method}", "muted"), span(f" ({where})", "faint")))
        )
    if len(error.stack) > 12:
        lines.append(TextLine(((f"    {len(error.stack) - 12} more frames", "faint"),)))
    return lines
