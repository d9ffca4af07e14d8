"""The pages of the console and how a State fills them. Each page compares for itself; nothing here draws.

Never keeps anything that the State does not say, but for which tab was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.bundle import Resource
from ..core.runs import Run, TaskRun
from ..core.state import State
from ..matrix.model import Diagnosis
from ..widgets.cli_page import CliPage
from ..widgets.details import flow_lines, resource_lines, run_lines, task_lines, update_lines
from ..widgets.diagnosis import DiagnosisPage, Excerpt, short_note
from ..widgets.events import EventsPage
from ..widgets.glyphs import Glyphs, pipeline_look, state_look, state_words
from ..widgets.output import LogPage, output_lines
from ..widgets.page import Page, TextLine, TextPage
from ..widgets.problems import bundle_lines, cli_lines, identity_lines
from ..widgets.resource_tree import ResourcePage
from ..widgets.run_tree import RunPage, run_progress
from ..widgets.spans import Span, Spans, span
from ..widgets.update_tree import UpdatePage, flow_progress
from ..widgets.words import clock, duration

TABS: tuple[tuple[str, str], ...] = (
    ("task", "Details"),
    ("timeline", "Timeline"),
    ("output", "Output"),
    ("events", "Events"),
    ("cli", "CLI"),
)


class Panes:
    """All pages, and what of the State is in them."""

    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.resources = ResourcePage()
        self.run = RunPage()
        self.update = UpdatePage()
        self.diagnosis = DiagnosisPage()
        self.problem = TextPage(cursor=True)
        self.task = TextPage(cursor=True)
        self.run_timeline = RunPage(timeline=True)
        self.update_timeline = UpdatePage(timeline=True)
        self.output = LogPage(wraps=True, follow=False)
        self.events = EventsPage()
        self.cli = CliPage()
        self.tab = "task"
        self.excerpt: Excerpt | None = None
        self._notes: tuple[tuple[Diagnosis, ...], dict[str, str]] = ((), {})
        self._output_of: tuple[object, ...] = ()

    # --- which page stands where -------------------------------------------------------------------------------------

    def is_pipeline(self, state: State) -> bool:
        """Whether what is followed is a pipeline."""
        return state.focus.startswith("pipelines.") or (state.run is None and state.update is not None)

    def run_page(self, state: State) -> RunPage | UpdatePage:
        return self.update if self.is_pipeline(state) else self.run

    def detail_page(self, state: State) -> Page:
        """The page of the chosen tab."""
        pages: dict[str, Page] = {
            "task": self.task,
            "timeline": self.update_timeline if self.is_pipeline(state) else self.run_timeline,
            "output": self.output,
            "events": self.events,
            "cli": self.cli,
        }
        return pages[self.tab]

    def lower_page(self, state: State) -> Page:
        """The diagnosis, or what stands in the way of there being one."""
        return self.diagnosis if state.diagnoses else self.problem

    def lower_wanted(self, state: State) -> int:
        """How many lines the lower pane would like; 0 where it has nothing to say."""
        page = self.lower_page(state)
        return len(page.source) + (6 if state.diagnoses else 1) if isinstance(page, TextPage) and page.source else 0

    # --- filling -----------------------------------------------------------------------------------------------------

    def show(self, state: State, now_ms: int) -> None:
        """Fill every page from `state`; pages whose part of it is the same do nothing."""
        glyphs = self.glyphs
        self.resources.show(state.bundle, state.statuses, state.focus)
        notes = self._notes_of(state.diagnoses)
        runs = (self.run, self.run_timeline) if self.tab == "timeline" else (self.run,)
        for run_page in runs:
            run_page.show(state.run, state.child_runs, state.iterations, state.outputs, notes, now_ms)
        updates = (self.update, self.update_timeline) if self.tab == "timeline" else (self.update,)
        for update_page in updates:
            update_page.show(state.update, now_ms)
        self._show_run_head(state, now_ms)
        self.events.show(state.events)
        self.cli.show(state.cli_lines)
        self.diagnosis.show(state.diagnoses, state.fixes, self.excerpt, glyphs)
        if not state.diagnoses:
            lines = [
                *bundle_lines(state.bundle, state.bundle_note, glyphs),
                *identity_lines(state.identity, state.signed_out, glyphs),
                *cli_lines(state.cli_problem, state.cli_version, glyphs),
            ]
            self.problem.set_head((("Problem" if lines else "Diagnosis", ""),))
            self.problem.set_lines(lines, empty=[((f"{glyphs.ok} ", "ok"), ("Nothing has failed.", "muted"))])

    def show_chosen(self, state: State, resource: Resource | None, now_ms: int, *, of_resource: bool) -> None:
        """Fill the tabs that follow the cursor: of the task or flow, or of the resource where that pane is in use."""
        glyphs = self.glyphs
        task, flow = self.chosen_task(state), self.update.flow() if self.is_pipeline(state) else None
        lines: list[TextLine]
        if of_resource and resource is not None:
            lines = resource_lines(resource, state.statuses.get(resource.ref), now_ms // 60_000 * 60_000, glyphs)
        elif self.is_pipeline(state) and state.update is not None:
            lines = [*flow_lines(flow, glyphs), TextLine()] if flow is not None else []
            lines += update_lines(state.update, glyphs)
        elif task is not None:
            lines = task_lines(task, glyphs, task.end_ms or task.start_ms)
        elif state.run is not None:
            lines = run_lines(state.run, state.run.end_ms or state.run.start_ms, glyphs)
        elif resource is not None:
            lines = resource_lines(resource, state.statuses.get(resource.ref), now_ms // 60_000 * 60_000, glyphs)
        else:
            lines = []
        self.task.set_lines(lines, empty=[(("Nothing is chosen.", "muted"),)])
        output = state.outputs.get(task.run_id) if task is not None else None
        seen = (task, output)
        if self._output_of == () or seen != self._output_of:
            other = not self._output_of or task is None or getattr(self._output_of[0], "run_id", "") != task.run_id
            self._output_of = seen
            if other:
                self.output.top, self.output.left = 0, 0
            self.output.set_lines(output_lines(task, output, glyphs), empty=[((_no_output(task), "muted"),)])
        heads = self._tab_heads()
        for page in (self.task, self.run_timeline, self.update_timeline, self.output, self.events, self.cli):
            page.set_head(heads)

    def chosen_task(self, state: State) -> TaskRun | None:
        """The task run under the cursor of the run."""
        if self.is_pipeline(state):
            return None
        item = self.run.item()
        return item.task if item is not None else None

    def _notes_of(self, diagnoses: tuple[Diagnosis, ...]) -> Mapping[str, str]:
        if self._notes[0] is not diagnoses:
            notes: dict[str, str] = {}
            for diagnosis in reversed(diagnoses):
                note = short_note(diagnosis)
                if note:
                    notes.update(dict.fromkeys(diagnosis.task_keys, note))
            self._notes = (diagnoses, notes)
        return self._notes[1]

    def _show_run_head(self, state: State, now_ms: int) -> None:
        glyphs = self.glyphs
        name = state.focus.partition(".")[2] or state.focus
        run, update = state.run, state.update
        if self.is_pipeline(state):
            if update is None:
                self.update.set_head(((name or "Update", ""),))
                return
            sign, role, word = pipeline_look(update.state, glyphs)
            done, total = flow_progress(update)
            aside: list[Span] = [(f"{sign} ", role), span(word, f"{role}+b")]
            if total:
                aside.append((f" {done}/{total} flows", "muted"))
            self.update.set_head((span(name, "b"), span(f" update {update.update_id[:8]}", "muted")), tuple(aside))
            return
        if run is None:
            self.run.set_head(((name or "Run", ""),))
            return
        sign, role = state_look(run.state, glyphs)
        aside = [(f"{sign} ", role), span(state_words(run.state), f"{role}+b")]
        if run.state.active:
            done, total = run_progress(run)
            aside.append((f" {done}/{total} tasks", "muted"))
            if run.start_ms:
                aside.append((f" since {clock(run.start_ms)}", "faint"))
        elif run.start_ms:
            aside.append((f" {duration(run.elapsed_ms(now_ms))}", "muted"))
        repairs = sum(item.kind == "REPAIR" for item in run.repairs)
        title: list[Span] = [span(name or run.name, "b"), span(f" run {run.run_id}", "muted")]
        if repairs:
            title.append((f" {glyphs.dot} repair {repairs}", "muted"))
        self.run.set_head(tuple(title), tuple(aside))

    def _tab_heads(self) -> Spans:
        heads: list[Span] = []
        for number, (name, word) in enumerate(TABS):
            heads += [(f" {self.glyphs.side} ", "rule")] if number else []
            heads.append((word, "accent+b+u" if name == self.tab else "muted"))
        return tuple(heads)

    def tab_at(self, x: int) -> str:
        """The tab whose name stands at cell `x` of the title; empty where none does."""
        at = 0
        for name, word in TABS:
            if at <= x < at + len(word):
                return name
            at += len(word) + 3
        return ""


def _no_output(task: TaskRun | None) -> str:
    if task is None:
        return "Choose a task to see what it put out."
    if task.state.active:
        return "What the task puts out is there when it has ended."
    return "The output has not been loaded yet." if task.start_ms else "The task never ran, so there is no output."


def failing(run: Run | None) -> bool:
    """Whether a run ended in a way to look at."""
    return run is not None and run.state.failed
