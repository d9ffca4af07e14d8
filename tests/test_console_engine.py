"""The console over the real engine and the simulated workspace: what people see of runs that really happen there."""

from __future__ import annotations

from pathlib import Path

from console_play import go_to, played, resources, said, until
from engine_world import mutating
from snapshot_helper import screen_text


async def test_a_run_that_fails_is_seen_with_its_nested_run_its_reason_and_its_graph(tmp_path: Path) -> None:
    async with played(tmp_path) as (pilot, app, engine, box):
        await go_to(pilot, app, "jobs.orchestrator")
        await pilot.press("x", "y")
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.state.failed)
        await until(pilot, lambda: bool(engine.state.diagnoses))
        await until(pilot, lambda: bool(engine.state.child_runs))
        run = engine.state.run
        assert run is not None
        failed = next(task for task in run.tasks if task.state.failed and task.kind == "run_job")
        await pilot.press("2", "g", "n")
        await until(pilot, said(app, f"✗ {failed.task_key}"))
        app.go_to_tab("graph")
        await until(pilot, said(app, "nodes in", "upstream failed"))
        app.go_to_tab("history")
        await pilot.press("4")
        await until(pilot, said(app, "whole run", "1 of 1 failed"))
        await pilot.press("3")
        await until(pilot, said(app, engine.state.diagnoses[0].cause))
        # Nothing but what a person said yes to has changed anything.
        assert [call for call in mutating(box) if "run-now" in call or "repair" in call or "cancel" in call] == [
            "POST /api/2.2/jobs/run-now"
        ]


async def test_a_repair_of_the_chosen_task_is_shown_as_one(tmp_path: Path) -> None:
    async with played(tmp_path) as (pilot, app, engine, box):
        await go_to(pilot, app, "jobs.orchestrator")
        await pilot.press("x", "y")
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.state.failed)
        await pilot.press("2", "g", "n", "R", "y")
        await until(pilot, lambda: engine.state.run is not None and bool(engine.state.run.latest_repair_id))
        await until(pilot, said(app, "repair 1"))
        assert sum("repair" in call for call in mutating(box)) == 1


async def test_a_schedule_of_the_sample_is_told_and_never_touched(tmp_path: Path) -> None:
    async with played(tmp_path) as (pilot, app, engine, box):
        scheduled = next(r for r in resources(engine) if r.config.get("schedule") or r.config.get("trigger"))
        before = len(mutating(box))
        await go_to(pilot, app, scheduled.ref)
        await pilot.press("1", "s")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        assert scheduled.place.file in screen_text(app)
        assert len(mutating(box)) == before


async def test_how_long_tasks_usually_take_is_learned_from_past_runs(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True) as (pilot, app, engine, _):
        ref = "jobs.bronze_ingest"
        await go_to(pilot, app, ref)
        for number in range(3):
            await pilot.press("x", "y")
            await until(
                pilot,
                lambda number=number: (
                    sum(  # type: ignore[misc]
                        not past.state.active for past in engine.state.statuses[ref].history
                    )
                    == number + 1
                ),
            )
        app.go_to_tab("history")
        await pilot.press("4")
        await until(pilot, said(app, "0 of 3 failed", "usually"))
        await until(pilot, lambda: bool(engine.state.task_usual))
        await pilot.press("2", "g")
        app.go_to_tab("task")
        await until(pilot, said(app, "9 of 10 within"))


async def test_the_update_of_a_pipeline_has_a_history_a_graph_and_a_trend(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True, scale=30) as (pilot, app, engine, box):
        ref = next(r.ref for r in resources(engine) if r.type == "pipelines")
        await go_to(pilot, app, ref)
        for number in range(2):
            await pilot.press("x", "y")
            await until(pilot, lambda: app.state.update is not None and not app.state.update.ended)
            await pilot.press("x")
            await until(pilot, said(app, "is under way: it is followed"))
            await until(pilot, lambda: engine.state.update is not None and engine.state.update.ended)
            assert sum(call.endswith("/updates") for call in mutating(box)) == number + 1
        app.go_to_tab("graph")
        await until(pilot, said(app, "nodes in", "completed"))
        app.go_to_tab("history")
        await pilot.press("4")
        await until(pilot, said(app, "2 updates, 0 failed"))
        await until(pilot, said(app, " before"))
