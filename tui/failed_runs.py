"""What failed in one run or update at the workspace: its failed tasks with their outputs, nested runs opened.

Never changes anything, and asks for no more than a bounded number of outputs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core.failures import Found, failed_tasks, of_run, of_update
from ..core.runs import Run, TaskOutput, TaskRun

if TYPE_CHECKING:
    from ..core.pipelines import PipelineEvent, Update
    from ..core.workspace import Workspace

MOST_OUTPUTS = 60  # of failed tasks, over all nested runs
MOST_ITERATIONS = 3  # of one for_each that failed, as the console looks at them
MOST_DEEP = 4
EVENT_PAGES = 8
_EVENTS_A_PAGE = 250
_EARLY_MS = 120_000  # an update may have been made a little before its task says that it started


@dataclass(slots=True)
class _Reading:
    workspace: Workspace
    ref: str
    outputs: dict[str, TaskOutput] = field(default_factory=dict)
    children: dict[str, Run] = field(default_factory=dict)
    iterations: dict[str, tuple[TaskRun, ...]] = field(default_factory=dict)  # those that failed, of a for_each
    of_updates: dict[str, list[Found]] = field(default_factory=dict)  # task run id -> failures of its update
    notes: list[str] = field(default_factory=list)
    left: int = MOST_OUTPUTS


async def run_failures(workspace: Workspace, run_id: str, ref: str) -> tuple[Run, list[Found], list[str]]:
    """(the run, its failures, what could not be read). Raises WorkspaceError where the run itself cannot be read."""
    run = await workspace.run(run_id)
    reading = _Reading(workspace, ref or run.name)
    await _read(reading, run, 0)
    found = of_run(run, reading.ref, reading.outputs, reading.children, iterations=reading.iterations)
    opened: list[Found] = []
    for item in found:
        inner = reading.of_updates.get(item.task_run_id)
        opened += [replace(each, task_key=item.task_key, task_run_id=item.task_run_id) for each in inner or ()] or [
            item
        ]
    return run, opened, reading.notes


async def update_failures(
    workspace: Workspace, pipeline_id: str, update_id: str, ref: str
) -> tuple[Update | None, list[Found]]:
    """(the update, its failures); the latest where none is named, None where there is none. Raises WorkspaceError."""
    if update_id:
        update = await workspace.update(pipeline_id, update_id)
    else:
        latest = await workspace.updates(pipeline_id, limit=1)
        if not latest:
            return None, []
        update = latest[0]
    if not update.failed:
        return update, []
    return update, await _of_update(workspace, update, ref or f"pipeline {pipeline_id}")


async def _of_update(workspace: Workspace, update: Update, ref: str, url: str = "") -> list[Found]:
    """What its ERROR events say of a failed update; without any, what its cluster says. Raises WorkspaceError."""
    events = await error_events(workspace, update.pipeline_id, update.update_id)
    if not events:
        update = replace(update, message=await _from_cluster(workspace, update) or update.message)
    return of_update(update, ref, events, url)


async def _from_cluster(workspace: Workspace, update: Update) -> str:
    """What the cluster of an update says of its end; empty for serverless, and where the cluster is forgotten."""
    from ..core.cluster_words import cluster_words
    from ..core.workspace import WorkspaceError

    # The update names its cluster also after the pipeline has let go of it.
    path = f"/api/2.0/pipelines/{update.pipeline_id}/updates/{update.update_id}"
    raw = (await workspace.request("GET", path)).get("update")
    cluster = raw.get("cluster_id") if isinstance(raw, dict) else ""
    if not isinstance(cluster, str) or not cluster:
        return ""
    try:
        return cluster_words(await workspace.cluster_events(cluster))
    except WorkspaceError as error:
        if error.unmeasured:
            raise
        return ""


async def error_events(workspace: Workspace, pipeline_id: str, update_id: str) -> list[PipelineEvent]:
    """The ERROR events of one update, oldest first, from a bounded number of pages."""
    from ..core.event_json import parse_event

    path = f"/api/2.0/pipelines/{pipeline_id}/events"
    query: dict[str, Any] = {
        "max_results": _EVENTS_A_PAGE,
        "filter": f"update_id='{update_id}' AND level='ERROR'",
    }
    raws: dict[str, dict[str, Any]] = {}
    for _ in range(EVENT_PAGES):
        page = await workspace.request("GET", path, query)
        raws |= {str(raw.get("id", len(raws))): raw for raw in page.get("events") or () if isinstance(raw, dict)}
        token = page.get("next_page_token")
        if not token:
            break
        # With a page token the API takes no filter: the token holds it.
        query = {"max_results": _EVENTS_A_PAGE, "page_token": token}
    return sorted((parse_event(raw) for raw in raws.values()), key=lambda event: event.timestamp)


async def _read(reading: _Reading, run: Run, depth: int) -> None:
    tasks = failed_tasks(run)
    chosen = tasks[: max(0, reading.left)]
    reading.left -= len(chosen)
    if len(chosen) < len(tasks):
        reading.notes.append(f"{len(tasks) - len(chosen)} more failed tasks were not looked at")
    await asyncio.gather(*(_read_task(reading, task, depth) for task in chosen))


async def _read_task(reading: _Reading, task: TaskRun, depth: int) -> None:
    from ..core.workspace import WorkspaceError

    try:
        if task.kind == "for_each":
            await _read_iterations(reading, task)
        elif task.kind == "pipeline" and task.pipeline_id:
            await _read_update(reading, task)
        else:
            output = await reading.workspace.output(task.run_id)
            reading.outputs[task.run_id] = output
            if output.child_run_id and depth < MOST_DEEP:
                child = await reading.workspace.run(output.child_run_id)
                reading.children[task.run_id] = child
                await _read(reading, child, depth + 1)
    except WorkspaceError as error:
        # The task's own message is left, and says more than nothing.
        reading.notes.append(f"{task.task_key}: {error.message}")


async def _read_iterations(reading: _Reading, task: TaskRun) -> None:
    """What the first few failed iterations say stands for all of them: they may fail for more than one reason."""
    token = ""
    for _ in range(20):
        iterations, token = await reading.workspace.iterations(task.run_id, token)
        failed = tuple(each for each in iterations if each.state.failed)[:MOST_ITERATIONS]
        if failed:
            outputs = await asyncio.gather(*(reading.workspace.output(each.run_id) for each in failed))
            reading.outputs |= {each.run_id: output for each, output in zip(failed, outputs, strict=True)}
            reading.iterations[task.run_id] = failed
            return
        if not token:
            return


async def _read_update(reading: _Reading, task: TaskRun) -> None:
    """The update that a pipeline task started: runs/get does not name it, its time and its end do."""
    updates = await reading.workspace.updates(task.pipeline_id)
    update = _started_by(task, updates)
    if update is None:
        return
    found = await _of_update(reading.workspace, update, reading.ref, task.page_url)
    reading.of_updates[task.run_id] = [replace(item, run_id=update.update_id) for item in found]


def _started_by(task: TaskRun, updates: Iterable[Update]) -> Update | None:
    low, high = task.start_ms - _EARLY_MS, task.end_ms or 1 << 62
    fitting = [update for update in updates if update.failed and low <= update.creation_ms <= high]
    return min(fitting, key=lambda u: (u.cause != "JOB_TASK", abs(u.creation_ms - task.start_ms)), default=None)
