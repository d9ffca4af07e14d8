"""Row files: what is not valid is refused with file and line, patterns that could run away are refused too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dbops_tui.matrix.check import check
from dbops_tui.matrix.matcher import Matrix, load_matrix
from dbops_tui.matrix.patterns import PatternError, derive_literal, expand_macros, unsafe
from dbops_tui.matrix.schema import SchemaError, parse_rows
from matrix_rows import small_matrix

HEAD = "- id: a.b\n  cause: x\n  title: t\n  explanation: e\n"
GOOD = """
- id: a.b
  cause: {cause}
  title: t
  explanation: e
  match: {{patterns: [{{literal: "flux capacitor", strength: exact}}]}}
  fixes: [{fix}]
  examples: [{example}]
"""


def row(cause: str = "table_not_found", fix: str = "{kind: manual, title: x}", example: str = "flux capacitor") -> str:
    return GOOD.format(cause=cause, fix=fix, example=example)


def complaints(text: str) -> list[str]:
    return [problem.message for problem in check(Matrix(parse_rows(text, file="x.yaml")))]


def test_a_good_row_has_no_complaint() -> None:
    assert complaints(row()) == []
    assert check(small_matrix()) == []


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("- id: a.b\n  cause: x\n  titel: t\n", 3, "titel"),
        ("- id: nodot\n  cause: x\n  title: t\n  explanation: e\n  match: {codes: [ABC]}\n", 1, "area.name"),
        (
            HEAD + "  match:\n    patterns:\n      - {regex: 'a<<nope>>b'}\n",
            7,
            "nope",
        ),
        (
            HEAD + "  match: {codes: [ABC]}\n  fixes: [{kind: magic, title: t}]\n",
            6,
            "magic",
        ),
        (HEAD, 1, "match"),
        (
            HEAD + "  match: {codes: [ABC]}\n  retryable: maybe\n",
            6,
            "true or false",
        ),
        ("a: [\n", 2, "not YAML"),
        ("just words", 1, "list"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(text: str, line: int, word: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_rows(text, file="x.yaml")
    found = caught.value.problems[0]
    assert (found.file, found.line) == ("x.yaml", line)
    assert word in found.message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (row(cause="made_up"), "unknown cause"),
        (row() + row(), "already taken"),
        (row(fix="{kind: manual, title: 'DROP TABLE x'}"), "destructive"),
        (row(fix="{kind: yaml, title: x, command: 'databricks bundle run p --full-refresh a'}"), "destructive"),
        (row(fix="{kind: destructive, title: 'Delete it'}"), "risk"),
        (row(fix="{kind: retry, title: again}"), "wait"),
        (row(example="something else"), "not recognised"),
        (row() + "  supersedes: [no.such]\n", "neither a row nor a cause"),
        (row() + "  check_sql: 'DELETE FROM x'\n", "read-only"),
        (row() + "  check_sql: 'SELECT 1; SELECT 2'\n", "read-only"),
        (row() + "  counterexamples: ['no flux capacitor here']\n", "counterexample"),
        (row() + "  destructive: true\n", "destructive"),
    ],
)
def test_the_check_names_what_is_wrong(text: str, word: str) -> None:
    assert any(word in message for message in complaints(text)), complaints(text)


def test_an_example_that_another_row_takes_is_a_complaint() -> None:
    other = row(cause="path_not_found").replace("a.b", "c.d").replace("flux capacitor", "the flux capacitor")
    assert any("taken by" in message for message in complaints(row(example="the flux capacitor") + other))


@pytest.mark.parametrize(
    "regex",
    [".*x", "a+b", r"(\w{1,50}){1,50}x", r"(a|a){2,}", r"(?:.{0,200}){0,200}x", r"(x)\1", r"\S*", "(?:a{1,9}){1,99}"],
)
def test_a_regex_that_could_run_away_is_refused(regex: str) -> None:
    assert unsafe(regex)


@pytest.mark.parametrize(
    "regex", ["ab ?c", r"a\s+b", "x.{0,200}?y", expand_macros("table <<name:table>> in <<quoted:x>> <<path>>")]
)
def test_a_bounded_regex_is_accepted(regex: str) -> None:
    assert unsafe(regex) == ""
    re.compile(regex)


def test_macros_capture_without_quotes_and_the_literal_is_derived() -> None:
    regex = expand_macros("column <<name:column>> cannot be resolved")
    for text in (
        "column `a`.`b` cannot be resolved",
        "column 'a.b' cannot be resolved",
        "column a.b cannot be resolved",
    ):
        found = re.search(regex, text)
        assert found
        assert found["column"].replace("`", "") == "a.b"
    assert derive_literal(regex).strip() == "cannot be resolved"
    with pytest.raises(PatternError):
        derive_literal(expand_macros("<<name:x>> a <<name:y>>"))


def test_rows_of_a_team_are_merged_and_may_replace_a_built_in_row(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text(row(cause="our_own_cause"), encoding="utf-8")
    matrix = load_matrix(tmp_path)
    assert matrix.by_id["a.b"].learned
    assert matrix.rows[0].id == "a.b"
    assert len(matrix.rows) == len(load_matrix().rows) + 1
    (tmp_path / "bad.yaml").write_text("- {id: 1}", encoding="utf-8")
    load_matrix.cache_clear()
    with pytest.raises(SchemaError, match=r"bad\.yaml:1"):
        load_matrix(tmp_path)
