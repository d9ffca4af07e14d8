"""What every face of the engine sees: one frozen snapshot, replaced and never mutated.

Views compare what they showed with what they get. Nothing here does I/O or knows how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .bundle import Bundle
from .runs import Run, RunState, TaskOutput, TaskRun
from .stages import LoopOutcome, Stage

if TYPE_CHECKING:
    from ..matrix.model import Diagnosis, Fix
    from .pipelines import Pipeline, PipelineEvent, Update


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts where. `source` says what decided host and profile; `problem` is why nothing may be changed."""

    host: str = ""
    profile: str = ""
    user: str = ""
    target: str = ""
    mode: str = ""  # development | production | ""
    source: str = ""
    problem: str = ""
    candidates: tuple[str, ...] = ()  # profiles that fit, where none may be chosen silently

    @property
    def resolved(self) -> bool:
        return bool(self.host and self.user) and not self.problem


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One past or present run of a resource for the history strip. Times in epoch ms; pipelines: id is the update."""

    id: str
    state: RunState
    start_ms: int = 0
    end_ms: int = 0
    page_url: str = ""
    took_ms: int = 0  # where that is known better than by its end, as of a run that waited for a repair

    @property
    def duration_ms(self) -> int:
        """How long it ran, once it has ended; 0 before."""
        return self.took_ms or (max(0, self.end_ms - self.start_ms) if self.end_ms and self.start_ms else 0)


@dataclass(frozen=True, slots=True)
class Usual:
    """How long successful runs of a resource, or of one task, have taken so far, in ms, over `runs` of them."""

    median_ms: int
    p90_ms: int
    runs: int


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """What is known of one resource at the workspace: last run first in `history`; `progress` like (3, 7)."""

    ref: str
    history: tuple[RunSummary, ...] = ()
    progress: tuple[int, int] | None = None
    progress_unit: str = ""  # tasks | flows
    note: str = ""
    usual: Usual | None = None


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A SQL warehouse: `state` as it comes (RUNNING, STOPPED, ...); a statement on one that is stopped starts it."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check query said of the diagnosis `row`: confirmed, refuted, unclear, or why it did not run."""

    row: str
    statement: str
    verdict: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    confidence: float = 0.0  # of the diagnosis, with what the query said


@dataclass(frozen=True, slots=True)
class Stale:
    """Why what is shown is old: `since` is epoch ms of the last good answer, `reason` one sentence."""

    since_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class CliLine:
    """One line of CLI output, cleaned. `stream` is cmd (the command itself), out or err."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class LoopView:
    """The loop for the strip and the footer. `iteration` 0 is before the first round; marks: done|active|failed."""

    stage: Stage = Stage.IDLE
    iteration: int = 0
    max_iterations: int = 3
    marks: tuple[tuple[Stage, str], ...] = ()
    hold: str = ""  # why nothing happens right now, in one sentence
    outcome: LoopOutcome | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Everything on screen. `focus` is a resource ref; `run`/`update` belong to it."""

    bundle: Bundle | None = None
    bundle_note: str = ""  # e.g. "databricks.yml:14: ... (showing the last good version)"
    identity: Identity = Identity()
    cli_version: str = ""
    cli_problem: str = ""
    read_only: bool = False
    auto: bool = False
    watching: bool = True
    statuses: dict[str, ResourceStatus] = field(default_factory=dict)
    focus: str = ""
    run: Run | None = None
    child_runs: dict[str, Run] = field(default_factory=dict)  # task run id -> nested run
    iterations: dict[str, tuple[TaskRun, ...]] = field(
        default_factory=dict
    )  # for_each task run id -> iterations loaded
    outputs: dict[str, TaskOutput] = field(default_factory=dict)  # task run id -> output
    update: Update | None = None
    events: Sequence[PipelineEvent] = ()  # of the focused update, oldest first
    previous_update: Update | None = None  # the one before the focused update, for the trend
    child_updates: dict[str, Update] = field(default_factory=dict)  # task run id of a pipeline task -> its update
    iterations_more: dict[str, str] = field(default_factory=dict)  # for_each task run id -> token of the next page
    task_usual: dict[str, Usual] = field(
        default_factory=dict
    )  # task key of the focused run -> how long it usually takes
    pipelines: dict[str, Pipeline] = field(default_factory=dict)  # ref -> what pipelines/get said
    past_runs: dict[str, tuple[Run, ...]] = field(default_factory=dict)  # ref -> past runs with tasks, newest first
    past_updates: dict[str, tuple[Update, ...]] = field(default_factory=dict)  # ref -> past updates, newest first
    warehouses: tuple[Warehouse, ...] = ()
    check: CheckResult | None = None
    learnable: str = ""  # what could be made a row of the matrix, in one sentence; empty where nothing is offered
    cleanup: str = ""  # what was deployed elsewhere and has to be dealt with before the next deploy
    cleanup_word: str = ""  # what has to be typed for that to be destroyed
    requests: tuple[int, int] = (0, 0)  # requests of the last minute, and how many are allowed
    undo_title: str = ""  # the applied fix that `undo_fix` would take back
    diagnoses: tuple[Diagnosis, ...] = ()
    fixes: tuple[Fix, ...] = ()
    loop: LoopView = LoopView()
    cli_lines: tuple[CliLine, ...] = ()
    busy: str = ""  # the command that runs now, e.g. "bundle deploy"
    pending_files: tuple[str, ...] = ()  # edited since the last deploy
    edits: int = 0  # how often the source was seen edited
    next_poll_at: float | None = None  # monotonic seconds
    stale: Stale | None = None
    signed_out: bool = False
    journal_note: str = ""
    report_markdown: str = ""
    resumable: str = ""  # what a previous process left in flight, in one sentence
    # Monotonic seconds until a console that has to be armed is read-only again, 0 before that; None: it need not be.
    armed_until: float | None = None
