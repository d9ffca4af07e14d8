"""Check queries: the one reading statement that confirms or refutes a diagnosis, and what its answer says about it.

Never runs a statement, and puts text from outside into SQL only as a quoted name or string. Refuses to change data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ..matrix.matcher import Matrix, load_matrix
from ..matrix.model import Diagnosis
from .guard import Refused, check_sql
from .state import CheckResult

Verdict = Literal["confirmed", "refuted", "unclear"]
CONFIRMED: Verdict = "confirmed"
REFUTED: Verdict = "refuted"
UNCLEAR: Verdict = "unclear"

MOST_ROWS = 200
_LONGEST_NAME = 255  # characters of one part of a name (Unity Catalog, "Names")
_PLACEHOLDER = re.compile(r"\{([a-z_][a-z_0-9]*)\}")
_PARTS = re.compile(r"`((?:[^`]|``)*)`|([^`.]+)")
_SECURABLES = frozenset(
    {
        *("TABLE", "VIEW", "SCHEMA", "DATABASE", "CATALOG", "VOLUME", "FUNCTION", "METASTORE", "CONNECTION", "SHARE"),
        *("EXTERNAL LOCATION", "STORAGE CREDENTIAL", "SERVICE CREDENTIAL", "MATERIALIZED VIEW", "MODEL"),
    }
)
_PRIVILEGE = re.compile(r"[A-Za-z][A-Za-z_ ]{2,40}")
# What an answer says where the statement itself was refused: the thing is missing, or we may not look.
_MISSING = re.compile(
    r"(?:TABLE_OR_VIEW|TABLE|VIEW|SCHEMA|CATALOG|VOLUME|ROUTINE|PATH|FILE|COLUMN)_(?:NOT_FOUND|DOES_NOT_EXIST)"
    r"|UNRESOLVED_COLUMN|UNRESOLVED_ROUTINE|NO_SUCH_CATALOG|(?:does not|doesn't) exist|cannot be found|not found",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"INSUFFICIENT_PERMISSIONS|PERMISSION_DENIED|UNAUTHORIZED|not authori[sz]ed|does not have", re.IGNORECASE
)


def statement_for(diagnosis: Diagnosis, matrix: Matrix | None = None) -> str:
    """The statement that would tell whether `diagnosis` is right; empty where its row has none that can be filled.

    What the failure named stands in it as quoted names and strings only. Raises guard.Refused where the row's text
    does more than read.
    """
    row = (matrix or load_matrix()).by_id.get(diagnosis.row)
    if row is None or not row.check_sql:
        return ""
    statement = fill_sql(row.check_sql, diagnosis.entities)
    if statement:
        check_sql(statement)
    return statement


def fill_sql(template: str, entities: Mapping[str, str]) -> str:
    """`template` with its `{placeholders}` as quoted names, or as text inside of quotes; empty where one has no value.

    `{catalog}`, `{schema}` and `{name}` are taken from a longer name where they are not known by themselves.
    """
    known = _with_parts(entities)
    pieces: list[str] = []
    done = 0
    for found in _PLACEHOLDER.finditer(template):
        value = known.get(found[1], "")
        quote = _open_quote(template[: found.start()])
        filled = _quoted(found[1], value, quote)
        if not filled:
            return ""
        pieces += [template[done : found.start()], filled]
        done = found.end()
    return "".join([*pieces, template[done:]])


def quoted_name(name: str) -> str:
    """A dotted name with each part in backticks, as SQL takes it; empty where it is no name."""
    text = name.strip()
    parts: list[str] = []
    at = 0
    while at < len(text):
        found = _PARTS.match(text, at)
        if found is None:
            return ""
        part = found[1].replace("``", "`") if found[1] is not None else found[2].strip()
        if not part or len(part) > _LONGEST_NAME or not part.isprintable():
            return ""
        parts.append(part)
        at = found.end()
        if at < len(text):
            if text[at] != "." or at + 1 == len(text):
                return ""
            at += 1
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts) if len(parts) <= 4 else ""


def judge(
    diagnosis: Diagnosis,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    error: str = "",
    *,
    statement: str = "",
) -> CheckResult:
    """What the answer of the check query says of `diagnosis`: its verdict, and the confidence that is left with it.

    `error` is the message of a statement that failed, which tells something too: that a table is not there.
    """
    table = _Table(tuple(columns), tuple(tuple(str(cell) for cell in row) for row in rows[:MOST_ROWS]), error.strip())
    verdict = _JUDGES.get(diagnosis.cause, _by_presence)(diagnosis, table)
    if table.error and _FORBIDDEN.search(table.error) and diagnosis.cause != "uc_missing_privilege":
        verdict = UNCLEAR
    shown = statement or diagnosis.check_sql or ""
    return CheckResult(diagnosis.row, shown, verdict, table.columns, table.rows, _weighed(diagnosis, verdict))


def not_run(diagnosis: Diagnosis, why: str, statement: str = "") -> CheckResult:
    """The result of a check query that did not run: why, in one sentence; the confidence stays."""
    return CheckResult(diagnosis.row, statement or diagnosis.check_sql or "", why, confidence=diagnosis.confidence)


def weigh(diagnoses: Iterable[Diagnosis], result: CheckResult) -> tuple[Diagnosis, ...]:
    """The diagnoses with what the check said; one that was refuted stands behind those that are surer now."""
    weighed = [replace(d, confidence=result.confidence) if d.row == result.row else d for d in diagnoses]
    if result.verdict != REFUTED:
        return tuple(weighed)
    return tuple(sorted(weighed, key=lambda d: (d.row == result.row, -d.confidence)))


class _Table:
    """An answer as text: column names, rows, or the error it was refused with."""

    __slots__ = ("columns", "error", "rows")

    def __init__(self, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], error: str) -> None:
        self.columns, self.rows, self.error = columns, rows, error

    @property
    def missing(self) -> bool:
        return bool(_MISSING.search(self.error))

    def column(self, *names: str) -> list[str]:
        """The cells of the first column that is called one of `names`, without case; none where there is no such."""
        wanted = {name.lower() for name in names}
        index = next((number for number, name in enumerate(self.columns) if name.lower() in wanted), None)
        return [] if index is None else [row[index] for row in self.rows if index < len(row)]

    def words(self) -> set[str]:
        """Every cell, in lower case."""
        return {cell.strip("`").lower() for row in self.rows for cell in row}


Judge = Callable[[Diagnosis, _Table], Verdict]


def _by_presence(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """For what is said to be missing: it is there, or it is not. Nothing is said of anything else."""
    if not diagnosis.cause.endswith(("_not_found", "_missing", "_not_defined")):
        return UNCLEAR
    if table.error:
        return CONFIRMED if table.missing else UNCLEAR
    return REFUTED if table.rows else CONFIRMED


def _column(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """A column that does not resolve: the description of the table has it, or has not."""
    wanted = diagnosis.entities.get("column", "").split(".")[-1].strip("` ").lower()
    if table.error or not wanted:
        return UNCLEAR
    names = table.column("col_name", "column_name", "name") or [row[0] for row in table.rows if row]
    # DESCRIBE goes on after the columns with partitions and details, behind a line that starts with `#`.
    known = {name.strip("`").lower() for name in _until_details(names)}
    if not known:
        return UNCLEAR
    return REFUTED if wanted in known else CONFIRMED


def _until_details(names: list[str]) -> list[str]:
    end = next((number for number, name in enumerate(names) if not name.strip() or name.startswith("#")), len(names))
    return names[:end]


def _privilege(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """A missing privilege: it was granted to whoever ran this, or not; what a group has may count for them or not."""
    if table.error:
        # Whoever may not even see the grants has no rights there.
        return CONFIRMED if _FORBIDDEN.search(table.error) else UNCLEAR
    wanted = diagnosis.entities.get("privilege", "").upper().replace("_", " ").strip()
    principal = diagnosis.entities.get("principal", "").strip("`'\" ").lower()
    if not wanted:
        return UNCLEAR
    holders = {
        who.strip("` ").lower()
        for who, what in zip(table.column("principal"), table.column("actiontype", "action_type"), strict=False)
        if what.upper().replace("_", " ").strip() in (wanted, "ALL PRIVILEGES", "MANAGE", "OWN")
    }
    if not holders:
        return CONFIRMED
    return REFUTED if principal in holders else UNCLEAR


def _by_rows(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """For what is said to be there, once too often or in the way: the query lists it, or finds none."""
    if table.error:
        return UNCLEAR
    return CONFIRMED if table.rows else REFUTED


def _by_none(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """For what is said to be empty: nothing is listed, or something is."""
    if table.error:
        return CONFIRMED if table.missing else UNCLEAR
    return REFUTED if table.rows else CONFIRMED


def _window(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """Nothing in the window of a monitor: the first and the last moment of its source are not there at all."""
    if table.error or not table.rows or len(table.columns) != 2:
        return UNCLEAR
    return CONFIRMED if all(cell.strip().lower() in ("", "null", "none") for cell in table.rows[0]) else UNCLEAR


def _constraint(diagnosis: Diagnosis, table: _Table) -> Verdict:
    """A constraint that was broken: the table's properties name it, or do not any more."""
    name = diagnosis.entities.get("constraint", "").split(".")[-1].strip("` ").lower()
    if table.error or not name:
        return UNCLEAR
    return CONFIRMED if f"delta.constraints.{name}" in table.words() else UNCLEAR


_JUDGES: dict[str, Judge] = {
    "unresolved_column": _column,
    "ambiguous_reference": lambda diagnosis, table: UNCLEAR,
    "uc_missing_privilege": _privilege,
    "merge_multiple_source_rows": _by_rows,
    "delta_location_not_empty": _by_rows,
    "monitor_already_exists": _by_rows,
    "quality_monitor_conflict": _by_rows,
    "autoloader_empty_path": _by_none,
    "monitor_refresh_failed": _window,
    "constraint_violation": _constraint,
}


def _weighed(diagnosis: Diagnosis, verdict: Verdict) -> float:
    """The confidence after the check: most of the doubt goes where it is confirmed, most of the trust where refuted."""
    before = diagnosis.confidence
    if verdict == CONFIRMED:
        return round(min(0.99, before + (1 - before) * 0.7), 2)
    return round(before * 0.3, 2) if verdict == REFUTED else before


def _with_parts(entities: Mapping[str, str]) -> dict[str, str]:
    known = dict(entities)
    suggested = known.get("suggestion", "").split(",")[0].strip()
    if not known.get("table") and suggested.count(".") == 3:
        # `catalog.schema.table.column`: what is suggested says which table was looked at.
        known["table"] = suggested.rpartition(".")[0]
    full = next((known[name] for name in ("table", "view", "volume", "securable", "dataset") if known.get(name)), "")
    parts = [found[1] or found[2] for found in _PARTS.finditer(full)]
    for name, value in zip(("name", "schema", "catalog"), reversed(parts), strict=False):
        known.setdefault(name, value)
    return known


def _open_quote(before: str) -> str:
    """The quote that is open at the end of `before`; empty where none is."""
    open_: str = ""
    for char in before:
        if open_:
            open_ = "" if char == open_ else open_
        elif char in "'\"`":
            open_ = char
    return open_


def _quoted(placeholder: str, value: str, quote: str) -> str:
    value = value.strip()
    if not value or not value.isprintable() or len(value) > 1000:
        return ""
    if quote == "`":
        return value.strip("`").replace("`", "``")
    if quote:
        return value.replace("\\", "\\\\").replace(quote, "\\" + quote)
    if placeholder in ("securable_type", "type"):
        word = " ".join(value.upper().replace("_", " ").split())
        return word if word in _SECURABLES else ""
    if placeholder == "privilege":
        return " ".join(value.upper().replace("_", " ").split()) if _PRIVILEGE.fullmatch(value) else ""
    if placeholder in ("limit", "version") and value.isdigit():
        return value
    return quoted_name(value)


def refusal(diagnosis: Diagnosis, matrix: Matrix | None = None) -> str:
    """Why there is no check query for `diagnosis`, in one sentence; empty where there is one."""
    try:
        statement = statement_for(diagnosis, matrix)
    except Refused as refused:
        return refused.reason
    return "" if statement else "this diagnosis has no query that could check it"
