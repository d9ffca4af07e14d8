"""Events over time by level: a picture of one line, and a list of spans of time to go to.

Never reads events one by one: they stand in time order, so how many lie between two times is a matter of two look-ups.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from ..core.event_json import iso_text, raw_of
from ..core.event_log import RARE, EventLog, EventView
from ..core.pipelines import PipelineEvent
from .glyphs import Glyphs
from .page import TextLine
from .spans import Span, Spans
from .words import iso_clock, short_count


def histogram(events: Sequence[PipelineEvent], width: int, glyphs: Glyphs) -> Spans:
    """Events over time in `width` cells: height is how many, colour the worst level among them, and a sign where there
    are errors, so that they are seen without colour."""
    view = view_of(events)
    first, last = span_of(view)
    if last <= first or width < 1:
        return ()
    edges = [first + (last - first) * number // width for number in range(width)] + [last + 1]
    counts = counts_between(view, edges)
    errors, warnings = (counts_between(view.log.of_level(level), edges) for level in RARE)
    most = max(counts)
    bars = glyphs.bars
    line: list[Span] = []
    for number, failed, warned in zip(counts, errors, warnings, strict=True):
        sign = bars[min(len(bars) - 1, number * (len(bars) - 1) // most)] if number else " "
        line.append((glyphs.failed, "error") if failed else (sign, "warn" if warned else "faint"))
    return tuple(line)


def view_of(events: Sequence[PipelineEvent]) -> EventView:
    """`events` as a view of a log."""
    if isinstance(events, EventView):
        return events
    log = EventLog()
    log.add(raw_of(event) for event in events)
    return log.snapshot()


def span_of(view: EventView) -> tuple[int, int]:
    """The first and last time of a view in epoch microseconds, those without a time left out; (0, 0) for none."""
    time_of = view.log.time
    begin = bisect_right(view.rows, 0, hi=len(view), key=time_of)
    return (time_of(view.rows[begin]), time_of(view.rows[len(view) - 1])) if begin < len(view) else (0, 0)


def counts_between(view: EventView, edges: Sequence[int]) -> list[int]:
    """How many events lie between each time of `edges` and the next, in epoch microseconds."""
    rows: array[int] = view.rows
    places = [bisect_left(rows, edge, hi=len(view), key=view.log.time) for edge in edges]
    return [after - before for before, after in pairwise(places)]


# What a span of time in the list may be, in seconds: the first of which there are few enough.
STEPS = (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 12 * 3600, 24 * 3600, 7 * 24 * 3600)


def time_lines(events: Sequence[PipelineEvent], glyphs: Glyphs, *, most: int = 60, width: int = 30) -> list[TextLine]:
    """Spans of time with how many events, warnings and errors lie in each; keys are `at:` and epoch microseconds."""
    view = view_of(events)
    first, last = span_of(view)
    if not last:
        return []
    step = next((s for s in STEPS if (last - first) // (s * 1_000_000) < most), STEPS[-1]) * 1_000_000
    begin = first // step * step
    edges = list(range(begin, last + step + 1, step))
    counts = counts_between(view, edges)
    errors, warnings = (counts_between(view.log.of_level(level), edges) for level in RARE)
    highest = max(counts)
    lines: list[TextLine] = []
    gap = False
    for at, number, failed, warned in zip(edges, counts, errors, warnings, strict=False):
        if not number:
            # Hours in which nothing happened are one line.
            if not gap:
                lines.append(TextLine(((f"{glyphs.dot:>10}", "faint"),)))
            gap = True
            continue
        gap = False
        text = iso_text(at)
        when = iso_clock(text)[:8] if step < 86_400_000_000 else text[:10]
        day = text[5:10] + " " if last - first > 86_400_000_000 and step < 86_400_000_000 else ""
        length = max(1, number * width // highest)
        line: list[Span] = [
            (f"{day}{when:<10} ", "muted"),
            (glyphs.bars[-1] * length + " " * (width - length), "error" if failed else "warn" if warned else "faint"),
            (f" {short_count(number):>6}", ""),
        ]
        if failed:
            line.append((f"  {glyphs.failed} {short_count(failed)}", "error"))
        if warned:
            line.append((f"  {glyphs.partly} {short_count(warned)}", "warn"))
        lines.append(TextLine(tuple(line), key=f"at:{at}", wraps=False))
    return lines
