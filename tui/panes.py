"""The pages of the console and how a State fills them. Each page compares for itself; nothing here draws.

Never keeps anything that the State does not say, but for which tab was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..core.bundle import Resource
from ..core.runs import Run, TaskRun
from ..core.state import State
from ..widgets.cli_page import CliPage
from ..widgets.details import flow_lines, resource_lines, run_lines, task_lines, update_lines
from ..widgets.diagnosis import DiagnosisPage, Excerpt, short_note
from ..widgets.glyphs import Glyphs, pipeline_look, state_look, state_words
from ..widgets.output import LogPage, output_lines
from ..widgets.page import Page, TextLine, TextPage
from ..widgets.problems import bundle_lines, cli_lines, identity_lines
from ..widgets.resource_tree import ResourcePage
from ..widgets.run_nodes import Parts
from ..widgets.run_tree import RunPage, run_progress, usual_words
from ..widgets.spans import Span, Spans, span
from ..widgets.update_tree import UpdatePage
from ..widgets.words import ago, clock, duration

if TYPE_CHECKING:
    from ..core.run_stats import Share
    from ..matrix.model import Diagnosis
    from ..widgets.events import EventsPage
    from ..widgets.graph import GraphPage
    from ..widgets.history import HistoryPage

TABS: tuple[tuple[str, str], ...] = (
    ("task", "Details"),
    ("timeline", "Timeline"),
    ("graph", "Graph"),
    ("history", "History"),
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
        self._events: EventsPage | None = None  # made when there are events, or somebody looks for them
        self.cli = CliPage()
        self.graph: GraphPage | None = None  # made when first looked at, like the two below
        self.history: HistoryPage | None = None
        self.updates: TextPage | None = None
        self.tab = "task"
        self.room = 0  # cells for the names of the tabs; 0 is any number
        self.marked: frozenset[str] = frozenset()  # task keys, or datasets, chosen for what comes next
        self.partly: frozenset[str] = frozenset()  # runs that failed in so few of their items that it is a warning
        self.excerpt: Excerpt | None = None
        self._of_pipeline = False  # whether the history on show is that of a pipeline
        self._graph_of: tuple[object, ...] = ()
        self._share: Share | None = None
        self._share_seen: tuple[object, ...] = ()
        self._notes: tuple[tuple[Diagnosis, ...], dict[str, str]] = ((), {})
        self._output_of: tuple[object, ...] = ()

    @property
    def events(self) -> EventsPage:
        """The page of events."""
        if self._events is None:
            from ..widgets.events import EventsPage

            self._events = EventsPage()
        return self._events

    # --- which page stands where -------------------------------------------------------------------------------------

    def is_pipeline(self, state: State) -> bool:
        """Whether what is followed is a pipeline."""
        return state.focus.startswith("pipelines.") or (state.run is None and state.update is not None)

    def run_page(self, state: State) -> RunPage | UpdatePage:
        return self.update if self.is_pipeline(state) else self.run

    def detail_page(self, state: State) -> Page:
        """The page of the chosen tab."""
        pages: dict[str, Page | None] = {
            "timeline": self.update_timeline if self.is_pipeline(state) else self.run_timeline,
            "graph": self.graph,
            "history": self.updates if self._of_pipeline else self.history,
            "output": self.output,
            "events": self.events if self.tab == "events" else None,
            "cli": self.cli,
        }
        return pages.get(self.tab) or self.task

    def lower_page(self, state: State) -> Page:
        """The diagnosis, or what stands in the way of there being one."""
        return self.diagnosis if state.diagnoses else self.problem

    def lower_wanted(self, state: State) -> int:
        """How many lines the lower pane would like; 0 where it has nothing to say."""
        page = self.lower_page(state)
        return len(page.source) + (6 if state.diagnoses else 1) if isinstance(page, TextPage) and page.source else 0

    def tick(self, state: State, now_ms: int) -> bool:
        """Time has passed: whether the title of the run or update says something else now."""
        page = self.run_page(state)
        before = (page.title, page.aside)
        self._show_run_head(state, now_ms)
        return (page.title, page.aside) != before

    # --- filling -----------------------------------------------------------------------------------------------------

    def show(self, state: State, now_ms: int) -> None:
        """Fill every page from `state`; pages whose part of it is the same do nothing."""
        glyphs = self.glyphs
        self._note_share(state)
        self.resources.show(state.bundle, state.statuses, state.focus, self.partly)
        notes = self._notes_of(state.diagnoses)
        runs = (self.run, self.run_timeline) if self.tab == "timeline" else (self.run,)
        status = state.statuses.get(state.focus)
        parts = Parts(
            *(state.child_runs, state.iterations, state.outputs, notes),
            *(state.child_updates, state.iterations_more, state.task_usual, self.marked),
        )
        for run_page in runs:
            run_page.awaited = bool(status is not None and status.history)
            run_page.show_parts(state.run, parts, now_ms)
        updates = (self.update, self.update_timeline) if self.tab == "timeline" else (self.update,)
        for update_page in updates:
            update_page.show(state.update, now_ms, state.previous_update, self.marked)
        self._show_run_head(state, now_ms)
        if self._events is not None or state.events:
            self.events.show(state.events)
        self.cli.show(state.cli_lines)
        self.diagnosis.show(state.diagnoses, state.fixes, self.excerpt, glyphs, check=state.check)
        if not state.diagnoses:
            lines = [
                *bundle_lines(state.bundle, state.bundle_note, glyphs),
                *identity_lines(state.identity, state.signed_out, glyphs),
                *cli_lines(state.cli_problem, state.cli_version, glyphs),
            ]
            self.problem.set_head((("Problem" if lines else "Diagnosis", ""),))
            failing = tuple(ref for ref in self.resources.failing if ref != state.focus)
            if failing:
                key = failing[0].partition(".")[2]
                more = f" and {len(failing) - 1} more have" if len(failing) > 1 else " has"
                said: Spans = (("Nothing on show has failed; ", "muted"), span(key), (f"{more}: n.", "muted"))
            else:
                said = ((f"{glyphs.ok} ", "ok"), ("Nothing has failed.", "muted"))
            self.problem.set_lines(lines, empty=[said])

    def show_chosen(self, state: State, resource: Resource | None, now_ms: int, *, of_resource: bool) -> None:
        """Fill the tabs that follow the cursor: of the task or flow, or of the resource where that pane is in use."""
        glyphs = self.glyphs
        task, flow = self.chosen_task(state), self.update.flow() if self.is_pipeline(state) else None
        lines: list[TextLine]
        if of_resource and resource is not None:
            lines = resource_lines(resource, state.statuses.get(resource.ref), now_ms // 60_000 * 60_000, glyphs)
        elif self.is_pipeline(state) and state.update is not None:
            before = state.previous_update
            was = next((f for f in before.flows if f.name == flow.name), None) if before and flow else None
            lines = [*flow_lines(flow, glyphs, was, ended=state.update.ended), TextLine()] if flow is not None else []
            lines += update_lines(state.update, glyphs)
        elif task is not None:
            lines = task_lines(
                task,
                glyphs,
                task.end_ms or task.start_ms,
                usual=state.task_usual.get(task.task_key),
                iterations=state.iterations.get(task.run_id, ()),
                update=state.child_updates.get(task.run_id),
            )
        elif state.run is not None:
            status = state.statuses.get(state.focus)
            lines = run_lines(
                state.run,
                state.run.end_ms or state.run.start_ms,
                glyphs,
                share=self._share_of(state),
                usual=status.usual if status is not None else None,
            )
        elif resource is not None:
            lines = resource_lines(resource, state.statuses.get(resource.ref), now_ms // 60_000 * 60_000, glyphs)
        else:
            lines = []
        self.task.set_lines(lines, empty=[(("Nothing is chosen.", "muted"),)])
        shown = self.run.item()
        name = (shown.name or shown.task.task_key) if shown is not None and task is not None else ""
        self.output.of = (span(name, "muted"),) if name else ()
        self.output.may_grow(task is not None and task.state.active)
        output = state.outputs.get(task.run_id) if task is not None else None
        seen = (task, output)
        if self._output_of == () or seen != self._output_of:
            other = not self._output_of or task is None or getattr(self._output_of[0], "run_id", "") != task.run_id
            self._output_of = seen
            if other:
                self.output.top, self.output.left = 0, 0
            self.output.set_lines(output_lines(task, output, glyphs), empty=[((_no_output(task), "muted"),)])
        if self.tab == "graph":
            self._show_graph(state, resource, of_resource=of_resource)
        elif self.tab == "history":
            self._show_history(state, resource, now_ms)
        heads = self._tab_heads()
        made = (self.task, self.run_timeline, self.update_timeline, self.output, self.cli)
        for page in (*made, self._events, self.graph, self.history, self.updates):
            if page is not None:
                page.set_head(heads)

    def _show_graph(self, state: State, resource: Resource | None, *, of_resource: bool) -> None:
        """The tasks of the run or the flows of the update; of a job that is only looked at, what it declares."""
        from ..widgets import graph_nodes
        from ..widgets.graph import GraphPage

        if self.graph is None:
            self.graph = GraphPage()
        elsewhere = of_resource and resource is not None and resource.ref != state.focus
        run, update = (None, None) if elsewhere else (state.run, state.update)
        seen = (resource, run, update)
        if len(self._graph_of) == 3 and all(a is b for a, b in zip(seen, self._graph_of, strict=True)):
            return
        opened, self._graph_of = not self._graph_of, seen
        if update is not None and (run is None or self.is_pipeline(state)):
            self.graph.show(graph_nodes.flow_nodes(update, self.glyphs), nothing="No flow is known of this update yet.")
        elif run is not None:
            self.graph.show(graph_nodes.task_nodes(run, self.glyphs), nothing="This run has no tasks yet.")
        elif resource is not None and resource.type == "jobs":
            nodes = graph_nodes.declared_nodes(resource.config, self.glyphs)
            self.graph.show(nodes, nothing="This job declares no tasks.")
        else:
            self.graph.show([], nothing="There is a graph of a job's tasks, and of an update's flows once one has run.")
        if opened and not elsewhere:
            # It follows the cursor of the run; from then on the run follows its own.
            task, update_page = self.task_of_run(state), self.update
            if task is not None:
                self.graph.go_to(task.task_key, 8)
            elif update_page.cursor < update_page.count:
                self.graph.go_to(update_page.key(update_page.cursor), 8)

    def _show_history(self, state: State, resource: Resource | None, now_ms: int) -> None:
        from ..widgets.history import HistoryPage, update_history_lines

        ref = resource.ref if resource is not None else state.focus
        self._of_pipeline = ref.startswith("pipelines.")
        if self._of_pipeline:
            if self.updates is None:
                self.updates = TextPage(cursor=True)
            updates = state.past_updates.get(ref)
            words = "Past updates are being read." if updates is None else "No update has run yet."
            url = resource.url if resource is not None else ""
            minute = now_ms // 60_000 * 60_000
            self.updates.set_lines(
                update_history_lines(updates or (), url, minute, self.glyphs), empty=[((words, "muted"),)]
            )
            return
        if self.history is None:
            self.history = HistoryPage()
        runs = state.past_runs.get(ref)
        known = ref.startswith("jobs.")
        words = "Past runs are being read." if runs is None else "No run has ended yet."
        self.history.show(
            runs or (), nothing=words if known else "There is a history of a job's runs and a pipeline's updates."
        )

    def chosen_task(self, state: State) -> TaskRun | None:
        """The task run under the cursor of the run."""
        if self.is_pipeline(state):
            return None
        item = self.run.item()
        return item.task if item is not None else None

    def task_of_run(self, state: State) -> TaskRun | None:
        """The task of the run on show that is under the cursor, or that what is under the cursor belongs to."""
        run = state.run
        if run is None or self.is_pipeline(state):
            return None
        page = self.run
        depth = 99
        for line in range(min(page.cursor, page.count - 1), -1, -1):
            node = page.node(line)
            if node is None or node.depth >= depth:
                continue
            depth = node.depth
            task = getattr(node.data, "task", None)
            if task is not None and any(task is other or task == other for other in run.tasks):
                found: TaskRun = task
                return found
        return None

    def open_tab(self, tab: str) -> None:
        """Show another tab of pane 4."""
        self.tab = tab
        if tab == "graph":
            self._graph_of = ()

    def go_to_task(self, name: str, height: int) -> bool:
        """Put the cursor of the run on the task, or that of the update on the flow, of this name."""
        found = self.run.find(
            lambda node: node.depth == 0 and getattr(getattr(node.data, "task", None), "task_key", "") == name
        )
        return self.run.go_to(found, height) if found else self.update.go_to(name, height)

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
            done, total = update.progress
            aside: list[Span] = [(f"{sign} ", role), span(word, f"{role}+b")]
            if total and not update.validate_only:
                aside.append((f" {done}/{total} flows", "muted"))
            if update.cause == "RETRY_ON_FAILURE":
                aside.append((" retried by the platform", "warn"))
            if update.validate_only:
                aside.append((" validation only", "muted"))
            self.update.set_head((span(name, "b"), span(f" update {update.update_id[:8]}", "muted")), tuple(aside))
            return
        if run is None:
            self.run.set_head(((name or "Run", ""),))
            return
        sign, role = state_look(run.state, glyphs)
        words = state_words(run.state)
        share = self._share_of(state)
        if share is not None:
            sign, role = glyphs.partly, "warn"
            words = f"partly: {share.succeeded:,} of {share.total:,} {share.unit}"
        aside = [(f"{sign} ", role), span(words, f"{role}+b")]
        status = state.statuses.get(state.focus)
        usual = status.usual if status is not None and not run.state.failed else None
        compared = usual_words(run.elapsed_ms(now_ms), usual, active=run.state.active) if run.start_ms else ("", "")
        if run.state.active:
            done, total = run_progress(run)
            aside.append((f" {done}/{total} tasks", "muted"))
            if run.start_ms and compared[1] != "warn":
                aside.append((f" since {clock(run.start_ms)}", "faint"))
        elif run.start_ms:
            aside.append((f" {duration(run.elapsed_ms(now_ms))}", "muted"))
        if compared[0]:
            aside += [(" ", ""), (compared[0].partition(" (")[0], compared[1])]
        repairs = sum(item.kind == "REPAIR" for item in run.repairs)
        title: list[Span] = [span(name or run.name, "b"), span(f" run {run.run_id}", "muted")]
        if repairs:
            title.append((f" {glyphs.dot} repair {repairs}", "muted"))
        newest = status.history[0] if status is not None and status.history else None
        if newest is not None and newest.id != run.run_id and newest.start_ms > run.start_ms:
            title.append((f" {glyphs.dot} a past run, {ago(run.start_ms, now_ms)}", "warn"))
        self.run.set_head(tuple(title), tuple(aside))

    def _note_share(self, state: State) -> None:
        """Keep in mind whether the run on show is a warning only: its line says so also when another one is."""
        run = state.run
        if run is None or run.state.active or (run.run_id in self.partly) == (self._share_of(state) is not None):
            return
        self.partly ^= {run.run_id}

    def _share_of(self, state: State) -> Share | None:
        """How much of the run succeeded, where that makes its failure a warning; worked out once for each state."""
        seen = (state.run, state.child_runs, state.iterations)
        if len(self._share_seen) != 3 or not all(a is b for a, b in zip(seen, self._share_seen, strict=True)):
            from ..core.run_stats import partial_success

            self._share_seen = seen
            run = state.run
            self._share = partial_success(run, state.child_runs, state.iterations) if run is not None else None
        return self._share

    @property
    def _all_tabs_fit(self) -> bool:
        return not self.room or sum(len(word) + 3 for _, word in TABS) + 6 <= self.room

    def _tab_heads(self) -> Spans:
        """The names of all tabs, the chosen one marked; where they do not fit, the chosen one and which it is."""
        heads: list[Span] = []
        if not self._all_tabs_fit:
            number, word = next((n, word) for n, (name, word) in enumerate(TABS, 1) if name == self.tab)
            return ((word, "accent+b+u"), (f" {number}/{len(TABS)}", "muted"), (" [ ]", "faint"))
        for number, (name, word) in enumerate(TABS):
            heads += [(f" {self.glyphs.side} ", "rule")] if number else []
            heads.append((word, "accent+b+u" if name == self.tab else "muted"))
        return tuple(heads)

    def tab_at(self, x: int) -> str:
        """The tab whose name stands at cell `x` of the title, the next one where only one name fits; else empty."""
        names = [name for name, _ in TABS]
        if not self._all_tabs_fit:
            return names[(names.index(self.tab) + 1) % len(names)]
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
