"""Which source files a task or a pipeline runs, and which tasks run a file: the way between YAML and code.

Only what the YAML says counts; a path that leads to no file of the bundle is passed over.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .bundle import Bundle, Resource
from .bundle_resolve import mapping, mappings
from .sources import NOTEBOOK_SUFFIXES, code_files, once, written_path

# (task type, field) of the paths that a task runs.
PATH_FIELDS = (("notebook_task", "notebook_path"), ("spark_python_task", "python_file"))
_REFERENCE = re.compile(r"\$\{resources\.(\w{1,60})\.([\w-]{1,200})\.id\}")


@dataclass(frozen=True, slots=True)
class Owner:
    """A task (empty for a pipeline) of a resource that runs a file."""

    resource: Resource = field(hash=False)
    task_key: str = ""


def tasks_of(resource: Resource) -> Iterator[dict[str, Any]]:
    """Every task of a job, and the one inside of each `for_each_task`."""
    for _, task in mappings(resource.config.get("tasks")):
        yield task
        inner = mapping(mapping(task.get("for_each_task")).get("task"))
        if inner:
            yield inner


def task_of(resource: Resource, task_key: str) -> dict[str, Any] | None:
    """The task of that key."""
    return next((task for task in tasks_of(resource) if task.get("task_key") == task_key), None)


def files_of(bundle: Bundle, resource: Resource | None, task_key: str = "") -> tuple[str, ...]:
    """The files that a task runs (a pipeline task those of its pipeline); of the whole resource where none is named."""
    if resource is None:
        return ()
    if resource.type == "pipelines":
        return tuple(dict.fromkeys(_of_pipeline(bundle, resource)))
    tasks = [task for task in tasks_of(resource) if not task_key or task.get("task_key") == task_key]
    found: dict[str, None] = {}
    for task in tasks:
        found |= dict.fromkeys(_of_task(bundle, resource, task))
    return tuple(found)


def owners_of(bundle: Bundle, file: str) -> tuple[Owner, ...]:
    """The tasks and pipelines that run `file`."""
    return tuple(once(("owners", bundle.root), lambda: _owners(bundle)).get(file, ()))


def _owners(bundle: Bundle) -> dict[str, list[Owner]]:
    """Who runs each file that somebody runs."""
    found: dict[str, list[Owner]] = {}
    for resource in bundle.resources:
        if resource.type == "pipelines":
            for file in dict.fromkeys(_of_pipeline(bundle, resource)):
                found.setdefault(file, []).append(Owner(resource))
        elif resource.type == "jobs":
            for task in tasks_of(resource):
                for file in _own(bundle, resource, task):
                    found.setdefault(file, []).append(Owner(resource, str(task.get("task_key") or "")))
    return found


def _of_task(bundle: Bundle, resource: Resource, task: Mapping[str, Any]) -> Iterator[str]:
    yield from _own(bundle, resource, task)
    reference = str(mapping(task.get("pipeline_task")).get("pipeline_id") or "")
    named = _REFERENCE.search(reference)
    for other in bundle.resources:
        if other.type == "pipelines" and ((named and other.key == named[2]) or (other.id and other.id == reference)):
            yield from _of_pipeline(bundle, other)


def _own(bundle: Bundle, resource: Resource, task: Mapping[str, Any]) -> list[str]:
    place = resource.task_places.get(str(task.get("task_key") or ""), resource.place)
    written = [str(mapping(task.get(kind)).get(name) or "") for kind, name in PATH_FIELDS]
    written.append(str(mapping(mapping(task.get("sql_task")).get("file")).get("path") or ""))
    found = (written_path(bundle, path, place.file) for path in written if path)
    return [file for file in found if file]


def _of_pipeline(bundle: Bundle, resource: Resource) -> list[str]:
    found: list[str] = []
    for _, library in mappings(resource.config.get("libraries")):
        for kind, name in (("notebook", "path"), ("file", "path")):
            path = str(mapping(library.get(kind)).get(name) or "")
            file = written_path(bundle, path, resource.place.file) if path else None
            found += [file] if file else []
        pattern = str(mapping(library.get("glob")).get("include") or "")
        found += _matching(bundle, resource, pattern) if pattern else []
    return found


def _matching(bundle: Bundle, resource: Resource, pattern: str) -> list[str]:
    if pattern.startswith("/"):
        # Resolved to a workspace path: the folder before the first wildcard tells where it is here.
        pattern = pattern.partition("/files/")[2]
    else:
        joined = os.path.join(os.path.dirname(resource.place.file), pattern)
        pattern = os.path.normpath(joined).replace(os.sep, "/")
    if pattern.startswith("..") or not pattern:
        return []
    return [
        file
        for file in code_files(bundle)
        if file.endswith(NOTEBOOK_SUFFIXES) and (fnmatch.fnmatchcase(file, pattern) or file == pattern)
    ]
