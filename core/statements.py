"""What a SQL statement answered: the raw JSON of the Statement Execution API 2.0 as rows of text.

Never raises on odd input, and runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .json_values import ident, mapping, message, objects, shown, text

ROW_LIMIT = 100


@dataclass(frozen=True, slots=True)
class StatementResult:
    """How a statement ended. `state` as it comes (SUCCEEDED, FAILED, CANCELED, CLOSED, or PENDING and RUNNING)."""

    statement_id: str
    state: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()  # ROW_LIMIT at most; a NULL is an empty text
    error_code: str = ""
    message: str = ""
    sql_state: str = ""
    truncated: bool = False

    @property
    def succeeded(self) -> bool:
        return self.state == "SUCCEEDED"


def parse_statement(raw: Any) -> StatementResult:
    """The answer of `sql/statements`, or of one statement asked for again."""
    raw = mapping(raw)
    status, manifest = mapping(raw.get("status")), mapping(raw.get("manifest"))
    error = mapping(status.get("error"))
    rows = mapping(raw.get("result")).get("data_array")
    rows = [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
    return StatementResult(
        statement_id=ident(raw.get("statement_id")),
        state=text(status.get("state")),
        columns=tuple(text(column.get("name")) for column in objects(mapping(manifest.get("schema")).get("columns"))),
        rows=tuple(tuple("" if cell is None else shown(cell) for cell in row) for row in rows[:ROW_LIMIT]),
        error_code=text(error.get("error_code")),
        message=message(error.get("message")),
        sql_state=text(status.get("sql_state")) or text(error.get("sql_state")),
        truncated=manifest.get("truncated") is True or len(rows) > ROW_LIMIT,
    )
