"""What one task put out: its error, its exit value as a table, how far its steps came, and its log with search.

Never keeps the log twice: lines are cut out of one text when they are drawn or searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.runs import TaskOutput, TaskRun
from .glyphs import UNICODE, Glyphs
from .page import TextLine, TextPage
from .spans import Span, Spans, cells, crop, pad, paragraphs, span
from .theme import linked
from .words import plural

_DBT = re.compile(r"Done\. PASS=(\d+) WARN=(\d+) ERROR=(\d+) SKIP=(\d+)(?: NO-OP=\d+)? TOTAL=(\d+)")
_DBT_FAILED = re.compile(r"(?:Failure|\w+ Error) in (?:model|test|seed|snapshot|unit_test) (\S+)(?: \(([^)\n]+)\))?")
_STEP = re.compile(r"\[Step (\d{1,4})/(\d{1,4})\]([^\n]*)", re.IGNORECASE)
_ARROW = re.compile(r"^-+>\s+\d+[^\n]*", re.MULTILINE)  # how IPython marks the line that raised
_MAX_LINES = 5_000
_FAILED_WORDS = frozenset({"failed", "failure", "error", "false"})


def last_step(text: str) -> tuple[int, int, str] | None:
    """(step, steps, what) of the last `[Step N/M]` line a task printed; None where it printed none."""
    steps = list(_STEP.finditer(text))
    if not steps or int(steps[-1][2]) == 0:
        return None
    return int(steps[-1][1]), int(steps[-1][2]), steps[-1][3].strip()


def _step_of_trace(trace: str) -> tuple[int, int, str] | None:
    """As `last_step`, of the lines of code that a trace shows; those below the one it died in never ran."""
    arrows = list(_ARROW.finditer(trace))
    step = last_step(trace[: arrows[-1].end()] if arrows else trace)
    # The line stands there as it was written, with the quotes and brackets behind it.
    return (*step[:2], step[2].rstrip("\"');,")) if step is not None else None


def output_lines(task: TaskRun | None, output: TaskOutput | None, glyphs: Glyphs = UNICODE) -> list[TextLine]:
    """The lines of the Output tab for one task run."""
    if output is None:
        return []
    lines: list[TextLine] = []
    step = last_step(output.logs) or _step_of_trace(output.error_trace)
    if step is not None:
        lines += [_step_line(step, task, glyphs), TextLine()]
    summary = [*_items_lines(output.result, glyphs), *_dbt_lines(output.logs, glyphs)]
    lines += [*summary, TextLine()] if summary else []
    if output.error:
        lines += _section("error", "error")
        lines += [TextLine(line) for line in paragraphs(output.error, "error", limit=200)]
        lines.append(TextLine())
    if output.result:
        lines += _section("exit value", "muted")
        lines += result_lines(output.result)
        if output.result_truncated:
            lines.append(_cut(task))
        lines.append(TextLine())
    if output.error_trace:
        lines += _section("trace", "muted")
        lines += [TextLine(_traced(line)) for line in output.error_trace.split("\n")[-_MAX_LINES:]]
        lines.append(TextLine())
    if output.logs:
        log = output.logs.split("\n")
        head = "log" if len(log) <= _MAX_LINES else f"log, the last {_MAX_LINES:,} of {len(log):,} lines"
        lines += _section(head, "muted")
        lines += [TextLine((span(line, _log_role(line)),)) for line in log[-_MAX_LINES:]]
        if output.logs_truncated:
            lines.append(_cut(task))
    lines += _extra_lines(output.extra)
    while lines and not lines[-1].spans:
        lines.pop()
    return lines or [TextLine((("The task put out nothing.", "muted"),))]


def _items_lines(result: str, glyphs: Glyphs) -> list[TextLine]:
    """How many of its items a task did, where its exit value says so, with those that failed."""
    if not result:
        return []
    from ..core.run_stats import share_of_result  # here, because the first paint needs none

    share = share_of_result(result)
    if share is None or share.succeeded == share.total:
        return []
    sign, role = (glyphs.partly, "warn") if share.enough() else (glyphs.failed, "error")
    lines = [TextLine(((f"{sign} ", role), (share.words, f"{role}+b")))]
    if share.failed:
        shown = ", ".join(share.failed[:20]) + (f" and {len(share.failed) - 20} more" if len(share.failed) > 20 else "")
        lines.append(TextLine((("failed  ", "muted"), span(shown, role)), indent=8))
    return lines


def _dbt_lines(logs: str, glyphs: Glyphs) -> list[TextLine]:
    """What dbt says of itself at its end, with the models and tests that failed."""
    ends = list(_DBT.finditer(logs))
    if not ends:
        return []
    good, warned, bad, skipped, total = (int(number) for number in ends[-1].groups())
    role = "error" if bad else "warn" if warned else "ok"
    sign = glyphs.failed if bad else glyphs.partly if warned else glyphs.ok
    words = f"dbt: {good} of {total} passed"
    words += "".join(f", {n} {word}" for n, word in ((bad, "failed"), (warned, "warned"), (skipped, "skipped")) if n)
    lines = [TextLine(((f"{sign} ", role), (words, f"{role}+b")))]
    for name, place in dict.fromkeys(match.groups() for match in _DBT_FAILED.finditer(logs)):
        lines.append(TextLine((("  ", ""), span(name, "error"), span(f"  {place}" if place else "", "muted"))))
    return lines[:40]


def _extra_lines(extra: Mapping[str, str]) -> list[TextLine]:
    """What else the platform tells of a task: addresses to open, the text of a query, a note."""
    lines: list[TextLine] = []
    for name, value in extra.items():
        label = name.replace("_", " ")
        if value.startswith(("https://", "http://")):
            lines.append(
                TextLine((span(f"{label}  ", "muted"), span(value, linked("accent", value))), key=f"url:{value}")
            )
        elif "\n" in value or len(value) > 60:
            lines += [TextLine(), *_section(label, "muted")]
            lines += [TextLine(line) for line in paragraphs(value, limit=200)]
        else:
            lines.append(TextLine((span(f"{label}  ", "muted"), span(value))))
    return lines


def _section(name: str, role: str) -> list[TextLine]:
    return [TextLine(((name, f"{role}+b"),))]


def _cut(task: TaskRun | None) -> TextLine:
    url = task.page_url if task is not None else ""
    return TextLine((("The platform cut this short; all of it is on the run page (o).", "warn"),), key=f"url:{url}")


def _step_line(step: tuple[int, int, str], task: TaskRun | None, glyphs: Glyphs) -> TextLine:
    number, total, what = step
    width = 24
    done = min(width, round(width * number / total))
    failed = task is not None and task.state.failed
    active = task is None or task.state.active
    role = "error" if failed else "run" if active else "ok"
    words = f"died in step {number} of {total}" if failed else f"step {number} of {total}"
    spans: list[Span] = [
        (glyphs.beam * done, role),
        (glyphs.track * (width - done), "faint"),
        (f"  {words}", role if failed else ""),
    ]
    if what:
        spans.append(span(f"  {what}", "muted"))
    return TextLine(tuple(spans))


def _log_role(line: str) -> str:
    start = line[:200]
    if "ERROR" in start or "Error:" in start or "Exception" in start or "FATAL" in start:
        return "error"
    return "warn" if "WARN" in start else ""


def _traced(line: str) -> Spans:
    if line.startswith(("Traceback", "Caused by:")) or re.match(r"\w[\w.]*(?:Error|Exception)\b", line):
        return (span(line, "error"),)
    return (span(line, "muted" if line.startswith(("  File", "\tat ", "    at ", "File ")) else ""),)


def result_lines(text: str) -> list[TextLine]:
    """An exit value: JSON as a table, anything else as it is."""
    import json  # here, because the first paint needs none

    try:
        value = json.loads(text) if len(text) < 200_000 and text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return list(_object_lines(value))
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _table(value)
    return [TextLine(line) for line in paragraphs(text)]


def _object_lines(value: dict[str, Any]) -> Iterable[TextLine]:
    width = min(28, max((cells(span(str(key))[0]) for key in value), default=0)) + 2
    for key, part in value.items():
        name = pad(span(str(key))[0], width)
        if isinstance(part, list) and part and all(isinstance(row, dict) for row in part):
            yield TextLine(((name, "muted"), (plural(len(part), "row"), "")))
            yield from (TextLine((("  ", ""), *line.spans), wraps=False) for line in _table(part))
        elif isinstance(part, list) and part:
            yield TextLine(((name, "muted"), (plural(len(part), "item"), "")))
            for item in part[:50]:
                yield TextLine((("  ", ""), span(_plain(item), _value_role(item))))
        else:
            yield TextLine(((name, "muted"), span(_plain(part), _value_role(part))), indent=width)


def _table(rows: list[dict[str, Any]]) -> list[TextLine]:
    """Rows with the same keys as columns, failed rows first; at most 200 rows and 8 columns."""
    columns = list(dict.fromkeys(str(key) for row in rows[:200] for key in row))[:8]
    # Sorting keeps the order within each half: what failed is what people look for.
    shown = sorted(rows, key=lambda row: not _row_failed(row))[:200]
    cell = [[span(_plain(row.get(column, "")))[0] for column in columns] for row in shown]
    widths = [min(36, max([cells(column), *(cells(row[i]) for row in cell)])) for i, column in enumerate(columns)]
    head = tuple((pad(column, width) + "  ", "muted+u") for column, width in zip(columns, widths, strict=True))
    lines = [TextLine(head, wraps=False)]
    for row, texts in zip(shown, cell, strict=True):
        role = "error" if _row_failed(row) else ""
        cells_of_row = tuple((pad(text, width) + "  ", role) for text, width in zip(texts, widths, strict=True))
        lines.append(TextLine(cells_of_row, wraps=False))
    if len(rows) > len(shown):
        lines.append(TextLine(((f"{len(rows) - len(shown):,} more rows", "faint"),)))
    return lines


def _row_failed(row: dict[str, Any]) -> bool:
    status = row.get("status", row.get("state", row.get("result", "")))
    return isinstance(status, str) and status.lower() in _FAILED_WORDS


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    import json

    return crop(json.dumps(value, ensure_ascii=False, default=str), 400)


def _value_role(value: Any) -> str:
    if isinstance(value, str) and value.lower() in _FAILED_WORDS:
        return "error"
    return "ok" if isinstance(value, str) and value.lower() in ("ok", "success", "succeeded", "passed") else ""


class LogPage(TextPage):
    """Lines that may be many: follows the end, scrolls sideways, and finds text. `of` names what they are of."""

    can_follow = True

    def __init__(self, title: Spans = (), *, wraps: bool = False, follow: bool = True) -> None:
        super().__init__(title, wraps=wraps)
        self.can_follow = self.follow = follow
        self.needle: re.Pattern[str] | None = None
        self._hit = -1
        self._of: Spans = ()

    @property
    def of(self) -> Spans:
        """Whose lines they are, for the right end of the title."""
        return self._of

    @of.setter
    def of(self, name: Spans) -> None:
        if name != self._of:
            self._of = name
            self.touch_head()

    def head_aside(self) -> Spans:
        follow = super().head_aside()
        return (*self._of, *((("  ", ""), *follow) if self._of and follow else follow))

    def may_grow(self, grows: bool) -> None:
        """Whether more lines are to come: then its end can be followed (`G`)."""
        if grows != self.can_follow:
            self.can_follow, self.follow = grows, False
            self.touch_head()

    def search(self, pattern: re.Pattern[str] | None, height: int, *, back: bool = False) -> tuple[int, int]:
        """Go to the next line with `pattern`: (which one, how many there are); (0, 0) where there is none."""
        if pattern is not self.needle:
            self.needle, self._hit = pattern, self.top - 1 if not back else self.top
            self.touch()
        if pattern is None:
            return (0, 0)
        hits = [i for i in range(self.count) if pattern.search("".join(text for text, _ in self._lines[i][1]))]
        if not hits:
            return (0, 0)
        if back:
            hit = next((i for i in reversed(hits) if i < self._hit), hits[-1])
        else:
            hit = next((i for i in hits if i > self._hit), hits[0])
        self._hit = hit
        self.set_follow(False)
        self.scroll_to(hit - height // 3, height)
        self.touch()
        return (hits.index(hit) + 1, len(hits))

    def tint(self, index: int) -> str:
        return "select" if index == self._hit and self.needle is not None else super().tint(index)

    def move(self, delta: int, height: int) -> None:
        self.scroll_to(self.top + delta, height)
