"""Reads deployed source as an interpreter would: cells, syntax, imports, prints, exit values, traces of errors.
It runs none of it; only its text and its syntax tree are looked at."""

from __future__ import annotations

import ast
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .http import Json

CELL = re.compile(r"^(?:#|--|//) COMMAND -{5,}\s*$")
MAGIC = re.compile(r"^\s*(?:# MAGIC\b|%|!)")
PIP = re.compile(r"^\s*(?:# MAGIC\s+)?%pip\s+install\s+(?P<what>.+)$", re.MULTILINE)
REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
# What a Databricks runtime and a serverless environment bring along; a selection.
RUNTIME_MODULES = frozenset(
    (
        "pyspark",
        "pandas",
        "numpy",
        "scipy",
        "sklearn",
        "matplotlib",
        "plotly",
        "seaborn",
        "pyarrow",
        "delta",
        "databricks",
        "dlt",
        "mlflow",
        "requests",
        "yaml",
        "dateutil",
        "pytz",
        "boto3",
        "botocore",
        "google",
        "azure",
        "IPython",
        "py4j",
        "setuptools",
        "pip",
        "wheel",
        "packaging",
        "cloudpickle",
        "grpc",
        "urllib3",
        "certifi",
        "jinja2",
        "protobuf",
        "psutil",
        "statsmodels",
        "six",
        "tornado",
        "typing_extensions",
        "attr",
        "cryptography",
        "jsonschema",
        "pkg_resources",
        "ipywidgets",
        "dbruntime",
    )
)
IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "beautifulsoup4": "bs4",
    "python-dateutil": "dateutil",
    "pillow": "PIL",
    "opencv-python": "cv2",
    "delta-spark": "delta",
    "great-expectations": "great_expectations",
    "databricks-labs-dqx": "databricks",
}
RED, GREEN, CYAN, END = "\x1b[0;31m", "\x1b[0;32m", "\x1b[0;36m", "\x1b[0m"
LIBRARY_FRAME = "/databricks/python/lib/python3.12/site-packages/pyspark/sql/connect/dataframe.py"


@dataclass(frozen=True, slots=True)
class Source:
    """A deployed file as text. `path` begins with /Workspace; `cells` are (first line, last line), counted from 1."""

    path: str
    text: str
    language: str
    notebook: bool
    cells: tuple[tuple[int, int], ...]

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


@dataclass(frozen=True, slots=True)
class Problem:
    """What stops the code: Python exception name, message, and line in the file (from 1)."""

    exception: str
    message: str
    line: int


def open_source(path: str, content: bytes, *, notebook: bool, language: str = "", jupyter: bool = False) -> Source:
    """The text and cells of a file or notebook. Never raises: what is no text is read with replacement marks."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if jupyter:
        text = _flat_jupyter(text)
    if not language:
        language = {"sql": "SQL", "scala": "SCALA", "r": "R"}.get(path.rsplit(".", 1)[-1].lower(), "PYTHON")
    shown = path if path.startswith("/Workspace/") else f"/Workspace{path}"
    return Source(shown, text, language, notebook, tuple(_cells(text.split("\n"), notebook)))


def _flat_jupyter(text: str) -> str:
    try:
        cells = json.loads(text).get("cells") or []
        sources = ["".join(cell.get("source") or []) for cell in cells if cell.get("cell_type") == "code"]
    except (ValueError, AttributeError, TypeError):
        return text
    return "\n# COMMAND ----------\n".join(["# Databricks notebook source", *sources[:1]]) + "".join(
        f"\n# COMMAND ----------\n{source}" for source in sources[1:]
    )


def _cells(lines: list[str], notebook: bool) -> Iterator[tuple[int, int]]:
    start = 2 if notebook else 1
    for number, line in enumerate(lines, start=1):
        if notebook and CELL.match(line):
            yield start, number - 1
            start = number + 1
    yield start, len(lines)


def python_text(source: Source) -> str:
    """The Python of a file with magics blanked out, so that line numbers stay."""
    return "\n".join("" if MAGIC.match(line) else line for line in source.lines)


@lru_cache(maxsize=512)
def parse(text: str) -> ast.Module | SyntaxError:
    """The syntax tree, or the error that Python raises for it."""
    try:
        return ast.parse(text)
    except SyntaxError as problem:
        return problem
    except (ValueError, RecursionError, MemoryError) as problem:
        return SyntaxError(str(problem), ("<unknown>", 1, 1, ""))


def tree_of(source: Source) -> ast.Module | None:
    """The syntax tree of Python source; None for another language or where it does not parse."""
    found = parse(python_text(source)) if source.language == "PYTHON" else None
    return found if isinstance(found, ast.Module) else None


def python_problem(source: Source, provided: Callable[[str], bool]) -> Problem | None:
    """The first thing that stops Python: a syntax error, or an import that nothing provides."""
    if source.language != "PYTHON":
        return None
    wanted = foreign_imports(source)
    if isinstance(wanted, Problem):
        return wanted
    for top, line in wanted:
        if not provided(top):
            return Problem("ModuleNotFoundError", f"No module named '{top}'", line)
    return None


@lru_cache(maxsize=512)
def foreign_imports(source: Source) -> tuple[tuple[str, int], ...] | Problem:
    """Top-level modules, with their lines, that neither Python nor the runtime bring; or the syntax error."""
    tree = parse(python_text(source))
    if isinstance(tree, SyntaxError):
        name = "IndentationError" if isinstance(tree, IndentationError) else "SyntaxError"
        return Problem(name, tree.msg, max(1, min(tree.lineno or 1, len(source.lines))))
    installed = {name for match in PIP.finditer(source.text) for name in modules_of(match["what"].split())}
    tops = ((module.partition(".")[0], line) for module, line in _imports(tree))
    brought = (sys.stdlib_module_names, RUNTIME_MODULES, installed)
    return tuple((top, line) for top, line in tops if not any(top in names for names in brought))


def modules_of(requirements: list[str]) -> set[str]:
    """The import names that a list of pip requirements brings, as far as their names tell."""
    found = set()
    for item in requirements:
        name = item.rsplit("/", 1)[-1] if item.endswith(".whl") else item
        match = REQUIREMENT.match(name)
        if match:
            plain = match[1].split("-")[0] if item.endswith(".whl") else match[1]
            found.add(IMPORT_NAMES.get(plain.lower(), plain.lower().replace("-", "_").replace(".", "_")))
    return found


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Modules imported and the line, in order; those under `try` or `if` are left to the code itself."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
        elif not isinstance(node, (ast.Try, ast.If)):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


MAKES_COLUMNS = ("alias", "withColumn", "withColumnRenamed")
NAMES_COLUMNS = ("col", "groupBy", "orderBy", "partitionBy", "dropDuplicates", "drop_duplicates", "select")


def column_names(source: Source) -> tuple[set[str], list[tuple[str, int]]]:
    """Column names that DataFrame code makes, and those it uses with their lines, in the order of the text."""
    made: set[str] = set()
    used: list[tuple[str, int]] = []
    tree = tree_of(source)
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in MAKES_COLUMNS:
            made.update(name for name, _ in _texts(node.args[-1:] if called.endswith("Renamed") else node.args[:1]))
        elif called in NAMES_COLUMNS:
            used += _texts(node.args)
        elif called == "join" and isinstance(node.func, ast.Attribute) and len(node.args) > 1:
            used += _texts(node.args[1:2])
    return made, sorted(used, key=lambda item: item[1])


def _texts(nodes: list[ast.expr]) -> list[tuple[str, int]]:
    found = []
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.append((node.value, node.lineno))
        elif isinstance(node, (ast.List, ast.Tuple)):
            found += _texts(node.elts)
    return found


def printed(source: Source, until: int | None, parameters: dict[str, str]) -> list[str]:
    """What the code prints, up to line `until`; code in functions counts only when the module got to their call."""
    tree = tree_of(source)
    if tree is None:
        return []
    bodies = {
        number
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    top_level = until is not None and until not in bodies
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and node.args
    ]
    lines = []
    for call in sorted(calls, key=lambda item: item.lineno):
        if until is not None and (call.lineno >= until or (top_level and call.lineno in bodies)):
            continue
        value = evaluate(call.args[0], source, parameters)
        lines.append(value if isinstance(value, str) else json.dumps(value))
    return lines


def exit_value(source: Source, parameters: dict[str, str]) -> str:
    """What `dbutils.notebook.exit` hands back, as far as the text of the call tells it; "" without such a call."""
    tree = tree_of(source)
    if tree is None:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "dbutils.notebook.exit" and node.args:
            value = evaluate(node.args[0], source, parameters)
            return value if isinstance(value, str) else json.dumps(value)
    return ""


def evaluate(node: ast.expr, source: Source, parameters: dict[str, str]) -> Any:
    """A value for an expression: literals as they are, widgets from the parameters, anything else a stable number."""
    match node:
        case ast.Constant(value=value):
            return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return {str(evaluate(k, source, parameters)): evaluate(v, source, parameters) for k, v in pairs if k}
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [evaluate(item, source, parameters) for item in items]
        case ast.JoinedStr(values=parts):
            return "".join(str(evaluate(part, source, parameters)) for part in parts)
        case ast.FormattedValue(value=inner):
            return evaluate(inner, source, parameters)
        case ast.Call(args=[inner, *_]) if ast.unparse(node.func).endswith("json.dumps"):
            return json.dumps(evaluate(inner, source, parameters))
        case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(node.func) == "dbutils.widgets.get":
            return parameters.get(name, "")
        case ast.Call(func=ast.Name(id="len")):
            return 3
        case ast.Name(id=name):
            return _assigned(name, source, parameters)
    return _number(source.path, ast.unparse(node))


def _assigned(name: str, source: Source, parameters: dict[str, str]) -> Any:
    pattern = re.compile(rf"^\s*{re.escape(name)}\s*=\s*dbutils\.widgets\.get\([\"'](\w+)[\"']\)", re.MULTILINE)
    found = pattern.search(source.text)
    return parameters.get(found[1], "") if found else _number(source.path, name)


def _number(path: str, text: str) -> int:
    return 100 + zlib.crc32(f"{path.rsplit('/', 1)[-1]}:{text}".encode()) % 20_000


def error_trace(source: Source, exception: str, message: str, line: int, *, serverless: bool) -> str:
    """The trace as the platform prints it: by cell for a notebook, by file for a script; "" for SQL."""
    if source.language == "SQL" and not source.notebook:
        return ""
    if exception in ("SyntaxError", "IndentationError") and source.notebook:
        return _syntax_trace(source, exception, message, line)
    if not source.notebook and not serverless:
        return _plain_trace(source, exception, message, line)
    rule = f"{RED}{'-' * 75}{END}"
    head = f"{RED}{exception}{END}{'Traceback (most recent call last)':>{75 - len(exception)}}"
    place, shift = (_cell_place(source, line)) if source.notebook else (f"{source.path}:{line}", 0)
    context = _context(source, line, shift)
    parts = [rule, head, f"File {GREEN}{place}{END}", context]
    if exception == "AnalysisException" or exception.endswith("Exception"):
        parts += [
            "",
            f"File {GREEN}{LIBRARY_FRAME}:1742{END}, in {CYAN}DataFrame.schema{END}(self)",
            f"{GREEN}   1742{END}     return self._session.client.schema(query)",
        ]
    return "\n".join([*parts, "", f"{RED}{exception}{END}: {message}"])


def _cell_place(source: Source, line: int) -> tuple[str, int]:
    for index, (first, last) in enumerate(source.cells):
        if first <= line <= last or index == len(source.cells) - 1:
            command = 10**14 + zlib.crc32(f"{source.path}:{index}".encode()) * 1000
            return f"<command-{command}>, line {line - first + 1}", first - 1
    return f"<command-0>, line {line}", 0


def _context(source: Source, line: int, shift: int) -> str:
    lines = source.lines
    shown = []
    for number in range(max(shift + 1, line - 2), min(len(lines), line + 2) + 1):
        if CELL.match(lines[number - 1]):
            break
        label = str(number - shift)
        if number == line:
            arrow = "-" * max(2, 5 - len(label)) + "> " + label
            shown.append(f"{GREEN}{arrow}{END} {lines[number - 1]}")
        else:
            shown.append(f"{GREEN}{label:>7}{END} {lines[number - 1]}")
    return "\n".join(shown)


def _plain_trace(source: Source, exception: str, message: str, line: int) -> str:
    lines = source.lines
    code = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    if exception in ("SyntaxError", "IndentationError"):
        return f'  File "{source.path}", line {line}\n    {code}\n    ^\n{exception}: {message}'
    frames = ["Traceback (most recent call last):"]
    inside = code and lines[line - 1][:1].isspace()
    caller = next((n for n, text in enumerate(lines, 1) if re.match(r"\s+main\(\)|main\(\)", text)), 0)
    if inside and caller:
        frames.append(f'  File "{source.path}", line {caller}, in <module>\n    {lines[caller - 1].strip()}')
    frames.append(f'  File "{source.path}", line {line}, in {"main" if inside else "<module>"}\n    {code}')
    return "\n".join([*frames, f"{exception}: {message}"])


def _syntax_trace(source: Source, exception: str, message: str, line: int) -> str:
    place, _ = _cell_place(source, line)
    lines = source.lines
    code = lines[line - 1] if 0 < line <= len(lines) else ""
    return f"  {CYAN}File {GREEN}{place}{END}\n    {code.strip()}\n    ^\n{RED}{exception}{END}: {message}\n"


def values_of(text: str) -> Json:
    """The values that a result or the last JSON line of a log hands to later tasks."""
    for line in reversed(text.strip().splitlines()[-20:]):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}
