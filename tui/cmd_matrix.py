"""`dbops-tui matrix`: the rows of known errors, what each says, whether they contradict, and what was learned.

Never changes a built-in row; what is learned is written below `.dbops/matrix/` or into the user's own folder only.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.events import plain
from ..core.journal import Journal, JournalUnavailable
from ..core.paths import config_path, state_dir
from ..core.text import clean
from ..matrix.check import check
from ..matrix.matcher import Matrix, load_matrix
from ..matrix.schema import Problem, Row, SchemaError, load_rows
from .exits import EXIT_FAILED, EXIT_OK
from .jsonl import JsonLines
from .place import Place, Stop, open_place
from .table import print_table

TOP = 10
_MARKS = ("cascade", "benign", "warning", "retryable", "destructive", "learned")
JOURNALS = 50  # the newest, whose errors are counted
# What failed most often where somebody counted: the first rows of every guide to failures of jobs and bundles.
USUAL = (
    *("unresolved_column", "table_not_found", "module_not_found", "permission_denied", "merge_multiple_source_rows"),
    *("parse_syntax_error", "notebook_not_found", "variable_not_defined", "expired_token", "driver_oom"),
)


def main(arguments: argparse.Namespace) -> int:
    """Run one of the four. Raises Stop."""
    place = open_place(arguments, bundle_needed=False)
    if arguments.row and arguments.action != "show":
        raise Stop(f"{arguments.action} takes no row", "matrix show ROW", code="usage")
    if arguments.top and arguments.action != "list":
        raise Stop(f"--top is for list, not for {arguments.action}", "matrix list --top", code="usage")
    if arguments.action == "learn":
        from .matrix_learn import learn

        return learn(place, arguments)
    matrix, problems = load_all(place)
    if arguments.action == "check":
        return _check(matrix, problems, arguments)
    for problem in problems:
        print(f"left out: {clean(str(problem))}", file=sys.stderr)
    if arguments.action == "show":
        return _show(matrix, arguments)
    return _list(matrix, place, arguments)


def folders(place: Place) -> tuple[Path, ...]:
    """Where rows of one's own are: the bundle's `.dbops/matrix`, then the user's folder."""
    own = (place.root / ".dbops" / "matrix",) if not place.bundle_problem else ()
    return (*own, user_folder(place))


def user_folder(place: Place) -> Path:
    """The folder for all bundles of this user: `matrix` of the settings, else beside the settings."""
    return Path(place.config.matrix) if place.config.matrix else config_path(place.env).parent / "matrix"


def load_all(place: Place) -> tuple[Matrix, tuple[Problem, ...]]:
    """The built-in rows behind those of one's own; a folder with mistakes is left out, and they are returned."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for folder in folders(place):
        try:
            own = load_rows(folder, learned=True) if folder.is_dir() else ()
        except SchemaError as error:
            problems += [Problem(str(folder / p.file), p.line, p.message, p.row) for p in error.problems]
            continue
        rows += [row for row in own if row.id not in {each.id for each in rows}]
    taken = {row.id for row in rows}
    return Matrix([*rows, *(row for row in load_matrix().rows if row.id not in taken)]), tuple(problems)


def _list(matrix: Matrix, place: Place, arguments: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    rows: Sequence[Row] = matrix.rows
    if arguments.top:
        counts = asyncio.run(met(place))
        rows = _most_met(matrix, counts)
        if not counts:
            print("no journal has met an error yet: these are the usual ones", file=sys.stderr)
    if arguments.json:
        out = JsonLines()
        for row in rows:
            body: dict[str, Any] = {"id": row.id, "cause": row.cause, "category": row.category, "title": row.title}
            body |= {"learned": row.learned, **({"met": counts[row.id]} if arguments.top else {})}
            out.write("row", body)
        return out.end("matrix.ended", {"count": len(rows)})
    heads = ["ID", "CAUSE", "CATEGORY", "TITLE"]
    cells = [[row.id, row.cause, row.category, row.title] for row in rows]
    if counts:
        heads, cells = ["MET", *heads], [[str(counts[row.id]), *cell] for row, cell in zip(rows, cells, strict=True)]
    print_table(heads, cells, roomy=len(heads) - 1)
    return EXIT_OK


def _most_met(matrix: Matrix, counts: Counter[str]) -> list[Row]:
    if counts:
        return [matrix.by_id[row] for row, _ in counts.most_common() if row in matrix.by_id][:TOP]
    first: dict[str, Row] = {}
    for row in matrix.rows:
        first.setdefault(row.cause, row)
    return [first[cause] for cause in USUAL if cause in first]


async def met(place: Place) -> Counter[str]:
    """How often each row was the root cause of an error, over the journals of this user. Raises nothing."""
    counts: Counter[str] = Counter()
    try:
        files = sorted(state_dir(place.env).glob("*.sqlite3"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return counts
    for file in files[:JOURNALS]:
        try:
            journal = await Journal.open(file, redactor=place.redactor, read_only=True)
        except JournalUnavailable:
            continue
        try:
            for loop in await journal.loops(1000):
                counts.update(_rows_of(loop.record))
        except JournalUnavailable:
            pass
        finally:
            await journal.close()
    return counts


def _rows_of(record: dict[str, Any]) -> list[str]:
    """The rows of all errors of a loop's record, whatever its shape."""
    found = []
    for round_ in _dicts(record.get("rounds")):
        for error in _dicts(round_.get("errors")):
            diagnosis = error.get("diagnosis")
            row = diagnosis.get("row") if isinstance(diagnosis, dict) else None
            if isinstance(row, str) and row:
                found.append(row)
    return found


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _show(matrix: Matrix, arguments: argparse.Namespace) -> int:
    wanted = arguments.row or ""
    if not wanted:
        raise Stop("which row?", "matrix show ROW; the ids are in: matrix list", code="usage")
    rows = [row for row in matrix.rows if row.id == wanted] or [row for row in matrix.rows if row.cause == wanted]
    if not rows:
        import difflib

        near = difflib.get_close_matches(wanted, [*matrix.by_id, *{row.cause for row in matrix.rows}], n=3, cutoff=0.5)
        hint = f"nearly: {', '.join(near)}" if near else "the ids are in: matrix list"
        raise Stop(f"there is no row {wanted}", hint, code="no_row")
    if arguments.json:
        out = JsonLines()
        for row in rows:
            out.write("row", plain(row))
        return out.end("matrix.ended", {"count": len(rows)})
    print("\n\n".join("\n".join(_row_lines(row)) for row in rows))
    return EXIT_OK


def _row_lines(row: Row) -> list[str]:
    marks = [name for name in _MARKS if getattr(row, name)]
    lines = [f"{row.id}  ({row.cause}, {row.category}){'  ' + ', '.join(marks) if marks else ''}", f"  {row.title}", ""]
    lines += [f"  {row.explanation}", ""]
    match = row.match
    for name in ("codes", "error_codes", "error_classes", "exceptions", "sqlstates", "all", "none", "source_kinds"):
        if getattr(match, name):
            lines.append(f"  {name.replace('_', ' ')}: {', '.join(getattr(match, name))}")
    lines += [f"  pattern ({p.strength}): {p.regex or ' | '.join(p.literals)}" for p in match.patterns]
    if row.supersedes:
        lines.append(f"  stands before: {', '.join(row.supersedes)}")
    for fix in row.fixes:
        wait = f", wait {fix.wait_seconds:.0f} s" if fix.wait_seconds else ""
        lines += ["", f"  fix ({fix.kind}{wait}): {fix.title}"]
        lines += [f"    $ {line}" for line in (fix.command or "").split("\n") if line]
        lines += [f"    risk: {fix.risk}"] if fix.risk else []
    lines += ["", f"  check: {row.check_sql}"] if row.check_sql else []
    lines += [f"  docs: {row.docs}"] if row.docs else []
    for example in row.examples:
        lines += ["", "  example:", *(f"    {line}" for line in example.text.split("\n"))]
        lines += [f"    -> {name}: {value}" for name, value in example.entities.items()]
    for text in row.counterexamples:
        lines += ["", "  not this:", *(f"    {line}" for line in text.split("\n"))]
    lines += ["", f"  from {row.file}:{row.line}"]
    return [clean(line) for line in lines]


def _check(matrix: Matrix, broken: tuple[Problem, ...], arguments: argparse.Namespace) -> int:
    problems = [*broken, *check(matrix)]
    status = EXIT_FAILED if problems else EXIT_OK
    causes = len({row.cause for row in matrix.rows})
    if arguments.json:
        out = JsonLines()
        for problem in problems:
            out.write("complaint", plain(problem))
        counts = {"rows": len(matrix.rows), "causes": causes, "complaints": len(problems)}
        return out.end("matrix.ended", counts, exit_code=status)
    for problem in problems:
        print(clean(str(problem)))
    print(f"{len(matrix.rows)} rows, {causes} causes, {len(problems)} complaints")
    return status
