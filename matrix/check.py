"""The matrix's self-check: rows that contradict one another, run away, claim a foreign text or hide a risk are named.

Never mends a row, and never reads anything but the rows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from .diagnose import diagnose
from .matcher import Matrix, compiled, load_matrix
from .model import Failure
from .patterns import PatternError, expand_macros, unsafe
from .schema import Problem, Row, SchemaError, known_causes
from .text import Passage, numbered
from .words import gaps

_DESTRUCTIVE_WORDS = re.compile(
    r"--full-refresh\b|\bDROP\s+(?:TABLE|SCHEMA|CATALOG|VIEW|VOLUME)\b|\bTRUNCATE\b|\bDELETE\s+FROM\b|\brm -r|\bfs rm\b"
    r"|\bbundle destroy\b|delete (?:the )?(?:streaming )?checkpoint"
    r"|\b(?:quality-monitors|alerts|pipelines|apps|jobs|schemas|tables|volumes) delete\b"
    r"|\bVACUUM\b.{0,60}RETAIN 0|overwriteSchema",
    re.IGNORECASE,
)
_READ_ONLY = re.compile(r"\s*(?:SELECT|SHOW|DESCRIBE|DESC|EXPLAIN|WITH|LIST)\b", re.IGNORECASE)
_MUTATING = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|DROP|CREATE|ALTER|TRUNCATE|GRANT|REVOKE|COPY)\s", re.IGNORECASE
)
#: A row that only a benign log line or a structured fact shows needs no explanation of its own entities.
BENIGN_CAUSE = "none"


def check(matrix: Matrix, only: Container[str] | None = None) -> list[Problem]:
    """Every complaint about the rows, or about those with an id in `only`; [] means that they may be used.

    A row fails on: a duplicate id, an unknown cause, an unsafe regex, a literal outside its regex's reach, a missing
    example, an example that another cause takes or whose entities do not come out, a counterexample that it takes, a
    destructive fix that is not marked, a `supersedes` of nothing or in a circle, a check query that is not read-only,
    words that break off where no entity is known.
    """
    problems: list[Problem] = []
    causes = known_causes()
    problems.extend(_duplicates(matrix.rows))
    known = {row.id for row in matrix.rows} | {row.cause for row in matrix.rows} | causes
    for row in matrix.rows:
        if only is not None and row.id not in only:
            continue
        problems.extend(_problem(row, message) for message in _row_complaints(row, causes, known))
        problems.extend(_patterns(row))
        problems.extend(_examples(row, matrix))
    problems.extend(_circles(matrix))
    if only is not None:
        problems = [problem for problem in problems if problem.row in only]
    return sorted(problems, key=lambda each: (each.file, each.line, each.message))


def destroys(words: str) -> bool:
    """Whether words or a command speak of what destroys data or state."""
    return bool(_DESTRUCTIVE_WORDS.search(words))


def _row_complaints(row: Row, causes: frozenset[str], known: set[str]) -> Iterator[str]:
    if row.cause not in causes and not row.learned:
        yield f"unknown cause {row.cause!r}"
    if row.benign != (row.cause == BENIGN_CAUSE):
        yield f"a benign row has the cause {BENIGN_CAUSE!r}, and no other row has"
    for other in row.supersedes:
        if other not in known:
            yield f"supersedes {other!r}, which is neither a row nor a cause"
        if other in (row.id, row.cause):
            yield "supersedes itself"
    for fix in row.fixes:
        words = f"{fix.title} {fix.command or ''}"
        if destroys(words) and fix.kind != "destructive":
            yield f"fix {fix.title!r} destroys data or state and is not marked destructive"
        if fix.kind == "destructive" and not fix.risk:
            yield f"destructive fix {fix.title!r} does not say its risk"
        if fix.kind == "retry" and fix.wait_seconds is None:
            yield f"retry {fix.title!r} does not say how long to wait"
    if row.destructive and not any(fix.kind == "destructive" for fix in row.fixes):
        yield "is marked destructive but has no destructive fix"
    if row.retryable and not any(fix.kind == "retry" for fix in row.fixes):
        yield "is retryable but has no retry among its fixes"
    if not row.benign and not row.fixes and not row.cascade:
        yield "has no fix"
    if row.check_sql and (
        not _READ_ONLY.match(row.check_sql) or _MUTATING.search(row.check_sql) or ";" in row.check_sql
    ):
        yield "check_sql is not one read-only statement"
    for template in (
        row.title,
        row.explanation,
        *(words for fix in row.fixes for words in (fix.title, fix.risk or "")),
    ):
        broken = gaps(template)
        if broken:
            yield f"reads {broken!r} where its entities are not known"
    if not row.examples:
        yield "has no example"


def _patterns(row: Row) -> Iterator[Problem]:
    for pattern in row.match.patterns:
        if not pattern.regex:
            continue
        try:
            expanded = expand_macros(pattern.regex)
        except PatternError as error:
            yield Problem(row.file, pattern.line, f"regex: {error}", row.id)
            continue
        reason = unsafe(expanded)
        if reason:
            yield Problem(row.file, pattern.line, f"unsafe regex: {reason}", row.id)
        elif compiled(pattern.regex).search(""):
            yield Problem(row.file, pattern.line, "regex matches the empty text", row.id)


def _examples(row: Row, matrix: Matrix) -> Iterator[Problem]:
    for example in row.examples:
        facts: dict[str, Any] = dict(example.structured)
        found = diagnose(Failure(text=example.text, **facts), matrix=matrix)
        if row.benign:
            if found:
                yield Problem(row.file, example.line, f"example of a benign row is taken as {found[0].row}", row.id)
            continue
        if not found:
            yield Problem(row.file, example.line, "example is not recognised", row.id)
            continue
        if found[0].cause != row.cause:
            message = f"example is taken by {found[0].row} ({found[0].cause})"
            yield Problem(row.file, example.line, message, row.id)
            continue
        for name, wanted in example.entities.items():
            if found[0].entities.get(name) != wanted:
                message = f"example gives {name}={found[0].entities.get(name)!r}, not {wanted!r}"
                yield Problem(row.file, example.line, message, row.id)
    own = Matrix([row])
    if row.examples and not any(_takes(own, example.text, example.structured) for example in row.examples):
        yield _problem(row, "none of its examples is matched by the row itself")
    for text in row.counterexamples:
        found = diagnose(Failure(text=text), matrix=matrix)
        if found and found[0].row == row.id:
            yield _problem(row, f"takes its counterexample {text[:60]!r}")


def _takes(own: Matrix, text: str, structured: Any) -> bool:
    if any(True for _ in own.hits(Passage(numbered(text)))):
        return True
    return any(True for _ in own.structured(Failure(text="", **structured)))


def _duplicates(rows: Iterable[Row]) -> Iterator[Problem]:
    seen: dict[str, Row] = {}
    for row in rows:
        if row.id in seen:
            first = seen[row.id]
            yield _problem(row, f"id is already taken at {first.file}:{first.line}")
        seen.setdefault(row.id, row)


def _circles(matrix: Matrix) -> Iterator[Problem]:
    by_cause: dict[str, list[Row]] = {}
    for row in matrix.rows:
        by_cause.setdefault(row.cause, []).append(row)
    below: dict[str, set[str]] = {}
    for row in matrix.rows:
        targets: set[str] = set()
        for other in row.supersedes:
            if other in matrix.by_id:
                targets.add(other)
            targets.update(each.id for each in by_cause.get(other, ()) if each.cause != row.cause)
        below[row.id] = targets
    for row in matrix.rows:
        for other in below[row.id]:
            if row.id in below.get(other, ()) and row.id < other:
                yield _problem(row, f"and {other} supersede each other")


def _problem(row: Row, message: str) -> Problem:
    return Problem(row.file, row.line, message, row.id)


def main(arguments: list[str]) -> int:
    """Prints every complaint; 0 when there is none. An argument names a folder of learned rows to check as well."""
    try:
        matrix = load_matrix(Path(arguments[0]) if arguments else None)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    problems = check(matrix)
    for problem in problems:
        print(problem)
    print(f"{len(matrix.rows)} rows, {len({row.cause for row in matrix.rows})} causes, {len(problems)} complaints")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
