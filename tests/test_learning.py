"""What a loop taught becomes a row that knows the error again, tells no secret, and spoils no other row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbops_tui.core.journal import Journal
from dbops_tui.core.learned_rows import NotSaved, bundle_folder, matrix_for, save_row, user_folder
from dbops_tui.core.learning import (
    Lesson,
    draft_row,
    generalise,
    lesson_of,
    lessons_of,
    offer,
    offered,
    remember_lesson,
    top_ten,
)
from dbops_tui.core.report import ErrorRecord, FixRecord, LoopRecord, RoundRecord
from dbops_tui.core.syncrules import SyncRules
from dbops_tui.matrix.diagnose import diagnose
from dbops_tui.matrix.model import Diagnosis, Evidence, Failure
from dbops_tui.matrix.schema import parse_rows
from hypothesis import given, settings
from hypothesis import strategies as st

LEASE = "LeaseError: lease of shard-17 ended before commit 4711 at /Volumes/main/retail/x.json"


def a_diagnosis(cause: str, line: str) -> Diagnosis:
    return Diagnosis(cause, f"test.{cause}", "test", 0.9, "title", "why", evidence=(Evidence(1, line),))


def an_error(cause: str, line: str, task: str = "t") -> ErrorRecord:
    return ErrorRecord("jobs.main", line, "1", task, diagnosis=a_diagnosis(cause, line) if cause else None)


def a_record(*rounds: RoundRecord, outcome: str = "verified") -> LoopRecord:
    return LoopRecord("1", "b", "dev", "https://x", "u", "", ("jobs.main",), outcome, "", "", "", rounds)


def a_lesson(line: str = LEASE, **more: Any) -> Lesson:
    given: dict[str, Any] = {"cause": "unknown", "row": "unknown", "fix": "wait longer", "outcome": "verified"}
    return Lesson(line, **{**given, "iterations": 2, **more})


def test_one_round_with_a_known_cause_teaches_but_is_not_offered() -> None:
    record = a_record(RoundRecord(1, (an_error("driver_oom", "OutOfMemoryError: x"),), (FixRecord("more", "person"),)))
    (lesson,) = lessons_of(record)
    assert (lesson.cause, lesson.fix, lesson.outcome, lesson.wrong_first) == ("driver_oom", "more", "verified", False)
    assert offered((lesson,)) == ()
    assert offer((lesson,)) == ""


def test_two_rounds_an_escalation_and_a_novelty_are_offered_with_the_reason() -> None:
    assert "it took 2 rounds to mend (driver oom)" in offer((a_lesson(cause="driver_oom"),))
    assert "not mended" in offer((a_lesson(cause="driver_oom", iterations=1, outcome="escalated"),))
    assert "no row knew" in offer((a_lesson(iterations=1),))
    assert offer(()) == ""


def test_a_first_diagnosis_that_did_not_hold_is_said() -> None:
    edit = FixRecord("add numpy", "patch")
    record = a_record(
        RoundRecord(1, (an_error("missing_python_module", LEASE),), (edit,)),
        RoundRecord(
            2, (an_error("missing_python_module", LEASE.replace("4711", "4712")),), (FixRecord("longer", "person"),)
        ),
        RoundRecord(3),
    )
    (lesson,) = lessons_of(record)
    assert lesson.wrong_first
    assert lesson.fix == "longer"
    assert lesson.iterations == 3
    assert "the first diagnosis (missing python module) was wrong" in offer((lesson,))
    assert "which it was not" in draft_row(lesson)


def test_a_second_error_of_the_same_task_is_no_wrong_diagnosis() -> None:
    edit = FixRecord("x", "patch")
    record = a_record(
        RoundRecord(1, (an_error("unresolved_column", "[UNRESOLVED_COLUMN] `a` cannot be resolved"),), (edit,)),
        RoundRecord(2, (an_error("divide_by_zero", "[DIVIDE_BY_ZERO] Division by zero."),), (edit,)),
    )
    (lesson,) = lessons_of(record)
    assert not lesson.wrong_first
    assert (lesson.first_cause, lesson.cause) == ("unresolved_column", "divide_by_zero")


def test_waiting_in_vain_makes_no_diagnosis_wrong() -> None:
    wait = FixRecord("wait", "retry")
    rounds = [
        RoundRecord(n, (an_error("rate_limited", "429 Too Many Requests for this user"),), (wait,)) for n in (1, 2)
    ]
    assert not lessons_of(a_record(*rounds))[0].wrong_first


def test_the_row_knows_the_error_again_whatever_its_numbers_and_names(tmp_path: Path) -> None:
    save_row(bundle_folder(tmp_path), draft_row(a_lesson()), base=tmp_path)
    matrix, problems = matrix_for(tmp_path, {"DBOPS_CONFIG": str(tmp_path / "none" / "c.toml")})
    assert problems == ()
    other = "LeaseError: lease of shard-99 ended before commit 1 at /Volumes/dev/a/b.json"
    (first, *_) = diagnose(Failure(text=other), matrix=matrix)
    assert first.row.startswith("learned.lease_error")
    assert first.fixes[0].title == "What mended it before: wait longer"
    unlike = diagnose(Failure(text="LeaseError: the lease office is closed"), matrix=matrix)
    assert not unlike or not unlike[0].row.startswith("learned.")


def test_a_learned_row_stands_before_the_built_in_ones(tmp_path: Path) -> None:
    line = (
        "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`retail`.`orders` cannot be found. Verify the spelling and "
        "correctness of the schema and catalog."
    )
    known = diagnose(Failure(text=line))[0]
    lesson = a_lesson(line, cause="table_not_found", row=known.row, fix="run bronze first")
    save_row(bundle_folder(tmp_path), draft_row(lesson))
    matrix, _ = matrix_for(tmp_path, {"DBOPS_CONFIG": str(tmp_path / "none" / "c.toml")})
    first = diagnose(Failure(text=line), matrix=matrix)[0]
    assert (first.cause, first.row.partition(".")[0]) == ("table_not_found", "learned")
    assert first.entities["table"] == "main.retail.orders"
    assert (first.title, first.check_sql) == (known.title, known.check_sql)
    assert [fix.title for fix in first.fixes] == [
        "What mended it before: run bronze first",
        *(fix.title for fix in known.fixes),
    ]


def test_a_row_that_would_take_what_others_know_is_refused(tmp_path: Path) -> None:
    line = "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`retail`.`orders` cannot be found. Verify the spelling"
    with pytest.raises(NotSaved, match="not good enough") as refused:
        save_row(tmp_path, draft_row(a_lesson(line, cause="divide_by_zero")))
    assert refused.value.problems
    assert list(tmp_path.iterdir()) == []


def test_no_secret_name_or_number_stands_in_a_row() -> None:
    secret = "dapi" + "0123456789abcdef" * 2
    line = (
        f"VaultError: could not open the vault at https://host.example.net/v1?sig={secret} for ana@corp.example with "
        f"password=hunter2hunter2 in schema `payroll`.`people` after 371938 tries"
    )
    text = draft_row(a_lesson(line, fix=f"export TOKEN={secret}"))
    assert text
    for word in (secret, "hunter2", "ana@corp", "payroll", "host.example.net", "371938"):
        assert word not in text, word


@pytest.mark.parametrize("line", ["", "boom", "KeyError: 'x'", "failed", "ValueError: 17", "Error: `a`"])
def test_too_little_to_be_known_again_makes_no_row(line: str) -> None:
    assert draft_row(a_lesson(line)) == ""
    assert offer((a_lesson(line),)) == ""


def test_names_stay_where_nothing_else_tells_the_error_from_others() -> None:
    regex, _ = generalise("KeyError: 'order_positions'") or ("", "")
    assert "order_positions" in regex
    regex, _ = generalise("ValueError: the column 'order_positions' holds a negative amount") or ("", "")
    assert "order_positions" not in regex


def test_what_destroyed_something_is_marked_so() -> None:
    (row,) = parse_rows(draft_row(a_lesson(fix="DROP TABLE main.retail.orders and refill")), learned=True)
    assert row.destructive
    assert row.fixes[0].kind == "destructive"
    assert row.fixes[0].risk


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=200)
    | st.from_regex(r"[A-Z][a-z]{2,8}Error: [a-z ]{5,40}[`'\"\[\]{}\\()*+?.|^$#:-]{0,9}[a-z0-9 ./]{0,40}")
)
def test_every_draft_is_a_row_that_matches_its_own_example(line: str) -> None:
    text = draft_row(a_lesson(line))
    if text:
        (row,) = parse_rows(text, learned=True)
        from dbops_tui.matrix.matcher import Matrix

        found = diagnose(Failure(text=row.examples[0].text), matrix=Matrix([row]))
        assert found
        assert found[0].row == row.id


async def test_lessons_are_kept_in_the_journal_and_counted(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "j.sqlite3")
    record = a_record(
        RoundRecord(1, (an_error("driver_oom", "java.lang.OutOfMemoryError: GC overhead limit exceeded here"),), ()),
        RoundRecord(2),
    )
    try:
        assert "took 2 rounds to mend (driver oom)" in await remember_lesson(journal, record)
        await remember_lesson(journal, record)
        kept = await journal.learned()
        assert lesson_of(kept[0]).cause == "driver_oom"
        assert top_ten(kept) == (("driver_oom", 2, 2, ""),)
    finally:
        await journal.close()


def test_rows_of_the_user_count_for_every_bundle_and_those_of_the_bundle_come_first(tmp_path: Path) -> None:
    env = {"DBOPS_CONFIG": str(tmp_path / "config" / "config.toml")}
    save_row(user_folder(env), draft_row(a_lesson(fix="by the user")))
    root = tmp_path / "bundle"
    root.mkdir()
    assert diagnose(Failure(text=LEASE), matrix=matrix_for(root, env)[0])[0].fixes[0].title.endswith("by the user")
    save_row(bundle_folder(root), draft_row(a_lesson(fix="by the team")))
    assert diagnose(Failure(text=LEASE), matrix=matrix_for(root, env)[0])[0].fixes[0].title.endswith("by the team")


def hand_written(**more: Any) -> str:
    row = {
        "id": "learned.mine",
        "cause": "learned_mine",
        "title": "Mine",
        "explanation": "Because.",
        "match": {"patterns": [{"literal": "the ledger is closed"}]},
        "fixes": [{"kind": "manual", "title": "Open it"}],
        "examples": [{"text": "Error: the ledger is closed"}],
    }
    return yaml.safe_dump([{**row, **more}], sort_keys=False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- {", "no row"),
        ("[]", "one row"),
        (hand_written(id="bad id"), "no row"),
        (hand_written(examples=[]), "no example"),
        (hand_written(benign=True, cause="none"), "failure is none"),
        (hand_written(title="\x1b[2J"), "control characters"),
        (
            hand_written(match={"patterns": [{"regex": "ledger (?:a+)+b is closed", "literal": "ledger"}]}),
            "unsafe",
        ),
        (hand_written(fixes=[{"kind": "manual", "title": "DROP TABLE x"}]), "destroys"),
        (hand_written(check_sql="DELETE FROM x"), "read-only"),
        (hand_written() + hand_written(id="learned.other").replace("- id", "- id"), "one row"),
    ],
)
def test_a_bad_row_is_refused_and_where_it_lies_already_it_is_left_out(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(NotSaved) as refused:
        save_row(tmp_path / "new", text)
    assert why in str(refused.value)
    folder = bundle_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "x.yaml").write_text(text)
    (folder / "y.yaml").write_text(draft_row(a_lesson()))
    matrix, problems = matrix_for(tmp_path, {"DBOPS_CONFIG": str(tmp_path / "none" / "c.toml")})
    assert diagnose(Failure(text=LEASE), matrix=matrix)[0].row.startswith("learned.lease")
    if why != "one row":
        assert problems
        assert "learned.mine" not in matrix.by_id


def test_nobody_deploys_for_the_sake_of_a_learned_row(tmp_path: Path) -> None:
    (tmp_path / "databricks.yml").write_text("bundle:\n  name: b\n")
    saved = save_row(bundle_folder(tmp_path), draft_row(a_lesson()), base=tmp_path)
    assert not SyncRules(tmp_path).counts(saved)
    assert SyncRules(tmp_path).counts(tmp_path / "src" / "a.py")


def test_a_folder_that_leads_out_of_the_bundle_is_not_written_to(tmp_path: Path) -> None:
    root, outside = tmp_path / "bundle", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    os.symlink(outside, root / ".dbops")
    with pytest.raises(NotSaved):
        save_row(bundle_folder(root), draft_row(a_lesson()), base=root)
    assert not any(path.is_file() for path in outside.rglob("*"))
