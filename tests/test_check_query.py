"""Check queries: names from a failure can only ever be names, and an answer moves the confidence the right way."""

from __future__ import annotations

import pytest
from dbops_tui.core.check_query import fill_sql, judge, not_run, quoted_name, refusal, statement_for, weigh
from dbops_tui.core.guard import Refused, check_sql
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.matcher import Matrix, load_matrix
from dbops_tui.matrix.model import Diagnosis, Failure
from dbops_tui.matrix.schema import parse_rows
from hypothesis import given
from hypothesis import strategies as st

MISSING_TABLE = (
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`retail`.`orders` cannot be found. Verify the spelling. "
    "SQLSTATE: 42P01"
)


def a_diagnosis(cause: str, confidence: float = 0.8, **entities: str) -> Diagnosis:
    return Diagnosis(cause, f"test.{cause}", "test", confidence, "title", "why", entities=entities)


def a_row(check_sql: str) -> Matrix:
    text = f"""
- id: test.row
  cause: table_not_found
  title: t
  explanation: e
  match: {{patterns: [zzzz qqqq]}}
  fixes: [{{kind: manual, title: t}}]
  check_sql: {check_sql!r}
  examples: [{{text: zzzz qqqq}}]
"""
    return Matrix(parse_rows(text, file="test.yaml"))


def test_the_statement_of_a_real_failure_names_the_table_in_quotes() -> None:
    diagnosis = diagnose(Failure(text=MISSING_TABLE))[0]
    assert statement_for(diagnosis) == "DESCRIBE TABLE `main`.`retail`.`orders`"
    assert refusal(diagnosis) == ""


def test_every_check_query_of_the_matrix_can_be_asked_of_a_warehouse() -> None:
    names = ("table", "view", "volume", "column", "securable", "catalog", "schema", "function", "location", "name")
    entities = {**dict.fromkeys(names, "main.a.b"), "securable_type": "TABLE", "path": "/Volumes/a/b/c"}
    asked = 0
    for row in load_matrix().rows:
        if row.check_sql:
            statement = fill_sql(row.check_sql, entities)
            if statement:
                check_sql(statement)
                asked += 1
    assert asked


def test_without_a_value_or_without_a_row_there_is_no_statement() -> None:
    matrix = a_row("DESCRIBE TABLE {table}")
    assert statement_for(Diagnosis("table_not_found", "test.row", "x", 0.5, "", ""), matrix) == ""
    assert statement_for(a_diagnosis("table_not_found", table="a.b"), matrix) == ""
    assert "no query" in refusal(a_diagnosis("table_not_found", table="a.b"), matrix)


def test_a_row_that_would_change_something_is_refused() -> None:
    matrix = a_row("DELETE FROM {table}")
    diagnosis = Diagnosis("table_not_found", "test.row", "x", 0.5, "", "", entities={"table": "a"})
    with pytest.raises(Refused):
        statement_for(diagnosis, matrix)
    assert "more than read" in refusal(diagnosis, matrix)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("orders", "`orders`"),
        ("main.retail.orders", "`main`.`retail`.`orders`"),
        ("`main`.`re.tail`.orders", "`main`.`re.tail`.`orders`"),
        ("`odd``name`", "`odd``name`"),
        ("a; DROP TABLE b", "`a; DROP TABLE b`"),
        ("a--b", "`a--b`"),
        ("a..b", ""),
        (".a", ""),
        ("a.", ""),
        ("a`b", ""),
        ("a.b.c.d.e", ""),
        ("a\nb", ""),
        ("", ""),
    ],
)
def test_names_are_quoted_part_by_part_or_not_at_all(name: str, quoted: str) -> None:
    assert quoted_name(name) == quoted


TEMPLATES = (
    "DESCRIBE TABLE {table}",
    "SELECT COUNT(*) FROM {table} WHERE `{column}` IS NULL",
    "LIST '{path}'",
    "SHOW GRANTS ON {securable_type} {table}",
    "SELECT 1 FROM {catalog}.information_schema.tables WHERE table_name = '{name}'",
)


ALLOWED = set("".join(TEMPLATES) + "EXTERNAL CREDENTIAL SERVICE VIEW DATABASE VOLUME x")


@given(st.sampled_from(TEMPLATES), st.text(max_size=60) | st.text(alphabet="`'\"\\;-/*.{}() ab\n", max_size=40))
def test_no_name_gets_out_of_its_quotes(template: str, name: str) -> None:
    entities = dict.fromkeys(("table", "column", "path", "securable_type", "catalog", "name"), name)
    statement = fill_sql(template, entities)
    if not statement:
        return
    # Read as Spark reads it: names in backticks (doubled inside), strings in quotes (backslash escapes).
    bare, at = [], 0
    while at < len(statement):
        char = statement[at]
        if char in "`'":
            at += 1
            while at < len(statement):
                if (char == "`" and statement[at : at + 2] == "``") or (char == "'" and statement[at] == "\\"):
                    at += 2
                elif statement[at] == char:
                    break
                else:
                    at += 1
            assert at < len(statement), "a quote stays open"
            bare.append("x")
        else:
            bare.append(char)
        at += 1
    words = "".join(bare)
    assert set(words) <= ALLOWED, words


def test_an_answer_confirms_or_refutes() -> None:
    table = a_diagnosis("table_not_found", table="a.b")
    assert judge(table, (), (), "[TABLE_OR_VIEW_NOT_FOUND] The table or view cannot be found").verdict == "confirmed"
    assert judge(table, ("col_name",), (("id",),)).verdict == "refuted"
    assert judge(table, (), (), "INSUFFICIENT_PERMISSIONS: User does not have USE SCHEMA").verdict == "unclear"
    assert judge(table, (), (), "the warehouse was stopped").verdict == "unclear"


def test_a_column_is_looked_for_among_the_columns_only() -> None:
    diagnosis = a_diagnosis("unresolved_column", column="o.customer_idd")
    columns = ("col_name", "data_type", "comment")
    described = (("customer_id", "bigint", ""), ("", "", ""), ("# Partition", "", ""), ("customer_idd", "", ""))
    assert judge(diagnosis, columns, described).verdict == "confirmed"
    assert judge(diagnosis, columns, (("Customer_IDD", "bigint", ""), *described)).verdict == "refuted"
    assert judge(diagnosis, columns, ()).verdict == "unclear"


def test_grants_are_read_for_the_one_who_ran_it() -> None:
    columns = ("Principal", "ActionType", "ObjectType", "ObjectKey")
    diagnosis = a_diagnosis("uc_missing_privilege", privilege="SELECT", principal="ana@x.com")
    row = ("ana@x.com", "SELECT", "TABLE", "a.b")
    assert judge(diagnosis, columns, (row,)).verdict == "refuted"
    assert judge(diagnosis, columns, (("ana@x.com", "MODIFY", "TABLE", "a.b"),)).verdict == "confirmed"
    assert judge(diagnosis, columns, (("readers", "ALL PRIVILEGES", "TABLE", "a.b"),)).verdict == "unclear"
    assert judge(diagnosis, (), (), "User does not have MANAGE").verdict == "confirmed"


@pytest.mark.parametrize("cause", ["merge_multiple_source_rows", "delta_location_not_empty", "monitor_already_exists"])
def test_what_is_said_to_be_there_is_confirmed_by_rows(cause: str) -> None:
    assert judge(a_diagnosis(cause), ("key", "n"), (("7", "2"),)).verdict == "confirmed"
    assert judge(a_diagnosis(cause), ("key", "n"), ()).verdict == "refuted"
    assert judge(a_diagnosis(cause), (), (), "it broke").verdict == "unclear"


def test_what_is_said_to_be_empty_is_confirmed_by_none() -> None:
    diagnosis = a_diagnosis("autoloader_empty_path", path="/Volumes/a/b/c")
    assert judge(diagnosis, ("path",), ()).verdict == "confirmed"
    assert judge(diagnosis, ("path",), (("/Volumes/a/b/c/x.json",),)).verdict == "refuted"
    assert judge(diagnosis, (), (), "PATH_NOT_FOUND: the path does not exist").verdict == "confirmed"


def test_a_window_without_any_moment_confirms_and_one_with_moments_says_nothing() -> None:
    diagnosis = a_diagnosis("monitor_refresh_failed")
    assert judge(diagnosis, ("min", "max"), (("null", "null"),)).verdict == "confirmed"
    assert judge(diagnosis, ("min", "max"), (("2026-01-01", "2026-02-01"),)).verdict == "unclear"


def test_a_constraint_that_the_table_still_has_confirms() -> None:
    diagnosis = a_diagnosis("constraint_violation", constraint="positive_amount")
    columns = ("key", "value")
    assert judge(diagnosis, columns, (("delta.constraints.positive_amount", "amount > 0"),)).verdict == "confirmed"
    assert judge(diagnosis, columns, (("delta.minReaderVersion", "1"),)).verdict == "unclear"


def test_the_table_comes_out_of_what_is_suggested_where_nothing_else_names_it() -> None:
    text = (
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `idd` cannot be resolved. Did you mean one of the "
        "following? [`main`.`retail`.`orders`.`id`, `amount`]. SQLSTATE: 42703"
    )
    assert statement_for(diagnose(Failure(text=text))[0]) == "DESCRIBE TABLE `main`.`retail`.`orders`"


def test_the_confidence_moves_with_the_verdict_and_the_order_with_it() -> None:
    first, second = a_diagnosis("table_not_found", 0.8, table="a"), a_diagnosis("schema_not_found", 0.5)
    confirmed = judge(first, (), (), "TABLE_OR_VIEW_NOT_FOUND")
    assert 0.8 < confirmed.confidence < 1
    assert [d.cause for d in weigh((first, second), confirmed)] == ["table_not_found", "schema_not_found"]
    refuted = judge(first, ("c",), (("x",),))
    assert refuted.confidence < 0.5
    assert [d.cause for d in weigh((first, second), refuted)] == ["schema_not_found", "table_not_found"]
    assert judge(a_diagnosis("driver_oom"), ("a",), (("1",),)).confidence == 0.8


def test_a_query_that_did_not_run_changes_nothing() -> None:
    result = not_run(a_diagnosis("table_not_found"), "there is no warehouse")
    assert (result.verdict, result.confidence) == ("there is no warehouse", 0.8)
