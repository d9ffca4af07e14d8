"""From a run to the nodes of its outline: attempts, nested runs and updates under their task, followers folded.

Pure; nodes of what did not change are kept, so that only what differs is drawn again.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.runs import Outcome, Run, TaskOutput, TaskRun
from ..core.state import Usual
from .outline import Node
from .update_tree import flows_in_order
from .words import shared_prefix

if TYPE_CHECKING:
    from ..core.pipelines import Flow, Update
    from ..core.run_stats import Share

_FOLLOWERS = frozenset({Outcome.UPSTREAM_FAILED, Outcome.UPSTREAM_CANCELED})
_NEVER_RAN = _FOLLOWERS | {Outcome.SKIPPED, Outcome.EXCLUDED, Outcome.DISABLED}
# What the platform says of a task where it says nothing: the state in words tells the same, or the output tells more.
_SAYS_NOTHING = frozenset(
    {"in run", "workload failed, see run output for details", "this task is disabled.", "task is disabled"}
)
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A task run as the outline shows it. `note` is the short reason; `attempt` > 0 names an older attempt.

    `name` is what stands there for it: the task's key, or of an iteration what it was given.
    `during` says in which repair it ran; `share` how much of it succeeded, where that makes its failure a warning;
    `update` is the one that a pipeline task started.
    """

    task: TaskRun
    note: str = ""
    name: str = ""
    attempt: int = 0
    because: str = ""  # what holds this one back: the task that failed, or the condition that went the other way
    critical: bool = False
    iteration: bool = False
    during: str = ""
    marked: bool = False
    usual: Usual | None = None
    share: Share | None = None
    update: Update | None = None


@dataclass(frozen=True, slots=True)
class FlowItem:
    """A flow of the update that a pipeline task started; `name` is without what all its flows' names begin with.
    `ended` tells that the update has."""

    flow: Flow
    name: str
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Extra:
    """A line that is no task: what is left to load, or how many more there are."""

    text: str


RunItem = TaskItem | FlowItem | Extra


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What is known beside the run itself, by task run id; `notes` (short reasons) and `usual` by task key.

    `more` holds, for a `for_each`, the token of the next page of its iterations; empty where there is none.
    """

    child_runs: Mapping[str, Run] = field(default_factory=dict)
    iterations: Mapping[str, tuple[TaskRun, ...]] = field(default_factory=dict)
    outputs: Mapping[str, TaskOutput] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    child_updates: Mapping[str, Update] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, Usual] = field(default_factory=dict)
    marked: Set[str] = frozenset()

    def same(self, other: Parts) -> bool:
        """Whether both hold the very same things: then nothing has to be made anew."""
        return all(getattr(self, name) is getattr(other, name) for name in self.__slots__)


class RunNodes:
    """Makes nodes and remembers them: the same task gives the same node."""

    def __init__(self) -> None:
        self._held: dict[str, Node[RunItem]] = {}
        self._orders: dict[str, tuple[tuple[object, ...], list[int], dict[str, str]]] = {}
        self._names: dict[str, tuple[Sequence[TaskRun], dict[str, str]]] = {}
        self._parts = Parts()

    def make(self, run: Run | None, parts: Parts) -> list[Node[RunItem]]:
        """The nodes of `run` from the top."""
        self._parts = parts
        nodes: list[Node[RunItem]] = []
        if run is not None:
            self._run(run, 0, nodes)
        self._held = {node.key: node for node in nodes}
        # What was worked out for runs that are not on show any more.
        shown = {run.run_id, *(child.run_id for child in parts.child_runs.values())} if run is not None else set()
        self._orders = {run_id: order for run_id, order in self._orders.items() if run_id in shown}
        self._names = {name: held for name, held in self._names.items() if name in parts.iterations}
        return nodes

    def _run(self, run: Run, depth: int, nodes: list[Node[RunItem]]) -> None:
        parts = self._parts
        latest, older = latest_and_older(run.tasks)
        order, causes = self._order(run.run_id, latest)
        critical = critical_path(latest) if not run.state.active else frozenset()
        during = repairs_of(run)
        branches = {task.task_key: task.condition_outcome for task in latest if task.condition_outcome}
        followers: dict[str, list[TaskRun]] = {}
        for index in order:
            task = latest[index]
            if task.task_key in causes:
                followers.setdefault(causes[task.task_key], []).append(task)
        for index in order:
            task = latest[index]
            if task.task_key in causes:
                continue
            child = parts.child_runs.get(task.run_id) if depth < _MAX_DEPTH else None
            update = parts.child_updates.get(task.run_id)
            attempts = older.get(task.task_key, ())
            loops = parts.iterations.get(task.run_id, ())
            held_back = followers.get(task.task_key, ())
            share = self._share(task, child, loops) if task.state.failed else None
            inner = _failed_inside(child) if child is not None and task.state.failed else ""
            item = TaskItem(
                task,
                parts.notes.get(task.task_key) or _reason(task, parts.outputs.get(task.run_id)) or inner,
                because=_not_taken(task, branches),
                critical=task.task_key in critical,
                during=during.get(task.run_id, ""),
                marked=depth == 0 and task.task_key in parts.marked,
                usual=parts.usual.get(task.task_key) if depth == 0 else None,
                share=share,
                update=update,
            )
            has_parts = bool(child or attempts or loops or held_back or (update is not None and update.flows))
            lazy = bool(task.start_ms) and (
                (task.kind == "run_job" and child is None)
                or (task.kind == "pipeline" and update is None)
                or (task.for_each is not None and not loops and task.for_each.total > 0)
            )
            worth_it = (child is not None and (child.state.failed or child.state.active)) or (
                update is not None and (update.failed or not update.ended)
            )
            nodes.append(
                self._node(
                    *(_key(run, task), depth, item, has_parts or lazy, lazy and not has_parts),
                    opened=bool(held_back) or worth_it,
                )
            )
            for old in attempts:
                note = _reason(old, parts.outputs.get(old.run_id))
                # Two attempts within one repair are told apart by their number.
                label = during.get(old.run_id, "")
                label = "" if label == during.get(task.run_id) else label
                nodes.append(
                    self._node(old.run_id, depth + 1, TaskItem(old, note, attempt=old.attempt + 1, during=label))
                )
            if child is not None:
                self._run(child, depth + 1, nodes)
            prefix = shared_prefix(flow.name for flow in update.flows) if update is not None else ""
            for flow in flows_in_order(update.flows) if update is not None else ():
                over = update is not None and update.ended
                flow_item = FlowItem(flow, flow.name.removeprefix(prefix), over)
                nodes.append(self._node(f"{task.run_id}/flow/{flow.name}", depth + 1, flow_item))
            self._loops(task, loops, depth + 1, nodes)
            for follower in held_back:
                item = TaskItem(
                    follower, because=task.task_key, marked=depth == 0 and follower.task_key in parts.marked
                )
                nodes.append(self._node(_key(run, follower), depth + 1, item))

    def _loops(self, task: TaskRun, loops: Sequence[TaskRun], depth: int, nodes: list[Node[RunItem]]) -> None:
        """The iterations of a `for_each` that are loaded, those that failed first, and the line that loads more."""
        if not loops:
            return
        parts, names = self._parts, self._names_of(task, loops)
        for loop in sorted(loops, key=lambda t: not t.state.failed):
            note = _reason(loop, parts.outputs.get(loop.run_id))
            nodes.append(self._node(loop.run_id, depth, TaskItem(loop, note, names[loop.run_id], iteration=True)))
        stats = task.for_each
        left = stats.total - len(loops) if stats is not None else 0
        bad = stats.failed - sum(loop.state.failed for loop in loops) if stats is not None else 0
        token = parts.more.get(task.run_id)
        if token or (token is None and left > 0):
            words = f"{left:,} more iterations" if left > 0 else "more iterations"
            words += f", {bad:,} of them failed" if bad > 0 else ""
            nodes.append(self._node(f"{task.run_id}/more", depth, Extra(f"{words}: Enter")))

    def _names_of(self, task: TaskRun, loops: Sequence[TaskRun]) -> dict[str, str]:
        """What tells the iterations apart, worked out again only where there are others."""
        held = self._names.get(task.run_id)
        if held is None or held[0] is not loops:
            from ..core.run_stats import iteration_names  # here, because the first paint needs none

            held = self._names[task.run_id] = (loops, iteration_names(loops))
        return held[1]

    def _share(self, task: TaskRun, child: Run | None, loops: Sequence[TaskRun]) -> Share | None:
        """How much of a task that failed succeeded, where that is enough for it to be a warning."""
        if task.for_each is None and child is None:
            return None
        from ..core.run_stats import partial_success, share_of_task  # here, because the first paint needs none

        if child is not None:
            return partial_success(child, self._parts.child_runs, self._parts.iterations)
        share = share_of_task(task, loops)
        return share if share is not None and share.enough() else None

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
        if isinstance(item, FlowItem):
            active = bool(item.flow.start) and not item.flow.end and not item.ended
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
        elif task.order >= held.order:
            older.setdefault(task.task_key, []).insert(0, held)
            newest[task.task_key] = task
        else:
            older.setdefault(task.task_key, []).append(task)
    return list(newest.values()), older


def never_ran(task: TaskRun) -> bool:
    """Whether a task was passed over; the platform gives it times all the same, of a moment."""
    return task.state.outcome in _NEVER_RAN and (task.end_ms or task.start_ms) - task.start_ms < 1000


def repairs_of(run: Run) -> dict[str, str]:
    """For each task run id of a run that was repaired: `original`, or in which repair it ran."""
    if not any(item.kind == "REPAIR" for item in run.repairs):
        return {}
    found: dict[str, str] = {}
    number = 0
    for item in run.repairs:
        number += item.kind == "REPAIR"
        label = f"repair {number}" if item.kind == "REPAIR" else "original"
        for run_id in item.task_run_ids:
            # A later repair lists what it kept of the earlier ones too.
            found.setdefault(run_id, label)
    return found


def _not_taken(task: TaskRun, branches: Mapping[str, str]) -> str:
    """The condition that went the other way than this task wants; empty where none did."""
    if task.state.outcome is not Outcome.EXCLUDED:
        return ""
    return next(
        (
            f"{key} is {branches[key]}"
            for key, wanted in task.depends_on
            if wanted and branches.get(key, wanted) != wanted
        ),
        "",
    )


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
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "" if first.lower() in _SAYS_NOTHING else first


def _failed_inside(child: Run) -> str:
    """Which tasks of a nested run failed by themselves."""
    latest, _ = latest_and_older(child.tasks)
    keys = [task.task_key for task in latest if task.state.failed and task.state.outcome not in _FOLLOWERS]
    return f"in {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "") if keys else ""
