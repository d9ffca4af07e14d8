"""Updates as people see them in the console, really run in the simulated workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_states
from console_play import go_to, played, resources, said, until
from dbops_tui.core.engine import Engine
from dbops_tui.core.pipelines import Update
from dbops_tui.tui.app import ConsoleApp
from engine_world import mutating
from snapshot_helper import console, screen_lines, screen_text

LIVE = "pipelines.orders_live"


async def ended(pilot: Any, engine: Engine, but: str = "") -> Update:
    """The update on show, once it is over; another one than `but`."""

    def over() -> bool:
        update = engine.state.update
        return update is not None and update.update_id != but and update.ended

    await until(pilot, over)
    assert engine.state.update is not None
    return engine.state.update


def line(app: ConsoleApp, *words: str) -> str:
    """The first line of the screen with all these words; empty where there is none."""
    return next((text for text in screen_lines(app) if all(word in text for word in words)), "")


async def test_a_flow_that_fails_is_followed_to_its_event_its_root_cause_and_its_line(tmp_path: Path) -> None:
    async with played(tmp_path, "pipeline-schema-change") as (pilot, app, engine, _):
        await go_to(pilot, app, LIVE)
        await pilot.press("x", "y")
        await ended(pilot, engine)
        await until(pilot, lambda: bool(engine.state.diagnoses))
        await pilot.press("2")
        assert "failed" in line(app, "✗ live_orders_raw")
        assert "skipped" in line(app, "⊘ live_orders ")
        assert "dropped" in line(app, "⊖ known_order"), "what a rule left out is told"
        # The tab of events has come by itself; its levels, its errors, one of them in full.
        assert app.panes.tab == "events"
        await pilot.press("4", "g", "L", "L")
        assert "showing 2: errors" in screen_text(app)
        await pilot.press("g", "enter")
        await until(pilot, said(app, "root cause", "UnknownFieldException", "led to", "src/pipeline/orders.py:12"))
        shown = screen_text(app)
        assert shown.index("root cause") < shown.index("led to")
        await pilot.press("escape", "L")
        await pilot.press("slash", *"/known_[a-z]+|FAILED/", "enter")
        assert "showing 2: all with /known_[a-z]+|FAILED/" in screen_text(app)
        await pilot.press("escape", "f", *"create_update", "enter")
        await until(pilot, said(app, "showing 1: all with type:create_update"))
        await pilot.press("escape", "t")
        await until(pilot, said(app, "enter go there", "✗ 1"))


async def test_an_update_that_the_platform_starts_again_is_followed_and_said(tmp_path: Path) -> None:
    async with played(tmp_path, "pipeline-retry", scale=60, target="prod") as (pilot, app, engine, box):
        await go_to(pilot, app, LIVE)
        await pilot.press("x", *"prod", "enter")
        await until(pilot, said(app, "failed; the platform tries again"))
        pipeline = next(resource.id for resource in resources(engine) if resource.ref == LIVE)
        first = box.get(f"/api/2.0/pipelines/{pipeline}/updates")["updates"][-1]["update_id"]
        assert f"update {first[:8]} failed" in screen_text(app)
        await until(pilot, said(app, "retried by the platform"))
        again = await ended(pilot, engine, but=first)
        assert again.cause == "RETRY_ON_FAILURE"
        app.go_to_tab("history")
        await pilot.press("4")
        await until(pilot, said(app, "2 updates, 1 failed", f"the platform retried {first[:8]}"))
        assert sum(call.endswith("/updates") for call in mutating(box)) == 1


async def test_an_update_that_somebody_else_starts_is_shown_once_the_last_one_is_over(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True) as (pilot, app, engine, box):
        await go_to(pilot, app, LIVE)
        await pilot.press("x", "y")
        first = await ended(pilot, engine)
        reply = box.call("POST", f"/api/2.0/pipelines/{first.pipeline_id}/updates", {})
        assert reply.status == 200, reply
        other = await ended(pilot, engine, but=first.update_id)
        assert other.update_id == reply.body["update_id"]
        await until(pilot, said(app, f"update {other.update_id[:8]}"))


async def test_an_update_of_somebody_else_that_failed_is_explained_when_it_is_looked_at(tmp_path: Path) -> None:
    async with played(tmp_path, "pipeline-schema-change") as (pilot, app, engine, box):
        pipeline = next(resource.id for resource in resources(engine) if resource.ref == LIVE)
        path = f"/api/2.0/pipelines/{pipeline}/updates"
        update_id = box.post(path, {})["update_id"]
        await until(pilot, lambda: box.get(f"{path}/{update_id}")["update"]["state"] == "FAILED")
        await go_to(pilot, app, LIVE)
        await until(pilot, said(app, f"update {update_id[:8]}", "src/pipeline/orders.py:12", "schema_mismatch"))
        await until(pilot, lambda: bool(engine.state.diagnoses))


async def test_an_update_without_an_error_event_is_explained_by_its_cluster_and_its_flows_go_on_no_more(
    tmp_path: Path,
) -> None:
    async with played(tmp_path, "pipeline-driver-lost") as (pilot, app, engine, box):
        await go_to(pilot, app, LIVE)
        await pilot.press("x", "y")
        await ended(pilot, engine)
        await until(pilot, said(app, "driver_down", "DRIVER_UNREACHABLE"))
        assert box.calls(path="*/clusters/events"), "the cluster was asked"
        assert "cut off" in line(app, "⊖ live_orders_raw")
        assert "not run" in line(app, "⊘ live_sales_by_hour")
        assert "◉" not in line(app, "live_returns "), "nothing of it is said to run"


async def test_tables_are_chosen_a_check_of_the_code_writes_nothing_and_a_full_refresh_wants_the_typed_name(
    tmp_path: Path,
) -> None:
    async with played(tmp_path, healthy=True) as (pilot, app, engine, box):
        await go_to(pilot, app, LIVE)
        await pilot.press("U", "down", "down", "ctrl+u", *"yes", "ctrl+s")
        await until(pilot, said(app, "--validate-only", "nothing is written"))
        await pilot.press("y")
        update = await ended(pilot, engine)
        assert update.validate_only
        await until(pilot, said(app, "validation only"))
        await pilot.press("2", "g", "m")
        chosen = next(iter(app.panes.marked))
        await pilot.press("U", "ctrl+s")
        await until(pilot, said(app, "of these alone", chosen))
        await pilot.press("y")
        update = await ended(pilot, engine, but=update.update_id)
        assert update.refresh_selection == (chosen,)
        before = len(mutating(box))
        await pilot.press("F", "y", "enter")
        assert len(app.screen_stack) == 2, "a y is not enough"
        await pilot.press("ctrl+u", *"orders_live", "enter")
        update = await ended(pilot, engine, but=update.update_id)
        assert update.full_refresh
        assert len(mutating(box)) == before + 1


async def test_an_update_is_stopped(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True, scale=20) as (pilot, app, engine, box):
        await go_to(pilot, app, LIVE)
        box.control("POST", "clock", {"scale": 1})  # slow enough for any machine to be there before its end
        await pilot.press("x", "y")
        await until(pilot, lambda: app.state.update is not None and not app.state.update.ended)
        await pilot.press("c")
        await until(pilot, said(app, "Stop update"))
        await pilot.press("y")
        box.control("POST", "clock", {"scale": 20})
        assert (await ended(pilot, engine)).state == "CANCELED"
        await until(pilot, said(app, "canceled"))


async def test_the_update_that_a_task_started_is_opened_in_place_and_kept_up_to_date() -> None:
    state = fake_states.nightly()
    run = state.run
    assert run is not None
    task = next(task for task in run.tasks if task.pipeline_id)
    update = fake_states.pipeline().update
    assert update is not None
    running = replace(update, state="RUNNING")
    app = console(replace(state, child_updates={task.run_id: running}))
    async with app.run_test(size=(140, 48)) as pilot:
        asked = app.engine.calls  # type: ignore[attr-defined]
        await until(pilot, lambda: ("expand", task.run_id) in [call[:2] for call in asked])
        before = len(asked)
        app.engine.publish(replace(app.state, run=replace(run, end_ms=run.end_ms + 1)))  # type: ignore[attr-defined]
        await until(pilot, lambda: len([call for call in asked[before:] if call[0] == "expand"]) == 1)


async def test_what_still_comes_while_the_console_is_left_is_let_go() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
    app.state = fake_states.failed()
    app.refresh_scene()
    assert app.return_value is None
    assert not app.screen_stack
