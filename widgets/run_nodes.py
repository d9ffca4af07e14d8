"""From a run to the nodes of its outline: attempts under their task, nested runs opened in place, followers folded.

Pure; nodes of what did not change are kept, so that only what differs is drawn again.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.runs import Outcome, Run, TaskOutput, TaskRun
from .outline import Node

_FOLLOWERS = frozenset({Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CANCELED})
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A task run as the outline shows it. `note` is the short reason; `attempt` > 0 names an older attempt."""

    task: TaskRun
    note: str = ""
    attempt: int = 0
    because: str = ""  # the task whose failure holds this one back
    critical: bool = False
    iteration: bool = False


@dataclass(frozen=True, slots=True)
class Extra:
    """A line that is no task: what is left to load, or how many more there are."""

    text: str


RunItem = TaskItem | Extra


class RunNodes:
    """Makes nodes and remembers them: the same task gives the same node."""

    def __init__(self) -> None:
        self._held: dict[str, Node[RunItem]] = {}
        self._orders: dict[str, tuple[tuple[object, ...], list[int], dict[str, str]]] = {}

    def make(
        self,
        run: Run | None,
        child_runs: Mapping[str, Run],
        iterations: Mapping[str, tuple[TaskRun, ...]],
        outputs: Mapping[str, TaskOutput],
        notes: Mapping[str, str],
    ) -> list[Node[RunItem]]:
        """The nodes of `run` from the top. `notes` are short reasons by task key."""
        nodes: list[Node[RunItem]] = []
        if run is not None:
            self._run(run, 0, nodes, child_runs, iterations, outputs, notes)
        self._held = {node.key: node for node in nodes}
        return nodes

    def _run(
        self,
        run: Run,
        depth: int,
        nodes: list[Node[RunItem]],
        child_runs: Mapping[str, Run],
        iterations: Mapping[str, tuple[TaskRun, ...]],
        outputs: Mapping[str, TaskOutput],
        notes: Mapping[str, str],
    ) -> None:
        latest, older = latest_and_older(run.tasks)
        order, causes = self._order(run.run_id, latest)
        critical = critical_path(latest) if not run.state.active else frozenset()
        followers: dict[str, list[TaskRun]] = {}
        for index in order:
            task = latest[index]
            if task.task_key in causes:
                followers.setdefault(causes[task.task_key], []).append(task)
        for index in order:
            task = latest[index]
            if task.task_key in causes:
                continue
            child = child_runs.get(task.run_id) if depth < _MAX_DEPTH else None
            attempts = older.get(task.task_key, ())
            loops = iterations.get(task.run_id, ())
            held_back = followers.get(task.task_key, ())
            lazy = (task.kind == "run_job" and child is None and bool(task.start_ms)) or (
                task.for_each is not None and not loops and task.for_each.total > 0
            )
            has_parts = bool(child or attempts or loops or held_back)
            opened = bool(held_back) or (child is not None and (child.state.failed or child.state.active))
            note = notes.get(task.task_key) or _reason(task, outputs.get(task.run_id))
            item = TaskItem(task, note, critical=task.task_key in critical)
            nodes.append(self._node(_key(run, task), depth, item, has_parts or lazy, lazy and not has_parts, opened))
            for old in attempts:
                note = _reason(old, outputs.get(old.run_id))
                nodes.append(self._node(old.run_id, depth + 1, TaskItem(old, note, attempt=old.attempt + 1)))
            if child is not None:
                self._run(child, depth + 1, nodes, child_runs, iterations, outputs, notes)
            for loop in sorted(loops, key=lambda t: not t.state.failed):
                note = _reason(loop, outputs.get(loop.run_id))
                nodes.append(self._node(loop.run_id, depth + 1, TaskItem(loop, note, iteration=True)))
            if loops and task.for_each is not None and task.for_each.total > len(loops):
                left = task.for_each.total - len(loops)
                nodes.append(self._node(f"{task.run_id}/more", depth + 1, Extra(f"{left:,} more iterations: Enter")))
            for follower in held_back:
                item = TaskItem(follower, because=task.task_key)
                nodes.append(self._node(_key(run, follower), depth + 1, item))

    def _node(
        self, key: str, depth: int, item: RunItem, branch: bool = False, lazy: bool = False, opened: bool = False
    ) -> Node[RunItem]:
        held = self._held.get(key)
        if (
            held is not None
            and (held.depth, held.branch, held.lazy, held.opened) == (depth, branch, lazy, opened)
            and held.data == item
        ):
            return held
        active = isinstance(item, TaskItem) and item.task.state.active and bool(item.task.start_ms)
        return Node(key, depth, item, branch=branch, lazy=lazy, opened=opened, active=active)

    def _order(self, run_id: str, tasks: list[TaskRun]) -> tuple[list[int], dict[str, str]]:
        """(order of the tasks, who holds back whom), worked out again only where the tasks' relations changed."""
        relations = tuple((t.task_key, t.depends_on, t.state.outcome in _FOLLOWERS, t.state.failed) for t in tasks)
        held = self._orders.get(run_id)
        if held is None or held[0] != relations:
            held = self._orders[run_id] = (relations, in_order(tasks), held_back_by(tasks))
        return held[1], held[2]


def _key(run: Run, task: TaskRun) -> str:
    return task.run_id or f"{run.run_id}/{task.task_key}"


def latest_and_older(tasks: tuple[TaskRun, ...]) -> tuple[list[TaskRun], dict[str, list[TaskRun]]]:
    """The newest attempt of each task, and the attempts before it, newest first."""
    newest: dict[str, TaskRun] = {}
    older: dict[str, list[TaskRun]] = {}
    for task in tasks:
        held = newest.get(task.task_key)
        if held is None:
            newest[task.task_key] = task
        elif (task.start_ms, task.attempt) >= (held.start_ms, held.attempt):
            older.setdefault(task.task_key, []).insert(0, held)
            newest[task.task_key] = task
        else:
            older.setdefault(task.task_key, []).append(task)
    return list(newest.values()), older


def in_order(tasks: list[TaskRun]) -> list[int]:
    """Indices so that a task stands after what it depends on, else as they came; a circle stands at the end."""
    index = {task.task_key: number for number, task in enumerate(tasks)}
    waiting = [0] * len(tasks)
    after: list[list[int]] = [[] for _ in tasks]
    for number, task in enumerate(tasks):
        for key, _ in task.depends_on:
            if key in index and index[key] != number:
                after[index[key]].append(number)
                waiting[number] += 1
    ready = [number for number, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for follower in after[number]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    placed = set(order)
    return order + [number for number in range(len(tasks)) if number not in placed]


def held_back_by(tasks: list[TaskRun]) -> dict[str, str]:
    """For each task that never ran because another failed: the key of the task that failed by itself."""
    by_key = {task.task_key: task for task in tasks}
    causes: dict[str, str] = {}
    for task in tasks:
        if task.state.outcome not in _FOLLOWERS:
            continue
        seen: set[str] = set()
        path = [key for key, _ in task.depends_on]
        while path:
            key = path.pop(0)
            above = by_key.get(key)
            if above is None or key in seen:
                continue
            seen.add(key)
            if above.state.failed and above.state.outcome not in _FOLLOWERS:
                causes[task.task_key] = key
                break
            path.extend(other for other, _ in above.depends_on)
    return causes


def critical_path(tasks: list[TaskRun]) -> frozenset[str]:
    """The keys of the chain of tasks that decided how long the run took: from the one that ended last, backwards."""
    ended = {task.task_key: task for task in tasks if task.end_ms}
    if len(ended) < 2:
        return frozenset()
    current = max(ended.values(), key=lambda task: task.end_ms)
    path = {current.task_key}
    while True:
        above = [ended[key] for key, _ in current.depends_on if key in ended and key not in path]
        if not above:
            return frozenset(path) if len(path) > 1 else frozenset()
        current = max(above, key=lambda task: task.end_ms)
        path.add(current.task_key)


def _reason(task: TaskRun, output: TaskOutput | None) -> str:
    text = (output.error if output is not None else "") or task.state.message
    if not text or task.state.succeeded:
        return ""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
