"""What changed between two looks at a run or an update, as events. Pure."""

from __future__ import annotations

from .events import EngineEvent, RunChanged, TaskChanged
from .failures import latest_tasks
from .runs import Outcome, Run, RunState
from .state import RunSummary


def run_changes(ref: str, before: Run | None, after: Run, now_ms: int) -> list[EngineEvent]:
    """RunChanged where the run's own state differs, TaskChanged for each task run that is new or differs."""
    events: list[EngineEvent] = []
    known = {task.run_id: task.state for task in before.tasks} if before and before.run_id == after.run_id else {}
    for task in latest_tasks(after):
        held = known.get(task.run_id)
        if held == task.state or (held is None and task.state.outcome in (Outcome.BLOCKED, Outcome.PENDING)):
            continue
        events.append(
            TaskChanged(
                key=ref,
                run_id=after.run_id,
                task_key=task.task_key,
                task_run_id=task.run_id,
                state=task.state.outcome.value,
                attempt=task.attempt,
                message=task.state.message,
            )
        )
    if before is None or before.run_id != after.run_id or before.state != after.state:
        events.append(
            RunChanged(
                key=ref,
                run_id=after.run_id,
                state=words(after.state),
                message=after.state.message,
                elapsed_ms=after.elapsed_ms(now_ms),
            )
        )
    return events


def words(state: RunState) -> str:
    """The state in words; an unknown one as it came."""
    if state.outcome is Outcome.UNKNOWN:
        return state.life or state.result or "unknown"
    if state.outcome is Outcome.QUEUED and state.queue_reason:
        return f"queued: {state.queue_reason}"
    return state.outcome.value


def progress_of(run: Run) -> tuple[int, int]:
    """(tasks that ended, tasks)."""
    tasks = latest_tasks(run)
    return sum(not task.state.active for task in tasks), len(tasks)


def summary_of(run: Run) -> RunSummary:
    """The run as one bar of the history strip."""
    took_ms = run.elapsed_ms(run.end_ms) if run.end_ms else 0
    return RunSummary(run.run_id, run.state, run.start_ms, run.end_ms, run.page_url, took_ms)


def with_summary(history: tuple[RunSummary, ...], summary: RunSummary, keep: int = 25) -> tuple[RunSummary, ...]:
    """The history with this run put in or brought up to date, newest first."""
    others = [item for item in history if item.id != summary.id]
    merged = sorted([summary, *others], key=lambda item: item.start_ms or 1 << 62, reverse=True)
    return tuple(merged[:keep])
