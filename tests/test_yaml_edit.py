"""Edits of YAML by its marks: the data changes as it was asked for, and not one other character."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from dbops_tui.core.patches import _edited
from dbops_tui.core.yaml_edit import Splice, Spot, YamlFile, quoted, scalar
from dbops_tui.core.yaml_marks import Path_, parse
from hypothesis import given, settings
from hypothesis import strategies as st

JOB = """\
# the nightly job
resources:
  jobs:
    nightly:   # keep me
      name: "nightly"
      tasks:
        - task_key: a  # first
          notebook_task: {notebook_path: ../src/a.py}   # flow

        - task_key: 'b'
          depends_on:
          - task_key: a
          spark_python_task:
            python_file: ../src/b.py
            parameters:
              - "--x"
              - 1

        # the last one
        - task_key: c
          libraries: []
          description: |
            long
            text

      tags: {a: b}
      empty:
    other: &anchor
      name: other
    again: *anchor
"""
NIGHTLY: Path_ = ("resources", "jobs", "nightly")


def a_file(text: str = JOB) -> YamlFile:
    found = YamlFile.of("f.yml", text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"))
    assert found is not None
    return found


def spot(document: YamlFile, *path: str | int) -> Spot:
    found = document.at(path)
    assert found is not None, path
    return found


def after(document: YamlFile, *splices: Splice | None, text: str = JOB) -> str:
    return _edited(text.encode(), list(document.edits(splices))).decode()


def changed_lines(before: str, result: str) -> list[str]:
    old, new = before.split("\n"), result.split("\n")
    return [line for line in new if line not in old]


def test_a_key_is_renamed_and_nothing_else() -> None:
    document = a_file()
    result = after(
        document, document.rename(spot(document, *NIGHTLY, "tasks", 1, "spark_python_task"), "notebook_task")
    )
    assert changed_lines(JOB, result) == ["          notebook_task:"]
    assert result.count("\n") == JOB.count("\n")


@pytest.mark.parametrize(
    ("path", "new", "line"),
    [
        ((*NIGHTLY, "name"), 'x "y"', '      name: "x \\"y\\""'),
        ((*NIGHTLY, "tasks", 1, "task_key"), "it's", "        - task_key: 'it''s'"),
        ((*NIGHTLY, "tasks", 0, "task_key"), "z", "        - task_key: z  # first"),
        ((*NIGHTLY, "tasks", 0, "task_key"), "a: b", '        - task_key: "a: b"  # first'),
        ((*NIGHTLY, "tasks", 0, "task_key"), "true", '        - task_key: "true"  # first'),
        ((*NIGHTLY, "tasks", 0, "task_key"), "${var.x}", "        - task_key: ${var.x}  # first"),
    ],
)
def test_a_value_is_set_in_the_quotes_that_it_has(path: Path_, new: str, line: str) -> None:
    document = a_file()
    result = after(document, document.set_value(spot(document, *path), new))
    assert changed_lines(JOB, result) == [line]
    at: Any = yaml.safe_load(result)
    for step in path:
        at = at[step]
    assert at == new


@pytest.mark.parametrize(
    ("path", "entry", "lines"),
    [
        ((*NIGHTLY, "tasks", 1, "depends_on"), "task_key: z", ["          - task_key: z"]),
        ((*NIGHTLY, "tasks", 1, "spark_python_task", "parameters"), '"--y"', ['              - "--y"']),
        ((*NIGHTLY, "tasks", 2, "libraries"), "x", ["          libraries: [x]"]),
        (
            (*NIGHTLY, "tasks"),
            "task_key: d\nlibraries:\n  - x",
            ["        - task_key: d", "          libraries:", "            - x"],
        ),
    ],
)
def test_an_entry_is_added_to_a_list_in_the_indentation_of_the_others(
    path: Path_, entry: str, lines: list[str]
) -> None:
    document = a_file()
    result = after(document, document.append(spot(document, *path), entry))
    assert changed_lines(JOB, result) == lines
    wanted: Any = yaml.safe_load(JOB)
    at = wanted
    for step in path:
        at = at[step]
    at.append(yaml.safe_load(entry))
    assert yaml.safe_load(result) == wanted


@pytest.mark.parametrize(
    ("path", "key", "body", "lines"),
    [
        ((*NIGHTLY,), "timeout_seconds", "60", ["      timeout_seconds: 60"]),
        ((*NIGHTLY, "tasks", 0), "libraries", "\n- x", ["          libraries:", "            - x"]),
        ((*NIGHTLY, "tags"), "c", "d", ["      tags: {a: b, c: d}"]),
        ((*NIGHTLY, "empty"), "c", "d", ["        c: d"]),
        ((*NIGHTLY, "tasks", 2), "run_if", "ALL_DONE", ["          run_if: ALL_DONE"]),
    ],
)
def test_a_key_is_added_to_a_mapping(path: Path_, key: str, body: str, lines: list[str]) -> None:
    document = a_file()
    result = after(document, document.add(spot(document, *path), key, body))
    assert changed_lines(JOB, result) == lines
    wanted: Any = yaml.safe_load(JOB)
    at = wanted
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = {**(at[path[-1]] or {}), key: yaml.safe_load(body.strip())}
    assert yaml.safe_load(result) == wanted


@pytest.mark.parametrize(
    "path", [(*NIGHTLY, "tasks", 1), (*NIGHTLY, "tasks", 2, "description"), (*NIGHTLY, "tags"), (*NIGHTLY, "empty")]
)
def test_an_entry_is_taken_out_with_all_its_lines(path: Path_) -> None:
    document = a_file()
    result = after(document, document.remove(spot(document, *path)))
    assert changed_lines(JOB, result) == []
    wanted: Any = yaml.safe_load(JOB)
    at = wanted
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    assert yaml.safe_load(result) == wanted
    assert result.count("#") == JOB.count("#")


def test_what_would_be_left_empty_goes_too() -> None:
    text = "a: 1\nresources:\n  jobs:\n    x:\n      name: x\nb: 2\n"
    document = a_file(text)
    assert after(document, document.remove(spot(document, "resources", "jobs", "x")), text=text) == "a: 1\nb: 2\n"


def test_a_value_becomes_a_block_and_comments_are_never_lost() -> None:
    document = a_file()
    parameters = spot(document, *NIGHTLY, "tasks", 1, "spark_python_task", "parameters")
    result = after(document, document.rename(parameters, "named"), document.replace_value(parameters, "x: 1\ny: 2"))
    assert yaml.safe_load(result)["resources"]["jobs"]["nightly"]["tasks"][1]["spark_python_task"] == {
        "python_file": "../src/b.py",
        "named": {"x": 1, "y": 2},
    }
    text = "a: # why\n  - x\n  - y  # because\nb: 1\n"
    document = a_file(text)
    assert document.replace_value(spot(document, "a"), "c: d") is None
    text = "a: # why\n  - x\nb: 1\n"
    document = a_file(text)
    assert after(document, document.replace_value(spot(document, "a"), "c: d"), text=text) == "a: # why\n  c: d\nb: 1\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: [x, # first\n  y]\n", ("a",)),
        ("a: []\n", ("b",)),
        ("a: x\n", ("a",)),
        ("a:\n", ("a",)),
    ],
)
def test_what_cannot_be_added_to_safely_is_not(text: str, path: Path_) -> None:
    document = a_file(text)
    found = document.at(path)
    assert found is None or document.append(found, "z") is None


def test_an_alias_is_no_place_to_edit_twice() -> None:
    document = a_file()
    assert len([s for s in document.named("name") if s.value.value == "other"]) == 1


@pytest.mark.parametrize("text", ["a: [\n", "a: b: c\n", "\x00", "a: &x [*x]\n", "[" * 300, "- " * 300 + "x"])
def test_what_is_no_yaml_cannot_be_edited(text: str) -> None:
    assert YamlFile.of("f.yml", text.split("\n")) is None


def test_edits_that_overlap_are_refused_and_those_of_one_line_go_together() -> None:
    document = a_file()
    one = document.rename(spot(document, *NIGHTLY, "tasks", 0, "notebook_task"), "x")
    two = document.rename(spot(document, *NIGHTLY, "tasks", 0, "notebook_task", "notebook_path"), "y")
    assert "          x: {y: ../src/a.py}   # flow" in after(document, one, two).split("\n")
    with pytest.raises(ValueError, match="two edits"):
        document.edits([one, Splice(one.start + 1, one.end, "z")])


WORDS = st.text(alphabet="abcAB 01:#-{}[]'\"\\,&*!|>%@`~.\t\u00e4", min_size=1, max_size=12)
TREES = st.recursive(
    WORDS | st.integers(0, 99) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, min_size=1, max_size=4) | st.dictionaries(WORDS, inner, min_size=1, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(WORDS, TREES, min_size=1, max_size=4), st.data())
def test_any_document_changes_as_asked(tree: dict[str, Any], data: st.DataObject) -> None:
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
    document = YamlFile.of("f.yml", text.split("\n")[:-1])
    if document is None:
        return
    before = parse(text).data
    found = data.draw(st.sampled_from(document.spots()))
    word = data.draw(WORDS)
    splice = document.set_value(found, word)
    if splice is None:
        return
    result = parse(_edited(text.encode(), list(document.edits([splice]))).decode()).data
    at = before
    for step in found.path[:-1]:
        at = at[step]
    at[found.path[-1]] = word
    assert result == before


@given(st.text(max_size=30))
def test_a_scalar_is_read_back_as_the_same_text(text: str) -> None:
    for written in (scalar(text), quoted(text)):
        if text.isprintable() or set(text) <= {"\n", "\t", "a"}:
            assert parse(f"a: {written}\n").data == {"a": text}
