"""What the graph shows: the tasks of a run, of a job that never ran, or the flows and datasets of an update.

Pure; a dataset that no flow of the update writes stands at the start, as a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.pipelines import Flow, Update
from ..core.run_stats import share_of_task
from ..core.runs import Run
from .glyphs import Glyphs, state_look, state_words
from .graph import GraphNode
from .run_nodes import latest_and_older, never_ran
from .spans import Span, Spans, span
from .update_tree import flow_look, flow_note
from .words import duration, shared_prefix


def task_nodes(run: Run, glyphs: Glyphs) -> list[GraphNode]:
    """The tasks of a run, each by its newest attempt."""
    latest, _ = latest_and_older(run.tasks)
    nodes = []
    for task in latest:
        sign, role = state_look(task.state, glyphs)
        words = state_words(task.state)
        share = share_of_task(task) if task.state.failed else None
        if share is not None and share.enough():
            sign, role, words = glyphs.partly, "warn", f"partly: {share.words}"
        note: list[Span] = [span(words, role)]
        if task.end_ms and task.start_ms and not never_ran(task):
            note.append((f"  {duration(task.end_ms - task.start_ms)}", "muted"))
        if task.condition_outcome:
            note.append(span(f"  is {task.condition_outcome}", "muted"))
        wants = [f"{key} {outcome}" for key, outcome in task.depends_on if outcome]
        if wants:
            note.append(span(f"  if {', '.join(wants)}", "faint"))
        if task.run_if not in ("", "ALL_SUCCESS"):
            note.append(span(f"  when {task.run_if.lower().replace('_', ' ')}", "faint"))
        needs = tuple(dict.fromkeys(key for key, _ in task.depends_on))
        nodes.append(GraphNode(task.task_key, task.task_key, sign, role, tuple(note), needs))
    return nodes


def declared_nodes(config: Mapping[str, Any], glyphs: Glyphs) -> list[GraphNode]:
    """The tasks of a job as its YAML declares them; whatever has another shape is left out."""
    tasks = config.get("tasks")
    nodes = []
    for task in tasks if isinstance(tasks, list) else ():
        if not isinstance(task, Mapping) or not task.get("task_key"):
            continue
        key = str(task["task_key"])
        above = task.get("depends_on")
        needs = tuple(
            str(item["task_key"])
            for item in (above if isinstance(above, list) else ())
            if isinstance(item, Mapping) and item.get("task_key")
        )
        kind = next((str(name).removesuffix("_task") for name in task if str(name).endswith("_task")), "")
        note: Spans = (span(kind.replace("_", " "), "faint"),) if kind else ()
        nodes.append(GraphNode(key, key, glyphs.quiet, "faint", note, needs))
    return nodes


def flow_nodes(update: Update, glyphs: Glyphs) -> list[GraphNode]:
    """The datasets of an update with the flows that write them. A flow of the same name is the dataset itself."""
    writers: dict[str, list[Flow]] = {}
    for flow in update.flows:
        writers.setdefault(flow.dataset or flow.name, []).append(flow)
    prefix = shared_prefix([*(flow.name for flow in update.flows), *writers])
    names = {flow.name for flow in update.flows} | set(writers)
    nodes: dict[str, GraphNode] = {}
    for name in dict.fromkeys(source for flow in update.flows for source in flow.inputs if source not in names):
        nodes[name] = GraphNode(name, name, glyphs.quiet, "faint", (("source", "faint"),))
    for dataset, flows in writers.items():
        for flow in flows:
            sign, role, word = flow_look(flow, glyphs, ended=update.ended)
            if flow.status == "COMPLETED":
                note: Spans = ((word, "muted"), ("  ", ""), *flow_note(flow, word, role))
            else:
                note = tuple(flow_note(flow, word, role))
            nodes[flow.name] = GraphNode(flow.name, flow.name.removeprefix(prefix), sign, role, note, flow.inputs)
        if dataset not in nodes:
            words = f"dataset of {len(flows)} flows" if len(flows) > 1 else "dataset"
            needs = tuple(flow.name for flow in flows)
            short = dataset.removeprefix(prefix)
            nodes[dataset] = GraphNode(dataset, short, glyphs.quiet, "faint", ((words, "faint"),), needs)
    return list(nodes.values())
