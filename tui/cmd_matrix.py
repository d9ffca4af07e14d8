"""`dbops-tui matrix`: the rows of known errors, what each says, whether they contradict, and what was learned.

Never changes a built-in row; what is learned is written below `.dbops/matrix/` or into the user's own folder only.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..core.events import plain
from ..core.journal import Journal, JournalUnavailable
from ..core.learned_rows import matrix_for
from ..core.learning import top_ten
from ..core.paths import state_dir
from ..core.text import clean
from ..matrix.check import check
from ..matrix.matcher import Matrix
from ..matrix.schema import Problem, Row
from .exits import EXIT_FAILED, EXIT_OK
from .jsonl import JsonLines
from .place import Place, Stop, open_place
from .table import print_table

JOURNALS = 50  # the newest, whose errors are counted
_MARKS = ("cascade", "benign", "warning", "retryable", "destructive", "learned")
# What fails most where nothing was counted yet: a name, a table, a package, a right, a key, a word of SQL, a path, a
# variable, a sign-in, memory.
USUAL = (
    *("unresolved_column", "table_not_found", "missing_python_module", "uc_missing_privilege"),
    *("merge_multiple_source_rows", "sql_syntax_error", "notebook_not_found", "variable_not_defined"),
    *("expired_token", "driver_oom"),
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
    root = None if place.bundle_problem else place.root
    matrix, problems = matrix_for(root, place.env, place.config.matrix)
    if arguments.action == "check":
        return _check(matrix, problems, arguments)
    for problem in problems:
        print(f"left out: {clean(str(problem))}", file=sys.stderr)
    if arguments.action == "show":
        return _show(matrix, arguments)
    return _list(matrix, place, arguments)


def _list(matrix: Matrix, place: Place, arguments: argparse.Namespace) -> int:
    if arguments.top:
        return _top(matrix, place, arguments)
    if arguments.json:
        out = JsonLines()
        for row in matrix.rows:
            out.write("row", _short(row))
        return out.end("matrix.ended", {"count": len(matrix.rows)})
    cells = [(row.id, row.cause, row.category, row.title) for row in matrix.rows]
    print_table(("ID", "CAUSE", "CATEGORY", "TITLE"), cells, roomy=3)
    return EXIT_OK


def _short(row: Row) -> dict[str, Any]:
    return {"id": row.id, "cause": row.cause, "category": row.category, "title": row.title, "learned": row.learned}


def _top(matrix: Matrix, place: Place, arguments: argparse.Namespace) -> int:
    """The causes that were met most often; where none was, the usual ones."""
    lessons = asyncio.run(met(place))
    rows_met = Counter(str(lesson.get("row") or "") for lesson in lessons)
    counted = top_ten(lessons)
    if not counted:
        print("no journal has met an error yet: these are the usual ones", file=sys.stderr)
        counted = tuple((cause, 0, 0, "") for cause in USUAL)
    out = JsonLines()
    cells: list[tuple[str, ...]] = []
    for cause, count, mended, fix in counted:
        row = _row_of(matrix, cause, rows_met)
        if arguments.json:
            about = _short(row) if row is not None else {"id": None, "cause": cause}
            out.write("row", {**about, "met": count, "mended": mended, "mended_by": fix or None})
        named = (row.id, row.title) if row is not None else ("", "")
        cells.append((str(count), str(mended), cause, *named, fix))
    if arguments.json:
        return out.end("matrix.ended", {"count": len(cells)})
    if any(count for _, count, _, _ in counted):
        print_table(("MET", "MENDED", "CAUSE", "ID", "TITLE", "MENDED LAST BY"), cells, roomy=4)
    else:
        print_table(("CAUSE", "ID", "TITLE"), [cell[2:5] for cell in cells], roomy=2)
    return EXIT_OK


def _row_of(matrix: Matrix, cause: str, rows_met: Mapping[str, int]) -> Row | None:
    """The row of a cause that was met most often; None where no row has it."""
    rows = [row for row in matrix.rows if row.cause == cause]
    # Where none was met: the one that knows most forms of it, not a family's catch-all.
    return max(rows, key=lambda row: (rows_met.get(row.id, 0), len(row.match.patterns)), default=None)


async def met(place: Place) -> list[dict[str, Any]]:
    """What every journal of this user learned. Raises nothing: a journal that cannot be read counts for nothing."""
    try:
        files = sorted(state_dir(place.env).glob("*.sqlite3"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for file in files[:JOURNALS]:
        try:
            journal = await Journal.open(file, redactor=place.redactor, read_only=True)
        except JournalUnavailable:
            continue
        try:
            found += await journal.learned()
        except JournalUnavailable:
            continue
        finally:
            await journal.close()
    return found


def _show(matrix: Matrix, arguments: argparse.Namespace) -> int:
    wanted = arguments.row or ""
    if not wanted:
        raise Stop("which row?", "matrix show ROW; the ids are in: matrix list", code="usage")
    rows = [row for row in matrix.rows if row.id == wanted] or [row for row in matrix.rows if row.cause == wanted]
    if not rows:
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
