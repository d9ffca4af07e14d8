"""Rows that were learned: where they live, how they come into the matrix, and how one is added after it was checked.

A learned row is somebody's text: it is checked like any other, may hide no failure, and one that is bad is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from ..matrix.check import check
from ..matrix.matcher import Matrix, load_matrix
from ..matrix.patterns import expand_macros, unsafe
from ..matrix.schema import Problem, Row, SchemaError, parse_rows
from .atomicfile import write_atomic
from .paths import config_path

FOLDER = Path(".dbops") / "matrix"
MAX_FILES = 500
MAX_BYTES = 1_000_000
SUFFIXES = (".yaml", ".yml")


class NotSaved(Exception):
    """The row was not written; `problems` are the complaints, each with its line."""

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def bundle_folder(root: Path) -> Path:
    """Where the rows of a bundle live: in its own folder, so that git shares them with the team."""
    return root / FOLDER


def user_folder(env: Mapping[str, str] = os.environ, named: str = "") -> Path:
    """Where the rows of a user live, for all bundles: the setting `matrix` (`named`), else beside the settings.

    It need not exist.
    """
    return Path(named) if named else config_path(env).parent / "matrix"


def folders(root: Path | None, env: Mapping[str, str] = os.environ, named: str = "") -> tuple[Path, ...]:
    """The folders of learned rows, those of the bundle first."""
    own = (bundle_folder(root),) if root is not None else ()
    return (*own, user_folder(env, named))


def matrix_for(
    root: Path | None, env: Mapping[str, str] = os.environ, named: str = ""
) -> tuple[Matrix, tuple[Problem, ...]]:
    """The built-in rows with the learned ones before them, and what is wrong with those that were left out.

    `named` is the setting `matrix`. Raises nothing on what stands in a learned row.
    """
    return _matrix_of(tuple(_marks(folders(root, env, named))))


def save_row(folder: Path, text: str, *, base: Path | None = None) -> Path:
    """Write the one row in `text` to a file of its own in `folder`; returns the file. Raises NotSaved.

    It is checked with all other rows first: one that would take what another row knows better is refused. `base` is the
    folder that it must not lead out of (through a link), where there is one.
    """
    rows = _parsed(text, "the new row")
    if len(rows) != 1:
        raise NotSaved(f"one row is expected, not {len(rows)}")
    row = rows[0]
    held, _ = _matrix_of(tuple(_marks((folder,))))
    others = [other for other in held.rows if other.id != row.id]
    problems = _complaints_about(row, others)
    if problems:
        raise NotSaved(f"{row.id} is not good enough: {problems[0]}", problems)
    path = folder / f"{row.id.split('.', 1)[1]}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode(), mode=0o644, root=base if base is not None else folder)
    except OSError as error:
        raise NotSaved(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _complaints_about(row: Row, others: list[Row]) -> list[Problem]:
    """What is wrong with the row, and what it would spoil of the others."""
    hidden = _unfit(row)
    if hidden:
        return [Problem(row.file, row.line, hidden, row.id)]
    found = check(Matrix([row, *others]))
    if all(problem.row == row.id for problem in found):
        return found
    known = {(problem.row, problem.message) for problem in check(Matrix(others))}
    return [problem for problem in found if problem.row == row.id or (problem.row, problem.message) not in known]


def _unfit(row: Row) -> str:
    """Why a learned row may not be used whatever it matches; empty where it may."""
    if row.benign:
        return "a learned row may not say that a failure is none"
    for pattern in row.match.patterns:
        # Before anything is matched with it: a regex that runs away would take this program with it.
        reason = unsafe(expand_macros(pattern.regex)) if pattern.regex else ""
        if reason:
            return f"unsafe regex: {reason}"
    words = [row.title, row.explanation, row.check_sql or "", *row.entities.values()]
    words += [part for fix in row.fixes for part in (fix.title, fix.command or "", fix.risk or "")]
    if any(not char.isprintable() and char not in "\n\t" for text in words for char in text):
        return "holds control characters"
    return ""


def _marks(places: Iterable[Path]) -> Iterable[tuple[str, int, int]]:
    """The files of the folders with what tells whether they have changed; links that lead elsewhere are left out."""
    for folder in places:
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] not in "._")
            for path in files[:MAX_FILES]:
                info = path.lstat()
                if path.is_file() and not path.is_symlink():
                    yield str(path), info.st_mtime_ns, info.st_size
        except OSError:
            continue


@lru_cache(maxsize=4)
def _matrix_of(marks: tuple[tuple[str, int, int], ...]) -> tuple[Matrix, tuple[Problem, ...]]:
    builtin = load_matrix()
    if not marks:
        return builtin, ()
    rows: dict[str, Row] = {}
    problems: list[Problem] = []
    for name, _, size in marks:
        file = Path(name).name
        try:
            if size > MAX_BYTES:
                raise NotSaved("is too large")
            for row in _parsed(Path(name).read_text(encoding="utf-8"), file):
                reason = _unfit(row) or ("the id is taken" if row.id in rows else "")
                if reason:
                    problems.append(Problem(file, row.line, reason, row.id))
                else:
                    rows[row.id] = row
        except NotSaved as refused:
            problems += refused.problems or (Problem(file, 1, str(refused)),)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(file, 1, f"cannot be read: {error}"))
    # Only what is wrong with a row by itself counts here: examples may lean on rows that are not among these.
    bad = check(Matrix([*rows.values(), *(row for row in builtin.rows if row.id not in rows)]), only=rows)
    problems += bad
    fit = [row for row in rows.values() if row.id not in {problem.row for problem in bad}]
    taken = {row.id for row in fit}
    return Matrix([*fit, *(row for row in builtin.rows if row.id not in taken)]), tuple(problems)


def _parsed(text: str, file: str) -> tuple[Row, ...]:
    try:
        return parse_rows(text, file=file, learned=True)
    except SchemaError as error:
        raise NotSaved(f"this is no row: {error.problems[0]}", error.problems) from error
    except (ValueError, RecursionError) as error:
        raise NotSaved(f"this is no row: {error}") from error
