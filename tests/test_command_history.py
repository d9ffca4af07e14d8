"""`history` and `report` read the journal beside whoever writes it, and make the best of what was left in it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from command_box import Program, with_bundle
from dbops_tui.core.events import plain
from dbops_tui.core.guard import Act
from dbops_tui.core.journal import Journal, journal_path
from dbops_tui.core.report import ErrorRecord, FixRecord, LoopRecord, RoundRecord
from dbops_tui.matrix.model import Diagnosis, Evidence, Location

DIAGNOSIS = Diagnosis(
    cause="unresolved_column",
    row="spark.unresolved_column",
    category="spark_sql",
    confidence=0.96,
    title="Column shop_idd does not exist",
    explanation="No input has shop_idd.",
    evidence=(Evidence(14, "[UNRESOLVED_COLUMN] `shop_idd`"),),
    location=Location("src/work.py", 4),
)


def record(loop_id: str, outcome: str, rounds: int = 1) -> LoopRecord:
    error = ErrorRecord("jobs.nightly", "it failed", "7" * 18, "work", "71", "https://a.example.com/run/7", DIAGNOSIS)
    fix = FixRecord("shop_idd → shop_id", "patch", ("src/work.py",), "-a\n+b\n", "the nearest name")
    return LoopRecord(
        loop_id=loop_id,
        bundle="shop",
        target="dev",
        host="https://a.example.com",
        user="you@example.com",
        profile="work",
        keys=("jobs.nightly",),
        outcome=outcome,
        reason=f"it was {outcome}",
        started="2026-01-07T09:00:00Z",
        ended="2026-01-07T09:05:00Z",
        rounds=tuple(RoundRecord(number, (error,), (fix,)) for number in range(1, rounds + 1)),
    )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return with_bundle(tmp_path)


@pytest.fixture
async def journal(program: Program, tmp_path: Path) -> AsyncIterator[Journal]:
    about = {"root": str(program.root), "target": "dev", "host": "https://a.example.com"}
    opened = await Journal.open(journal_path(tmp_path / "state", program.root, "dev"), about=about)
    yield opened
    await opened.close()


async def keep(journal: Journal, loop: LoopRecord) -> None:
    rounds = len(loop.rounds)
    await journal.save_loop(loop.loop_id, {}, iterations=rounds, outcome=loop.outcome, record=plain(loop))


def listed(program: Program, *words: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    ended = program("history", *words, "--json")
    assert ended.code == 0, ended
    *loops, last = ended.events
    assert [event["event"] for event in loops] == ["loop"] * last["count"]
    assert (last["event"], last["final"], last["exit_code"]) == ("history.ended", True, 0)
    return loops, last


def test_without_a_journal_history_is_empty_and_a_report_is_not_there(program: Program) -> None:
    loops, last = listed(program)
    assert (loops, last["bundle"], last["target"]) == ([], "shop", "dev")
    plain_text = program("history")
    assert (plain_text.code, plain_text.out) == (0, "")
    assert "nothing was deployed or run from here yet" in plain_text.err
    ended = program("report", "--json")
    assert (ended.code, ended.last["code"], len(ended.events)) == (1, "no_journal", 1)
    assert list((program.root / ".." / "state").resolve().iterdir()) == [], "looking makes no journal"


async def test_the_targets_that_have_a_journal_are_named(program: Program, journal: Journal) -> None:
    ended = program("report", "-t", "prod", "--json")
    assert ended.last["fix"] == "there is one for: -t dev"


async def test_a_loop_that_was_left_to_be_taken_up_again_is_open_and_said(program: Program, journal: Journal) -> None:
    await keep(journal, record("aaaa1111", ""))
    ((loop,), _) = listed(program)
    assert (loop["outcome"], loop["ended"]) == ("open", None)
    told = program("history")
    assert "open" in told.out
    assert "1 loop without an end: the console or heal goes on with the newest" in told.err
    await keep(journal, record("bbbb2222", "verified"))
    assert "1 loop without an end: a newer one came after" in program("history").err


async def test_a_root_file_that_cannot_be_read_leaves_the_journal_to_who_names_the_target(
    program: Program, journal: Journal
) -> None:
    await keep(journal, record("aaaa1111", "verified"))
    program.write("databricks.yml", "bundle: {name: [\n")
    ended = program("history", "--json")
    assert (ended.code, ended.last["code"], ended.last["fix"]) == (2, "target", "-t TARGET")
    assert ended.last["message"].startswith("databricks.yml:")
    assert [loop["id"] for loop in listed(program, "-t", "dev")[0]] == ["aaaa1111"]


async def test_loops_are_listed_newest_first_while_the_journal_is_held(program: Program, journal: Journal) -> None:
    await keep(journal, record("aaaa1111", "verified", 2))
    await keep(journal, record("bbbb2222", "escalated", 3))
    loops, _ = listed(program)
    assert [loop["id"] for loop in loops] == ["bbbb2222", "aaaa1111"]
    assert loops[1]["outcome"] == "verified"
    assert (loops[1]["keys"], loops[1]["iterations"], loops[1]["causes"]) == (
        ["jobs.nightly"],
        2,
        ["unresolved_column"],
    )
    assert [loop["id"] for loop in listed(program, "--limit", "1")[0]] == ["bbbb2222"]
    head, first, second = program("history").out.splitlines()
    assert head.split()[:3] == ["ID", "STARTED", "ENDED"]
    assert "bbbb2222" in first
    assert "jobs.nightly" in second


async def test_a_report_is_markdown_of_the_latest_escalated_loop(program: Program, journal: Journal) -> None:
    await keep(journal, record("aaaa1111", "escalated", 3))
    await keep(journal, record("bbbb2222", "verified"))
    ended = program("report")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("# shop: escalated on dev\n")
    for part in ("## Round 3", "`src/work.py:4`", "```diff\n-a\n+b\n```", "dbops-tui heal nightly -t dev -p work"):
        assert part in ended.out


async def test_any_loop_has_a_report_by_the_start_of_its_id(program: Program, journal: Journal) -> None:
    await keep(journal, record("aaaa1111", "verified"))
    await keep(journal, record("aaaa2222", "blocked"))
    ended = program("report", "aaaa1", "--json")
    (only,) = ended.events
    assert (only["event"], only["final"], only["loop_id"], only["outcome"]) == ("report", True, "aaaa1111", "verified")
    assert only["rounds"][0]["errors"][0]["run_id"] == "7" * 18
    assert only["root_cause"]["cause"] == "unresolved_column"
    assert only["commands"][0] == "databricks bundle deploy -t dev -p work"
    two = program("report", "aaaa", "--json")
    assert (two.code, two.last["code"]) == (2, "no_loop")
    assert "aaaa2222, aaaa1111" in two.last["message"]
    none = program("report", "cccc", "--json")
    assert (none.code, none.last["fix"]) == (1, "dbops-tui history")


async def test_where_nothing_was_escalated_the_latest_loop_is_told(program: Program, journal: Journal) -> None:
    await keep(journal, record("aaaa1111", "verified"))
    ended = program("report")
    assert ended.code == 0
    assert "no loop was escalated: this is the latest, verified" in ended.err


async def test_of_a_killed_process_the_report_is_put_together(program: Program, journal: Journal) -> None:
    await journal.save_loop("dead0001", {"stage": "poll"}, iterations=2)
    await journal.intent(Act("deploy", "bundle", host="https://a.example.com", target="dev", user="you@example.com"))
    await journal.intent(Act("run", "jobs.nightly", host="https://a.example.com", target="dev"))
    await journal.event("stage.changed", {"stage": "deploy", "iteration": 1})
    diagnosed = {"key": "jobs.nightly", "diagnosis": plain(DIAGNOSIS), "run_id": "77", "task_key": "work"}
    await journal.event("failure.diagnosed", diagnosed)
    await journal.event("fix.applied", {"files": ["src/work.py"], "title": "shop_id", "source": "person", "diff": ""})
    await journal.event("stage.changed", {"stage": "redeploy", "iteration": 2})
    await journal.event("failure.diagnosed", {"key": "jobs.nightly", "diagnosis": {"cause": "half of one"}})
    (loop,), _ = listed(program)
    assert (loop["outcome"], loop["ended"], loop["keys"]) == ("open", None, ["jobs.nightly"])
    assert loop["causes"] == ["unresolved_column"]
    ended = program("report", "dead", "--json")
    assert ended.code == 0
    assert "put together from its events" in ended.err
    (only,) = ended.events
    assert (only["whole"], only["host"], only["user"]) == (False, "https://a.example.com", "you@example.com")
    first, second = only["rounds"]
    assert (first["iteration"], first["errors"][0]["run_id"], first["fixes"][0]["files"]) == (1, "77", ["src/work.py"])
    assert second["errors"] == []
    assert "1 loop without an end" in program("history").err


async def test_a_record_of_another_shape_is_no_crash(program: Program, journal: Journal) -> None:
    for number, odd in enumerate(({"rounds": "none"}, {"loop_id": 7}, {"rounds": [{"errors": [None]}]})):
        await journal.save_loop(f"odd{number}", {"keys": 7}, iterations=1, outcome="verified", record=odd)
    loops, _ = listed(program)
    assert [loop["outcome"] for loop in loops] == ["verified"] * 3
    assert program("report", "odd1").code == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"this is no database at all, only words " * 40, "the journal cannot be used: it cannot be read"),
        (b"", "it is no journal"),
    ],
)
def test_a_file_that_is_no_journal_is_left_as_it_is(program: Program, tmp_path: Path, data: bytes, said: str) -> None:
    path = journal_path(tmp_path / "state", program.root, "dev")
    path.write_bytes(data)
    for command in ("history", "report"):
        ended = program(command, "--json")
        assert (ended.code, ended.last["code"]) == (1, "journal")
        assert said in ended.last["message"]
    assert path.read_bytes() == data


def test_a_journal_of_a_newer_version_says_to_upgrade(program: Program, tmp_path: Path) -> None:
    database = sqlite3.connect(journal_path(tmp_path / "state", program.root, "dev"))
    database.executescript("CREATE TABLE loops (x); PRAGMA user_version=99;")
    database.close()
    ended = program("history", "--json")
    assert ended.code == 1
    assert "written by a newer version of this program (schema 99): upgrade" in ended.last["message"]


async def test_no_sequence_of_a_record_reaches_the_terminal(program: Program, journal: Journal) -> None:
    loop = record("aaaa1111", "escalated")
    await journal.save_loop(
        "aaaa1111",
        {},
        iterations=1,
        outcome="escalated",
        record={**plain(loop), "reason": "\x1b[2J\x1b]0;owned\x07 no"},
    )
    for words in (("history",), ("report",), ("report", "--json")):
        assert "\x1b" not in program(*words).out
