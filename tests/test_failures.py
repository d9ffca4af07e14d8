"""From a run or an update that failed to its causes: who failed by itself, what each cause explains, root first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.failures import (
    Explained,
    Found,
    explain,
    failed_tasks,
    latest_tasks,
    of_deploy,
    of_run,
    of_update,
    root_causes,
)
from dbops_tui.core.learned_rows import bundle_folder, save_row
from dbops_tui.core.learning import Lesson, draft_row
from dbops_tui.core.pipelines import PipelineEvent, PipelineException, Update
from dbops_tui.core.runs import ForEachStats, Outcome, Run, RunState, TaskOutput, TaskRun
from dbops_tui.matrix.model import Failure
from proposal_work import edits, shop

COLUMN = (
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `{}` cannot be resolved. Did you mean one of the "
    "following? [`{}`]. SQLSTATE: 42703"
)
TABLE = "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`shop`.`orders` cannot be found. SQLSTATE: 42P01"
MODULE = "ModuleNotFoundError: No module named 'yaml'"
FAILED = RunState(Outcome.FAILED, "TERMINATED", "FAILED")


def a_task(key: str, state: RunState = FAILED, **more: Any) -> TaskRun:
    return TaskRun(f"run-{key}", key, state, **more)


def a_run(*tasks: TaskRun, state: RunState = FAILED, **more: Any) -> Run:
    return Run("1", "9", "nightly", state, tasks=tasks, page_url="https://x/run/1", **more)


def output(key: str, error: str = "", trace: str = "", **more: Any) -> tuple[str, TaskOutput]:
    return f"run-{key}", TaskOutput(f"run-{key}", error, trace, **more)


# --- who failed -------------------------------------------------------------------------------------------------------


def test_the_newest_attempt_counts_and_followers_are_no_causes() -> None:
    run = a_run(
        a_task("a", start_ms=1),
        a_task("a", RunState(Outcome.SUCCEEDED), start_ms=2, attempt=1),
        a_task("b"),
        a_task("c", RunState(Outcome.UPSTREAM_FAILED)),
        a_task("d", RunState(Outcome.SKIPPED)),
        a_task("e", RunState(Outcome.EXCLUDED)),
        a_task("f", RunState(Outcome.TIMED_OUT)),
    )
    assert [task.task_key for task in latest_tasks(run)] == ["a", "b", "c", "d", "e", "f"]
    assert [task.task_key for task in failed_tasks(run)] == ["b", "f"]


def test_each_failed_task_speaks_with_its_output_its_state_or_its_iterations() -> None:
    loop = ForEachStats(total=3, failed=2, errors=((2, "ValueError: checksum mismatch"),))
    run = a_run(
        a_task("told"),
        a_task("silent", replace(FAILED, message="Driver is down", code="DRIVER_ERROR")),
        a_task("loop", for_each=loop),
        a_task("logs"),
    )
    outputs = dict([output("told", "boom", "Traceback: boom"), output("logs", logs="x" * 50_000 + "the end")])
    found = of_run(run, "jobs.nightly", outputs)
    texts = {item.task_key: item.failure.text for item in found}
    assert texts["told"] == "boom\nTraceback: boom"
    assert texts["silent"] == "Driver is down"
    assert "checksum mismatch" in texts["loop"]
    assert texts["logs"].endswith("the end")
    assert len(texts["logs"]) < 21_000
    assert {item.failure.termination_code for item in found} == {"", "DRIVER_ERROR"}
    assert all(item.url == "https://x/run/1" for item in found)


def test_a_nested_run_is_opened_and_one_that_nests_in_itself_ends() -> None:
    child = a_run(a_task("inner"))
    parent = a_run(a_task("outer"))
    found = of_run(parent, "jobs.all", dict([output("inner", "boom")]), {"run-outer": child})
    assert [(item.task_key, item.failure.text) for item in found] == [("inner", "boom")]
    around = a_run(a_task("outer"))
    assert of_run(around, "jobs.all", {}, {"run-outer": around})[0].task_key == "outer"


def test_a_run_without_a_failed_task_speaks_for_itself() -> None:
    run = a_run(state=replace(FAILED, message="The job was cancelled for its quota", code="USER_CANCELED"))
    (found,) = of_run(run, "jobs.nightly", {})
    assert (found.message, found.failure.termination_code) == ("The job was cancelled for its quota", "USER_CANCELED")
    assert of_run(a_run(state=RunState(Outcome.SUCCEEDED)), "jobs.nightly", {}) == []


def an_event(message: str, flow: str = "", level: str = "ERROR", **more: Any) -> PipelineEvent:
    return PipelineEvent("1", "t", level, "flow_progress" if flow else "update_progress", message, "u", flow, **more)


def test_an_update_speaks_with_the_exceptions_of_its_flows_each_once_newest_first() -> None:
    broken = PipelineException("AnalysisException", COLUMN.format("amuont", "amount"), "UNRESOLVED_COLUMN", "42703")
    events = [
        an_event("old", "orders", exceptions=(replace(broken, message="old"),)),
        an_event(
            "Flow 'orders' failed", "orders", exceptions=(broken,), source_file="/x/files/src/a.py", source_line=3
        ),
        an_event("info", "orders", "INFO"),
        an_event("Update u is FAILED.", exceptions=(PipelineException("UpdateFailed", "Update u has failed."),)),
        replace(an_event("of another update", "returns", exceptions=(broken,)), update_id="other"),
    ]
    (found,) = of_update(Update("u", "p", "FAILED"), "pipelines.live", events)
    assert "amuont" in found.failure.text
    assert (found.clue.event_file, found.clue.event_line) == ("/x/files/src/a.py", 3)
    assert found.failure.exceptions[0].error_class == "UNRESOLVED_COLUMN"


def test_an_update_without_an_error_event_says_that(tmp_path: Path) -> None:
    (found,) = of_update(Update("u", "p", "FAILED"), "pipelines.live", [])
    assert "without an ERROR event" in found.message
    (found,) = of_update(Update("u", "p", "FAILED", message="cluster lost"), "pipelines.live", [])
    assert found.message == "cluster lost"


def test_the_frames_of_an_event_lead_to_the_source(tmp_path: Path) -> None:
    shop(tmp_path).put("src/live/a.py", "x = 1\ny = read('b')\n")
    stack = (("x", "run", "Update.scala", 8), ("", "a", "/Workspace/Users/me/files/src/live/a.py", 2))
    broken = PipelineException("ValueError", "the sky fell down on us", stack=stack)
    found = of_update(Update("u", "p", "FAILED"), "pipelines.live", [an_event("x", "a", exceptions=(broken,))])
    place = explain(found, load_bundle(tmp_path, "dev", {}))[0].diagnoses[0].location
    assert place is not None
    assert (place.file, place.line) == ("src/live/a.py", 2)


# --- what each cause explains -----------------------------------------------------------------------------------------

JOB = """\
resources:
  jobs:
    nightly:
      name: nightly
      tasks:
"""


def ten_tasks(tmp_path: Path) -> list[Explained]:
    """Ten tasks that fail for three reasons, and one that only says that another one failed."""
    made = shop(tmp_path)
    job = JOB
    for number in range(11):
        made.put(f"src/t{number}.py", f"# Databricks notebook source\nx = {number}\ndf.select('amuont')\n")
        job += f"        - task_key: t{number}\n          notebook_task: {{notebook_path: ../src/t{number}.py}}\n"
    made.put("resources/job.yml", job)
    texts = [COLUMN.format("amuont", "amount")] * 6 + [TABLE] * 3 + [MODULE] + ["Task t1 failed: upstream failed"]
    run = a_run(*(a_task(f"t{number}", source_path=f"/W/files/src/t{number}") for number in range(11)))
    outputs = dict(output(f"t{number}", text) for number, text in enumerate(texts))
    return explain(of_run(run, "jobs.nightly", outputs), load_bundle(tmp_path, "dev", {}))


def test_ten_failures_of_three_causes_are_three_those_that_explain_most_first(tmp_path: Path) -> None:
    roots = root_causes(ten_tasks(tmp_path))
    causes = [(root.cause, len(root.task_keys)) for root in roots if root.cause != "unknown"]
    assert causes[:3] == [("unresolved_column", 6), ("table_not_found", 3), ("missing_python_module", 1)]
    assert roots[0].task_keys == ("t0", "t1", "t2", "t3", "t4", "t5")
    keys = [key for root in roots for key in root.task_keys]
    assert sorted(keys) == sorted(f"t{number}" for number in range(11))


def test_one_change_set_mends_all_places_of_one_cause(tmp_path: Path) -> None:
    root = root_causes(ten_tasks(tmp_path))[0]
    fix = edits(root)[0]
    assert fix.patch is not None
    assert len({edit.file for edit in fix.patch.edits}) == 11
    assert fix.confidence >= 0.9
    titles = [fix.title for fix in root.fixes]
    assert len(titles) == len(set(titles))


def test_two_missing_modules_are_two_causes() -> None:
    found = [
        Found(Failure(f"ModuleNotFoundError: No module named '{name}'"), "", task_key=name) for name in ("a_b", "c_d")
    ]
    assert [root.entities["module"] for root in root_causes(explain(found, None))] == ["a_b", "c_d"]


def test_a_consequence_never_stands_before_its_cause() -> None:
    follower = "Run failed: Task child failed with message: Workload failed, see run output for details."
    texts = [follower, follower, follower, TABLE]
    found = [Found(Failure(text, "job_task"), "", task_key=str(n)) for n, text in enumerate(texts)]
    assert root_causes(explain(found, None))[0].cause == "table_not_found"


def test_a_text_without_a_failure_has_no_cause() -> None:
    assert root_causes(explain([Found(Failure("all is well"), "")], None)) == ()
    assert explain(of_deploy(""), None)[0].diagnoses == ()


def test_lesser_candidates_are_words_and_their_places_are_of_the_bundle(tmp_path: Path) -> None:
    made = shop(tmp_path).put("src/a.py", "x = 1\n")
    text = f"{TABLE}\n{MODULE}\nError: in ../../etc/passwd.yml:1:1\n"
    diagnoses = explain([Found(Failure(text, "job_task"), "")], load_bundle(made.root, "dev", {}))[0].diagnoses
    assert len(diagnoses) > 1
    assert all(fix.patch is None for lesser in diagnoses[1:] for fix in lesser.fixes)
    assert all(d.location is None or (made.root / d.location.file).is_file() for d in diagnoses)


def test_rows_that_the_bundle_learned_explain_its_failures(tmp_path: Path) -> None:
    made = shop(tmp_path)
    line = "LedgerError: the ledger of this quarter was closed before entry 17 was made"
    lesson = Lesson(line, "unknown", "unknown", "open the ledger again", "verified", 2)
    save_row(bundle_folder(made.root), draft_row(lesson), base=made.root)
    text = line.replace("17", "4711")
    found = [Found(Failure(text, "job_task"), "jobs.x")]
    assert explain(found, load_bundle(made.root, "dev", {}))[0].diagnoses[0].row.startswith("learned.ledger_error")
    assert not explain(found, None)[0].diagnoses[0].row.startswith("learned.")


def test_the_task_of_a_nested_run_is_looked_for_in_the_job_that_has_it(tmp_path: Path) -> None:
    made = shop(tmp_path).put("src/deep.py", "# Databricks notebook source\nimport yaml\n")
    made.put(
        "resources/jobs.yml",
        JOB.replace("nightly", "inner")
        + "        - task_key: deep\n          notebook_task: {notebook_path: ../src/deep.py}\n"
        + JOB.partition("jobs:\n")[2].replace("nightly", "outer")
        + '        - task_key: go\n          run_job_task: {job_id: "${resources.jobs.inner.id}"}\n',
    )
    found = of_run(
        a_run(a_task("go")),
        "jobs.outer",
        dict([output("deep", MODULE)]),
        {"run-go": a_run(a_task("deep", source_path="/W/files/src/deep"))},
    )
    (root,) = root_causes(explain(found, load_bundle(made.root, "dev", {})))
    made.mend(edits(root)[0])
    assert "# MAGIC %pip install PyYAML\n" in made.read("src/deep.py")
