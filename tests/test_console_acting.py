"""What the console asks the engine for, and a person before: repairs, checks, targets, clean-up, arming, schedules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_states
import pytest
from dbops_tui.core import events as ev
from dbops_tui.core.bundle import Place
from dbops_tui.core.state import CheckResult
from dbops_tui.tui import plans
from dbops_tui.tui.app import ConsoleApp
from dbops_tui.tui.excerpts import line_below
from dbops_tui.tui.scene import Scene
from fake_states import OK
from snapshot_helper import SIZES, console, screen_lines, screen_text
from test_console_app import calls, publish, until
from textual import events

WIDE = SIZES["wide"]


def presence(app: ConsoleApp) -> list[tuple[Any, ...]]:
    return list(app.engine.presence)  # type: ignore[attr-defined]


async def done(pilot: Any, app: ConsoleApp) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()


# --- repairing, cancelling, running only some -------------------------------------------------------------------------


async def test_a_repair_of_chosen_tasks_can_be_had_with_and_without_what_depends_on_them() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "R", "tab")
        await pilot.pause()
        text = screen_text(app)
        assert "Run silver_refresh of run 8123 again." in text
        assert "tab with what depends on it" in text
        await pilot.press("tab")
        await pilot.pause()
        assert "rerun_dependent_tasks" in screen_text(app)
        await pilot.press("tab", "enter", "y")
        await done(pilot, app)
        assert calls(app) == [("repair", "8123", ("silver_refresh",), False, {"confirmed": "y"})]


async def test_in_production_the_other_way_takes_the_typed_name_too() -> None:
    app = console(fake_states.production())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "R", "tab", *"prod", "enter")
        await done(pilot, app)
        assert calls(app) == [("repair", "8123", ("silver_refresh",), False, {"confirmed": "prod"})]


async def test_marked_tasks_are_repaired_together_and_then_marked_no_more() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "g", "m", "m")
        await pilot.pause()
        assert "2 marked" in screen_text(app)
        assert sorted(app.panes.marked) == ["bronze_setup", "load_regions"]
        await pilot.press("R", "y")
        await done(pilot, app)
        assert calls(app) == [("repair", "8123", ("bronze_setup", "load_regions"), True, {"confirmed": "y"})]
        assert not app.panes.marked


async def test_what_was_marked_stays_marked_where_the_guard_says_no_and_escape_takes_it_back() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "m")
        app.engine.refuse = "no"  # type: ignore[attr-defined]
        await pilot.press("R", "y")
        await done(pilot, app)
        assert app.panes.marked == {"silver_refresh"}
        await pilot.press("escape", "escape")
        assert not app.panes.marked


async def test_a_task_of_a_nested_run_is_repaired_by_the_task_that_started_it() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "n")
        assert app.panes.run.home() == "c-2"
        await pilot.press("R", "y")
        await done(pilot, app)
        assert calls(app) == [("repair", "8123", ("silver_refresh",), True, {"confirmed": "y"})]


async def test_marked_tasks_are_offered_as_those_to_run() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "m", "X")
        await pilot.pause()
        await pilot.press("enter", "end", "plus", "enter")
        await pilot.pause()
        assert "--only silver_refresh+" in screen_text(app)
        await pilot.press("y")
        await done(pilot, app)
        assert calls(app) == [("run", "jobs.orchestrator", None, ("silver_refresh+",), {"confirmed": "y"})]


async def test_marked_tables_are_offered_as_those_to_refresh() -> None:
    app = console(fake_states.pipeline(state="FAILED"))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "m", "U")
        await pilot.pause()
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "--refresh bronze.orders" in screen_text(app)


async def test_cancel_is_of_the_whole_run_or_of_the_task_under_the_cursor() -> None:
    app = console(fake_states.running())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "g", "j", "c", "tab")
        await pilot.pause()
        assert "Cancel only the task silver_refresh" in screen_text(app)
        await pilot.press("y")
        await done(pilot, app)
        await pilot.press("c", "y")
        await done(pilot, app)
        assert calls(app) == [
            ("cancel", "t-silver_refresh", {"confirmed": "y"}),
            ("cancel", "8130", {"confirmed": "y"}),
        ]


async def test_an_update_that_is_under_way_is_followed_and_no_other_is_started() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=WIDE) as pilot:
        for key in ("x", "U", "F"):
            await pilot.press("2", key)
            await pilot.pause()
            assert len(app.screen_stack) == 1
            assert "is under way: it is followed" in screen_text(app)
        await done(pilot, app)
        assert calls(app) == []
        await publish(pilot, app, fake_states.pipeline(state="FAILED"))
        await pilot.press("x")
        await pilot.pause()
        assert len(app.screen_stack) == 2


async def test_a_watched_update_rings_at_its_end_even_when_something_else_is_looked_at() -> None:
    app = console(fake_states.pipeline())
    written: list[str] = []
    async with app.run_test(size=WIDE) as pilot:
        app.write_terminal = written.append  # type: ignore[method-assign]
        await pilot.press("w")
        assert app.watched == {"u-7743aa10"}
        app.engine.publish(fake_states.pipeline(state="FAILED"))  # type: ignore[attr-defined]
        assert written == ["\a"]
        await publish(pilot, app, fake_states.running())
        await pilot.press("w")
        away = fake_states.failed()
        ended = replace(away.statuses["jobs.orchestrator"].history[0], id="8130", state=OK)
        status = replace(away.statuses["jobs.orchestrator"], history=(ended,))
        app.engine.publish(replace(away, statuses={"jobs.orchestrator": status}, run=None))  # type: ignore[attr-defined]
        assert written == ["\a", "\a"]


# --- checking and learning --------------------------------------------------------------------------------------------


async def test_c_in_the_diagnosis_runs_the_check_query_on_a_warehouse_that_is_chosen() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert "c check" in screen_lines(app)[-1]
        await pilot.press("c")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        text = screen_text(app)
        assert text.index("Shared") < text.index("Starter")  # what runs already stands first
        assert "stopped: would be started by it" in text
        await pilot.press("down", "enter")
        await pilot.pause()
        text = screen_text(app)
        assert "It is stopped: the query starts it, which takes a while and costs." in text
        assert "DESCRIBE TABLE dev.silver.orders" in text
        await pilot.press("y")
        await done(pilot, app)
        assert calls(app) == [("load_warehouses",), ("check", 0, "w-1", {"confirmed": "y"})]


async def test_a_warehouse_that_runs_is_said_not_to_be_started() -> None:
    scene = Scene(fake_states.failed())
    lines = plans.check(scene, fake_states.diagnosis(), fake_states.WAREHOUSES[1]).lines
    assert "nothing is started" in "\n".join(text for line in lines for text, _ in line.spans)


async def test_c_outside_of_the_diagnosis_is_cancel() -> None:
    app = console(fake_states.running())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "c")
        await pilot.pause()
        assert "Cancel run 8130" in screen_text(app)


async def test_the_answer_of_a_check_changes_the_confidence_on_screen_and_keeps_the_place() -> None:
    state = fake_states.failed()
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3", "j")
        held = app.panes.diagnosis.home()
        asked = CheckResult("spark.unresolved_column", "DESCRIBE TABLE dev.silver.orders", "running")
        await publish(pilot, app, replace(state, check=asked))
        assert "the check query runs" in screen_text(app)
        surer = replace(state.diagnoses[0], confidence=0.99)
        found = replace(asked, verdict="confirmed", columns=("col_name", "data_type"),
                        rows=(("customer_id", "bigint"), ("amount", "decimal(18,2)")), confidence=0.99)  # fmt: skip
        await publish(pilot, app, replace(state, diagnoses=(surer,), check=found))
        text = screen_text(app)
        assert "99 % (was 96 %)" in text
        assert "the check query confirmed it" in text
        assert "customer_id" in text
        assert "decimal(18,2)" in text
        assert app.panes.diagnosis.home() == held
        doubt = replace(state.diagnoses[0], confidence=0.4)
        await publish(pilot, app, replace(state, diagnoses=(doubt,), check=replace(found, verdict="refuted")))
        assert "40 % (was 96 %)" in screen_text(app)
        assert "the check query speaks against it" in screen_text(app)


@pytest.mark.parametrize("verdict", ["unclear", "not run: the warehouse did not answer", "something new"])
async def test_a_check_that_says_nothing_is_called_so(verdict: str) -> None:
    state = fake_states.failed()
    app = console(replace(state, check=CheckResult("spark.unresolved_column", "SELECT 1", verdict)))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert verdict.removeprefix("not run: ") in screen_text(app)


async def test_several_causes_are_listed_with_how_many_tasks_each_explains() -> None:
    other = replace(fake_states.diagnosis(), cause="timeout", row="t", task_keys=("publish",), title="It took too long")
    state = replace(fake_states.failed(), diagnoses=(fake_states.diagnosis(), other))
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await pilot.pause()
        text = screen_text(app)
        assert "2 causes" in text
        assert "unresolved_column  explains 2 tasks" in text
        assert "timeout  explains 1 task" in text
        await pilot.press("g", "j", "enter")
        await pilot.pause()
        assert app.panes.diagnosis.diagnosis is other
        await pilot.press("n")
        assert app.panes.diagnosis.diagnosis is state.diagnoses[0]


async def test_places_of_the_same_kind_are_lines_to_go_to() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3")
        await pilot.pause()
        keys = [line.key for line in app.panes.diagnosis.source]
        assert "place:src/silver/returns.py:17" in keys
        assert app.panes.diagnosis.home() == "place:src/silver/refresh.py:42"
        await pilot.press("j")
        assert app.scene().place == "src/silver/returns.py:17"


async def test_learning_says_what_is_learned_and_asks() -> None:
    app = console(replace(fake_states.verified(), learnable="a row for `unknown_thing`, mended by editing src/a.py"))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "L learn" in screen_lines(app)[-1]
        await pilot.press("L")
        await pilot.pause()
        assert "a row for `unknown_thing`" in screen_text(app)
        assert ".dbops/matrix/" in screen_text(app)
        assert calls(app) == []
        await pilot.press("y")
        await done(pilot, app)
        assert calls(app) == [("learn",)]


async def test_without_anything_learned_the_key_says_so_and_in_the_events_it_is_the_level() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("L")
        await pilot.pause()
        assert "learn: nothing new was learned" in screen_text(app)
        app.go_to_tab("events")
        await pilot.press("4")
        await pilot.pause()
        assert "L level" in screen_lines(app)[-1]
        level = app.panes.events.level
        await pilot.press("L")
        assert app.panes.events.level != level


# --- place ------------------------------------------------------------------------------------------------------------


async def test_another_target_is_chosen_from_those_of_the_bundle() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("T")
        await pilot.pause()
        text = screen_text(app)
        assert "in use now" in text
        assert "production" in text
        await pilot.press("enter")
        await done(pilot, app)
        assert calls(app) == []
        await pilot.press("T", *"prod", "enter")
        await done(pilot, app)
        assert calls(app) == [("switch", "prod")]


async def test_what_is_deployed_elsewhere_is_asked_about_and_can_be_kept() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await publish(pilot, app, fake_states.left_behind())
        await until(pilot, lambda: len(app.screen_stack) == 2)
        assert "pipelines.silver_dlt" in screen_text(app)
        await pilot.press("enter", "y", "escape")
        await pilot.pause()
        assert calls(app) == []
        assert "deployed elsewhere too: K settles that" in screen_text(app)
        await pilot.press("K", "k")
        await done(pilot, app)
        assert calls(app) == [("keep_deployed",)]


async def test_what_is_deployed_elsewhere_is_destroyed_only_after_its_targets_name_was_typed() -> None:
    app = console(fake_states.left_behind())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("K", "d")
        await pilot.pause()
        text = screen_text(app)
        assert "This cannot be undone." in text
        assert "databricks bundle destroy -t dev" in text
        await pilot.press(*"prod", "enter", "y", "enter")
        await pilot.pause()
        assert calls(app) == []
        await pilot.press(*"dev", "enter")
        await done(pilot, app)
        assert calls(app) == [("clean_up", {"confirmed": "dev"})]


async def test_while_something_is_left_elsewhere_nothing_is_deployed() -> None:
    app = console(fake_states.left_behind())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("d")
        await pilot.pause()
        assert "what is deployed elsewhere comes first" in screen_text(app)
        assert len(app.screen_stack) == 1


async def test_arming_is_asked_of_the_engine_and_counts_down_in_the_header() -> None:
    now = [1000.0]
    app = console(replace(fake_states.failed(), armed_until=0.0), clock=True)
    app.monotonic = lambda: now[0]
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "READ-ONLY: A arms" in screen_lines(app)[0]
        await pilot.press("d")
        await pilot.pause()
        assert len(app.screen_stack) == 1
        await pilot.press("A")
        await done(pilot, app)
        assert calls(app) == [("arm",)]
        await publish(pilot, app, replace(app.state, armed_until=1000.0 + 125))
        assert "ARMED 2:05" in screen_lines(app)[0]
        await pilot.press("d")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await pilot.press("escape")
        now[0] += 118
        app._tick()
        await pilot.pause()
        assert "ARMED 0:07" in screen_lines(app)[0]
        now[0] += 7
        app._tick()
        await pilot.pause()
        assert "READ-ONLY: A arms" in screen_lines(app)[0]
        await pilot.press("d")
        await pilot.pause()
        assert len(app.screen_stack) == 1


# --- schedules --------------------------------------------------------------------------------------------------------

JOB = """resources:
  jobs:
    gold_merge:
      name: gold_merge
      schedule:
        # every morning
        quartz_cron_expression: 0 0 6 * * ?
        timezone_id: UTC
        pause_status: UNPAUSED
      tasks: []
    other:
      schedule:
        pause_status: PAUSED
"""


def test_the_line_of_a_key_below_a_resource_is_found_by_its_indentation(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(JOB)
    assert line_below(tmp_path, "a.yml", 3, "schedule", ("pause_status", "schedule")) == 9
    assert line_below(tmp_path, "a.yml", 11, "schedule", ("pause_status",)) == 13
    assert line_below(tmp_path, "a.yml", 3, "schedule", ("nothing",)) == 5
    assert line_below(tmp_path, "a.yml", 3, "trigger", ("pause_status",)) == 0
    assert line_below(tmp_path, "../a.yml", 3, "schedule", ()) == 0
    assert line_below(tmp_path, "a.yml", 99, "schedule", ()) == 0


async def test_a_schedule_is_shown_with_its_next_times_and_left_to_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources/gold_merge.yml").write_text(JOB)
    state = fake_states.base(tmp_path)
    assert state.bundle is not None
    jobs = tuple(
        replace(r, place=Place("resources/gold_merge.yml", 3)) if r.key == "gold_merge" else r
        for r in state.bundle.resources
    )
    app = console(replace(state, bundle=replace(state.bundle, resources=jobs)))
    edited: list[str] = []
    async with app.run_test(size=WIDE) as pilot:
        app.operations.edit = edited.append
        await pilot.press("s")
        await pilot.pause()
        assert "schedule: it has no schedule" in screen_text(app)
        await pilot.press("j", "j", "j")
        await pilot.pause()
        assert "in 20 h 0 min, 2026-11-25 06:00:00" in screen_text(app)
        await pilot.press("s")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        text = screen_text(app)
        assert "daily at 06:00 UTC" in text
        assert "2026-11-29 06:00:00" in text
        assert "resources/gold_merge.yml:9" in text
        assert "edit pause_status there and deploy" in text
        assert "development mode deploys a schedule paused" in text
        await pilot.press("e")
        await pilot.pause()
        assert edited == ["resources/gold_merge.yml:9"]
        assert calls(app) == []


# --- somebody is there ------------------------------------------------------------------------------------------------


async def test_keys_tell_the_engine_that_somebody_is_there_at_most_once_a_second() -> None:
    now = [1000.0]
    app = console(fake_states.running())
    app.monotonic = lambda: now[0]
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press(*"jjjj")
        await done(pilot, app)
        assert presence(app) == [("touch",)]
        now[0] += 1.0
        await pilot.press("d", "escape")
        await done(pilot, app)
        assert presence(app) == [("touch",), ("touch",)]


async def test_the_focus_of_the_terminal_is_told_to_the_engine() -> None:
    app = console(fake_states.running())
    async with app.run_test(size=WIDE) as pilot:
        app.post_message(events.AppBlur())
        await pilot.pause()
        app.post_message(events.AppFocus())
        await done(pilot, app)
        assert presence(app) == [("away", True), ("away", False)]


async def test_requests_of_the_last_minute_stand_beside_the_countdown() -> None:
    app = console(replace(fake_states.running(), requests=(14, 60)), clock=True)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "14/60 req/min  poll in 12 s" in screen_lines(app)[-2]


async def test_where_there_is_little_room_requests_are_said_when_they_get_many() -> None:
    for spent, said in ((14, False), (55, True)):
        app = console(replace(fake_states.running(), requests=(spent, 60)), clock=True)
        async with app.run_test(size=SIZES["normal"]) as pilot:
            await pilot.pause()
            assert ("55 of 60 requests" in screen_lines(app)[-2]) is said


async def test_an_event_of_a_problem_is_said() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        app.engine.publish(event=ev.Problem("x", "the lock is held", "wait"))  # type: ignore[attr-defined]
        await pilot.pause()
        assert "the lock is held (wait)" in screen_text(app)
