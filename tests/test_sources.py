"""Where a failure comes from: every kind of place leads to file and line of the bundle, and none leads out of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from dbops_tui.core.bundle import Bundle
from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.locating import Clue, cli_places, locate
from dbops_tui.core.sources import (
    code_part,
    excerpt,
    existing,
    find_names,
    is_notebook,
    local_file,
    read_lines,
    source_files,
    written_path,
)
from dbops_tui.core.task_sources import files_of, owners_of
from dbops_tui.matrix.model import Location
from hypothesis import given, settings
from hypothesis import strategies as st
from proposal_work import shop

FILES = "/Workspace/Users/ana@x.com/.bundle/shop/dev/files"
NOTEBOOK = """\
# Databricks notebook source
import json

# COMMAND ----------

orders = load("orders")
rows = orders.select("amuont")

# COMMAND ----------

returns = load("returns")
rows = orders.select("amuont")
rows = rows.join(returns, "returnd")
"""
SCRIPT = """\
import sys


def main():
    work(sys.argv)


def work(arguments):
    raise ValueError(arguments)


main()
"""
SQL = "-- orders\nSELECT order_id,\n       amuont\nFROM main.shop.orders;\n"
JOBS = """\
resources:
  jobs:
    nightly:
      name: nightly
      tasks:
        - task_key: book
          notebook_task: {notebook_path: ../src/book.py}
        - task_key: script
          spark_python_task: {python_file: ../src/script.py}
        - task_key: query
          sql_task:
            file: {path: ../src/query.sql}
        - task_key: each
          for_each_task:
            inputs: "[1]"
            task:
              task_key: inner
              notebook_task: {notebook_path: ../src/book}
        - task_key: live
          pipeline_task: {pipeline_id: "${resources.pipelines.live.id}"}
  pipelines:
    live:
      name: live
      libraries:
        - glob: {include: ../src/live/**}
        - file: {path: ../src/extra.py}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    root = tmp_path / "bundle"
    made = shop(root).put("resources/jobs.yml", JOBS).put("src/book.py", NOTEBOOK).put("src/script.py", SCRIPT)
    made.put("src/query.sql", SQL).put("src/live/a.py", "@dp.table\ndef a():\n    x = 1\n    return read('amuont')\n")
    made.put("src/extra.py", "x = 1\n").put("src/live/deep/b.sql", "SELECT 1\n")
    return replace(load_bundle(root, "dev", {}), file_path=FILES)


# --- every kind of place ----------------------------------------------------------------------------------------------


def at(place: Location | None) -> tuple[str, int | None] | None:
    return (place.file, place.line) if place else None


def test_the_innermost_frame_of_the_bundle_counts_and_libraries_are_passed_over(bundle: Bundle) -> None:
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{FILES}/src/script.py", line 12, in <module>\n    main()\n'
        f'  File "{FILES}/src/script.py", line 9, in work\n    raise ValueError(arguments)\n'
        '  File "/databricks/python/lib/python3.12/site-packages/x/script.py", line 3, in f\n'
        "ValueError: no\n"
    )
    assert at(locate(text, bundle)) == ("src/script.py", 9)


def test_a_chained_traceback_is_located_by_the_one_whose_message_is_quoted(bundle: Bundle) -> None:
    text = (
        f'Traceback (most recent call last):\n  File "{FILES}/src/script.py", line 9, in work\n'
        "ValueError: the cause of it all\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        f'Traceback (most recent call last):\n  File "{FILES}/src/script.py", line 12, in <module>\n'
        "RuntimeError: could not work\n"
    )
    assert at(locate(text, bundle, Clue(evidence="ValueError: the cause of it all"))) == ("src/script.py", 9)
    assert at(locate(text, bundle, Clue(evidence="RuntimeError: could not work"))) == ("src/script.py", 12)
    assert at(locate(text, bundle)) == ("src/script.py", 12)


@pytest.mark.parametrize(
    "frame",
    [
        f'File "{FILES}/src/script.py", line 9, in work',
        f"File {FILES}/src/script.py:9, in work(arguments)",
        f"File {FILES.removeprefix('/Workspace')}/src/script.py:9",
        "File /Workspace/Users/bob@y.com/.bundle/shop/prod/files/src/script.py:9",
        "File /home/somebody/elsewhere/src/script.py:9",
        f'"select" was called from\n{FILES}/src/script.py:9',
        f"{FILES}/src/script.py:9: SyntaxError: invalid syntax",
        "src/script.py:9: error",
    ],
)
def test_frames_of_every_writing_lead_to_the_file(bundle: Bundle, frame: str) -> None:
    assert at(locate(f"Traceback\n  {frame}\nValueError: no", bundle)) == ("src/script.py", 9)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('File <command-42>, line 3\n      2 x\n----> 3 rows = rows.join(returns, "returnd")\n', 13),
        ('File <command-42>:3\n----> 3 rows = rows.join(returns, "returnd")\n', 13),
        ('  File "<command-42>", line 3, in <module>\n    rows = rows.join(returns, "returnd")\n', 13),
        # The same line stands in two cells: the number within the cell tells which.
        ('File <command-7>, line 3\n----> 3 rows = orders.select("amuont")\n', 7),
        ('File <command-7>, line 2\n----> 2 rows = orders.select("amuont")\n', 7),
        ("line 2 in cell [3]", 12),
        ("Cell In[2], line 1", 6),
    ],
)
def test_a_line_of_a_cell_is_found_by_its_code_or_by_its_count(bundle: Bundle, text: str, line: int) -> None:
    clue = Clue(source_path=f"{FILES}/src/book")
    assert at(locate(f"{text}\nAnalysisException: x", bundle, clue)) == ("src/book.py", line)


def test_a_cell_of_a_notebook_of_many_is_not_guessed(bundle: Bundle) -> None:
    clue = Clue(source_path=f"{FILES}/src/book")
    assert at(locate("File <command-42>, line 3\nAnalysisException: x", bundle, clue)) == ("src/book.py", None)


def test_a_jupyter_line_is_found_within_its_json(bundle: Bundle) -> None:
    cells = [{"cell_type": "code", "source": ["import json\n", "rows = x.select(\"a\", 'b')\n", "y = 1"]}]
    (bundle.root / "src" / "j.ipynb").write_text(json.dumps({"cells": cells}, indent=1))
    place = locate("----> 2 rows = x.select(\"a\", 'b')\n", bundle, Clue(source_path=f"{FILES}/src/j"))
    assert place is not None
    assert "rows = x" in read_lines(bundle, place.file)[(place.line or 0) - 1]


def test_the_place_of_an_event_counts_first_and_the_wrong_name_below_it_more(bundle: Bundle) -> None:
    clue = Clue(event_file=f"{FILES}/src/live/a.py", event_line=2)
    assert at(locate("x", bundle, clue)) == ("src/live/a.py", 2)
    assert at(locate("x", bundle, replace(clue, names=("amuont",)))) == ("src/live/a.py", 4)
    assert at(locate("x", bundle, replace(clue, event_line=9_999))) == ("src/live/a.py", None)


def test_the_cli_names_file_line_and_column(bundle: Bundle) -> None:
    text = (
        "Warning: unknown field: a\n  at resources.jobs.nightly\n  in resources/jobs.yml:3:5\n\n"
        "Error: multiple resources\n  at resources.jobs.x\n  in databricks.yml:2:3\n     resources/jobs.yml:4:7\n"
    )
    assert locate(text, bundle) == Location("resources/jobs.yml", 3, 5)
    assert locate(text, bundle, Clue(evidence="Error: multiple resources")) == Location("databricks.yml", 2, 3)
    assert [at(place) for place in cli_places(text, bundle)] == [
        ("resources/jobs.yml", 3),
        ("databricks.yml", 2),
        ("resources/jobs.yml", 4),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Syntax error (line 3, pos 7)\n\n== SQL ==\nSELECT order_id,\n       amuont\n-------^^^\nFROM x\n",
            3,
        ),
        ("[UNRESOLVED_COLUMN] x; line 3 pos 7", 3),
        ("== SQL (line 2, position 8) ==\nSELECT order_id,\n       ^^^^^^^^\n", 2),
    ],
)
def test_a_position_in_sql_leads_into_the_file(bundle: Bundle, text: str, line: int) -> None:
    assert at(locate(text, bundle, Clue(source_path=f"{FILES}/src/query.sql"))) == ("src/query.sql", line)


def test_sql_within_python_is_found_by_its_text(bundle: Bundle) -> None:
    (bundle.root / "src" / "script.py").write_text('x = 1\nspark.sql("SELECT amuont FROM main.shop.orders")\n')
    text = "[UNRESOLVED_COLUMN] x\n== SQL (line 1, position 8) ==\nSELECT amuont FROM main.shop.orders\n       ^^^^^^\n"
    assert at(locate(text, bundle, Clue(source_path=f"{FILES}/src/script.py"))) == ("src/script.py", 2)


def test_a_name_alone_is_a_place_only_where_it_stands_in_one_file(bundle: Bundle) -> None:
    assert at(locate("x", bundle, Clue(names=("returnd",)))) == ("src/book.py", 13)
    assert locate("x", bundle, Clue(names=("amuont",))) is None
    own = Clue(source_path=f"{FILES}/src/query.sql", names=("amuont",))
    assert at(locate("x", bundle, own)) == ("src/query.sql", 3)
    several = Clue(files=("src/live/a.py", "src/extra.py"), names=("amuont",))
    assert at(locate("x", bundle, several)) == ("src/live/a.py", 4)


def test_nothing_known_is_no_place(bundle: Bundle) -> None:
    assert locate("ValueError: no", bundle) is None
    assert locate("", bundle, Clue(fallback=Location("src/book.py"))) == Location("src/book.py")


# --- the way between YAML and code ------------------------------------------------------------------------------------


def test_tasks_lead_to_files_and_files_to_tasks(bundle: Bundle) -> None:
    nightly = bundle.resource("jobs.nightly")
    assert files_of(bundle, nightly, "book") == ("src/book.py",)
    assert files_of(bundle, nightly, "query") == ("src/query.sql",)
    assert files_of(bundle, nightly, "inner") == ("src/book.py",)
    assert files_of(bundle, nightly, "live") == ("src/live/a.py", "src/live/deep/b.sql", "src/extra.py")
    assert files_of(bundle, None) == ()
    assert [(o.resource.ref, o.task_key) for o in owners_of(bundle, "src/book.py")] == [
        ("jobs.nightly", "book"),
        ("jobs.nightly", "inner"),
    ]
    assert [o.resource.ref for o in owners_of(bundle, "src/live/deep/b.sql")] == ["pipelines.live"]


def test_a_resolved_workspace_path_leads_to_the_file_too(bundle: Bundle) -> None:
    assert written_path(bundle, f"{FILES}/src/book", "resources/jobs.yml") == "src/book.py"
    assert written_path(bundle, "../src/book.py", "resources/jobs.yml") == "src/book.py"
    assert written_path(bundle, "src/book.py", "resources/jobs.yml") is None


def test_what_kind_of_file_it_is(bundle: Bundle) -> None:
    assert is_notebook(bundle, "src/book.py")
    assert not is_notebook(bundle, "src/script.py")
    assert is_notebook(bundle, "src/x.ipynb")


@pytest.mark.parametrize(
    ("line", "suffix", "code"),
    [
        ("x = 1  # why", ".py", "x = 1  "),
        ('x = "#1"  # why', ".py", 'x = "#1"  '),
        ("x = 'it\\'s # no'", ".py", "x = 'it\\'s # no'"),
        ("SELECT a -- why", ".sql", "SELECT a "),
        ("SELECT '--' -- why", ".sql", "SELECT '--' "),
        ("a: b#c # why", ".yml", "a: b#c "),
        ("# all", ".py", ""),
    ],
)
def test_a_comment_is_told_from_code(line: str, suffix: str, code: str) -> None:
    assert code_part(line, suffix) == code


# --- hostile ----------------------------------------------------------------------------------------------------------

HOSTILE = [
    "../outside.py",
    "src/../../outside.py",
    "/etc/passwd",
    "/etc/hosts",
    "link.py",
    "links/inside.py",
    "-rf",
    "--help",
    "src/book.py\nrm -rf ~",
    "src/book.py;id",
    "$(id).py",
    "`id`",
    "C:\\Windows\\x.py",
    "C:/Windows/x.py",
    "\x00.py",
    "src/\x1b[2Jx.py",
    "a" * 5000,
    "/" * 2000,
    "../" * 400 + "etc/passwd",
    "/dev/zero",
    "pipe.py",
    "src",
    ".",
    "",
    "~/x.py",
    "file:///etc/passwd",
    "//server/share/x.py",
]


@pytest.fixture
def hostile(bundle: Bundle) -> Bundle:
    outside = bundle.root.parent / "outside.py"
    outside.write_text("secret = 1\n")
    (bundle.root / "link.py").symlink_to(outside)
    (bundle.root / "links").symlink_to(bundle.root.parent)
    (bundle.root.parent / "inside.py").write_text("secret = 1\n")
    os.mkfifo(bundle.root / "pipe.py")
    return bundle


@pytest.mark.parametrize("path", HOSTILE)
def test_no_path_from_outside_leads_out_of_the_bundle(hostile: Bundle, path: str) -> None:
    real = hostile.root.resolve()
    found = [local_file(hostile, path), existing(hostile, path), written_path(hostile, path, "resources/jobs.yml")]
    frame = locate(f'Traceback\n  File "{path}", line 1, in x\n  in {path}:1:1\nValueError: x', hostile)
    clued = locate("x", hostile, Clue(source_path=path, event_file=path, event_line=1))
    found += [place.file for place in (frame, clued) if place]
    for file in filter(None, found):
        target = (hostile.root / file).resolve()
        assert target.is_relative_to(real)
        assert target.is_file()
    assert read_lines(hostile, path) == [] or (hostile.root / path).resolve().is_relative_to(real)


def test_links_and_hidden_folders_are_no_sources(hostile: Bundle) -> None:
    (hostile.root / ".venv").mkdir()
    (hostile.root / ".venv" / "x.py").write_text("x")
    (hostile.root / "env").mkdir()
    (hostile.root / "env" / "pyvenv.cfg").write_text("x")
    (hostile.root / "env" / "y.py").write_text("x")
    files = source_files(hostile)
    assert "src/book.py" in files
    assert not {"link.py", "links/inside.py", ".venv/x.py", "env/y.py", "pipe.py"} & set(files)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"(File \"?[./\-a-z<>~ ]{0,40}\"?(, line |:)[0-9]{0,8}[\n ]){0,6}"))
def test_no_text_makes_it_raise_or_name_a_place_that_is_not_there(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    root = tmp_path_factory.getbasetemp() / "one"
    if not root.exists():
        shop(root).put("src/book.py", NOTEBOOK)
    loaded = load_bundle(root, "dev", {})
    place = locate(text, loaded, Clue(source_path=text[:40], names=(text[:5],)))
    if place is not None:
        assert (root / place.file).is_file()
        assert place.line is None or 0 < place.line <= max(1, len(read_lines(loaded, place.file)))


PIECES = ["a/ ", "File ", "File <command-1>, line 3\n", "== SQL ==\n^^^\n", "in a.yml:1:1 ", "----> 1 xyzzyx\n"]


@pytest.mark.parametrize("piece", [*PIECES, "/a/b.py:1 ", 'File "a.py", line 1\n'])
def test_a_long_text_of_one_kind_ends_in_no_place(bundle: Bundle, piece: str) -> None:
    assert locate(piece * (200_000 // len(piece)), bundle, Clue(names=("amuont",))) is None


def test_windows_and_marked_files_have_the_same_lines(bundle: Bundle) -> None:
    (bundle.root / "src" / "w.py").write_bytes(b"\xef\xbb\xbfa = 1\r\nb = amuont\r\n")
    assert read_lines(bundle, "src/w.py") == ["a = 1", "b = amuont"]
    assert find_names(bundle, ["src/w.py"], ["amuont"]) == [Location("src/w.py", 2, 5)]
    assert excerpt(bundle, Location("src/w.py", 2), 1) == ((1, "a = 1"), (2, "b = amuont"))
    (bundle.root / "src" / "bin.py").write_bytes(b"\x00\x01")
    assert read_lines(bundle, "src/bin.py") == []
