"""`matrix` lists, shows and checks the rows, counts what was met, and makes a row of what the last loop taught."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_box import Program, alone, with_bundle
from dbops_tui.core.events import plain
from dbops_tui.core.journal import Journal, journal_path
from dbops_tui.core.report import ErrorRecord, FixRecord, LoopRecord, RoundRecord
from dbops_tui.matrix.matcher import load_matrix
from dbops_tui.matrix.model import Diagnosis, Evidence
from dbops_tui.tui.cmd_matrix import USUAL

OWN = """\
- id: team.frobnicator
  cause: frobnicator_upside_down
  category: team
  title: The frobnicator is upside down
  explanation: It was mounted the wrong way round.
  match:
    patterns:
      - regex: "frobnicator (?P<name>[a-z]{1,20}) is upside down"
        strength: exact
  fixes:
    - {kind: manual, title: Turn it round}
  examples:
    - text: "FrobError: the frobnicator alpha is upside down"
      entities: {name: alpha}
"""
UNKNOWN = Diagnosis(
    cause="unknown",
    row="unknown",
    category="unknown",
    confidence=0.2,
    title="No row knows this error",
    explanation="",
    evidence=(Evidence(3, "FrobError: the frobnicator 'alpha' of run 8123 stands upside down again"),),
)


def events(program: Program, *words: str, code: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    ended = program("matrix", *words, "--json")
    assert ended.code == code, ended
    *found, last = ended.events
    assert (last["event"], last["final"], last["exit_code"]) == ("matrix.ended", True, code)
    return found, last


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return with_bundle(tmp_path)


@pytest.fixture
async def journal(program: Program, tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(journal_path(tmp_path / "state", program.root, "dev"))
    yield opened
    await opened.close()


def test_every_row_is_listed_with_its_cause(tmp_path: Path) -> None:
    found, last = events(alone(tmp_path), "list")
    rows = load_matrix().rows
    assert last["count"] == len(found) == len(rows) > 100
    assert [(each["id"], each["cause"]) for each in found] == [(row.id, row.cause) for row in rows]
    text = alone(tmp_path)("matrix", "list").out.splitlines()
    assert text[0].split() == ["ID", "CAUSE", "CATEGORY", "TITLE"]
    assert len(text) == len(rows) + 1


def test_a_row_is_shown_whole_by_id_or_by_cause(program: Program) -> None:
    (row,), _ = events(program, "show", "spark.unresolved_column")
    assert (row["cause"], row["category"]) == ("unresolved_column", "spark_sql")
    assert row["examples"][0]["entities"]["column"]
    by_cause, _ = events(program, "show", "unresolved_column")
    assert "spark.unresolved_column" in [each["id"] for each in by_cause]
    text = program("matrix", "show", "spark.unresolved_column").out
    for part in ("pattern (exact):", "fix (edit):", "example:", "-> column: ", "from spark_sql.yaml:"):
        assert part in text


def test_a_row_that_is_not_there_names_the_nearest(program: Program) -> None:
    ended = program("matrix", "show", "unresolved_colum", "--json")
    assert (ended.code, ended.last["code"]) == (2, "no_row")
    assert "unresolved_column" in ended.last["fix"]
    assert program("matrix", "show").code == 2
    assert program("matrix", "list", "x.y").code == 2
    assert program("matrix", "check", "--top").code == 2


def test_where_nothing_was_met_the_usual_ten_are_listed(program: Program) -> None:
    found, last = events(program, "list", "--top")
    assert last["count"] == len(found) == len(USUAL) == 10
    assert [each["cause"] for each in found] == list(USUAL)
    assert all(each["id"] and each["met"] == 0 for each in found)


async def test_the_ten_most_frequent_come_from_the_journals(program: Program, journal: Journal) -> None:
    for _ in range(3):
        await journal.learn("driver_oom", "clusters.driver_oom", "OOM", "a larger driver", "verified", 2)
    await journal.learn("expired_token", "auth.expired_token", "403", "", "escalated", 1)
    await journal.learn("not_a_row_any_more", "old.row", "x", "", "escalated", 1)
    found, _ = events(program, "list", "--top")
    assert [(each["cause"], each["met"], each["mended"], each["mended_by"]) for each in found] == [
        ("driver_oom", 3, 3, "a larger driver"),
        ("expired_token", 1, 0, None),
        ("not_a_row_any_more", 1, 0, None),
    ]
    assert (found[0]["id"], found[2]["id"]) == ("clusters.driver_oom", None)
    assert program("matrix", "list", "--top").out.splitlines()[0].split()[:3] == ["MET", "MENDED", "CAUSE"]


def test_check_passes_the_built_in_rows(program: Program) -> None:
    found, last = events(program, "check")
    assert (found, last["complaints"]) == ([], 0)
    assert last["rows"] == len(load_matrix().rows)


@pytest.mark.parametrize("folder", [".dbops/matrix", "../home/matrix", "../home/rows"])
def test_rows_of_ones_own_are_checked_listed_and_used(program: Program, folder: str) -> None:
    program.write(f"{folder}/team.yaml", OWN)
    program.write("../home/config.toml", 'matrix = "rows"\n' if folder.endswith("rows") else "")
    found, _ = events(program, "list")
    assert (found[0]["id"], found[0]["learned"]) == ("team.frobnicator", True)
    _, last = events(program, "check")
    assert last["rows"] == len(load_matrix().rows) + 1


@pytest.mark.parametrize(
    ("folder", "text", "said"),
    [
        (".dbops/matrix", OWN.replace("match:", "matsch:"), "unknown field 'matsch'"),
        ("../home/matrix", OWN.replace("cause: frob", "benign: true\n  cause: frob"), "a learned row may not"),
        (".dbops/matrix", "- [\n", "is not YAML"),
    ],
)
def test_a_row_of_ones_own_with_a_mistake_fails_the_check_and_spoils_nothing(
    program: Program, folder: str, text: str, said: str
) -> None:
    program.write(f"{folder}/team.yaml", text)
    found, last = events(program, "check", code=1)
    assert last["complaints"] == len(found) >= 1
    assert said in str(found)
    assert found[0]["file"].endswith("team.yaml")
    assert program("matrix", "check").code == 1
    listed, _ = events(program, "list")
    assert len(listed) == len(load_matrix().rows)


def taught(outcome: str = "verified") -> LoopRecord:
    error = ErrorRecord("jobs.nightly", "failed", "7", "work", "71", diagnosis=UNKNOWN)
    fix = FixRecord("turned the frobnicator round", "person", ("src/work.py",))
    rounds = (RoundRecord(1, (error,), (fix,)), RoundRecord(2))
    return LoopRecord(
        *("aaaa1111", "shop", "dev", "https://a.example.com", "you@example.com", "", ("jobs.nightly",), outcome, ""),
        *("2026-01-07T09:00:00Z", "2026-01-07T09:05:00Z", rounds),
    )


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


async def keep(journal: Journal, loop: LoopRecord) -> None:
    await journal.save_loop(loop.loop_id, {}, iterations=2, outcome=loop.outcome, record=plain(loop))


@pytest.mark.parametrize(("words", "folder"), [((), ".dbops/matrix"), (("--user",), "../home/matrix")])
async def test_what_the_last_loop_taught_becomes_a_row(
    program: Program, journal: Journal, words: tuple[str, ...], folder: str
) -> None:
    await keep(journal, taught())
    (draft,), last = events(program, "learn", *words)
    assert (last["count"], last["loop"], draft["written"], draft["problem"]) == (1, "aaaa1111", True, None)
    file = Path(draft["file"])
    assert file.parent.resolve() == (program.root / folder).resolve()
    written = text_of(file)
    assert written == draft["yaml"]
    (row,) = yaml.safe_load(written)
    assert row["id"] == draft["id"]
    assert "8123" not in written, "what differs from run to run is no part of a row"
    assert "turned the frobnicator round" in written
    assert events(program, "check")[1]["complaints"] == 0
    failure = "FrobError: the frobnicator 'omega' of run 9 stands upside down again\n"
    known = program("diagnose", "-", "--json", stdin=failure)
    assert known.last["diagnoses"][0]["row"] == draft["id"]


async def test_what_was_put_into_better_words_is_left_as_it_is(program: Program, journal: Journal) -> None:
    await keep(journal, taught())
    (draft,), _ = events(program, "learn")
    program.write(draft["file"], text_of(Path(draft["file"])).replace("Seen before", "In better words"))
    (again,), _ = events(program, "learn")
    assert (again["written"], again["file"]) == (False, draft["file"])
    assert "In better words" in text_of(Path(draft["file"]))
    text = program("matrix", "learn")
    assert text.code == 0
    assert text.out.startswith("# Learned from a failure")
    assert "known already, and left as it is" in text.err


async def test_where_there_is_nothing_to_learn_it_says_so(program: Program, journal: Journal) -> None:
    ended = program("matrix", "learn", "--json")
    assert (ended.code, ended.last["code"]) == (1, "no_loop")
    await keep(journal, replace(taught(), rounds=()))
    ended = program("matrix", "learn", "--json")
    assert (ended.code, ended.last["code"]) == (1, "nothing_learned")
    assert "nothing failed in it" in ended.last["message"]


async def test_what_the_rows_mended_at_once_is_no_new_row(program: Program, journal: Journal) -> None:
    loop = taught()
    (error,) = loop.rounds[0].errors
    known = replace(UNKNOWN, cause="driver_oom", row="clusters.driver_oom")
    await keep(journal, replace(loop, rounds=(replace(loop.rounds[0], errors=(replace(error, diagnosis=known),)),)))
    ended = program("matrix", "learn", "--json")
    assert (ended.code, ended.last["code"]) == (1, "nothing_learned")
    assert "its rows knew what to do" in ended.last["message"]
    assert not (program.root / ".dbops").exists()


async def test_read_only_writes_no_row(program: Program, journal: Journal) -> None:
    await keep(journal, taught())
    program.write("../home/config.toml", "read_only = true\n")
    ended = program("matrix", "learn", "--json")
    assert (ended.code, ended.last["code"]) == (3, "refused")
    assert not (program.root / ".dbops").exists()


def test_learning_needs_a_bundle(tmp_path: Path) -> None:
    ended = alone(tmp_path)("matrix", "learn", "--json")
    assert (ended.code, ended.last["code"]) == (2, "no_bundle")


async def test_a_folder_that_leads_out_of_the_bundle_is_not_written(
    program: Program, journal: Journal, tmp_path: Path
) -> None:
    await keep(journal, taught())
    (tmp_path / "elsewhere").mkdir()
    (program.root / ".dbops").mkdir()
    (program.root / ".dbops/matrix").symlink_to(tmp_path / "elsewhere")
    ended = program("matrix", "learn", "--json")
    assert ended.code == 1
    assert ended.events[0]["problem"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
