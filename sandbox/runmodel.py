"""Runs as the simulated workspace keeps them: job runs, task runs with attempts, repairs, iterations.
Records and pure helpers; nothing here starts or ends anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .codecheck import Source
from .http import Json
from .taskrules import Outcome

BLOCKED, WAITING, ACTIVE, DONE = "BLOCKED", "WAITING", "ACTIVE", "DONE"
"""Phases of a task run: before its upstream ended, before a retry, begun (pending or running), ended."""

FAILED_RESULTS = ("FAILED", "TIMEDOUT", "UPSTREAM_FAILED", "CANCELED", "UPSTREAM_CANCELED")
NEUTRAL_RESULTS = ("EXCLUDED", "DISABLED")
REFERENCE = re.compile(r"\{\{\s*([^{}]{1,300}?)\s*\}\}")


@dataclass(slots=True)
class Iteration:
    """One iteration of a for_each_task: planned when the task began. Times in simulated ms."""

    run_id: int
    index: int
    value: Any
    start_ms: int
    end_ms: int
    outcome: Outcome
    source: Source | None = None


@dataclass(slots=True)
class TaskRun:
    """One attempt of one task in one run (or repair of it). `end_ms` is set as soon as it is known, also ahead."""

    run_id: int
    key: str
    spec: Json
    job_run_id: int
    attempt: int = 0
    repair: int = 0
    phase: str = BLOCKED
    ready_ms: int = 0
    start_ms: int = 0
    setup_ms: int = 0
    execution_ms: int = 0
    end_ms: int = 0
    life: str = "TERMINATED"
    result: str = ""
    code: str = ""
    type: str = ""
    message: str = ""
    outcome: Outcome | None = None
    child_run_id: int = 0
    update_id: str = ""
    condition: str = ""
    resolved: Json = field(default_factory=dict)
    iterations: list[Iteration] = field(default_factory=list)
    cluster_id: str = ""
    canceled_ms: int = 0
    original_run_id: int = 0

    @property
    def neutral(self) -> bool:
        """Whether it ended without having been asked to do anything."""
        return self.result in NEUTRAL_RESULTS

    def ended(self, now_ms: int) -> bool:
        """Whether it is over at that time."""
        return self.phase == DONE and self.end_ms <= now_ms


@dataclass(slots=True)
class Repair:
    """The original execution (`repair_id` 0) or one repair of a run."""

    repair_id: int
    start_ms: int
    task_run_ids: list[int] = field(default_factory=list)
    end_ms: int = 0
    result: str = ""
    message: str = ""
    code: str = ""


@dataclass(slots=True)
class JobRun:
    """One run of a job. `tasks` holds every attempt; `current` the newest of each task key."""

    run_id: int
    job_id: int
    settings: Json
    created_ms: int
    creator: str
    trigger: str = "ONE_TIME"
    run_type: str = "JOB_RUN"
    parent_task_run_id: int = 0
    parameters: dict[str, str] = field(default_factory=dict)
    overriding: Json = field(default_factory=dict)
    start_ms: int = 0
    queued: bool = False
    end_ms: int = 0
    active_ms: int = 0
    result: str = ""
    life: str = ""
    code: str = ""
    type: str = ""
    message: str = ""
    canceled_ms: int = 0
    timed_out: bool = False
    tasks: list[TaskRun] = field(default_factory=list)
    current: dict[str, TaskRun] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    token: str = ""

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.end_ms > 0

    @property
    def name(self) -> str:
        """The run's name: the job's."""
        return str(self.settings.get("name") or "Untitled")


@dataclass(frozen=True, slots=True)
class IterationRef:
    """What a run id of an iteration stands for."""

    task: TaskRun
    index: int


def kind_of(task: Json) -> str:
    """`notebook_task`, `run_job_task`, ...; "" for a task without one."""
    return next((name for name, value in task.items() if name.endswith("_task") and isinstance(value, dict)), "")


def topological(tasks: list[Json]) -> list[str]:
    """Task keys, each after those it depends on. The API refused cycles before."""
    needs = {str(task["task_key"]): upstream_of(task) for task in tasks}
    order: list[str] = []
    placed: set[str] = set()
    for key in needs:
        stack = [key]
        while stack:
            top = stack[-1]
            open_ones = [item for item in needs[top] if item in needs and item not in placed]
            if open_ones and len(stack) <= len(needs):
                stack.extend(open_ones)
                continue
            stack.pop()
            if top not in placed:
                placed.add(top)
                order.append(top)
    return order


def upstream_of(task: Json) -> list[str]:
    """Keys of the tasks that a task waits for."""
    return [str(item.get("task_key")) for item in task.get("depends_on") or []]


def chosen_tasks(tasks: list[Json], only: list[str]) -> set[str]:
    """The keys that `only` asks for: `a`, `+a` with what it needs, `a+` with what needs it."""
    upstream = {str(task["task_key"]): upstream_of(task) for task in tasks}
    downstream: dict[str, list[str]] = {key: [] for key in upstream}
    for key, needs in upstream.items():
        for need in needs:
            downstream.setdefault(need, []).append(key)
    chosen: set[str] = set()
    for text in only:
        key = text if text in upstream else text.strip("+")
        if key not in upstream:
            raise KeyError(key)
        chosen.add(key)
        if text not in upstream:
            for graph, wanted in ((upstream, text.startswith("+")), (downstream, text.endswith("+"))):
                stack = [key] if wanted else []
                while stack:
                    found = [item for item in graph.get(stack.pop(), []) if item not in chosen]
                    chosen.update(found)
                    stack.extend(found)
    return chosen


def closure(tasks: list[Json], keys: set[str]) -> set[str]:
    """`keys` and everything downstream of them."""
    found = set(keys)
    upstream = {str(task["task_key"]): upstream_of(task) for task in tasks}
    for key in topological(tasks):
        if any(need in found for need in upstream[key]):
            found.add(key)
    return found


def verdict(run_if: str, results: list[tuple[str, bool]]) -> str:
    """Whether a task runs, by the results of its upstream: "" to run, else the result it ends with at once.

    `results` holds (result_state, whether a condition's outcome was the wanted one).
    """
    failed = [r for r, _ in results if r in ("FAILED", "TIMEDOUT", "UPSTREAM_FAILED")]
    canceled = [r for r, _ in results if r in ("CANCELED", "UPSTREAM_CANCELED")]
    excluded = [r for r, wanted in results if r == "EXCLUDED" or not wanted]
    good = [r for r, wanted in results if r in ("SUCCESS", "SUCCESS_WITH_FAILURES", "DISABLED") and wanted]
    if not results:
        return ""
    bad = "UPSTREAM_FAILED" if failed else "UPSTREAM_CANCELED" if canceled else "EXCLUDED"
    match run_if:
        case "ALL_DONE":
            return ""
        case "NONE_FAILED":
            return "" if good and not failed and not canceled else bad
        case "AT_LEAST_ONE_SUCCESS":
            return "" if good else bad
        case "ALL_FAILED":
            return "" if len(failed) == len(results) else "EXCLUDED"
        case "AT_LEAST_ONE_FAILED":
            return "" if failed else "EXCLUDED"
    return bad if failed or canceled or excluded else ""


def compare(op: str, left: str, right: str) -> bool:
    """A condition_task: EQUAL_TO and NOT_EQUAL compare text, the others numbers where both are numbers."""
    if op == "EQUAL_TO":
        return left == right
    if op == "NOT_EQUAL":
        return left != right
    a: float | str
    b: float | str
    try:
        a, b = float(left), float(right)
    except ValueError:
        a, b = left, right
    signs = {"GREATER_THAN": 1, "GREATER_THAN_OR_EQUAL": 1, "LESS_THAN": -1, "LESS_THAN_OR_EQUAL": -1}
    if a == b:
        return op.endswith("OR_EQUAL")
    bigger = a > b  # type: ignore[operator]
    return bigger == (signs.get(op, 1) > 0)


def resolve(value: Any, known: Mapping[str, Any]) -> Any:
    """`value` with every `{{name}}` that is known replaced; others stay as they are."""
    if isinstance(value, str):

        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if name not in known:
                return found[0]
            held = known[name]
            return held if isinstance(held, str) else json.dumps(held)

        return REFERENCE.sub(fill, value)
    if isinstance(value, list):
        return [resolve(item, known) for item in value]
    if isinstance(value, dict):
        return {key: resolve(item, known) for key, item in value.items()}
    return value


def listed(text: Any) -> list[Any] | None:
    """The inputs of a for_each_task: a JSON array as text or as a list; None for anything else."""
    if isinstance(text, list):
        return text
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, list) else None
