"""Wrong tasks in the bundle's YAML: types that there are not, parameters of another type, limits that are too low.

What a file is decides which task runs it. Everything else of the task stays as it is.
"""

from __future__ import annotations

import re

import yaml

from ..matrix.model import Diagnosis, Fix
from .propose_context import Context, in_places, yaml_proposal
from .sources import is_notebook, written_path
from .yaml_edit import Splice, Spot, YamlFile, scalar, source_of

_TASK_NAMES = ("python_task", "python_file_task", "script_task")
_PATH_NAMES = ("python_file", "notebook_path", "path", "file")


def task_type(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """`python_task` is no task: a notebook gets a notebook_task, a plain file a spark_python_task."""
    changes: dict[str, list[Splice | None]] = {}
    words: dict[str, None] = {}
    for document in context.documents():
        for name in _TASK_NAMES:
            for spot in document.named(name):
                kind, splices = _as_task(context, document, spot)
                if all(splice is not None for splice in splices):
                    words[f"{name} → {kind}"] = None
                    changes.setdefault(document.file, []).extend(splices)
    return yaml_proposal(context, in_places(", ".join(words), changes), changes, confidence=0.95)


def job_reference(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """`job_task` is called `run_job_task`."""
    found = [(document, spot) for document in context.documents() for spot in document.named("job_task")]
    found = [(document, spot) for document, spot in found if "tasks" in spot.path or "task" in spot.path]
    changes: dict[str, list[Splice | None]] = {}
    for document, spot in found:
        changes.setdefault(document.file, []).append(document.rename(spot, "run_job_task"))
    return yaml_proposal(context, in_places("job_task → run_job_task", changes), changes, confidence=0.95)


def notebook_parameters(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """A list of `--name value` on a notebook task becomes the map of `base_parameters` that it takes."""
    changes: dict[str, list[Splice | None]] = {}
    for document in context.documents():
        for spot in document.named("parameters"):
            if len(spot.path) > 1 and spot.path[-2] == "notebook_task":
                splices = _as_base_parameters(document, spot)
                if splices:
                    changes.setdefault(document.file, []).extend(splices)
    return yaml_proposal(context, "parameters → base_parameters", changes, confidence=0.95)


def longer_timeout(diagnosis: Diagnosis, context: Context) -> list[Fix]:
    """Twice the time for the task, or the job, that ran out of it."""
    resource = context.resource
    if resource is None or resource.type != "jobs":
        return []
    spots = [*context.tasks(resource, context.task_key), *context.declarations(resource)]
    for document, spot in spots:
        limit = document.at((*spot.path, "timeout_seconds"))
        if limit is None or not str(getattr(limit.value, "value", "")).isdigit():
            continue
        seconds = int(limit.value.value)
        splice = document.set_number(limit, str(seconds * 2))
        if seconds and splice is not None:
            where = context.task_key if spot.path[-1] != resource.key else resource.key
            title = f"timeout_seconds of {where}: {seconds} → {seconds * 2}"
            risk = "A run that hangs costs twice as much before it ends."
            return yaml_proposal(context, title, {document.file: [splice]}, confidence=0.6, risk=risk)
    return []


def _as_task(context: Context, document: YamlFile, spot: Spot) -> tuple[str, list[Splice | None]]:
    field = next((inner for name in _PATH_NAMES if (inner := document.at((*spot.path, name)))), None)
    written = str(getattr(field.value, "value", "")) if field is not None else ""
    file = written_path(context.bundle, written, document.file) if written else None
    if file:
        notebook = is_notebook(context.bundle, file)
    else:
        notebook = written.endswith(".ipynb") or (field is not None and field.path[-1] == "notebook_path")
    kind, name = ("notebook_task", "notebook_path") if notebook else ("spark_python_task", "python_file")
    if field is None:
        return kind, [None]
    splices: list[Splice | None] = [document.rename(spot, kind)]
    if field.path[-1] != name:
        splices.append(document.rename(field, name))
    parameters = document.at((*spot.path, "parameters"))
    if notebook and parameters is not None:
        splices += _as_base_parameters(document, parameters) or [None]
    return kind, splices


def _as_base_parameters(document: YamlFile, spot: Spot) -> list[Splice | None]:
    """The splices that turn a list of `--name value` into a map; none where it holds anything else."""
    node = spot.value
    if isinstance(node, yaml.MappingNode):
        return [document.rename(spot, "base_parameters")]
    if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return []
    pairs: list[tuple[str, str]] = []
    items = list(node.value)
    while items:
        item = items.pop(0)
        name, equals, value = str(item.value).partition("=")
        if not re.fullmatch(r"(?:--)?[A-Za-z_][\w-]*", name) or (not name.startswith("--") and not equals):
            return []
        if equals:
            pairs.append((name, scalar(value)))
        elif items and not str(items[0].value).startswith("--"):
            pairs.append((name, source_of(document, items.pop(0))))
        else:
            return []
    names = [name.removeprefix("--") for name, _ in pairs]
    if len(set(names)) < len(names) or not names:
        return []
    body = "\n".join(f"{name}: {value}" for name, (_, value) in zip(names, pairs, strict=True))
    return [document.rename(spot, "base_parameters"), document.replace_value(spot, body)]
