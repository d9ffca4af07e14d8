"""The run that is looked at: its tasks with state in words, elapsed time, a bar over time, and the short reason.

Never hides a state it does not know, and never moves what is being read.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.runs import Run, TaskOutput, TaskRun
from ..core.state import Usual
from .beam import Part, Window, axis, beam, window_of
from .glyphs import Glyphs, state_look, state_words
from .outline import Node, OutlinePage
from .page import NO_TICK, Look, Tick
from .run_nodes import Extra, FlowItem, Parts, RunItem, RunNodes, TaskItem, latest_and_older, never_ran
from .spans import Span, Spans, cells, pad, span
from .update_tree import flow_look, flow_note
from .words import count, duration, iso_ms, plural


class RunPage(OutlinePage[RunItem]):
    """The tree of pane 2 for a job run. With `timeline` it gives the bars all the room, and says where time went."""

    def __init__(self, *, timeline: bool = False) -> None:
        super().__init__()
        self.timeline = timeline
        self.awaited = False  # a run is known, and not read yet
        self.run: Run | None = None
        self._nodes = RunNodes()
        self._seen: Parts | None = None
        self._label = 12
        self._window = Window(0, 60_000)
        self._latest = 0

    def show(
        self,
        run: Run | None,
        child_runs: Mapping[str, Run],
        iterations: Mapping[str, tuple[TaskRun, ...]],
        outputs: Mapping[str, TaskOutput],
        notes: Mapping[str, str],
        now_ms: int,
    ) -> None:
        """Show `run` with what is loaded of its nested runs, iterations and outputs; `notes` by task key."""
        self.show_parts(run, Parts(child_runs, iterations, outputs, notes), now_ms)

    def show_parts(self, run: Run | None, parts: Parts, now_ms: int) -> None:
        """Show `run` with whatever else is known; nothing is made anew where all of it is the very same."""
        if self._seen is not None and run is self.run and parts.same(self._seen):
            return
        self._seen = parts
        if run is None or self.run is None or run.run_id != self.run.run_id:
            self.cursor, self.top = 0, 0
            self._choice = {}
        self.run = run
        nodes = self._nodes.make(run, parts)
        label = max((cells(_name(n)) + 2 * n.depth + 4 for n in nodes), default=12)
        self._latest = max((n.data.task.end_ms for n in nodes if isinstance(n.data, TaskItem)), default=0)
        if label != self._label:
            self._label = label
            self.touch()
        self._set_window(now_ms)
        self.set_nodes(nodes)

    def _set_window(self, now_ms: int) -> None:
        if self.run is None:
            return
        window = window_of(self.run.start_ms, 0 if self.run.state.active else self.run.end_ms, now_ms, self._latest)
        if window != self._window:
            self._window = window
            self.touch()
            self.touch_head()

    def tick(self, now_ms: int, first: int, last: int, width: int) -> Tick:
        before = self._window
        if self.run is not None and self.run.state.active:
            self._set_window(now_ms)
        if self._window != before:
            return (True, (), (0, 0))
        return NO_TICK if self.timeline else super().tick(now_ms, first, last, width)

    def time_cells(self, width: int) -> tuple[int, int]:
        return (self._columns(width)[0], 8)

    def item(self) -> TaskItem | None:
        """The task under the cursor."""
        node = self.node(self.cursor)
        return node.data if node is not None and isinstance(node.data, TaskItem) else None

    def pinned(self, width: int, look: Look) -> list[Spans]:
        if not self.timeline or self.run is None or width < 40:
            return []
        label, bar, _ = self._columns(width)
        lines: list[Spans] = [((" " * (label + 9), ""), *axis(self._window, bar, look.glyphs))]
        return [legend(look.glyphs), *lines] if width >= 60 and bar else lines

    def empty(self, width: int) -> list[Spans]:
        return [(("The last run is being read." if self.awaited else "Nothing has run yet.", "muted"),)]

    def _columns(self, width: int) -> tuple[int, int, int]:
        """(cells of the label, of the bar, of the note)."""
        if self.timeline:
            label = min(self._label, max(16, width // 3))
            bar = max(0, width - label - 11)
            return label, bar if bar >= 16 else 0, 0
        most = max(16, width * 2 // 5)
        label = min(max(self._label, 18), most)
        rest = width - label - 9
        bar = min(30, max(14, rest // 3)) if rest >= 44 else 0
        return label, bar, max(0, rest - bar - (2 if bar else 0))

    def draw(self, node: Node[RunItem], width: int, look: Look) -> Spans:
        data, glyphs = node.data, look.glyphs
        indent = "  " * min(node.depth, 10)
        twist = (glyphs.opened if self.is_open(node) else glyphs.closed) if node.branch else " "
        if isinstance(data, Extra):
            return ((f"{indent}    ", ""), span(data.text, "muted+i"))
        columns = self._columns(width)
        if isinstance(data, FlowItem):
            return self._flow(data, indent, columns, look)
        label_width, bar_width, note_width = columns
        task = data.task
        sign, role = (glyphs.partly, "warn") if data.share is not None else state_look(task.state, glyphs)
        quiet = data.attempt or data.because or task.state.outcome in ("skipped", "excluded", "disabled")
        name_role = "muted" if quiet else ""
        mark = glyphs.chosen if data.marked else " "
        head = f"{indent}{twist}"
        name = pad(span(_name(node))[0], label_width - cells(head) - 3)
        start_ms = 0 if never_ran(task) else task.start_ms
        elapsed = duration(task.elapsed_ms(look.now_ms)) if start_ms else glyphs.dash
        line: list[Span] = [
            (head, "faint"),
            (mark, "accent+b"),
            (f"{sign} ", role),
            (name, name_role),
            (f"{elapsed:>8} ", "muted"),
        ]
        if bar_width:
            end = (task.end_ms or look.now_ms) if start_ms else 0
            parts = _time_parts(task, glyphs) if self.timeline else ()
            line += beam(self._window, start_ms, end, bar_width, role, glyphs, parts=parts)
            if self.timeline:
                line.append((f" {glyphs.critical}" if data.critical else "  ", "warn"))
            else:
                line.append(("  ", ""))
        if note_width > 3:
            line += _note(data, role, look.now_ms)
        return tuple(line)

    def _flow(self, item: FlowItem, indent: str, columns: tuple[int, int, int], look: Look) -> Spans:
        """A flow of the update that a pipeline task started."""
        label, bar, note = columns
        flow, glyphs = item.flow, look.glyphs
        sign, role, word = flow_look(flow, glyphs, ended=item.ended)
        start, end = iso_ms(flow.start), iso_ms(flow.end)
        until = end or (start if item.ended else look.now_ms)
        elapsed = duration(until - start) if start and until > start else glyphs.dash
        name = pad(span(item.name)[0], label - cells(indent) - 4)
        line: list[Span] = [(f"{indent}  ", ""), (f"{sign} ", role), (name, ""), (f"{elapsed:>8} ", "muted")]
        if bar:
            line += [*beam(self._window, start, until if start else 0, bar, role, glyphs), ("  ", "")]
        return (*line, *flow_note(flow, word, role)) if note > 3 else tuple(line)


def _time_parts(task: TaskRun, glyphs: Glyphs) -> tuple[Part, ...]:
    parts = (Part(task.queue_ms, glyphs.queue, "faint"), Part(task.setup_ms, glyphs.setup, "muted"))
    return tuple(part for part in parts if part.length_ms > 0)


def legend(glyphs: Glyphs) -> Spans:
    """What the signs of a timeline stand for."""
    return (
        (f"{glyphs.queue * 2} queue  ", "faint"),
        (f"{glyphs.setup * 2} setup  ", "muted"),
        (f"{glyphs.beam * 2} execution  ", "muted"),
        (f"{glyphs.critical} ", "warn"),
        ("critical path", "muted"),
    )


def _note(item: TaskItem, role: str, now_ms: int) -> list[Span]:
    """What stands at the end of a task's line: state in words, attempts, counts, the short reason."""
    task = item.task
    words = state_words(task.state)
    if item.because:
        return [span(f"{words}: {item.because}", "faint")]
    parts: list[Spans] = []
    if item.share is not None:
        share = item.share
        parts.append(((f"partly: {count(share.succeeded)} of {count(share.total)} {share.unit} did well", role),))
    elif not task.state.succeeded or item.attempt:
        parts.append((span(words, role),))
    if item.attempt:
        parts.append(((item.during or f"attempt {item.attempt}", "faint"),))
    elif task.attempt:
        made = task.attempt + bool(task.start_ms)
        under_way = task.state.active and bool(task.start_ms)
        said = f"after {plural(made, 'attempt')}" if parts and not under_way else f"attempt {made}"
        parts.append(((said, "faint"),))
    if item.during not in ("", "original") and not item.attempt:
        parts.append(((item.during, "faint"),))
    if task.for_each is not None and task.for_each.total and item.share is None:
        parts.append(tuple(_for_each(task)))
    if task.condition_outcome:
        parts.append((span(f"is {task.condition_outcome}", "muted"),))
    if item.update is not None:
        done, total = item.update.progress
        parts.append(
            (span(f"update {item.update.update_id[:8]}" + (f" {done}/{total} flows" if total else ""), "muted"),)
        )
    usual = usual_words(task.elapsed_ms(now_ms), item.usual, active=task.state.active) if task.start_ms else ("", "")
    if usual[0]:
        parts.append((usual,))
    line: list[Span] = []
    for part in parts:
        line += [*([(" ", "")] if line else []), *part]
    if item.note:
        line += [("  " if line else "", ""), span(item.note, "muted")]
    return line


def usual_words(elapsed_ms: int, usual: Usual | None, *, active: bool) -> Span:
    """`of about 0:41` while it runs, and a warning once it takes longer than nine of ten runs did; else nothing."""
    if usual is None:
        return ("", "")
    from ..core.run_stats import longer_than_usual  # here, because the first paint needs none

    if longer_than_usual(elapsed_ms, usual):
        return (f"longer than usual {duration(usual.median_ms)} (p90 {duration(usual.p90_ms)})", "warn")
    return (f"of about {duration(usual.median_ms)}", "faint") if active else ("", "")


def _for_each(task: TaskRun) -> list[Span]:
    stats = task.for_each
    if stats is None:
        return []
    parts: list[Span] = [(f"{count(stats.completed)}/{count(stats.total)}", "muted")]
    if stats.failed:
        parts.append((f" {count(stats.failed)} failed", "error"))
    if stats.active:
        parts.append((f" {count(stats.active)} running", "run"))
    return parts


def _name(node: Node[RunItem]) -> str:
    if isinstance(node.data, FlowItem):
        return node.data.name
    return (node.data.name or node.data.task.task_key) if isinstance(node.data, TaskItem) else ""


def run_progress(run: Run) -> tuple[int, int]:
    """(tasks that ended, tasks) by newest attempt."""
    latest, _ = latest_and_older(run.tasks)
    return sum(not task.state.active for task in latest), len(latest)
