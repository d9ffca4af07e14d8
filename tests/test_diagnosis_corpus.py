"""The built-in rows: their self-check, hostile texts, and the goals on the optional corpus of real texts."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from dbops_tui.matrix.check import check
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.matcher import Matrix, load_matrix
from dbops_tui.matrix.model import Failure
from dbops_tui.matrix.patterns import expand_macros
from dbops_tui.matrix.schema import known_causes
from shared_data import shared


def bench() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "bench" / "diagnosis.py"
    spec = importlib.util.spec_from_file_location("bench_diagnosis", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_built_in_rows_pass_their_own_check() -> None:
    assert [str(problem) for problem in check(load_matrix())] == []


def test_every_cause_has_a_row() -> None:
    covered = {row.cause for row in load_matrix().rows}
    assert sorted(known_causes() - covered - {"unknown", "none"}) == []


def test_shuffled_rows_say_the_same_of_every_example() -> None:
    matrix = load_matrix()
    rows = list(matrix.rows)
    random.Random(3).shuffle(rows)
    shuffled = Matrix(rows)
    for row in matrix.rows:
        for example in row.examples:
            failure = Failure(text=example.text)
            wanted = [(each.cause, each.row) for each in diagnose(failure, matrix=matrix)]
            assert [(each.cause, each.row) for each in diagnose(failure, matrix=shuffled)] == wanted, row.id


HOSTILE = r"""
import re, sys
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.matcher import load_matrix
from dbops_tui.matrix.model import Failure
from dbops_tui.matrix.patterns import expand_macros
matrix = load_matrix()
fillers = ["a", " ", "'", "`a`.", "\\", "[", "(", "0", "a b ", ".", "/", "A_", "\"", ": ", "a.a"]
for row in matrix.rows:
    for pattern in row.match.patterns:
        if not pattern.regex:
            continue
        regex = re.compile(expand_macros(pattern.regex), re.IGNORECASE)
        # Every filler, and every literal, but not each with each.
        for number in range(max(len(fillers), len(pattern.literals))):
            filler, literal = fillers[number % len(fillers)], pattern.literals[number % len(pattern.literals)]
            regex.search((literal + filler * 40) * 3 + literal + filler * 700)
            regex.search((filler * 500)[:500] + literal + (filler * 1600)[:1500])
for filler in fillers:
    diagnose(Failure(text=filler * 150_000), matrix=matrix)
    diagnose(Failure(text="Error: " + (filler + "Caused by: ") * 10_000), matrix=matrix)
print("done")
"""


def test_no_hostile_text_keeps_a_pattern_busy() -> None:
    # A pattern that backtracks without bound never ends; the deadline only turns that into a failure.
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "done", done.stderr[-2000:]


def test_each_pattern_finds_its_literal_inside_what_it_matches_or_beside_it() -> None:
    for row in load_matrix().rows:
        for pattern in row.match.patterns:
            assert all(literal.isascii() for literal in pattern.literals), row.id
            assert expand_macros(pattern.regex) is not None


def test_the_goals_hold_on_real_texts() -> None:
    folder = shared("corpus")
    module = bench()
    items = module.read_items(folder / "dev.jsonl")
    alike = json.loads((folder / "equivalent.json").read_text(encoding="utf-8"))
    result = module.score(items, alike)
    report = "\n".join(result.misses)
    assert result.first >= 0.95 * result.total, report
    assert result.within_three >= 0.97 * result.total, report
    assert result.wrong <= 0.03 * result.total, report
    assert result.false_alarms == 0, report


def test_no_text_of_the_corpus_is_in_the_rows() -> None:
    folder = shared("corpus")
    ours = {example.text.strip() for row in load_matrix().rows for example in row.examples}
    items = bench().read_items(folder / "dev.jsonl")
    assert not [item["id"] for item in items if item["text"].strip() in ours]


@pytest.mark.parametrize("count", [2000])
def test_a_successful_log_full_of_error_words_has_no_diagnosis(count: int) -> None:
    lines = [
        "24/03/01 09:38:01 INFO ErrorReporter: 0 errors, failed=0",
        "24/03/01 09:38:01 WARN TaskSetManager: Lost task 1.0: java.io.IOException: Connection reset",
        "24/03/01 09:38:02 INFO Client: retrying after 503 Service Unavailable",
        "Summary: 38 total | 38 success | 0 error",
    ]
    assert diagnose(Failure(text="\n".join(lines * count), source_kind="job_task")) == ()
