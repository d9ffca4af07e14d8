"""The shape of a matrix row and the loader of row files: YAML in, frozen rows out, every complaint with file and line.

Never looks at a failure's text, never executes what a row says, and never accepts a field that it does not know.

A row file is `matrix/rows/<category>.yaml`, a YAML list of rows:

    - id: spark.unresolved_column          # unique, "<area>.<name>"
      cause: unresolved_column             # a label of rows/_causes.yaml
      category: spark_sql                  # optional; the file's name without .yaml otherwise
      title: "Column {column} does not exist"
      explanation: "Plain words; {entity} placeholders; a later sentence with an unknown entity is left out."
                                           # `[ at line {line}]`: words that go with their entity, in any template
      match:                               # any one of these signals is enough
        codes: [INIT_SCRIPT_FAILURE]       # termination codes, cluster reason codes, library error codes
        facts: [CANCELED]                  # the same, taken from structured facts alone: too plain a word for texts
        error_codes: [RESOURCE_DOES_NOT_EXIST]   # API error_code; weak unless `strength` says otherwise
        error_classes: [UNRESOLVED_COLUMN] # Spark/Delta class, or CLASS.SUBCLASS
        exceptions: [ModuleNotFoundError]  # exception class, matched from the last dot
        sqlstates: [42703]                 # five characters; as weak as general prose
        patterns:
          - literal: cannot be resolved    # or `literals: [a, b]` (one of them); derived from the regex where absent
            regex: "with name <<name:column>> cannot be resolved"   # named groups are entities
            strength: exact                # exact > specific > general > hint
            all: [..]                      # guards of this pattern alone
            none: [..]
        all: [..]                          # guards of the row: each of these literals is in the text
        none: [..]                         # none of these is
        source_kinds: [cli_stderr]         # only these kinds, or a failure whose kind is not known
      strength: specific                   # optional default for codes, classes and exceptions of this row
      supersedes: [dlt.update_failed, table_not_found]   # row ids or causes that stand behind this row
      cascade: false                       # true: a wrapper or consequence; never before its cause
      benign: false                        # true: looks like a failure and is none
      warning: false                       # true: also taken from a line that is only a warning
      retryable: false
      destructive: false
      entities: {operation: MERGE, resource: "{type}s.{name}"}   # constants and templates
      fixes:
        - {kind: edit, title: "...", command: "...", risk: "...", wait_seconds: 60}
      check_sql: "DESCRIBE TABLE {table}"
      docs: https://docs.databricks.com/...
      examples:
        - text: "..."
          entities: {column: id}
          structured: {termination_code: X, error_code: Y, source_kind: api}
      counterexamples: ["a text that this row must not take first"]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from .model import FixKind
from .patterns import PatternError, derive_literal, expand_macros

Strength = Literal["exact", "specific", "general", "hint"]
STRENGTHS: tuple[str, ...] = get_args(Strength)
FIX_KINDS: tuple[str, ...] = get_args(FixKind)
SOURCE_KINDS = ("job_task", "pipeline_event", "cli_stderr", "cluster_event", "warehouse", "api", "app_log")
STRUCTURED_FIELDS = (
    "termination_code",
    "termination_type",
    "error_code",
    "http_status",
    "source_kind",
    "result_state",
    "resource_key",
    "task_key",
)
ROWS_FOLDER = Path(__file__).parent / "rows"
CAUSES_FILE = ROWS_FOLDER / "_causes.yaml"

_ROW_KEYS = frozenset(
    (
        "id",
        "cause",
        "category",
        "title",
        "explanation",
        "match",
        "strength",
        "supersedes",
        "cascade",
        "benign",
        "warning",
        "retryable",
        "destructive",
        "entities",
        "fixes",
        "check_sql",
        "docs",
        "examples",
        "counterexamples",
    )
)
_MATCH_KEYS = frozenset(
    (
        "codes",
        "facts",
        "error_codes",
        "error_classes",
        "exceptions",
        "sqlstates",
        "patterns",
        "all",
        "none",
        "source_kinds",
    )
)
_PATTERN_KEYS = frozenset(
    (
        "literal",
        "literals",
        "regex",
        "strength",
        "all",
        "none",
    )
)
_FIX_KEYS = frozenset(
    (
        "kind",
        "title",
        "command",
        "risk",
        "wait_seconds",
    )
)
_EXAMPLE_KEYS = frozenset(("text", "entities", "structured"))
_ID = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_LABEL = re.compile(r"[a-z][a-z0-9_]*")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)?\*?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint about row data. `line` counts from 1; `row` is the row's id where it is known."""

    file: str
    line: int
    message: str
    row: str = ""

    def __str__(self) -> str:
        who = f" [{self.row}]" if self.row else ""
        return f"{self.file}:{self.line}:{who} {self.message}"


class SchemaError(ValueError):
    """Row data that cannot be used; `problems` holds every complaint, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A confirming regex behind literals, one of which must be in the text (compared without case)."""

    literals: tuple[str, ...]
    regex: str = ""
    strength: Strength = "specific"
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """What a row answers to; any one signal is enough, the guards hold for all of them."""

    codes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    error_codes: tuple[str, ...] = ()
    error_classes: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    sqlstates: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    source_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FixTemplate:
    """A proposal as a row states it; `{entity}` placeholders are filled from the failure."""

    kind: FixKind
    title: str
    command: str | None = None
    risk: str | None = None
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A text of our own that the row must take first, with entities that must come out of it."""

    text: str
    entities: Mapping[str, str] = field(default_factory=dict)
    structured: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One cause with one way to see it. `file` and `line` say where it is declared."""

    id: str
    cause: str
    category: str
    title: str
    explanation: str
    match: Match
    strength: Strength | None = None
    supersedes: tuple[str, ...] = ()
    cascade: bool = False
    benign: bool = False
    warning: bool = False
    retryable: bool = False
    destructive: bool = False
    entities: Mapping[str, str] = field(default_factory=dict)
    fixes: tuple[FixTemplate, ...] = ()
    check_sql: str | None = None
    docs: str | None = None
    examples: tuple[Example, ...] = ()
    counterexamples: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    learned: bool = False


def known_causes() -> frozenset[str]:
    """The labels that a built-in row may carry, from rows/_causes.yaml."""
    return frozenset(yaml.load(CAUSES_FILE.read_text(encoding="utf-8"), Loader=_LOADER))


def load_rows(folder: Path = ROWS_FOLDER, *, learned: bool = False) -> tuple[Row, ...]:
    """All rows of the `*.yaml` files in `folder` whose name has no leading `_`, in file and line order.

    Raises SchemaError with every complaint when one file does not parse or one row is not valid.
    """
    rows: list[Row] = []
    problems: list[Problem] = []
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        if path.name.startswith("_"):
            continue
        try:
            rows.extend(parse_rows(path.read_text(encoding="utf-8"), file=path.name, learned=learned))
        except SchemaError as error:
            problems.extend(error.problems)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(path.name, 1, f"cannot be read: {error}"))
    if problems:
        raise SchemaError(problems)
    return tuple(rows)


def parse_rows(text: str, *, file: str = "rows.yaml", learned: bool = False) -> tuple[Row, ...]:
    """The rows of one YAML text. Raises SchemaError with every complaint."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise SchemaError([Problem(file, (mark.line + 1) if mark else 1, f"is not YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise SchemaError([Problem(file, 1, f"is not YAML: {error}")]) from error
    if node is None:
        return ()
    reader = _Reader(file, learned)
    if not isinstance(node, yaml.SequenceNode):
        raise SchemaError([Problem(file, 1, "must be a list of rows")])
    rows = [row for item in node.value if (row := reader.row(item)) is not None]
    if reader.problems:
        raise SchemaError(reader.problems)
    return tuple(rows)


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Reader:
    """Turns YAML nodes into rows and collects complaints; nodes are kept so that each complaint has its line."""

    def __init__(self, file: str, learned: bool) -> None:
        self.file = file
        self.learned = learned
        self.problems: list[Problem] = []
        self._row = ""

    def row(self, node: yaml.Node) -> Row | None:
        self._row = ""
        before = len(self.problems)
        line = node.start_mark.line + 1
        items = self._mapping(node, _ROW_KEYS, "row")
        if items is None:
            return None
        self._row = self._string(items, "id", line)
        if self._row and not _ID.fullmatch(self._row):
            self._complain(items["id"], f"id {self._row!r} is not of the form area.name (lower case)")
        cause = self._string(items, "cause", line)
        if cause and not _LABEL.fullmatch(cause):
            self._complain(items["cause"], f"cause {cause!r} is not a label")
        benign = self._flag(items, "benign")
        match = self._match(items.get("match"), line)
        row = Row(
            id=self._row,
            cause=cause,
            category=self._optional(items, "category") or self.file.rsplit(".", 1)[0],
            title=self._string(items, "title", line),
            explanation=self._string(items, "explanation", line),
            match=match,
            strength=self._strength(items),
            supersedes=self._strings(items, "supersedes"),
            cascade=self._flag(items, "cascade"),
            benign=benign,
            warning=self._flag(items, "warning"),
            retryable=self._flag(items, "retryable"),
            destructive=self._flag(items, "destructive"),
            entities=self._pairs(items.get("entities")),
            fixes=tuple(self._fixes(items.get("fixes"))),
            check_sql=self._optional(items, "check_sql"),
            docs=self._optional(items, "docs"),
            examples=tuple(self._examples(items.get("examples"))),
            counterexamples=self._strings(items, "counterexamples"),
            file=self.file,
            line=line,
            learned=self.learned,
        )
        return row if len(self.problems) == before else None

    def _match(self, node: yaml.Node | None, line: int) -> Match:
        if node is None:
            self._add(line, "has no `match`")
            return Match()
        items = self._mapping(node, _MATCH_KEYS, "match")
        if items is None:
            return Match()
        for key in ("codes", "facts", "error_codes", "error_classes", "exceptions"):
            for value in self._strings(items, key):
                if not _CODE.fullmatch(value) and not (key == "exceptions" and re.fullmatch(r"[\w.$]+", value)):
                    self._complain(items[key], f"{value!r} in {key} is not a code name")
        kinds = self._strings(items, "source_kinds")
        for kind in kinds:
            if kind not in SOURCE_KINDS:
                self._complain(items["source_kinds"], f"unknown source kind {kind!r}; known: {', '.join(SOURCE_KINDS)}")
        match = Match(
            codes=self._strings(items, "codes"),
            facts=self._strings(items, "facts"),
            error_codes=self._strings(items, "error_codes"),
            error_classes=self._strings(items, "error_classes"),
            exceptions=self._strings(items, "exceptions"),
            sqlstates=self._strings(items, "sqlstates"),
            patterns=tuple(self._patterns(items.get("patterns"))),
            all=self._strings(items, "all"),
            none=self._strings(items, "none"),
            source_kinds=kinds,
        )
        for state in match.sqlstates:
            if not _SQLSTATE.fullmatch(state):
                self._complain(items["sqlstates"], f"{state!r} is not a SQLSTATE of five characters")
        signals = (
            match.codes,
            match.facts,
            match.error_codes,
            match.error_classes,
            match.exceptions,
            match.sqlstates,
            match.patterns,
        )
        if not any(signals):
            self._complain(node, "`match` names no signal")
        return match

    def _patterns(self, node: yaml.Node | None) -> Iterator[Pattern]:
        for item in self._items(node, "patterns"):
            line = item.start_mark.line + 1
            if isinstance(item, yaml.ScalarNode):
                yield Pattern(literals=(str(item.value),), line=line)
                continue
            items = self._mapping(item, _PATTERN_KEYS, "pattern")
            if items is None:
                continue
            literals = self._strings(items, "literals") + self._strings(items, "literal")
            regex = self._optional(items, "regex") or ""
            if regex:
                try:
                    expanded = expand_macros(regex)
                    literals = literals or (derive_literal(expanded),)
                except (PatternError, re.error) as error:
                    self._complain(items["regex"], f"regex: {error}")
                    continue
            if not literals:
                self._complain(item, "a pattern needs a literal or a regex")
            for literal in literals:
                if len(literal.strip()) < 4:
                    self._complain(item, f"literal {literal!r} is shorter than 4 characters")
                if not literal.isascii():
                    self._complain(item, f"literal {literal!r} is not ASCII")
            yield Pattern(
                literals=literals,
                regex=regex,
                strength=self._strength(items) or "specific",
                all=self._strings(items, "all"),
                none=self._strings(items, "none"),
                line=line,
            )

    def _fixes(self, node: yaml.Node | None) -> Iterator[FixTemplate]:
        for item in self._items(node, "fixes"):
            items = self._mapping(item, _FIX_KEYS, "fix")
            if items is None:
                continue
            kind = self._string(items, "kind", item.start_mark.line + 1)
            if kind not in FIX_KINDS:
                self._complain(item, f"unknown fix kind {kind!r}; known: {', '.join(FIX_KINDS)}")
                continue
            wait = self._optional(items, "wait_seconds")
            seconds: float | None = None
            try:
                seconds = float(wait) if wait else None
            except ValueError:
                self._complain(items["wait_seconds"], f"wait_seconds {wait!r} is not a number")
            yield FixTemplate(
                kind=cast(FixKind, kind),
                title=self._string(items, "title", item.start_mark.line + 1),
                command=self._optional(items, "command"),
                risk=self._optional(items, "risk"),
                wait_seconds=seconds,
            )

    def _examples(self, node: yaml.Node | None) -> Iterator[Example]:
        for item in self._items(node, "examples"):
            line = item.start_mark.line + 1
            if isinstance(item, yaml.ScalarNode):
                yield Example(text=str(item.value), line=line)
                continue
            items = self._mapping(item, _EXAMPLE_KEYS, "example")
            if items is None:
                continue
            structured: dict[str, Any] = dict(self._pairs(items.get("structured")))
            for key in structured:
                if key not in STRUCTURED_FIELDS:
                    self._complain(items["structured"], f"unknown fact {key!r}; known: {', '.join(STRUCTURED_FIELDS)}")
            if "http_status" in structured:
                structured["http_status"] = int(structured["http_status"])
            yield Example(self._string(items, "text", line), self._pairs(items.get("entities")), structured, line)

    def _mapping(self, node: yaml.Node, keys: frozenset[str], what: str) -> dict[str, yaml.Node] | None:
        if not isinstance(node, yaml.MappingNode):
            self._complain(node, f"a {what} must be a mapping")
            return None
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in keys:
                self._complain(key, f"unknown field {name!r} in {what}; known: {', '.join(sorted(keys))}")
            elif name in found:
                self._complain(key, f"field {name!r} is given twice")
            else:
                found[name] = value
        return found

    def _items(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self._complain(node, f"{what} must be a list")
            return []
        return list(node.value)

    def _string(self, items: dict[str, yaml.Node], key: str, line: int) -> str:
        value = self._optional(items, key)
        if not value:
            self._add(items[key].start_mark.line + 1 if key in items else line, f"`{key}` is missing or empty")
        return value or ""

    def _optional(self, items: dict[str, yaml.Node], key: str) -> str | None:
        node = items.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            self._complain(node, f"`{key}` must be one value")
            return None
        return str(node.value).strip() or None

    def _strings(self, items: dict[str, yaml.Node], key: str) -> tuple[str, ...]:
        node = items.get(key)
        if node is None:
            return ()
        if isinstance(node, yaml.ScalarNode):
            return (str(node.value),)
        values: list[str] = []
        for item in self._items(node, key):
            if isinstance(item, yaml.ScalarNode) and item.value:
                values.append(str(item.value))
            else:
                self._complain(item, f"`{key}` must hold plain values")
        return tuple(values)

    def _pairs(self, node: yaml.Node | None) -> dict[str, str]:
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._complain(node, "must be a mapping of names to values")
            return {}
        return {str(key.value): str(value.value) for key, value in node.value}

    def _flag(self, items: dict[str, yaml.Node], key: str) -> bool:
        value = self._optional(items, key)
        if value is None:
            return False
        if value not in ("true", "false"):
            self._complain(items[key], f"`{key}` must be true or false")
        return value == "true"

    def _strength(self, items: dict[str, yaml.Node]) -> Strength | None:
        value = self._optional(items, "strength")
        if value is None:
            return None
        if value not in STRENGTHS:
            self._complain(items["strength"], f"unknown strength {value!r}; known: {', '.join(STRENGTHS)}")
            return None
        return cast(Strength, value)

    def _complain(self, node: yaml.Node, message: str) -> None:
        self._add(node.start_mark.line + 1, message)

    def _add(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, message, self._row))
