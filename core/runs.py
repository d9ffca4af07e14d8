"""Job runs as this program sees them: parsed once from the raw JSON of Jobs API 2.2, frozen, in the field's words.

Never talks to the network. Unknown states are kept as they come and count as active; nothing here raises on odd input.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a run or task run, or what it is doing. The value is the word shown on screen."""

    QUEUED = "queued"
    PENDING = "pending"
    BLOCKED = "blocked"
    RUNNING = "running"
    WAITING_FOR_RETRY = "waiting for retry"
    TERMINATING = "terminating"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_FAILURES = "succeeded with failures"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    EXCLUDED = "excluded"
    DISABLED = "disabled"
    UPSTREAM_FAILED = "upstream failed"
    UPSTREAM_CANCELED = "upstream canceled"
    MAX_CONCURRENT_RUNS = "max concurrent runs reached"
    UNKNOWN = "unknown"


_STILL_TO_START = 1 << 62  # later than any start, in epoch ms


@dataclass(frozen=True, slots=True)
class RunState:
    """State of a run or task run. `life` and `result` are the raw words; `outcome` is ours; `message` is cleaned.

    `ended` tells that the end is proven, also where the words for it are not known.
    """

    outcome: Outcome
    life: str = ""
    result: str = ""
    code: str = ""
    type: str = ""
    message: str = ""
    queue_reason: str = ""
    ended: bool = False

    @property
    def active(self) -> bool:
        """Whether it may still change. Unknown words count as active, unless the end is proven."""
        return self.outcome in _ACTIVE and not self.ended

    @property
    def failed(self) -> bool:
        """Whether it ended in a way that a person has to look at."""
        return self.outcome in _FAILED or (self.outcome is Outcome.UNKNOWN and self.ended)

    @property
    def succeeded(self) -> bool:
        return self.outcome is Outcome.SUCCEEDED


_ACTIVE = frozenset(
    {
        Outcome.QUEUED,
        Outcome.PENDING,
        Outcome.BLOCKED,
        Outcome.RUNNING,
        Outcome.WAITING_FOR_RETRY,
        Outcome.TERMINATING,
        Outcome.UNKNOWN,
    }
)
_FAILED = frozenset(
    {
        Outcome.FAILED,
        Outcome.TIMED_OUT,
        Outcome.CANCELED,
        Outcome.MAX_CONCURRENT_RUNS,
        Outcome.UPSTREAM_FAILED,
        Outcome.UPSTREAM_CANCELED,
        Outcome.SUCCEEDED_WITH_FAILURES,
    }
)


@dataclass(frozen=True, slots=True)
class ForEachStats:
    """Counts of the iterations of a `for_each_task`, with up to three error messages the platform groups them by."""

    total: int = 0
    scheduled: int = 0
    active: int = 0
    completed: int = 0
    succeeded: int = 0
    failed: int = 0
    errors: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One attempt of one task. Ids are strings (they may pass 2**53); times are epoch ms, 0 where not yet known."""

    run_id: str
    task_key: str
    state: RunState
    attempt: int = 0
    kind: str = ""  # notebook, spark_python, python_wheel, sql, dbt, pipeline, run_job, for_each, condition, ...
    depends_on: tuple[tuple[str, str], ...] = ()  # (task_key, outcome or "")
    run_if: str = "ALL_SUCCESS"
    start_ms: int = 0
    end_ms: int = 0
    setup_ms: int = 0
    execution_ms: int = 0
    cleanup_ms: int = 0
    queue_ms: int = 0
    source_path: str = ""  # workspace path of the notebook, file or SQL it runs
    page_url: str = ""
    cluster_id: str = ""
    environment_key: str = ""
    job_id: str = ""  # the job a run_job task starts
    pipeline_id: str = ""  # the pipeline a pipeline task updates
    condition_outcome: str = ""
    for_each: ForEachStats | None = None
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """What orders the attempts of one task: one that is still to start, as a retry that waits, is the newest."""
        return self.start_ms or (_STILL_TO_START if self.state.active else 0), self.attempt

    def elapsed_ms(self, now_ms: int) -> int:
        """Milliseconds from start to end, or to `now_ms` while it runs; 0 before it started."""
        return max(0, (self.end_ms or now_ms) - self.start_ms) if self.start_ms else 0


def newest_attempts(tasks: Iterable[TaskRun]) -> tuple[TaskRun, ...]:
    """One task run per key: the newest attempt, in the order in which the keys first stand."""
    newest: dict[str, TaskRun] = {}
    for task in tasks:
        held = newest.get(task.task_key)
        if held is None or task.order >= held.order:
            newest[task.task_key] = task
    return tuple(newest.values())


@dataclass(frozen=True, slots=True)
class RepairItem:
    """One entry of `repair_history`: `kind` ORIGINAL or REPAIR; `id` is empty for the original."""

    kind: str
    id: str
    state: RunState
    start_ms: int = 0
    end_ms: int = 0
    task_run_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job with every attempt and repair of every task, as `runs/get` with all its pages tells it."""

    run_id: str
    job_id: str
    name: str
    state: RunState
    start_ms: int = 0
    end_ms: int = 0
    setup_ms: int = 0
    execution_ms: int = 0
    queue_ms: int = 0
    trigger: str = ""
    creator: str = ""
    page_url: str = ""
    tasks: tuple[TaskRun, ...] = ()
    repairs: tuple[RepairItem, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    parent_task_run_id: str = ""

    def elapsed_ms(self, now_ms: int) -> int:
        """Milliseconds that it ran, to `now_ms` while it does; 0 before it started.

        The time between its end and a repair, in which it waited for somebody, is not its own.
        """
        end_ms = self.end_ms or now_ms
        starts = [item.start_ms for item in self.repairs if item.start_ms]
        if len(starts) < 2 or not self.start_ms:
            return max(0, end_ms - self.start_ms) if self.start_ms else 0
        ends = [item.end_ms or end_ms for item in self.repairs if item.start_ms]
        return sum(max(0, end - start) for start, end in zip(starts, ends, strict=True))

    @property
    def latest_repair_id(self) -> str | None:
        """What the next `runs/repair` has to send as `latest_repair_id`; None before the first repair."""
        ids = [item.id for item in self.repairs if item.kind == "REPAIR" and item.id]
        return ids[-1] if ids else None


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """`runs/get-output` of one task run, cleaned and redacted. Immutable once the task run has ended."""

    run_id: str
    error: str = ""
    error_trace: str = ""
    result: str = ""  # of dbutils.notebook.exit, or a SQL/dbt summary
    logs: str = ""
    result_truncated: bool = False
    logs_truncated: bool = False
    child_run_id: str = ""  # run_job_output.run_id
    extra: dict[str, str] = field(default_factory=dict)  # links: dbt artifacts, sql output
