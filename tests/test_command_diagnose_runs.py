"""`diagnose` of what ran at a workspace: nested runs, iterations, pipelines, compute; by id or by its address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_box import Deployed, Program, deployed
from sandbox_work import advance, job, nb_task, notebook, start


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployed, str]]:
    with deployed(tmp_path_factory.mktemp("retail")) as held:
        yield held, held.run("orchestrator")


def told(program: Program, *words: str, **more: Any) -> dict[str, Any]:
    ended = program("diagnose", *words, "--json", **more)
    assert ended.code == 0, ended
    (only,) = ended.events
    assert only["event"] == "diagnosis"
    return only


def test_a_nested_run_is_opened_down_to_the_line_of_the_source(retail: tuple[Deployed, str]) -> None:
    live, run_id = retail
    found = told(live.program, "--run-id", run_id)
    assert (found["failed"], found["run_id"], found["state"]) == (True, run_id, "failed")
    assert run_id in found["url"]
    first = found["diagnoses"][0]
    assert (first["cause"], first["tasks"]) == ("unresolved_column", ["refresh_orders"])
    assert first["location"]["file"] == "src/silver/refresh_orders.py"
    assert '+    valid.join(known, "customer_id", "left")' in first["fixes"][0]["patch"]


def test_the_address_of_a_run_is_enough_and_needs_no_bundle(retail: tuple[Deployed, str], tmp_path: Path) -> None:
    live, run_id = retail
    elsewhere = replace(live.program, root=tmp_path)
    for address in (f"{live.box.host}/#job/5/run/{run_id}", f"{live.box.host}/jobs/5/runs/{run_id}?o=900800700600"):
        found = told(elsewhere, address)
        assert found["diagnoses"][0]["cause"] == "unresolved_column"
        assert found["diagnoses"][0]["location"] is None
        assert told(elsewhere, "--run-id", address)["run_id"] == run_id


def test_an_address_of_another_workspace_is_not_asked_with_this_token(retail: tuple[Deployed, str]) -> None:
    live, run_id = retail
    ended = live.program("diagnose", f"https://other.example.com/jobs/5/runs/{run_id}", "--json")
    assert ended.code == 3
    assert ended.last["code"] == "identity"
    assert "is not sent to https://other.example.com" in ended.last["message"]
    assert live.box.token not in ended.out + ended.err


def test_a_run_that_ended_well_has_no_diagnosis(retail: tuple[Deployed, str]) -> None:
    live, _ = retail
    found = told(live.program, "--run-id", live.run("bronze_ingest"))
    assert (found["failed"], found["diagnoses"], found["state"]) == (False, [], "succeeded")


def test_a_run_that_is_not_there_ends_with_1(retail: tuple[Deployed, str]) -> None:
    live, _ = retail
    ended = live.program("diagnose", "--run-id", "424242", "--json")
    assert ended.code == 1
    assert (ended.last["code"], ended.last["retryable"]) == ("workspace.not_found", False)


@pytest.mark.parametrize(
    ("kind", "code", "word", "retryable"),
    [
        ("401", 3, "workspace.signed_out", False),
        ("403", 3, "workspace.forbidden", False),
        ("429", 1, "workspace.throttled", True),
        ("503", 1, "workspace.server", True),
        ("reset", 1, "workspace.unreachable", True),
        ("half_json", 1, "workspace.bad_answer", True),
    ],
)
def test_trouble_with_the_workspace_is_told_apart(
    retail: tuple[Deployed, str], kind: str, code: int, word: str, retryable: bool
) -> None:
    live, run_id = retail
    live.box.control("POST", "faults", {"kind": kind, "path": "*/jobs/runs/get", "times": -1})
    try:
        ended = live.program("diagnose", "--run-id", run_id, "--json")
    finally:
        live.box.control("DELETE", "faults")
    assert (ended.code, ended.last["code"], ended.last["retryable"]) == (code, word, retryable), ended
    assert len(ended.events) == 1


def test_an_output_that_cannot_be_read_leaves_what_the_run_says(retail: tuple[Deployed, str]) -> None:
    live, run_id = retail
    live.box.control("POST", "faults", {"kind": "500", "path": "*/jobs/runs/get-output", "times": -1})
    try:
        ended = live.program("diagnose", "--run-id", run_id, "--json")
    finally:
        live.box.control("DELETE", "faults")
    assert ended.code == 0
    assert ended.last["failed"] is True
    assert ended.last["diagnoses"], "a failed run is never without a diagnosis"
    assert "silver: " in ended.err


def test_many_failed_tasks_of_one_cause_are_one_diagnosis(retail: tuple[Deployed, str]) -> None:
    live, _ = retail
    broken = notebook(live.box, "broken", "import not_a_module_anybody_has\n")
    run_id = start(live.box, job(live.box, *(nb_task(f"t{n}", broken) for n in range(5))))
    advance(live.box, 3600)
    found = told(live.program, "--run-id", str(run_id))
    assert [each["cause"] for each in found["diagnoses"]] == ["missing_python_module"]
    assert sorted(found["diagnoses"][0]["tasks"]) == ["t0", "t1", "t2", "t3", "t4"]


def test_what_a_failure_says_stays_text(retail: tuple[Deployed, str]) -> None:
    live, _ = retail
    missing = "/Workspace/Users/you@example.com/[bold]lo\x1b]0;owned\x07\x1b[2Jud[/bold]"
    run_id = start(live.box, job(live.box, nb_task("loud", missing)))
    advance(live.box, 3600)
    ended = live.program("diagnose", "--run-id", str(run_id))
    assert ended.code == 0
    assert "[bold]loud[/bold]" in ended.out
    assert "\x1b" not in ended.out + ended.err


def pipeline_of(live: Deployed) -> tuple[str, str]:
    """(pipeline id, update id) of an update that was started and had its time."""
    done = live.cli("bundle", "run", "orders_live", "--no-wait")
    assert done.returncode == 0, done.stderr
    advance(live.box, 3600)
    match = re.search(r"pipelines/([\w-]+)/updates/([\w-]+)", done.stdout + done.stderr)
    assert match
    return match[1], match[2]


def test_an_update_is_explained_by_its_events_and_located(tmp_path: Path) -> None:
    with deployed(tmp_path, "pipeline-schema-change") as live:
        pipeline, update = pipeline_of(live)
        found = told(live.program, "--pipeline-id", pipeline, "--update-id", update)
        assert (found["failed"], found["update_id"], found["state"]) == (True, update, "FAILED")
        first = found["diagnoses"][0]
        assert first["location"]["file"] == "src/pipeline/orders.py"
        assert "discount_code" in str(first["evidence"])
        latest = told(live.program, "--pipeline-id", pipeline)
        assert (latest["update_id"], latest["diagnoses"]) == (update, found["diagnoses"])
        address = f"{live.box.host}/#joblist/pipelines/{pipeline}/updates/{update}"
        assert told(live.program, address)["update_id"] == update


def test_an_update_without_a_word_of_its_own_is_explained_by_its_cluster(tmp_path: Path) -> None:
    with deployed(tmp_path, "pipeline-driver-lost") as live:
        pipeline, update = pipeline_of(live)
        found = told(live.program, "--pipeline-id", pipeline, "--update-id", update)
        assert found["failed"] is True
        assert "driver" in str(found["diagnoses"][0]["evidence"]).lower()


def test_a_pipeline_task_of_a_job_is_opened_down_to_its_update(tmp_path: Path) -> None:
    with deployed(tmp_path, "pipeline-schema-change") as live:
        run_id = live.run("gold_publish")
        found = told(live.program, "--run-id", run_id)
        first = found["diagnoses"][0]
        assert first["tasks"] == ["refresh_orders_live"]
        assert first["location"]["file"] == "src/pipeline/orders.py"


def test_of_thousands_of_iterations_the_failed_one_is_found(tmp_path: Path) -> None:
    with deployed(tmp_path, "for-each-5000") as live:
        found = told(live.program, "--run-id", live.run("five_thousand"))
        first = found["diagnoses"][0]
        assert "item-00777" in first["evidence"][0]["text"]
        assert first["location"]["file"] == "src/work.py"
        asked = [call["path"] for call in live.box.calls() if call["path"].endswith("/runs/get")]
        assert len(asked) < 60, "a bounded number of pages"
