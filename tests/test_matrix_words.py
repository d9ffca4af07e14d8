"""A row's words with all, some and none of their entities known: always whole sentences."""

from __future__ import annotations

import pytest
from dbops_tui.matrix import words
from dbops_tui.matrix.check import check
from dbops_tui.matrix.matcher import Matrix
from dbops_tui.matrix.schema import parse_rows

TITLES = [
    ("Column {column} does not exist", {"column": "idd"}, "Column idd does not exist"),
    ("Column {column} does not exist", {}, "The column does not exist"),
    ("{path} is not in the workspace", {}, "The path is not in the workspace"),
    (
        "{principal} lacks {privilege} on {securable_type} {securable}",
        {},
        "The identity lacks a privilege on the object",
    ),
    (
        "{principal} lacks {privilege} on {securable_type} {securable}",
        {"privilege": "SELECT", "securable": "a.b"},
        "The identity lacks SELECT on a.b",
    ),
    ("A class is not on the cluster: {class}", {}, "A class is not on the cluster"),
    ("No job has the id {job_id} here", {}, "No job has the id that was given here"),
    ("The files are gone ('{path}')", {}, "The files are gone"),
    ("A concurrent {operation} wrote", {}, "A concurrent operation wrote"),
    ("Secret[ {scope}/{key}] is not there", {"scope": "s"}, "Secret is not there"),
    ("Secret[ {scope}/{key}] is not there", {"scope": "s", "key": "k"}, "Secret s/k is not there"),
]
STEPS = [
    ("Correct {column}; the message suggests {suggestion}", {"column": "idd"}, "Correct idd"),
    (
        "Correct {column}; the message suggests {suggestion}",
        {"column": "idd", "suggestion": "id"},
        "Correct idd; the message suggests id",
    ),
    ("Correct the code[ at {file}, line {line}]", {"file": "a.py"}, "Correct the code"),
    ("Correct the code[ at {file}, line {line}]", {"file": "a.py", "line": "7"}, "Correct the code at a.py, line 7"),
    (
        "Write grants: [{principal: ..., privileges: [READ]}]",
        {},
        "Write grants: [{principal: ..., privileges: [READ]}]",
    ),
]


@pytest.mark.parametrize(("template", "found", "wanted"), TITLES)
def test_a_title_reads_well_whatever_is_known(template: str, found: dict[str, str], wanted: str) -> None:
    assert words.title(template, found) == wanted


@pytest.mark.parametrize(("template", "found", "wanted"), STEPS)
def test_a_fix_leaves_out_what_is_not_known(template: str, found: dict[str, str], wanted: str) -> None:
    assert words.step(template, found) == wanted


def test_the_first_sentence_of_an_explanation_is_always_there() -> None:
    template = "The profile points at {profile_host}, the bundle at {configured_host}. Profile {suggestion} fits. Stop."
    assert words.sentences(template, {}) == "The profile points at one host, the bundle at another. Stop."


def test_only_a_command_keeps_placeholders() -> None:
    assert words.with_gaps("pip install {module}", {}) == "pip install <module>"
    assert words.fill("pip install {module}", {}) == ""


@pytest.mark.parametrize(
    "explanation", ["It took {number} of the {what}, and the[ {size}].", "It is a [{x}] of.", "It was seen by[ {who}]."]
)
def test_the_check_names_words_that_break_off(explanation: str) -> None:
    row = (
        f"- {{id: a.b, cause: table_not_found, title: t, explanation: '{explanation}',"
        " match: {patterns: [flux broke]}, fixes: [{kind: manual, title: x}], examples: [{text: flux broke}]}"
    )
    problems = check(Matrix(parse_rows(row)))
    assert [problem.message for problem in problems if "entities are not known" in problem.message]
