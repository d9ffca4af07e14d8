"""How resources stand to each other: references, layers of jobs, and the order in which they can run. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .bundle import Bundle, Layer, Resource

_RESOURCE = re.compile(r"\$\{resources\.(\w{1,60})\.([\w-]{1,200})[.\[}]")
_COMPOSING = frozenset({"run_job_task", "pipeline_task", "condition_task"})


def references(config: Any, own: str = "") -> tuple[str, ...]:
    """The refs (`jobs.a`) of other resources that a config mentions, in order, each once."""
    found: dict[str, None] = {}
    seen: set[int] = set()
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            for match in _RESOURCE.finditer(value):
                found[f"{match[1]}.{match[2]}"] = None
        elif isinstance(value, (dict, list)) and id(value) not in seen:
            seen.add(id(value))
            stack.extend(reversed(list(value.values()) if isinstance(value, dict) else value))
    found.pop(own, None)
    return tuple(found)


def jobs_run_by(resource: Resource) -> tuple[str, ...]:
    """The refs of the jobs that a job's `run_job_task`s start."""
    runs = [task["run_job_task"] for task in map(_inner, _tasks(resource)) if task.get("run_job_task")]
    return references(runs, resource.ref) if runs else ()


def layers_of(resources: tuple[Resource, ...]) -> tuple[Resource, ...]:
    """The resources with each job's layer: composites and orchestrators only start others; nobody starts the latter."""
    started = {ref for resource in resources for ref in jobs_run_by(resource)}
    return tuple(replace(resource, layer=_layer(resource, started)) for resource in resources)


def _layer(resource: Resource, started: set[str]) -> Layer:
    if resource.type != "jobs":
        return ""
    tasks = _tasks(resource)
    kinds = [next((key for key in _inner(task) if key.endswith("_task")), "") for task in tasks]
    if "run_job_task" in kinds and all(kind in _COMPOSING for kind in kinds):
        return "composite" if resource.ref in started else "orchestrator"
    return "atomic" if len(tasks) == 1 and kinds[0] else ""


def _inner(task: dict[str, Any]) -> dict[str, Any]:
    """What a task runs: for a `for_each_task` the task that it repeats."""
    loop = task.get("for_each_task")
    inner = loop.get("task") if isinstance(loop, dict) else None
    return inner if isinstance(inner, dict) else task


def _tasks(resource: Resource) -> list[dict[str, Any]]:
    tasks = resource.config.get("tasks")
    return [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []


def run_order(bundle: Bundle, refs: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(ref, refs of the given ones that it depends on, at whatever distance), those that wait for nobody first.

    In a cycle nobody can wait for the others: its members come in the order given, waiting for nobody.
    """
    wanted = list(dict.fromkeys(refs))
    depends = {resource.ref: resource.depends_on for resource in bundle.resources}
    left = {ref: tuple(other for other in wanted if other in _reach(depends, ref) - {ref}) for ref in wanted}
    ordered: dict[str, tuple[str, ...]] = {}
    while left:
        ready = [ref for ref, after in left.items() if all(other in ordered for other in after)]
        for ref in ready or list(left):
            after = left.pop(ref)
            ordered[ref] = after if ready else ()
    return tuple(ordered.items())


def _reach(depends: Mapping[str, tuple[str, ...]], ref: str) -> set[str]:
    seen: set[str] = set()
    stack = [ref]
    while stack:
        for other in depends.get(stack.pop(), ()):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen
