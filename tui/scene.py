"""What the actions look at: the state, and what is under the cursor. A frozen moment of the console.

Never changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.bundle import Resource
from ..core.runs import Run, TaskRun
from ..core.stages import LoopOutcome, Stage
from ..core.state import State
from ..widgets.strips import is_production, is_read_only
from .layout import Pane

if TYPE_CHECKING:
    from ..core.pipelines import Flow, PipelineEvent, Update
    from ..matrix.model import Diagnosis
    from .app import ConsoleApp


@dataclass(frozen=True, slots=True)
class Scene:
    """The state with what a person has chosen. `resource` is the one under the cursor of pane 1, else the focused."""

    state: State
    pane: Pane = "resources"
    tab: str = "task"
    resource: Resource | None = None
    task: TaskRun | None = None
    flow: Flow | None = None
    event: PipelineEvent | None = None
    place: str = ""  # file:line under the cursor, or of the diagnosis on show
    url: str = ""
    fix: int = 0
    cause: int = 0  # which of the diagnoses is on show
    marked: frozenset[str] = frozenset()  # task keys or datasets that were chosen for what comes next
    monotonic: float = 0.0  # seconds, for what holds for a while only

    @property
    def run(self) -> Run | None:
        """The run on show; None where the focus is a pipeline."""
        return self.state.run

    @property
    def update(self) -> Update | None:
        return self.state.update

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis on show."""
        diagnoses = self.state.diagnoses
        return diagnoses[self.cause] if self.cause < len(diagnoses) else None

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed now: by flag, or because it was not armed, or not long enough ago."""
        return is_read_only(self.state, self.monotonic)

    @property
    def where(self) -> str:
        """`diagnosis` or `events`, where keys mean something of their own; else empty."""
        if self.pane == "detail" and self.tab == "events":
            return "events"
        return "diagnosis" if self.pane == "diagnosis" and self.state.diagnoses else ""

    @property
    def production(self) -> bool:
        return is_production(self.state)

    @property
    def in_flight(self) -> tuple[str, ...]:
        """What goes on at the workspace when the console is left, in words."""
        words = []
        for ref, status in self.state.statuses.items():
            if status.history and status.history[0].state.active:
                words.append(f"{ref} (run {status.history[0].id})")
        run, update = self.state.run, self.state.update
        if run is not None and run.state.active and not any(run.run_id in word for word in words):
            words.append(f"{run.name} (run {run.run_id})")
        if update is not None and not update.ended and not any(update.update_id in word for word in words):
            words.append(f"update {update.update_id}")
        return tuple(words)

    @property
    def looping(self) -> bool:
        """Whether the loop is under way."""
        loop = self.state.loop
        return loop.stage not in (Stage.IDLE, Stage.ENDED) and loop.outcome is not LoopOutcome.INTERRUPTED


def scene_of(app: ConsoleApp) -> Scene:
    """What the actions look at now."""
    state, panes = app.state, app.panes
    resource, task = app.resource(), panes.chosen_task(state)
    key = app.views[app.pane].page.home() if hasattr(app, "views") else ""
    event = panes.events.event() if app.pane == "detail" and panes.tab == "events" else None
    if key.startswith("url:"):
        url = key[4:]
    elif app.pane in ("run", "detail", "diagnosis"):
        url = (task.page_url if task is not None else "") or (state.run.page_url if state.run else "")
    else:
        url = ""
    return Scene(
        state,
        app.pane,
        panes.tab,
        resource,
        task,
        panes.update.flow() if panes.is_pipeline(state) else None,
        event,
        key[6:] if key.startswith("place:") else _place(app, resource, task, event),
        url or (resource.url if resource is not None else ""),
        panes.diagnosis.chosen_fix(),
        panes.diagnosis.current,
        panes.marked,
        app.monotonic(),
    )


def _place(app: ConsoleApp, resource: Resource | None, task: TaskRun | None, event: PipelineEvent | None) -> str:
    """`file:line` of what is looked at: of an event, of a task or resource that the diagnosis is not about, else of
    the diagnosis, else where the resource is declared."""
    if event is not None and event.level in ("ERROR", "WARN") and event.source_file:
        return f"{event.source_file}:{event.source_line or 1}"
    declared = f"{resource.place.file}:{resource.place.line}" if resource is not None else ""
    diagnosis = app.panes.diagnosis.diagnosis
    location = diagnosis.location if diagnosis is not None and app.state.diagnoses else None
    if app.pane == "run" and task is not None:
        about = task.task_key in diagnosis.task_keys if diagnosis is not None else False
        at = resource.task_places.get(task.task_key) if resource is not None else None
        declared = f"{at.file}:{at.line}" if at is not None else declared
        location = location if about or at is None else None
    elif app.pane == "resources" and resource is not None and resource.ref != app.state.focus:
        location = None
    return f"{location.file}:{location.line or 1}" if location is not None else declared
