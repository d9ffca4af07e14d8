"""What a SQL warehouse answers to statements that only look: DESCRIBE, SHOW, LIST, of what this workspace holds.
It runs no query: any other statement ends well and without rows."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from .http import Json
from .scenario import Scenario
from .store import Store

_PART = re.compile(r"`((?:[^`]|``)*)`|([^`.\s]+)")
_NAME = r"(?P<name>(?:`(?:[^`]|``)*`|[^\s`;])+)"
_END = r"\s*;?\s*$"
_DESCRIBE = re.compile(
    rf"DESC(?:RIBE)?\s+(?:(?P<kind>TABLE|SCHEMA|DATABASE|VOLUME)\s+)?(?:EXTENDED\s+)?{_NAME}{_END}", re.I
)
_PROPERTIES = re.compile(rf"SHOW\s+TBLPROPERTIES\s+{_NAME}{_END}", re.I)
_TABLES = re.compile(rf"SHOW\s+TABLES\s+(?:IN|FROM)\s+{_NAME}(?:\s+LIKE\s+'(?P<like>[^']*)')?{_END}", re.I)
_GRANTS = re.compile(rf"SHOW\s+GRANTS\s+ON\s+(?P<kind>[A-Z ]+?)\s+{_NAME}{_END}", re.I)
_LIST = re.compile(rf"LIST\s+'(?P<path>[^']*)'{_END}", re.I)
_EDGES = re.compile(rf"SELECT\s+MIN\((?P<column>[^)]+)\),\s*MAX\([^)]+\)\s+FROM\s+{_NAME}{_END}", re.I)


class Refused(Exception):
    """A statement that fails: `[CONDITION] message`, and its SQLSTATE."""

    def __init__(self, condition: str, message: str, sql_state: str) -> None:
        super().__init__(f"[{condition}] {message} SQLSTATE: {sql_state}")
        self.sql_state = sql_state


Answer = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Names of the columns, and rows."""


def answer(store: Store, scenario: Scenario | None, text: str) -> Json | None:
    """The status, manifest and result of a statement that only looks; None for any other."""
    catalog = Catalog(store, scenario)
    statement = " ".join(text.split())
    for pattern, look in (
        (_DESCRIBE, catalog.describe),
        (_PROPERTIES, catalog.properties),
        (_TABLES, catalog.tables),
        (_GRANTS, catalog.grants),
        (_LIST, catalog.listing),
        (_EDGES, catalog.edges),
    ):
        found = pattern.match(statement)
        if found is not None:
            try:
                return _told(*look(found))
            except Refused as refused:
                error = {"error_code": "BAD_REQUEST", "message": str(refused)}
                return {"status": {"state": "FAILED", "error": error, "sql_state": refused.sql_state}}
    return None


def parts_of(name: str) -> list[str]:
    """The parts of a dotted name, without their backticks."""
    return [(found[1] or "").replace("``", "`") if found[1] is not None else found[2] for found in _PART.finditer(name)]


class Catalog:
    """What there is in a workspace: what its API holds, and the tables that the scenario tells of."""

    def __init__(self, store: Store, scenario: Scenario | None) -> None:
        self.store = store
        self.scenario = scenario

    def columns_of(self, name: str) -> list[tuple[str, str]]:
        """(name, type) of each column of a table. Refused where there is no such table."""
        parts = parts_of(name)
        full = ".".join(parts)
        held = self.store.tables.get(full)
        if held is not None:
            columns = [column for column in held.get("columns") or [] if isinstance(column, dict)]
            return [(str(column.get("name")), str(column.get("type_text", "string"))) for column in columns]
        told = dict(self.scenario.tables) if self.scenario is not None else {}
        # The scenario's tables stand in every schema that the bundle has deployed.
        if ".".join(parts[:-1]) in self.store.kind("schemas") and parts[-1] in told:
            pairs = (column.partition(" ") for column in told[parts[-1]].split(", "))
            return [(column, kind or "string") for column, _, kind in pairs]
        quoted = ".".join(f"`{part}`" for part in parts)
        raise Refused(
            "TABLE_OR_VIEW_NOT_FOUND",
            f"The table or view {quoted} cannot be found. Verify the spelling and correctness of schema and catalog.",
            "42P01",
        )

    def describe(self, asked: re.Match[str]) -> Answer:
        kind, full = (asked["kind"] or "TABLE").upper(), ".".join(parts_of(asked["name"]))
        if kind == "TABLE":
            rows = [(name, type_, "") for name, type_ in self.columns_of(asked["name"])]
            return ("col_name", "data_type", "comment"), rows
        word = "schemas" if kind in ("SCHEMA", "DATABASE") else "volumes"
        record = self.store.kind(word).get(full)
        if record is None and word == "schemas":
            raise Refused("SCHEMA_NOT_FOUND", f"The schema `{full}` cannot be found.", "42704")
        if record is None:
            raise Refused("VOLUME_NOT_FOUND", f"The volume `{full}` cannot be found.", "42704")
        facts = [(name, str(record[name]), "") for name in ("full_name", "owner", "comment") if record.get(name)]
        return ("info_name", "info_value", "comment"), facts

    def properties(self, asked: re.Match[str]) -> Answer:
        self.columns_of(asked["name"])
        held = self.store.tables.get(".".join(parts_of(asked["name"]))) or {}
        known = {"delta.minReaderVersion": "1", "delta.minWriterVersion": "2", **(held.get("properties") or {})}
        return ("key", "value"), [(str(key), str(value)) for key, value in sorted(known.items())]

    def tables(self, asked: re.Match[str]) -> Answer:
        schema = ".".join(parts_of(asked["name"]))
        if schema not in self.store.kind("schemas"):
            raise Refused("SCHEMA_NOT_FOUND", f"The schema `{schema}` cannot be found.", "42704")
        names = {name.rpartition(".")[2] for name in self.store.tables if name.startswith(f"{schema}.")}
        names.update(name for name, _ in (self.scenario.tables if self.scenario is not None else ()))
        like = asked["like"] or "*"
        rows = [(schema.rpartition(".")[2], name, "false") for name in sorted(names) if fnmatch.fnmatchcase(name, like)]
        return ("database", "tableName", "isTemporary"), rows

    def grants(self, asked: re.Match[str]) -> Answer:
        kind, full = asked["kind"].strip().lower(), ".".join(parts_of(asked["name"]))
        held = self.store.grants.get(f"{kind}/{full}", {})
        rows = [(who, right.replace("_", " "), kind.upper(), full) for who, rights in held.items() for right in rights]
        return ("Principal", "ActionType", "ObjectType", "ObjectKey"), rows

    def listing(self, asked: re.Match[str]) -> Answer:
        path = "/" + re.sub(r"^dbfs:", "", asked["path"]).strip("/")
        parts = path.split("/")
        if len(parts) >= 5 and parts[1] == "Volumes" and ".".join(parts[2:5]) not in self.store.kind("volumes"):
            raise Refused("VOLUME_NOT_FOUND", f"The volume `{'.'.join(parts[2:5])}` cannot be found.", "42704")
        files = self.store.files
        if not files.exists(path):
            if len(parts) == 5 and parts[1] == "Volumes":
                return ("path", "name", "size", "modification_time"), []
            raise Refused("PATH_NOT_FOUND", f"Path does not exist: {asked['path']}.", "42K03")
        rows = [
            (entry.path, entry.path.rpartition("/")[2], str(len(entry.content)), str(entry.modified_ms))
            for entry in files.children(path)
        ]
        return ("path", "name", "size", "modification_time"), rows

    def edges(self, asked: re.Match[str]) -> Answer:
        column = asked["column"].strip("` ")
        if column not in [name for name, _ in self.columns_of(asked["name"])]:
            raise Refused("UNRESOLVED_COLUMN", f"A column with name `{column}` cannot be resolved.", "42703")
        # Nothing is ever written here, so no table has a row.
        return (f"min({column})", f"max({column})"), [("", "")]


def _told(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Json:
    fields = [
        {"name": name, "type_text": "STRING", "type_name": "STRING", "position": n} for n, name in enumerate(columns)
    ]
    manifest = {
        "format": "JSON_ARRAY",
        "schema": {"column_count": len(columns), "columns": fields},
        "total_row_count": len(rows),
        "total_chunk_count": 1,
        "truncated": False,
    }
    result = {"chunk_index": 0, "row_offset": 0, "row_count": len(rows), "data_array": [list(row) for row in rows]}
    return {"status": {"state": "SUCCEEDED"}, "manifest": manifest, "result": result}
