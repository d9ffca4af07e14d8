"""What a task does, decided from the files that are deployed: fails by a rule, by its own code, or succeeds.
Pure: files and parameters in, an outcome out. It keeps no state and knows no clock."""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from . import codecheck
from .codecheck import Source
from .filetree import Entry, FileTree, canonical
from .http import ApiError, Json
from .scenario import Rule, Scenario

WORKLOAD_FAILED = "Workload failed, see run output for details"


@dataclass(frozen=True, slots=True)
class Work:
    """One execution of one task. `task` as in the job's settings; `parameters` are what the code can ask for."""

    task: Json
    parameters: Mapping[str, str] = field(default_factory=dict)
    environments: tuple[Json, ...] = ()
    cluster_name: str = ""
    seed: int = 0
    user: str = "you@example.com"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an execution goes: durations in milliseconds, and what get-output will say. `path` is the source run."""

    ok: bool
    setup_ms: int
    execution_ms: int
    path: str = ""
    error: str = ""
    trace: str = ""
    logs: str = ""
    result: str = ""
    code: str = "SUCCESS"
    type: str = "SUCCESS"
    message: str = ""
    life: str = "TERMINATED"
    values: Json = field(default_factory=dict)
    cluster: tuple[tuple[str, str], ...] = ()
    query: str = ""


Strikes = Callable[[Rule, str], bool]
"""Asked when a rule with `times` fits an input: whether it may strike once more; counts the strike."""


def source_path(task: Json) -> str:
    """The workspace path of what a task runs, or ""."""
    for kind, name in (("notebook_task", "notebook_path"), ("spark_python_task", "python_file")):
        if isinstance(task.get(kind), dict):
            return str(task[kind].get(name) or "")
    file = (task.get("sql_task") or {}).get("file") or {}
    return str(file.get("path") or "") if isinstance(file, dict) else ""


def read_source(files: FileTree, path: str) -> Source | None:
    """The deployed source at a workspace path; None where there is none."""
    try:
        entry = files.find_source(path)
    except ApiError:
        return None
    return _opened(entry) if entry is not None else None


@lru_cache(maxsize=1024)
def _opened(entry: Entry) -> Source:
    return codecheck.open_source(
        entry.path,
        entry.content,
        notebook=entry.object_type == "NOTEBOOK",
        language=entry.language,
        jupyter=entry.format == "JUPYTER",
    )


def perform(
    work: Work,
    files: FileTree,
    scenario: Scenario | None,
    strikes: Strikes,
    *,
    source: Source | None = None,
    brief: bool = False,
) -> Outcome:
    """Executes a task that has code of its own (notebook, script, SQL file, wheel, dbt, ...).

    `source` stands for what was deployed when it started; `brief` leaves the output of a success out.
    """
    task = work.task
    path = source_path(task)
    setup = _setup_ms(work)
    if not path or (task.get("notebook_task") or {}).get("source") == "GIT":
        return _plain(work, setup, scenario, strikes)
    source = source or read_source(files, path)
    if source is None:
        return _missing(work, path)
    usual = _usual(scenario, source.path)
    seconds = usual[0] or 8 + (zlib.crc32(source.path.encode()) % 300) / 10
    spread = 0.92 + (zlib.crc32(f"{work.seed}:{source.path}".encode()) % 1000) / 6250
    full_ms = int(seconds * 1000 * spread)
    if usual[1] >= 0:
        setup = int(usual[1] * 1000)
    if scenario is not None:
        for rule in scenario.rules:
            struck = _struck(rule, source, work)
            if struck is not None and (not rule.times or strikes(rule, struck.input)):
                return _fails_by_rule(rule, struck, source, work, setup, full_ms)
    problem = codecheck.python_problem(source, lambda module: _provided(module, work, files, source.path))
    if problem is not None:
        took = min(full_ms, 1500 + 20 * problem.line)
        return _failed(source, work, problem.exception, problem.message, problem.line, setup, took)
    if brief:
        return Outcome(True, setup, full_ms, path=source.path)
    parameters = dict(work.parameters)
    logs = codecheck.printed(source, None, parameters)
    result = usual[3] or codecheck.exit_value(source, parameters) if source.notebook else ""
    if usual[2] and result:
        values = codecheck.values_of(result)
        result = json.dumps({**values, "rows": usual[2]}) if values else result
    text = "\n".join(logs) + ("\n" if logs else "")
    return Outcome(
        True,
        setup,
        full_ms,
        path=source.path,
        result=result,
        logs="" if source.notebook else text,
        values=codecheck.values_of(result or text),
        query=source.text if source.language == "SQL" else "",
    )


def _usual(scenario: Scenario | None, path: str) -> tuple[float, float, int, str]:
    for item in scenario.usual if scenario else ():
        if fits(item.path, path):
            return item.seconds, item.setup_seconds, item.rows, item.result
    return 0.0, -1.0, 0, ""


def fits(pattern: str, path: str) -> bool:
    """Whether a glob is about a workspace path, its extension given or not."""
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rsplit(".", 1)[0], pattern)


def _setup_ms(work: Work) -> int:
    task = work.task
    if any(task.get(name) for name in ("new_cluster", "job_cluster_key")):
        return 45_000
    if task.get("existing_cluster_id") or task.get("sql_task"):
        return 1000
    return 4000


@dataclass(frozen=True, slots=True)
class Struck:
    """Where a rule hit, and what its message is filled with."""

    line: int
    name: str = ""
    suggestions: str = ""
    input: str = ""


def _struck(rule: Rule, source: Source, work: Work) -> Struck | None:
    if not fits(rule.path, source.path):
        return None
    given = ""
    if rule.inputs:
        given = next((value for value in work.parameters.values() if re.search(rule.inputs, value)), "")
        if not given:
            return None
    found = match_source(rule, source)
    return None if found is None else Struck(found.line, found.name, found.suggestions, given)


@lru_cache(maxsize=1024)
def match_source(rule: Rule, source: Source) -> Struck | None:
    """Where a rule fits the text of a source that its path and inputs fit."""
    text = source.text
    if rule.unless and re.search(rule.unless, text):
        return None
    if rule.columns:
        return _unknown_column(rule, source)
    line = 0
    if rule.contains:
        found = re.search(rule.contains, text)
        if found is None:
            return None
        line = text.count("\n", 0, found.start()) + 1
    if rule.line:
        blamed = re.search(rule.line, text)
        line = text.count("\n", 0, blamed.start()) + 1 if blamed else line
    return Struck(line or source.cells[-1][0])


def _unknown_column(rule: Rule, source: Source) -> Struck | None:
    made, used = codecheck.column_names(source)
    known = [name for name in rule.columns if name]
    for name, line in used:
        if name not in known and name not in made:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:3]
            return Struck(line, name, ", ".join(f"`{item}`" for item in close))
    return None


def message_of(
    rule: Rule, struck: Struck, path: str, cluster: str = "", parameters: Mapping[str, str] | None = None
) -> str:
    """The rule's error with its blanks filled in; `{parameters.NAME}` is what the task was given."""
    text = rule.error or rule.state_message
    blanks = {
        "{name}": struck.name,
        "{suggestions}": struck.suggestions,
        "{input}": struck.input,
        "{path}": path,
        "{cluster}": cluster,
        **{f"{{parameters.{name}}}": value for name, value in (parameters or {}).items()},
    }
    for blank, value in blanks.items():
        text = text.replace(blank, value)
    return " ".join(text.split()) if "\n" not in text.strip() else text.strip()


def _fails_by_rule(rule: Rule, struck: Struck, source: Source, work: Work, setup: int, full_ms: int) -> Outcome:
    message = message_of(rule, struck, source.path, work.cluster_name, work.parameters)
    share = struck.line / max(1, len(source.lines))
    took = int(rule.seconds * 1000) if rule.seconds else max(1000, int(full_ms * share))
    if rule.state_message and not rule.error:
        # The platform's own fault: no output, the cause stands in the state message.
        return Outcome(
            False,
            setup,
            took,
            path=source.path,
            error=message,
            code=rule.code,
            type=rule.type,
            message=message,
            life="INTERNAL_ERROR",
            cluster=rule.cluster,
        )
    return _failed(source, work, rule.exception, message, struck.line, setup, took, code=rule.code, kind=rule.type)


def _failed(
    source: Source,
    work: Work,
    exception: str,
    message: str,
    line: int,
    setup: int,
    took: int,
    *,
    code: str = "RUN_EXECUTION_ERROR",
    kind: str = "CLIENT_ERROR",
) -> Outcome:
    serverless = not any(work.task.get(name) for name in ("new_cluster", "job_cluster_key", "existing_cluster_id"))
    logs = codecheck.printed(source, line, dict(work.parameters))
    named = message.startswith("[") or exception in ("AnalysisException",)
    error = message if named else f"{exception}: {message}"
    trace = codecheck.error_trace(source, exception, message, line, serverless=serverless)
    text = "\n".join(logs) + ("\n" if logs else "")
    return Outcome(
        False,
        setup,
        took,
        path=source.path,
        error=error,
        trace=trace,
        logs="" if source.notebook else text,
        code=code,
        type=kind,
        message=WORKLOAD_FAILED,
        query=source.text if source.language == "SQL" and not source.notebook else "",
    )


def _missing(work: Work, path: str) -> Outcome:
    if work.task.get("notebook_task"):
        text = (
            f'Unable to access the notebook "{path}". Either it does not exist, or the identity used to run this job, '
            f"{work.user}, lacks the required permissions."
        )
    else:
        text = f"Cannot read the python file {path}. Please check driver logs for more details."
        if work.task.get("sql_task"):
            text = f"The SQL file {path} does not exist in the workspace."
    return Outcome(
        False,
        500,
        500,
        path=path,
        error=text,
        code="RESOURCE_NOT_FOUND",
        type="CLIENT_ERROR",
        message=text,
        life="INTERNAL_ERROR",
    )


def _plain(work: Work, setup: int, scenario: Scenario | None, strikes: Strikes) -> Outcome:
    """A task without source in the workspace: wheel, jar, dbt, dashboard, alert. It succeeds, unless a rule whose path
    is `task:` and its key strikes: then the rule's error is its log, as dbt would have it."""
    seconds = 6 + zlib.crc32(f"{work.seed}:{work.task.get('task_key')}".encode()) % 30
    for rule in scenario.rules if scenario is not None else ():
        if rule.path == f"task:{work.task.get('task_key')}" and (not rule.times or strikes(rule, "")):
            took = int(rule.seconds or seconds) * 1000
            return Outcome(
                False, setup, took, logs=rule.error + "\n", code=rule.code, type=rule.type, message=WORKLOAD_FAILED
            )
    logs = ""
    if work.task.get("dbt_task"):
        logs = "Running with dbt=1.10.4\nDone. PASS=1 WARN=0 ERROR=0 SKIP=0 TOTAL=1\n"
    elif work.task.get("python_wheel_task"):
        wheel = work.task["python_wheel_task"]
        logs = f"Running {wheel.get('entry_point')} of {wheel.get('package_name')}\n"
    return Outcome(True, setup, seconds * 1000, logs=logs)


def _provided(module: str, work: Work, files: FileTree, path: str) -> bool:
    """Whether the task's environment, its libraries or the bundle's own folders bring an import name."""
    requirements: list[str] = []
    key = work.task.get("environment_key")
    for item in work.environments:
        if key is None or item.get("environment_key") == key:
            requirements += [str(entry) for entry in (item.get("spec") or {}).get("dependencies") or []]
    for library in work.task.get("libraries") or []:
        if isinstance(library, dict):
            requirements.append(str((library.get("pypi") or {}).get("package") or ""))
            requirements += [str(library[kind]) for kind in ("whl", "requirements") if library.get(kind)]
    return module in names_brought(tuple(requirements), files) or module in _local_modules(files, path)


def names_brought(requirements: tuple[str, ...], files: FileTree) -> set[str]:
    """Import names that pip requirements bring; `-r FILE` is read from the workspace, `-e` brings its folders."""
    brought: set[str] = set()
    plain = []
    for item in requirements:
        words = item.split()
        if (words and words[0] in ("-r", "--requirement")) or item.endswith("requirements.txt"):
            found = files.find(words[-1]) if words else None
            if found is not None:
                lines = found.content.decode("utf-8", "replace").splitlines()
                plain += [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        elif words and words[0] in ("-e", "--editable"):
            brought |= _local_modules(files, f"{words[-1].rstrip('/')}/x")
        else:
            plain.append(item)
    return brought | codecheck.modules_of(plain)


def _local_modules(files: FileTree, path: str) -> frozenset[str]:
    """Names of the folders and .py files of the deployment that `path` belongs to."""
    place = canonical(path)
    root = place.partition("/files/")[0] + "/files" if "/files/" in place else place.rsplit("/", 1)[0]
    names: set[str] = set()
    if files.exists(root):
        for entry in files.children(root, recursive=True):
            name = entry.path.rsplit("/", 1)[-1]
            if entry.object_type == "DIRECTORY":
                names.add(name)
            elif name.endswith(".py"):
                names.add(name[:-3])
    return frozenset(names)
