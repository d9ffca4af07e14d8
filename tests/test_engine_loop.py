"""The whole loop against the sandbox over HTTP: every scenario that ships ends as it says it does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbops_tui.core.guard import Refused
from engine_world import SCALE, Played, Sample, heal, mutating, person, running, sample
from sandbox_fixture import SandboxBox, running_sandbox


@pytest.fixture
def box(request: pytest.FixtureRequest) -> Iterator[SandboxBox]:
    with running_sandbox(time_scale=SCALE, scenario=getattr(request, "param", "retail")) as found:
        yield found


def runs(place: Sample) -> tuple[str, ...]:
    return tuple(f"jobs.{key}" for key in place.about["run"])


def started(box: SandboxBox) -> list[str]:
    return [call for call in mutating(box) if "run-now" in call or "repair" in call or call.endswith("/updates")]


async def test_two_defects_are_mended_by_a_person_and_the_third_round_verifies(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    async with running(place) as played:
        person(played, place)
        assert await heal(played, "jobs.orchestrator") == "verified"
        engine = played.engine
        assert engine.runner.state.iteration == 3
        assert [e.diagnosis.cause for e in played.of("failure.diagnosed")] == [
            "invalid_parameter_value",
            "unresolved_column",
        ]
        # The second start is a repair: what had succeeded is not run again.
        assert started(box) == ["POST /api/2.2/jobs/run-now", "POST /api/2.2/jobs/runs/repair"]
        record = engine.runner.record
        assert record is not None
        assert [len(item.errors) for item in record.rounds] == [1, 1, 0]  # the last one was verified
        assert record.rounds[1].errors[0].url
        assert engine.state.diagnoses == ()


async def test_a_safe_patch_mends_without_a_person(tmp_path: Path) -> None:
    with running_sandbox(time_scale=SCALE, scenario="retail") as box:
        place = sample(box, tmp_path)
        async with running(place, apply="safe") as played:
            assert await heal(played, "jobs.orchestrator") == "verified"
            applied = played.of("fix.applied")
            assert [event.source for event in applied] == ["patch", "patch"]
            assert all(event.diff.startswith("--- a/") for event in applied)
            notebook = (place.root / "src/silver/refresh_orders.py").read_text()
            assert "customer_idd" not in notebook


@pytest.mark.parametrize("box", ["same-class"], indirect=True)
async def test_the_same_defect_in_sibling_files_is_mended_in_one_round(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, "same-class")
    async with running(place, apply="safe") as played:
        assert await heal(played, *runs(place)) == "verified"
        assert played.engine.runner.state.iteration == 2
        assert len(played.of("fix.applied")[0].files) > 1


@pytest.mark.parametrize("box", ["spot-loss"], indirect=True)
async def test_what_passes_by_itself_is_tried_again_after_a_wait(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, "spot-loss")
    async with running(place) as played:
        assert await heal(played, *runs(place)) == "verified"
        assert played.engine.runner.state.iteration == 2
        record = played.engine.runner.record
        assert record is not None
        assert [fix.source for fix in record.rounds[0].fixes] == ["retry"]
        # Nothing was wrong with the source, so nothing is deployed again.
        assert sum("bundle deploy" in event.line for event in played.of("deploy.output")) == 1


@pytest.mark.parametrize("box", ["three-defects"], indirect=True)
async def test_the_failure_of_the_third_round_escalates_with_everything_a_person_needs(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, "three-defects")
    async with running(place) as played:
        person(played, place)
        assert await heal(played, *runs(place)) == "escalated"
        report = played.of("escalated")[0].report
        for text in ("## Round 1", "## Round 2", "## Round 3", "customer_idd", "dbops-tui heal", "databricks bundle"):
            assert text in report
        ids = {error.run_id for item in played.engine.runner.record.rounds for error in item.errors if error.run_id}
        assert ids
        assert all(run_id in report for run_id in ids)
        assert played.engine.runner.state.iteration == 3


@pytest.mark.parametrize("box", ["missing-module", "merge-duplicates"], indirect=True)
async def test_a_person_mends_what_the_diagnosis_points_at(
    box: SandboxBox, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    scenario = request.node.callspec.params["box"]
    place = sample(box, tmp_path, scenario)
    async with running(place) as played:
        person(played, place)
        assert await heal(played, *runs(place)) == "verified"
        diagnosis = played.of("failure.diagnosed")[0].diagnosis
        assert diagnosis.cause != "unknown"
        assert diagnosis.location is not None


@pytest.mark.parametrize("box", ["pipeline-schema-change"], indirect=True)
async def test_a_pipeline_fails_with_its_root_cause_and_is_mended(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, "pipeline-schema-change")
    refs = tuple(r.ref for r in [*_resources(place)] if r.key in place.about["run"])
    async with running(place) as played:
        person(played, place)
        assert await heal(played, *refs) == "verified"
        assert played.of("pipeline.event")
        assert played.of("failure.diagnosed")[0].diagnosis.cause != "unknown"


@pytest.mark.parametrize("box", ["pipeline-retry"], indirect=True)
async def test_an_update_that_the_platform_retries_is_followed_on(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, "pipeline-retry")
    refs = tuple(r.ref for r in [*_resources(place)] if r.key in place.about["run"])
    async with running(place, target="prod") as played:
        assert await heal(played, *refs, confirmed="prod") == "verified"
        assert any("retries" in event.reason for event in played.of("waiting"))
        assert len([call for call in started(box) if call.endswith("/updates")]) == 1


def _resources(place: Sample) -> Any:
    from dbops_tui.core.bundle_load import load_bundle

    return load_bundle(place.root, "", place.env).resources


# --- a program that mends --------------------------------------------------------------------------------------------

FIXER = """
import json, pathlib, sys
told = json.load(sys.stdin)
root = pathlib.Path(told["bundle"]["root"])
for file, old, new in (
    ("resources/orchestrator.job.yml", "UNPAUSE\\n", "UNPAUSED\\n"),
    ("src/silver/refresh_orders.py", "customer_idd", "customer_id"),
):
    path = root / file
    text = path.read_text()
    if old in text:
        path.write_text(text.replace(old, new))
        sys.exit(0)
sys.exit(1)
"""


async def test_a_fixer_gets_the_failure_edits_and_its_diff_is_kept(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    program = tmp_path / "fixer.py"
    program.write_text(FIXER)
    import sys

    async with running(place, fixer=f"{sys.executable} {program}") as played:
        assert await heal(played, "jobs.orchestrator") == "verified"
        applied = played.of("fix.applied")
        assert [event.source for event in applied] == ["fixer", "fixer"]
        assert "+" in applied[0].diff


# --- where nothing may be done ---------------------------------------------------------------------------------------


async def test_a_read_only_engine_changes_nothing(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    async with running(place, read_only=True) as played:
        engine = played.engine
        assert await engine.identify()
        with pytest.raises(Refused, match="read-only"):
            await engine.heal(("jobs.orchestrator",))
        with pytest.raises(Refused, match="read-only"):
            await engine.deploy()
        with pytest.raises(Refused, match="read-only"):
            await engine.run("jobs.orchestrator")
        await engine.idle()
        assert mutating(box) == []


async def test_a_production_target_takes_the_typed_word(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place, target="prod") as played:
        assert await heal(played, "jobs.orchestrator") == "blocked"
        assert played.engine.runner.refusal is not None
        assert "production" in played.engine.runner.refusal.reason
        assert mutating(box) == []
        with pytest.raises(Refused, match="production"):
            await played.engine.set_auto(True)


async def test_a_wrong_token_is_refused_with_what_to_do(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    env = {**place.env, "DATABRICKS_TOKEN": "wrong-token-123456"}
    async with running(place, env=env) as played:
        assert await heal(played, "jobs.orchestrator") == "blocked"
        refusal = played.engine.runner.refusal
        assert refusal is not None
        assert refusal.exit_code == 3
        assert mutating(box) == []


async def test_a_workspace_that_is_gone_blocks_and_says_so(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    env = {**place.env, "DATABRICKS_HOST": "http://127.0.0.1:9"}
    async with running(place, env=env) as played:
        assert await heal(played, "jobs.orchestrator") == "blocked"
        assert played.engine.runner.refusal is not None
        assert played.engine.runner.refusal.exit_code == 4
        assert played.of("loop.ended")[0].retryable


# --- several resources -----------------------------------------------------------------------------------------------


async def test_one_failing_resource_does_not_stop_the_others(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path)
    (place.root / "resources/orchestrator.job.yml").write_text(
        (place.root / "resources/orchestrator.job.yml").read_text().replace("UNPAUSE\n", "UNPAUSED\n")
    )
    async with running(place) as played:
        assert await heal(played, "jobs.silver_refresh", "jobs.bronze_ingest") == "escalated"
        goals = {goal.ref: goal.state for goal in played.engine.runner.state.goals}
        assert goals["jobs.bronze_ingest"] == "verified"
        assert goals["jobs.silver_refresh"] == "failed"


# --- taken up by another process -------------------------------------------------------------------------------------


async def test_a_loop_that_was_left_in_the_middle_is_taken_up_and_nothing_is_started_twice(
    box: SandboxBox, tmp_path: Path
) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place) as played:
        engine = played.engine
        assert await engine.truth.version()
        await engine.truth.ask()
        await engine.heal(("jobs.orchestrator",))
        await until(played, lambda: bool(played.of("run.started")))
    before = started(box)
    assert len(before) == 1
    async with running(place) as again:
        assert "was left in round 1 of 3" in again.engine.state.resumable
        assert await heal(again, "jobs.orchestrator") == "verified"
        assert again.of("loop.started")[0].resumed
    assert started(box) == before


async def until(played: Played, done: Any) -> None:
    """Wait until `done()`: each event and each new State is a chance."""
    seen = asyncio.Event()
    off = played.engine.subscribe(lambda *_: seen.set())
    try:
        while not done():
            seen.clear()
            await seen.wait()
    finally:
        off()


async def test_the_journal_holds_every_act_with_its_end(box: SandboxBox, tmp_path: Path) -> None:
    place = sample(box, tmp_path, healthy=True)
    async with running(place) as played:
        assert await heal(played, "jobs.orchestrator") == "verified"
        journal = played.engine.world.journal
        assert journal is not None
        rows = await journal.operations(played.engine.runner.loop_id)
        assert [(row.kind, row.outcome) for row in rows] == [("deploy", "done"), ("run", "done")]
        assert all(row.host and row.user and row.command for row in rows)
        loops = await journal.loops()
        assert loops[0].outcome == "verified"
        assert json.dumps(loops[0].record)
