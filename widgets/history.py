"""Past runs of a job as a grid of tasks by runs, and past updates of a pipeline as a list: what changes its mind?

Never fetches; where nothing is known of a task in a run, the cell is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.pipelines import Update
from ..core.run_stats import (
    TaskRecord,
    flakiest,
    longer_than_usual,
    partial_success,
    records_of,
    usual_of_runs,
)
from ..core.runs import Run, RunState
from ..core.state import Usual
from .glyphs import Glyphs, pipeline_look, state_look, state_words
from .page import Look, Page, TextLine
from .spans import Span, Spans, cells, pad, span
from .words import ago, brief, duration, moment, plural

_FACTS = 34  # cells for what is said at the end of a line


class HistoryPage(Page):
    """The grid. Up and down choose a task, left and right a run; Enter shows that run, `o` opens its page."""

    keeps_cursor = True

    def __init__(self) -> None:
        super().__init__(cursor=True)
        self._runs: tuple[Run, ...] = ()
        self._records: tuple[TaskRecord, ...] = ()
        self._partly: frozenset[int] = frozenset()  # runs that failed in so few of their items that it is a warning
        self._usual: Usual | None = None
        self._nothing = ""
        self.column = 0  # of the chosen run, 0 is the newest

    def show(self, runs: Sequence[Run], *, nothing: str = "") -> None:
        """Show `runs`, newest first; `nothing` is said where there are none. The chosen run stays chosen."""
        if nothing != self._nothing:
            self._nothing = nothing
            self.touch()
        if runs is self._runs or tuple(runs) == self._runs:
            return
        held = self._runs[self.column].run_id if self.column < len(self._runs) else ""
        first = self._runs[0].job_id if self._runs else ""
        self._runs = tuple(runs)
        self._records = records_of(self._runs)
        self._partly = frozenset(n for n, run in enumerate(self._runs) if partial_success(run) is not None)
        self._usual = usual_of_runs(self._runs)
        self.column = next((n for n, run in enumerate(self._runs) if run.run_id == held), 0)
        if not runs or runs[0].job_id != first:
            self.cursor, self.top = 0, 0
        self.touch()
        self.touch_head()

    @property
    def chosen(self) -> Run | None:
        """The run of the chosen column."""
        return self._runs[self.column] if self.column < len(self._runs) else None

    @property
    def count(self) -> int:
        return len(self._records) + 1 if self._runs else 0

    def key(self, index: int) -> str:
        """`url:` and the page of what is chosen, for `o` and `y`."""
        run = self.chosen
        if run is None:
            return ""
        if index == 0:
            return f"url:{run.page_url}"
        return f"url:{self._records[index - 1].page_urls[self.column] or run.page_url}"

    def home(self) -> str:
        return self.key(self.cursor) if 0 <= self.cursor < self.count else ""

    def toggle(self, index: int, *, opened: bool | None = None) -> bool:
        """Right goes to a newer run, left to an older one."""
        if opened is None or not self._runs:
            return False
        column = min(max(0, self.column + (-1 if opened else 1)), len(self._runs) - 1)
        if column != self.column:
            self.column = column
            self.touch()
            self.touch_head()
        return True

    def empty(self, width: int) -> list[Spans]:
        return [((self._nothing, "muted"),)]

    def _columns(self, width: int) -> tuple[int, int, int]:
        """(cells of the label, first run that is not shown, cells of the facts)."""
        longest = max((cells(span(record.task_key)[0]) for record in self._records), default=9)
        label = min(max(longest, 9) + 2, max(12, width * 2 // 5))
        facts = _FACTS if width - label - _FACTS >= 16 else max(0, width - label - 16)
        shown = max(1, min(len(self._runs), (width - label - facts) // 2))
        return label, shown, width - label - shown * 2

    def pinned(self, width: int, look: Look) -> list[Spans]:
        run = self.chosen
        if run is None:
            return []
        sign, role = state_look(run.state, look.glyphs)
        elapsed = run.elapsed_ms(look.now_ms)
        line: list[Span] = [
            (f"{sign} ", role),
            span(state_words(run.state), role),
            span(f"  run {run.run_id}", ""),
            (f"  {ago(run.start_ms, look.now_ms)}, {moment(run.start_ms)}" if run.start_ms else "", "muted"),
            (f"  took {duration(elapsed)}" if run.end_ms else "", "muted"),
        ]
        if longer_than_usual(elapsed, self._usual) and self._usual is not None:
            line.append((f", usually {duration(self._usual.median_ms)}", "warn"))
        label, shown, _ = self._columns(width)
        first = self._first(shown)
        at = shown - 1 - (self.column - first)
        worst = flakiest(self._records)
        said = f"flakiest: {span(worst.task_key)[0]}" if worst is not None and shown * 2 + label + 24 < width else ""
        marks = " " * (at * 2) + "v" + " " * ((shown - at) * 2)
        return [tuple(line), ((" " * label, ""), (marks, "accent+b"), (said, "warn"))]

    def _first(self, shown: int) -> int:
        """The newest run on screen, so that the chosen one is."""
        return max(0, self.column - shown + 1)

    def line(self, index: int, width: int, look: Look) -> Spans:
        label, shown, facts = self._columns(width)
        first = self._first(shown)
        runs = range(min(first + shown, len(self._runs)) - 1, first - 1, -1)
        if index == 0:
            states: Sequence[RunState | None] = [run.state for run in self._runs]
            name, role, said = "whole run", "b", self._of_all()
        else:
            record = self._records[index - 1]
            states = record.states
            name, role, said = span(record.task_key)[0], "warn+b" if record.flaky else "", _of_task(record)
        line: list[Span] = [(pad(name, label), role)]
        for number in runs:
            sign, sign_role = _cell(states[number], look.glyphs)
            if index == 0 and number in self._partly:
                sign, sign_role = look.glyphs.partly, "warn"
            line.append((sign, f"{sign_role}+r" if number == self.column and index == self.cursor else sign_role))
            line.append((" ", ""))
        return (*line, (" ", ""), *said) if facts > 6 else tuple(line)

    def _of_all(self) -> Spans:
        bad = sum(run.state.failed for run in self._runs) - len(self._partly)
        line: list[Span] = [(f"{bad} of {len(self._runs)} failed", "error" if bad else "muted")]
        if self._partly:
            line.append((f", {len(self._partly)} partly", "warn"))
        if self._usual is not None:
            line.append((f"  usually {brief(self._usual.median_ms)}, p90 {brief(self._usual.p90_ms)}", "muted"))
        return tuple(line)


def _of_task(record: TaskRecord) -> Spans:
    line: list[Span] = []
    if record.flaky:
        line.append(("flaky  ", "warn+b"))
    if record.failures:
        line.append((f"{record.failures} of {record.ended} failed  ", "error"))
    if record.retried:
        line.append((f"{record.retried} by retry  ", "warn"))
    if record.usual is not None:
        line.append((f"usually {brief(record.usual.median_ms)}", "muted"))
    return tuple(line)


def _cell(state: RunState | None, glyphs: Glyphs) -> Span:
    return state_look(state, glyphs) if state is not None else (" ", "")


def update_history_lines(updates: Sequence[Update], page_url: str, now_ms: int, glyphs: Glyphs) -> list[TextLine]:
    """Past updates, newest first: state, cause, what kind, when. `page_url` is the pipeline's own."""
    lines: list[TextLine] = []
    if updates:
        failed = sum(update.state == "FAILED" for update in updates)
        lines.append(
            TextLine(
                ((plural(len(updates), "update"), "muted"), (f", {failed} failed", "error" if failed else "muted"))
            )
        )
    for number, update in enumerate(updates):
        sign, role, word = pipeline_look(update.state, glyphs)
        kind = ", ".join(update_kind(update))
        older = updates[number + 1] if number + 1 < len(updates) else None
        if update.cause == "RETRY_ON_FAILURE":
            cause = "the platform retried" + (f" {older.update_id[:8]}" if older is not None else "")
        else:
            cause = update.cause.lower().replace("_", " ")
        head: list[Span] = [
            (f"{sign} ", role),
            span(pad(word, 12), role),
            span(f"{update.update_id[:8]:<10}", "muted"),
            (f"{ago(update.creation_ms, now_ms) if update.creation_ms else '':<10}", "muted"),
            span(f"{cause:<24}", "warn" if update.cause == "RETRY_ON_FAILURE" else ""),
            span(kind, "warn" if update.full_refresh else "muted"),
        ]
        url = f"{page_url.rstrip('/')}/updates/{update.update_id}" if page_url else ""
        lines.append(TextLine(tuple(head), key=f"url:{url}" if url else f"text:{update.update_id}", indent=24))
        if update.message and update.failed:
            lines.append(TextLine((("  ", ""), span(update.message.splitlines()[0], "muted")), indent=2))
    return lines


def update_kind(update: Update) -> list[str]:
    """What an update was told to do, in words; nothing for an ordinary one."""
    words = []
    if update.validate_only:
        words.append("validation only")
    if update.full_refresh:
        words.append("full refresh")
    if update.refresh_selection:
        words.append("only " + ", ".join(update.refresh_selection))
    return words
