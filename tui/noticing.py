"""What is due when something has changed: the tab that fits, the cursor on what failed, a bell, a question.

Never moves what is being read.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.stages import Stage
from ..core.state import State

if TYPE_CHECKING:
    from ..core.pipelines import Update
    from .app import ConsoleApp
    from .notify import Notifier

WALKED = ("timeline", "graph", "history")  # tabs that stay when another resource is followed


class Noticing:
    """Compares the State that was on show with the one that is to be, and hears the engine's events."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self._resumed = False

    def changed(self, before: State, after: State) -> None:
        """`after` is about to be shown where `before` was."""
        self._choose_tab(before, after)
        self._go_along(before, after)
        app = self._app
        if after.resumable and not self._resumed:
            self._resumed = True
            app.say(after.resumable, "accent", seconds=60)
        if after.cleanup and after.cleanup != before.cleanup and len(app.screen_stack) == 1:
            app.action_act("clean_up")
        if after.report_markdown and after.report_markdown != before.report_markdown:
            app.operations.show_report()

    def _choose_tab(self, before: State, after: State) -> None:
        panes = self._app.panes
        if self._app.pane == "detail":
            return
        # What the CLI says is to be read; of other work, as of a check query, nothing stands there.
        if after.busy.startswith("bundle ") and not before.busy:
            panes.tab = "cli"
        # The graph, the history or the timeline was chosen for every resource that is walked over.
        if after.focus != before.focus and panes.tab not in WALKED:
            panes.tab = "events" if after.focus.startswith("pipelines.") else "task"
        started = after.run is not None and (before.run is None or before.run.run_id != after.run.run_id)
        if started and after.run is not None and after.run.state.active and panes.tab == "cli":
            panes.tab = "task"
        begun = after.update is not None and (
            before.update is None or before.update.update_id != after.update.update_id
        )
        if begun and panes.tab == "cli":
            panes.tab = "events"

    def _go_along(self, before: State, after: State) -> None:
        app = self._app
        if after.focus != before.focus and after.focus not in app.asked:
            # The engine went there by itself: then the cursor goes along. What a person asked for may come late.
            app.focus_wish = after.focus
            app.panes.resources.show(after.bundle, after.statuses, after.focus, app.panes.partly)
            app.panes.resources.go_to(after.focus, app.views["resources"].body_height)
        tried, again = before.update, after.update
        if again is not None and again.cause == "RETRY_ON_FAILURE" and tried is not None and _failed(tried, after):
            old, new = tried.update_id, again.update_id
            if new != old and again.pipeline_id == tried.pipeline_id:
                app.say(f"update {old[:8]} failed; the platform tries again as {new[:8]}", "warn", seconds=60)
        if after.focus != before.focus or (after.run and before.run and after.run.run_id != before.run.run_id):
            app.panes.marked = frozenset()
        if after.diagnoses and after.diagnoses != before.diagnoses:
            self._go_to_failure(after)
            if not app.layout_now.wide and app.pane == "resources" and after.loop.stage is not Stage.IDLE:
                # Where only one pane is on screen, this is the one that the loop goes on from.
                app.go_to_pane("diagnosis")

    def _go_to_failure(self, state: State) -> None:
        """Put the cursor of the run on the task that is the root cause, unless somebody is reading the run."""
        keys = state.diagnoses[0].task_keys
        if not keys or self._app.pane in ("run", "detail"):
            return
        page = self._app.panes.run
        key = page.find(lambda node: getattr(getattr(node.data, "task", None), "task_key", "") in keys)
        if key:
            page.go_to(key, 10)

    def happened(self, event: Any) -> None:
        """An event of the engine: some ring, some are said."""
        name = getattr(event, "name", "")
        if name == "failure.diagnosed":
            what = f"failed {event.key} {event.run_id} {event.diagnosis.cause}"
            self.notifier.tell(what, "dbops: failed", f"{event.key}: {event.diagnosis.title}")
        elif name == "loop.ended":
            what = f"ended {event.outcome} {event.iterations} {event.report_id}"
            self.notifier.tell(what, "dbops", f"loop {event.outcome}")
        elif name == "problem":
            self._app.say(event.message + (f" ({event.fix})" if event.fix else ""), "warn")

    def ring_for_watched(self, state: State) -> None:
        """Ring for each watched run or update that has ended."""
        ended: dict[str, str] = {}
        for ref, status in state.statuses.items():
            ended |= {past.id: f"{ref} {past.state.outcome.value}" for past in status.history if not past.state.active}
        if state.run is not None and not state.run.state.active:
            ended[state.run.run_id] = f"{state.focus or state.run.name} {state.run.state.outcome.value}"
        if state.update is not None and state.update.ended:
            ended[state.update.update_id] = f"{state.focus} {state.update.state.lower()}"
        for id_ in self._app.watched & ended.keys():
            self._app.watched.discard(id_)
            self.notifier.tell(f"watched {id_}", "dbops", ended[id_])
            self._app.nobody_waits()

    @cached_property
    def notifier(self) -> Notifier:
        """Bell and desktop notices; made when first needed."""
        from .notify import Notifier

        options = self._app.options
        return Notifier(self._app.write_terminal, bell=options.bell, kind=options.notify)


def _failed(update: Update, state: State) -> bool:
    """Whether an update failed, be it that its end was never painted: the next one may have come right after."""
    status = state.statuses.get(state.focus)
    return update.failed or any(
        past.id == update.update_id and past.state.failed for past in (status.history if status is not None else ())
    )
