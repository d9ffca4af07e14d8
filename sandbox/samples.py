"""Bundles too large to keep as files, generated: a job of 1,000 tasks, a for_each of 5,000 inputs.
Text only; nothing here deploys or runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

HEAD = """bundle:
  name: {name}

targets:
  dev:
    mode: development
    default: true

resources:
  jobs:
    {name}:
      name: {name}
      tasks:
"""
NOTEBOOK = """# Databricks notebook source
import json

number = dbutils.widgets.get("number")

# COMMAND ----------

print("[Step 1/2] Reading " + number)
print("[Step 2/2] Writing " + number)
dbutils.notebook.exit(json.dumps({"status": "SUCCESS", "total": 1, "successful": 1, "failed": 0}))
"""


def many_tasks(options: dict[str, Any]) -> dict[str, str]:
    """A job of `tasks` tasks in layers of `width`; each depends on one or two of the layer before."""
    count, width = int(options.get("tasks", 1000)), int(options.get("width", 50))
    parts = [HEAD.format(name="thousand_tasks")]
    for number in range(count):
        parts.append(f"        - task_key: t{number:04d}\n")
        if number >= width:
            upstream = sorted({number - width, number - width + (1 if number % width < width - 1 else 0)})
            parts.append("          depends_on:\n")
            parts += [f"            - task_key: t{item:04d}\n" for item in upstream]
        parts.append(
            "          notebook_task:\n            notebook_path: src/work.py\n"
            f'            base_parameters:\n              number: "{number}"\n'
        )
    return {"databricks.yml": "".join(parts), "src/work.py": NOTEBOOK}


def many_iterations(options: dict[str, Any]) -> dict[str, str]:
    """A job with one for_each_task over `iterations` inputs, `concurrency` at a time."""
    count, concurrency = int(options.get("iterations", 5000)), int(options.get("concurrency", 100))
    inputs = json.dumps([f"item-{number:05d}" for number in range(count)], separators=(",", ":"))
    text = HEAD.format(name="five_thousand") + (
        "        - task_key: fan_out\n          for_each_task:\n"
        f"            concurrency: {concurrency}\n            inputs: '{inputs}'\n"
        "            task:\n              task_key: fan_out_iteration\n              notebook_task:\n"
        "                notebook_path: src/work.py\n                base_parameters:\n"
        '                  number: "{{input}}"\n'
    )
    return {"databricks.yml": text, "src/work.py": NOTEBOOK}


GENERATED: dict[str, Callable[[dict[str, Any]], dict[str, str]]] = {
    "scale-1000-tasks": many_tasks,
    "for-each-5000": many_iterations,
}
