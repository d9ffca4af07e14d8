"""What a pipeline defines, read from its deployed source: datasets, flows, inputs, expectations; and what is wrong.
Pure: files and a spec in, a plan out. It runs nothing and knows no clock."""

from __future__ import annotations

import ast
import difflib
import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import codecheck, taskrules
from .codecheck import Source
from .filetree import FileTree, canonical
from .http import ApiError, Json
from .scenario import Rule, Scenario
from .taskrules import Struck

STREAMING, VIEW, MATERIALIZED = "STREAMING_TABLE", "VIEW", "MATERIALIZED_VIEW"
DECORATORS = {
    "table": "",
    "materialized_view": MATERIALIZED,
    "view": VIEW,
    "temporary_view": VIEW,
    "append_flow": STREAMING,
}
ACTIONS = {"expect": "ALLOW", "expect_or_drop": "DROP", "expect_or_fail": "FAIL"}
READS = ("read", "read_stream", "table", "readStream")
SQL_CREATE = re.compile(
    r"CREATE\s+(?:OR\s+REFRESH\s+|OR\s+REPLACE\s+)?(?:PRIVATE\s+|TEMPORARY\s+)?"
    r"(?P<kind>STREAMING\s+(?:LIVE\s+)?TABLE|LIVE\s+TABLE|MATERIALIZED\s+VIEW|(?:LIVE\s+)?VIEW)\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[\w.`]+)",
    re.IGNORECASE,
)
SQL_EXPECT = re.compile(
    r"CONSTRAINT\s+(?P<name>\w+)\s+EXPECT\s*\((?P<rule>[^;]{1,400}?)\)\s*(?:ON\s+VIOLATION\s+(?P<action>DROP|FAIL))?"
    r"(?=\s*(?:ROW|UPDATE|,|\)|$))",
    re.IGNORECASE,
)
SQL_INPUT = re.compile(
    r"\b(?:FROM|JOIN)\s+(?:STREAM\s*\(\s*|STREAM\s+)?(?P<name>[\w.`]+)(?P<call>\s*\()?", re.IGNORECASE
)
EXCEPTIONS = "com.databricks.pipelines.common.errors.exceptions"
UNKNOWN_TABLE = (
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `{name}` cannot be found. Verify the spelling and correctness of the "
    "schema and catalog. If you did not qualify the name with a schema, verify the current_schema() output, or qualify "
    "the name with the correct schema and catalog. SQLSTATE: 42P01"
)
NO_TABLES = (
    "[NO_TABLES_IN_PIPELINE] Pipelines are expected to have at least one table defined but no tables were found in "
    "your pipeline. Please verify that you have included the expected source files, and that your source code includes "
    "table definitions (e.g., CREATE MATERIALIZED VIEW in SQL code, @dp.table in python code). SQLSTATE: 42617"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What fails: at the source's `line`, with a Spark message; `analysis` fails before anything ran.

    With `cluster` it is the compute that is lost: no event carries an error, only the cluster's own events do.
    """

    message: str
    class_name: str
    path: str = ""
    line: int = 0
    analysis: bool = True
    wrapper: str = ""
    seconds: float = 0.0
    retryable: bool = False
    cluster: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Dataset:
    """One dataset and its flow. `name` is full; `expectations` are (name, rule, ALLOW|DROP|FAIL)."""

    name: str
    kind: str
    path: str
    line: int
    language: str
    inputs: tuple[str, ...] = ()
    expectations: tuple[tuple[str, str, str], ...] = ()
    comment: str = ""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All datasets, each after its inputs, or the fault that keeps the whole update from starting."""

    datasets: tuple[Dataset, ...] = ()
    fault: Fault | None = None
    has_hook: bool = False


@dataclass(slots=True)
class _Found:
    name: str
    kind: str
    line: int
    inputs: list[str] = field(default_factory=list)
    expectations: list[tuple[str, str, str]] = field(default_factory=list)
    comment: str = ""
    last_line: int = 0


def plan_of(spec: Json, files: FileTree, scenario: Scenario | None, strikes: taskrules.Strikes) -> Plan:
    """Reads every source of the pipeline as it is deployed now."""
    sources, missing = _sources(spec, files)
    if missing:
        text = f"Failed to load source: the path {missing} does not exist or you have no permission to read it."
        return Plan(
            fault=Fault(text, "com.databricks.pipelines.common.errors.exceptions.SourceNotFoundException", missing)
        )
    requirements = tuple(str(item) for item in (spec.get("environment") or {}).get("dependencies") or ())
    brought = taskrules.names_brought(requirements, files)
    local = {source.path.rsplit("/", 1)[-1].removesuffix(".py") for source in sources}
    folders = {part for source in sources for part in source.path.split("/")}
    for source in sources:
        problem = codecheck.python_problem(source, lambda name: name in brought or name in local or name in folders)
        if problem is not None:
            trace = codecheck.error_trace(source, problem.exception, problem.message, problem.line, serverless=False)
            text = f"Failed to load {source.path}.\n{trace or f'{problem.exception}: {problem.message}'}"
            kind = f"{EXCEPTIONS}.PythonUserCodeException"
            return Plan(fault=Fault(text, kind, source.path, problem.line))
    prefix = ".".join(str(spec[key]) for key in ("catalog", "schema") if spec.get(key))
    if not prefix:
        prefix = str(spec.get("target") or "default")
    datasets: dict[str, Dataset] = {}
    for source in sources:
        for found in _python(source) if source.language == "PYTHON" else _sql(source):
            dataset = _dataset(found, source, prefix)
            if dataset.name in datasets:
                other = datasets[dataset.name]
                dataset.inputs = tuple(dict.fromkeys((*other.inputs, *dataset.inputs)))
                dataset.expectations = other.expectations or dataset.expectations
            datasets[dataset.name] = dataset
            dataset.fault = _rule_fault(found, source, scenario, strikes)
    if not datasets:
        return Plan(fault=Fault(NO_TABLES, "com.databricks.pipelines.execution.extensions.workspace.NoTablesException"))
    _check_inputs(datasets, prefix)
    hook = any("on_event_hook" in source.text for source in sources)
    return Plan(tuple(_ordered(datasets)), has_hook=hook)


def _sources(spec: Json, files: FileTree) -> tuple[list[Source], str]:
    paths: dict[str, None] = {}
    for library in spec.get("libraries") or []:
        if not isinstance(library, dict):
            continue
        include = str((library.get("glob") or {}).get("include") or "")
        if include:
            paths.update(dict.fromkeys(_matching(include, files)))
        for kind in ("file", "notebook"):
            named = str((library.get(kind) or {}).get("path") or "")
            if named and taskrules.read_source(files, named) is None:
                return [], named
            if named:
                paths[named] = None
    found = (taskrules.read_source(files, path) for path in paths)
    return [source for source in found if source is not None], ""


def _matching(include: str, files: FileTree) -> Iterator[str]:
    try:
        pattern = canonical(include)
    except ApiError:
        return
    root = pattern.split("*", 1)[0].rsplit("/", 1)[0]
    entry = files.find(pattern)
    if entry is not None and entry.object_type in ("FILE", "NOTEBOOK"):
        yield pattern
    if not files.exists(root):
        return
    for item in files.children(root, recursive=True):
        code = item.object_type == "NOTEBOOK" or item.path.endswith((".py", ".sql"))
        if code and (fnmatch.fnmatchcase(item.path, pattern) or pattern == root):
            yield item.path


def _dataset(found: _Found, source: Source, prefix: str) -> Dataset:
    return Dataset(
        full_name(found.name, prefix),
        found.kind,
        source.path,
        found.line,
        source.language,
        tuple(dict.fromkeys(full_name(item, prefix) for item in found.inputs if item)),
        tuple(found.expectations),
        found.comment,
    )


def full_name(name: str, prefix: str) -> str:
    """`catalog.schema.name`; names that are qualified already stay."""
    plain = name.replace("`", "").removeprefix("LIVE.").removeprefix("live.")
    return plain if plain.count(".") >= prefix.count(".") + 1 or "." in plain else f"{prefix}.{plain}"


# --- Python -------------------------------------------------------------------------------------------------


def _python(source: Source) -> Iterator[_Found]:
    tree = codecheck.tree_of(source)
    if tree is None:
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found = _decorated(node)
            if found is not None:
                yield found
        elif isinstance(node, ast.Call):
            name = _called(node)
            target = _keyword(node, "target") or _keyword(node, "name") or _first(node)
            if name in ("create_streaming_table", "create_target_table", "create_streaming_live_table") and target:
                yield _Found(target, STREAMING, node.lineno, last_line=node.end_lineno or node.lineno)
            elif name in ("apply_changes", "create_auto_cdc_flow") and target:
                source_name = _keyword(node, "source")
                yield _Found(
                    target, STREAMING, node.lineno, [source_name] if source_name else [], last_line=node.end_lineno or 0
                )


def _called(node: ast.expr) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def _keyword(node: ast.expr, name: str) -> str:
    if isinstance(node, ast.Call):
        for item in node.keywords:
            if item.arg == name and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str):
                return item.value.value
    return ""


def _first(node: ast.expr) -> str:
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return ""


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> _Found | None:
    kind: str | None = None
    name, comment = node.name, ""
    expectations: list[tuple[str, str, str]] = []
    for item in node.decorator_list:
        called = _called(item)
        if called in DECORATORS:
            kind = DECORATORS[called]
            name = _keyword(item, "target") or _keyword(item, "name") or node.name
            comment = _keyword(item, "comment")
        elif isinstance(item, ast.Call) and called.removesuffix("_all").startswith("expect"):
            expectations += _expectations(item, called)
    if kind is None:
        return None
    streams = any(
        isinstance(inner, ast.Attribute) and inner.attr in ("readStream", "read_stream") for inner in ast.walk(node)
    )
    found = _Found(name, kind or (STREAMING if streams else MATERIALIZED), node.lineno, comment=comment)
    found.expectations = expectations
    found.last_line = node.end_lineno or node.lineno
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and _called(inner) in READS and _first(inner):
            found.inputs.append(_first(inner))
        elif isinstance(inner, ast.Call) and _called(inner) == "sql" and _first(inner):
            found.inputs += [m["name"] for m in SQL_INPUT.finditer(_first(inner)) if not m["call"]]
    return found


def _expectations(item: ast.Call, called: str) -> Iterator[tuple[str, str, str]]:
    action = ACTIONS.get(called.replace("_all", "").rstrip("_"), "ALLOW")
    if "_all" in called and item.args and isinstance(item.args[0], ast.Dict):
        pairs: list[Any] = list(zip(item.args[0].keys, item.args[0].values, strict=True))
    else:
        pairs = [tuple(item.args[:2])] if len(item.args) >= 2 else []
    for key, rule in pairs:
        if isinstance(key, ast.Constant):
            text = rule.value if isinstance(rule, ast.Constant) else ast.unparse(rule)
            yield str(key.value), str(text), action


# --- SQL ----------------------------------------------------------------------------------------------------


def _sql(source: Source) -> Iterator[_Found]:
    text = re.sub(r"--[^\n]*", lambda found: " " * len(found[0]), source.text)
    start = 0
    for statement in text.split(";"):
        found = SQL_CREATE.search(statement)
        if found:
            words = found["kind"].upper()
            kind = (
                STREAMING
                if "STREAMING" in words
                else VIEW
                if words.endswith("VIEW") and "MAT" not in words
                else MATERIALIZED
            )
            line = text.count("\n", 0, start + found.start()) + 1
            body = statement[found.end() :]
            item = _Found(found["name"], kind, line, last_line=line + body.count("\n"))
            item.inputs = [
                m["name"] for m in SQL_INPUT.finditer(body) if not m["call"] and m["name"].upper() != "STREAM"
            ]
            for rule in SQL_EXPECT.finditer(body):
                action = (rule["action"] or "ALLOW").upper()
                item.expectations.append((rule["name"], rule["rule"].strip(), action))
            yield item
        start += len(statement) + 1


# --- faults -------------------------------------------------------------------------------------------------


def _rule_fault(found: _Found, source: Source, scenario: Scenario | None, strikes: taskrules.Strikes) -> Fault | None:
    for rule in scenario.rules if scenario else ():
        if not taskrules.fits(rule.path, source.path):
            continue
        struck = taskrules.match_source(rule, source)
        inside = struck is not None and found.line <= struck.line <= found.last_line
        if struck is not None and inside and (not rule.times or strikes(rule, "")):
            return _fault(rule, struck, source)
    return None


def _fault(rule: Rule, struck: Struck, source: Source) -> Fault:
    streaming = rule.exception == "StreamingQueryException" or bool(rule.wrapper or rule.cluster)
    return Fault(
        taskrules.message_of(rule, struck, source.path),
        rule.class_name or "org.apache.spark.sql.AnalysisException",
        source.path,
        struck.line,
        analysis=not streaming,
        wrapper=rule.wrapper or ("org.apache.spark.sql.streaming.StreamingQueryException" if streaming else ""),
        seconds=rule.seconds,
        retryable=rule.retryable,
        cluster=rule.cluster,
    )


def _check_inputs(datasets: dict[str, Dataset], prefix: str) -> None:
    """An input that is nearly, but not quite, the name of a dataset of this pipeline is a slip: it is not found."""
    for dataset in datasets.values():
        for name in dataset.inputs:
            if name in datasets or not name.startswith(f"{prefix}.") or dataset.fault is not None:
                continue
            others = [item for item in datasets if item != dataset.name]
            if difflib.get_close_matches(name, others, n=1, cutoff=0.93):
                short = name[len(prefix) + 1 :]
                text = UNKNOWN_TABLE.replace("{name}", short)
                dataset.fault = Fault(text, "org.apache.spark.sql.AnalysisException", dataset.path, dataset.line)


def _ordered(datasets: dict[str, Dataset]) -> Iterator[Dataset]:
    placed: set[str] = set()
    left = dict(datasets)
    while left:
        ready = [name for name, item in left.items() if all(i in placed or i not in left for i in item.inputs)]
        for name in ready or list(left)[:1]:
            placed.add(name)
            yield left.pop(name)
