"""What of a job's configuration decides whether it may be deployed over, or repaired, while it runs.

Only reads the configuration that was resolved; asks nobody.
"""

from __future__ import annotations

from typing import Any

from .runs import Run


def same_shape(run: Run, config: dict[str, Any]) -> bool:
    """Whether the run has the tasks that the job has now: a repair runs no task that was not there."""
    tasks = config.get("tasks")
    if not isinstance(tasks, list):
        return True
    keys = {str(task.get("task_key", "")) for task in tasks if isinstance(task, dict)}
    return keys == {task.task_key for task in run.tasks}


def has_wheels(config: dict[str, Any]) -> bool:
    """Whether a job runs from wheels, which a deploy would replace while they are read."""
    stack: list[Any] = [config.get("tasks"), config.get("environments")]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, str) and value.endswith(".whl"):
            return True
    return False
