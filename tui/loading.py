"""What is on show and not there yet is asked for: outputs, logs that grow, past runs, the lines around a place.

Asks for each thing once, and never for what nobody looks at.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.bounded import newest
from ..core.runs import TaskRun

if TYPE_CHECKING:
    from .app import ConsoleApp

KEPT_HISTORIES = 12  # resources whose past runs need not be asked for again; fewer than the engine holds
LOGGING = frozenset({"spark_python", "python_wheel", "spark_jar", "dbt"})  # kinds of tasks that write a log


class Loading:
    """Called after each change of what is on show."""

    def __init__(self, app: ConsoleApp) -> None:
        self._app = app
        self._loaded: set[str] = set()  # task runs of the run on show whose output was asked for after their end
        self._loaded_of = ""
        self._growing: set[str] = set()  # those whose output was asked for while they ran
        self._log_of: object = None  # the run as it was when the log of its running task was asked for
        self._history_of: dict[str, str] = {}  # ref -> the newest run when its history was asked for
        self._trend_of: set[str] = set()  # updates for which the one before was asked for
        self._opened_of: object = None  # the run as it was when the updates of its pipeline tasks were asked for
        self._excerpt_of: object = None

    def look(self) -> None:
        """Ask for what is missing."""
        app = self._app
        task = app.panes.chosen_task(app.state)
        run_id = app.state.run.run_id if app.state.run is not None else ""
        if run_id != self._loaded_of:
            self._loaded, self._loaded_of = set(), run_id
        if task is not None and task.start_ms:
            self._output(task)
        self._updates_of_tasks()
        self._history()
        self._trend()
        self._excerpt()

    def _output(self, task: TaskRun) -> None:
        app = self._app
        if task.state.active:
            # Once for each look at its run.
            read = app.panes.tab == "output" and app.layout_now.shows("detail") and task.kind in LOGGING
            if not read or self._log_of is app.state.run:
                return
            self._log_of = app.state.run
            self._growing.add(task.run_id)
        else:
            wanted = task.state.failed or app.panes.tab == "output"
            known = task.run_id in app.state.outputs and task.run_id not in self._growing
            if not wanted or known or task.run_id in self._loaded:
                return
            self._loaded.add(task.run_id)
        app.spawn(app.engine.load_output(task.run_id), "output")

    def _updates_of_tasks(self) -> None:
        """The updates that pipeline tasks started and that were opened, once for each look at the run, to their end."""
        app, state = self._app, self._app.state
        if not state.child_updates or self._opened_of is state.run:
            return
        self._opened_of = state.run
        runs = [run for run in (state.run, *state.child_runs.values()) if run is not None]
        for task in (task for run in runs for task in run.tasks if task.pipeline_id):
            update = state.child_updates.get(task.run_id)
            if update is not None and not update.ended:
                app.spawn(app.engine.expand(task.run_id), "expand")

    def _history(self) -> None:
        """Past runs or updates where they are looked at, and again when there is a newer one."""
        app = self._app
        resource = app.resource()
        if app.panes.tab != "history" or not app.layout_now.shows("detail") or resource is None:
            return
        if resource.type in ("jobs", "pipelines"):
            status = app.state.statuses.get(resource.ref)
            last = status.history[0] if status is not None and status.history else None
            seen = f"{last.id} {last.state.outcome} {last.end_ms}" if last is not None else ""
            if self._history_of.get(resource.ref) != seen:
                self._history_of.pop(resource.ref, None)
                self._history_of[resource.ref] = seen
                newest(self._history_of, KEPT_HISTORIES)
                app.spawn(app.engine.load_history(resource.ref), "history")

    def _trend(self) -> None:
        """The update before the one on show, once there are rules to compare."""
        app = self._app
        update, before = app.state.update, app.state.previous_update
        if update is None or update.update_id in self._trend_of or not app.layout_now.shows("run"):
            return
        if any(flow.expectations for flow in update.flows) and (before is None or not before.flows):
            self._trend_of.add(update.update_id)
            app.spawn(app.engine.load_history(app.state.focus), "history")

    def _excerpt(self) -> None:
        """The lines around the place of the diagnosis on show, and again when the source was edited."""
        app = self._app
        diagnosis, bundle = app.panes.diagnosis.diagnosis, app.state.bundle
        location = diagnosis.location if diagnosis is not None else None
        wanted = (bundle.root, location, app.state.edits) if bundle and location else None
        if wanted == self._excerpt_of:
            return
        self._excerpt_of = wanted
        if bundle is not None and location is not None:
            app.spawn(self._read_excerpt(bundle.root, location.file, location.line), "excerpt")

    async def _read_excerpt(self, root: Path, file: str, line: int | None) -> None:
        from .excerpts import read_excerpt

        self._app.panes.excerpt = await asyncio.to_thread(read_excerpt, root, file, line)
        self._app.refresh_scene()
