"""What the actions look at: the state, and what is under the cursor. A frozen moment of the console.

Never changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.bundle import Resource
from ..core.pipelines import Flow, PipelineEvent, Update
from ..core.runs import Run, TaskRun
from ..core.stages import LoopOutcome, Stage
from ..core.state import State
from ..matrix.model import Diagnosis
from ..widgets.strips import is_production, is_read_only
from .layout import Pane


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
