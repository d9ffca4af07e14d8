"""The console under keys: what is on the screen, and what the engine is asked for. No time is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import fake_states
import pytest
from dbops_tui.core import events as ev
from dbops_tui.core.bundle import Bundle
from dbops_tui.core.config import Config
from dbops_tui.core.runs import Outcome, RunState
from dbops_tui.core.state import CliLine, State
from dbops_tui.tui.actions import KeymapError
from dbops_tui.tui.app import ConsoleApp, Options
from dbops_tui.widgets.theme import PALETTES
from snapshot_helper import SIZES, console, screen_lines, screen_text
from textual.pilot import Pilot

WIDE = SIZES["wide"]


async def until(pilot: Any, true: Callable[[], bool]) -> None:
    """Let the app work until `true` holds; fails where it never does."""
    for _ in range(200):
        if true():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError("that never happened")


async def publish(pilot: Any, app: ConsoleApp, state: State) -> None:
    """Let the engine show `state`, and wait until the console has painted it."""
    app.engine.publish(state)  # type: ignore[attr-defined]
    await until(pilot, lambda: app.state is state)


def calls(app: ConsoleApp) -> list[tuple[Any, ...]]:
    """What the engine was asked for, but for what the console asks by itself."""
    return [call for call in app.engine.calls if call[0] not in ("start", "load_output", "focus")]  # type: ignore[attr-defined]


async def test_the_first_screen_says_where_what_runs_what_broke_why_and_what_to_press() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        text = screen_text(app)
    for words in (
        "retail_lakehouse ▸ dev",
        "adb-123.azuredatabricks.net (azure-demo)  you@example.com",
        "Deploy ✓ ─ Poll ✗ ─ Diagnose ✓ ─ Fix ◉ ─ Redeploy ─ Verify",
        "1/3",
        "orchestrator run 8123",
        "✗ failed 2:13",
        "unresolved_column  96 %",
        "`customer_idd` is not a column of dev.silver.orders",
        "src/silver/refresh.py:42",
        '.join(o, "customer_idd")',
        "a apply",
        "? help",
        "q quit",
        "waiting for an edit of src/silver/refresh.py",
    ):
        assert words in text, words


async def test_it_paints_from_the_yaml_before_the_engine_is_started() -> None:
    app = console(fake_states.first())
    seen: list[str] = []

    class Slow(fake_states.FakeEngine):
        async def start(self) -> None:
            seen.append(screen_text(app))

    app.engine = Slow(fake_states.first())  # type: ignore[assignment]
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        await app.workers.wait_for_complete()
    assert "silver_refresh" in seen[0]


async def test_an_empty_state_is_a_screen_too() -> None:
    app = console(State())
    async with app.run_test(size=WIDE) as pilot:
        for key in ("2", "3", "4", "d", "x", "r", "e", "o", "y", "n", "question_mark", "escape", "colon", "escape"):
            await pilot.press(key)
        assert "no bundle" in screen_text(app)


ALL_SIZES = (*SIZES.values(), (20, 5), (10, 3), (3, 1), (250, 70), (109, 24), (110, 24))


@pytest.mark.parametrize("name", list(fake_states.ALL))
async def test_no_state_breaks_any_size(name: str) -> None:
    app = console(fake_states.ALL[name]())
    async with app.run_test(size=WIDE) as pilot:
        for size, key in zip(ALL_SIZES, cycle("2341"), strict=False):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.screen.size == size)  # type: ignore[misc]
            await holds(app, pilot, size, key)


@pytest.mark.parametrize("size", ALL_SIZES)
async def test_it_begins_in_any_size(size: tuple[int, int]) -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=size) as pilot:
        await holds(app, pilot, size, "2", "3", "4", "1", "j")


async def holds(app: ConsoleApp, pilot: Pilot[int], size: tuple[int, int], *keys: str) -> None:
    """Nothing stands outside of the screen after these keys."""
    await pilot.press(*keys)
    lines = screen_lines(app)
    assert len(lines) == size[1]
    assert all(len(line) <= size[0] for line in lines)


async def test_it_lives_through_being_resized_to_almost_nothing_and_back() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        before = screen_text(app)
        for size in ((20, 5), (1, 1), (40, 10), (80, 24), WIDE):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.screen.size == size)  # type: ignore[misc]
        assert screen_text(app) == before


async def test_at_80x24_every_pane_is_one_key_away() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=SIZES["normal"]) as pilot:
        assert "Resources" in screen_text(app)
        assert "Diagnosis" not in screen_text(app).replace("Diagnose", "")
        for key, words in (("2", "silver_refresh"), ("3", "unresolved_column"), ("4", "Timeline"), ("1", "Dashboards")):
            await pilot.press(key)
            await pilot.pause()
            text = screen_text(app)
            assert words in text
            assert "retail_lakehouse" in text
            assert "q quit" in text
        await pilot.press("tab")
        await pilot.pause()
        assert "run 8123" in screen_text(app)


async def test_40x10_still_says_where_what_and_why() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=SIZES["small"]) as pilot:
        text = screen_text(app)
        assert "retail_lakehouse ▸ dev" in text
        assert "Fix ◉" in text
        await pilot.press("3")
        await pilot.pause()
        assert "unresolved_column" in screen_text(app)


# --- asking before anything changes -----------------------------------------------------------------------------------


async def test_deploy_shows_the_place_and_the_command_and_waits_for_y() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("d")
        await pilot.pause()
        text = screen_text(app)
        assert "adb-123.azuredatabricks.net" in text
        assert "databricks bundle deploy -t dev -p azure-demo" in text
        await pilot.press("enter", "enter", "space")
        assert calls(app) == []
        await pilot.press("y")
        await app.workers.wait_for_complete()
        assert calls(app) == [("deploy", {"confirmed": "y"})]


@pytest.mark.parametrize("key", ["escape", "n", "q"])
async def test_a_question_can_be_left_without_doing_anything(key: str) -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("d", key)
        await pilot.pause()
        assert calls(app) == []
        assert len(app.screen_stack) == 1


async def test_production_wants_the_targets_name_typed() -> None:
    app = console(fake_states.production())
    async with app.run_test(size=WIDE) as pilot:
        assert "PRODUCTION" in screen_lines(app)[0]
        await pilot.press("d", "enter", "y", "enter", "d", "e", "v", "enter")
        await pilot.pause()
        assert calls(app) == []
        assert len(app.screen_stack) == 2
        await pilot.press(*"prod", "enter")
        await app.workers.wait_for_complete()
        assert calls(app) == [("deploy", {"confirmed": "prod"})]


async def test_destroy_wants_a_typed_name_on_any_target() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("D", "y", "enter")
        await pilot.pause()
        assert calls(app) == []
        await pilot.press(*"dev", "enter")
        await app.workers.wait_for_complete()
        assert calls(app) == [("destroy", {"confirmed": "dev"})]


async def test_a_read_only_console_asks_the_engine_for_nothing_that_changes_anything() -> None:
    app = console(fake_states.read_only())
    async with app.run_test(size=WIDE) as pilot:
        assert "READ-ONLY" in screen_lines(app)[0]
        for key in ("d", "x", "X", "H", "r", "a", "u", "D", "W"):
            await pilot.press(key)
            await pilot.pause()
            assert "read-only" in screen_lines(app)[-2]
            await pilot.press("y")
            assert len(app.screen_stack) == 1
        assert calls(app) == []


async def test_repair_and_run_and_cancel_name_the_run() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("r")
        await pilot.pause()
        assert "Run every failed task of run 8123 again." in screen_text(app)
        await pilot.press("y")
        await app.workers.wait_for_complete()
        await pilot.press("2", "n", "R")
        await pilot.pause()
        assert "with what depends on it" in screen_text(app)
        await pilot.press("y")
        await app.workers.wait_for_complete()
        assert calls(app) == [
            ("repair", "8123", {"confirmed": "y"}),
            ("repair", "8123", ("silver_refresh",), True, {"confirmed": "y"}),
        ]


async def test_run_with_parameters_sends_only_what_was_changed() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("X")
        await pilot.pause()
        assert "day" in screen_text(app)
        await pilot.press("end", "2", "enter", *"+silver_refresh", "enter")
        await pilot.pause()
        text = screen_text(app)
        assert "--params day=today2" in text
        assert "--only +silver_refresh" in text
        await pilot.press("y")
        await app.workers.wait_for_complete()
        assert calls(app) == [("run", "jobs.orchestrator", {"day": "today2"}, ("+silver_refresh",), {"confirmed": "y"})]


async def test_a_full_refresh_says_that_it_loses_data() -> None:
    app = console(fake_states.pipeline(state="FAILED"))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "F")
        await pilot.pause()
        assert "throws the tables' data and checkpoints away" in screen_text(app)
        await pilot.press("y", "enter", *"dev", "enter")
        assert calls(app) == []
        await pilot.press(*"silver_dlt", "enter")
        await app.workers.wait_for_complete()
        assert calls(app)[-1] == ("start_update", "pipelines.silver_dlt", {"full": True, "confirmed": "silver_dlt"})


async def test_the_guards_no_is_said_and_the_console_stays() -> None:
    app = console(fake_states.failed())
    app.engine.refuse = "the profile changed since this was asked"  # type: ignore[attr-defined]
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("d", "y")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "not done: the profile changed since this was asked" in screen_text(app)


async def test_an_error_of_the_engine_is_one_sentence_and_the_console_stays(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBOPS_STATE_DIR", str(tmp_path))
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.state.focus == "jobs.orchestrator" and not app.workers)
        app.engine.raises = RuntimeError("boom [/] \x1b[31m")  # type: ignore[attr-defined]
        await pilot.press("d", "y")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "RuntimeError: boom [/]" in screen_text(app)
        assert len(list(tmp_path.glob("crash-*.txt"))) == 1
        await pilot.press("2")
        assert app.is_running


async def test_apply_shows_the_diff_and_undo_asks_too() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("a")
        await pilot.pause()
        text = screen_text(app)
        assert '-     .join(o, "customer_idd")' in text
        assert '+     .join(o, "customer_id")' in text
        await pilot.press("y")
        await app.workers.wait_for_complete()
        await publish(pilot, app, replace(fake_states.failed(), undo_title="use customer_id"))
        await pilot.press("u")
        await pilot.pause()
        assert "use customer_id" in screen_text(app)
        await pilot.press("y")
        await app.workers.wait_for_complete()
        assert calls(app) == [("apply_fix", 0, {"confirmed": "y"}), ("undo_fix", {"confirmed": "y"})]


async def test_the_fix_under_the_cursor_is_the_one_applied() -> None:
    state = fake_states.failed()
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3", "G", "a")
        await pilot.pause()
        assert "this fix is done by hand" in screen_text(app)
        assert calls(app) == []
    app = console(replace(state, fixes=tuple(reversed(state.fixes))))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("3", "G", "a")
        await pilot.pause()
        await pilot.press("y")
        await app.workers.wait_for_complete()
        assert calls(app) == [("apply_fix", 1, {"confirmed": "y"})]


# --- keeping the place ------------------------------------------------------------------------------------------------


async def test_a_refresh_keeps_cursor_expansion_and_scroll() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "j", "j")
        key = app.panes.run.home()
        await pilot.press("h", "h")
        closed = app.panes.run.home()
        before = screen_lines(app)
        state = fake_states.failed()
        assert state.run is not None
        changed = replace(state, run=replace(state.run, tasks=tuple(replace(t) for t in state.run.tasks)))
        await publish(pilot, app, changed)
        assert app.panes.run.home() == closed != key
        assert screen_lines(app) == before


async def test_a_task_that_ends_changes_its_line_and_no_other() -> None:
    state = fake_states.running()
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        before = screen_lines(app)
        assert state.run is not None
        ended = tuple(
            replace(t, state=fake_states.OK, end_ms=t.start_ms + 60_000) if t.task_key == "silver_refresh" else t
            for t in state.run.tasks
        )
        await publish(pilot, app, replace(state, run=replace(state.run, tasks=ended)))
        after = screen_lines(app)
    different = [number for number, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert "✓ silver_refresh" in after[4]
    assert set(different) <= {2, 4}  # the head of the pane counts tasks


async def test_many_states_at_once_become_few_paintings() -> None:
    app = console(fake_states.running())
    paints = 0
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        original = app._paint

        def counted() -> None:
            nonlocal paints
            paints += 1
            original()

        app._paint = counted  # type: ignore[method-assign]
        for number in range(500):
            lines = tuple(CliLine("err", f"line {n}") for n in range(number))
            app.engine.publish(replace(fake_states.running(), cli_lines=lines))  # type: ignore[attr-defined]
        app._paint = original  # type: ignore[method-assign]
        app._paint()
        await pilot.pause()
        assert app.panes.cli.source[-1].spans[1][0] == "line 498"
    assert paints <= 2


async def test_new_cli_lines_do_not_move_what_is_being_read() -> None:
    state = replace(fake_states.failed(), cli_lines=tuple(CliLine("err", f"line {n}") for n in range(200)))
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        app.go_to_tab("cli")
        await pilot.press("4", "g")
        await pilot.pause()
        before = screen_lines(app)
        await publish(pilot, app, replace(state, cli_lines=(*state.cli_lines, CliLine("err", "new"))))
        assert screen_lines(app) == before
        await pilot.press("G")
        await pilot.pause()
        assert any(line.rstrip("┃ ").endswith("new") for line in screen_lines(app))


# --- looking ----------------------------------------------------------------------------------------------------------


async def test_resting_on_a_resource_makes_the_engine_follow_it_and_enter_does_at_once() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("j", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert ("focus", "jobs.bronze_setup") in app.engine.calls  # type: ignore[attr-defined]
        assert app.pane == "run"


async def test_a_nested_run_that_is_not_loaded_is_loaded_when_opened() -> None:
    app = console(replace(fake_states.failed(), child_runs={}))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "g", "space")
        await app.workers.wait_for_complete()
        assert ("expand", "t-bronze_setup") in calls(app)


async def test_the_output_of_a_failed_task_is_loaded_once() -> None:
    state = replace(fake_states.failed(), outputs={})
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n")
        await app.workers.wait_for_complete()
        for _ in range(5):
            await publish(pilot, app, replace(state))
        await app.workers.wait_for_complete()
        loads = [call for call in app.engine.calls if call[0] == "load_output"]  # type: ignore[attr-defined]
        assert loads == [("load_output", "t-silver_refresh")]


async def test_enter_on_a_task_shows_its_output_with_the_step_it_died_in() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "n", "enter")
        await pilot.pause()
        text = screen_text(app)
        assert "died in step 3 of 5" in text
        assert "AnalysisException" in text


async def test_n_goes_from_failed_task_to_failed_task() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("n")
        assert app.panes.run.home() == "t-silver_refresh"
        await pilot.press("n")
        assert app.panes.run.home() == "c-2"
        await pilot.press("N")
        assert app.panes.run.home() == "t-silver_refresh"


async def test_the_filter_narrows_the_tree_while_it_is_typed_and_escape_takes_it_back() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        before = screen_lines(app)
        await pilot.press("slash", *"gold")
        await pilot.pause()
        assert app.panes.resources.count == 2
        assert "bronze_setup" not in "\n".join(line[:38] for line in screen_lines(app))
        await pilot.press("escape")
        await pilot.pause()
        await pilot.pause()
        assert [line[:38] for line in screen_lines(app)[2:30]] == [line[:38] for line in before[2:30]]


async def test_a_search_in_the_output_goes_from_match_to_match() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "n", "n", "enter", "slash", *"step", "enter")
        await pilot.pause()
        assert "of 4" in screen_text(app) or "of 3" in screen_text(app)
        await pilot.press("n")
        await pilot.pause()
        assert "2 of" in screen_text(app)


async def test_events_are_filtered_by_level_and_shown_with_the_root_cause_first() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=WIDE) as pilot:
        app.go_to_tab("events")
        await pilot.press("4")
        await pilot.pause()
        assert "61 events · 1 error · 3 warnings" in screen_text(app)
        assert "METRICS" not in screen_text(app)
        await pilot.press("L", "L")
        await pilot.pause()
        assert app.panes.events.count == 1
        await pilot.press("enter")
        await pilot.pause()
        text = screen_text(app)
        assert text.index("root cause UnknownFieldException") < text.index("led to")
        assert "src/pipeline/orders.sql:12" in text


async def test_a_pipeline_shows_flows_in_dependency_order_with_rows_and_rules() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert text.index("bronze.orders") < text.index("silver.orders") < text.index("gold.daily")
        assert "1.2M rows" in text
        assert "31 of 42.0k failed" in text
        assert "1/3 flows" in text


async def test_the_palette_finds_resources_and_actions_by_a_few_letters() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("colon", *"slvdlt", "enter")
        await pilot.pause()
        assert app.panes.resources.home() == "pipelines.silver_dlt"
        await pilot.press("colon", *"deploy", "enter")
        await pilot.pause()
        assert "databricks bundle deploy" in screen_text(app)


async def test_help_lists_the_keys_as_they_are_set() -> None:
    app = console(fake_states.base(), keymap={"deploy": "ctrl+d"})
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert "ctrl+d" in screen_text(app)
        await pilot.press("escape", "d")
        await pilot.pause()
        assert len(app.screen_stack) == 1
        await pilot.press("ctrl+d")
        await pilot.pause()
        assert "databricks bundle deploy" in screen_text(app)


async def test_zoom_gives_the_pane_all_the_room_and_takes_it_back() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "z")
        await pilot.pause()
        assert "Resources" not in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "Resources" in screen_text(app)


async def test_a_click_on_a_key_at_the_foot_does_the_same_as_the_key() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        x = screen_lines(app)[-1].index("d deploy")
        await pilot.click(offset=(x + 1, WIDE[1] - 1))
        await pilot.pause()
        assert "databricks bundle deploy" in screen_text(app)


async def test_clicks_choose_lines_and_tabs() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        lines = screen_lines(app)
        row = next(number for number, line in enumerate(lines) if "bronze_setup" in line[:38])
        await pilot.click(offset=(8, row))
        await pilot.pause()
        assert app.panes.resources.home() == "jobs.bronze_setup"
        row, line = next((n, line) for n, line in enumerate(lines) if "Timeline │" in line)
        await pilot.click(offset=(line.index("CLI") + 1, row))
        await pilot.pause()
        assert app.panes.tab == "cli"


# --- what stands in the way -------------------------------------------------------------------------------------------


async def test_a_broken_bundle_shows_the_place_and_keeps_the_last_good_tree() -> None:
    app = console(fake_states.broken())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert "resources/gold_merge.yml:14" in text
        assert "mapping values are not allowed here" in text
        assert "silver_dlt" in text
        await publish(pilot, app, fake_states.base())
        assert "mapping values" not in screen_text(app)


async def test_without_the_cli_it_says_what_to_install_and_deploys_nothing() -> None:
    app = console(fake_states.no_cli())
    async with app.run_test(size=SIZES["normal"]) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert "winget install Databricks.DatabricksCLI" in screen_text(app)
        await pilot.press("d", "y")
        await pilot.pause()
        assert calls(app) == []


async def test_profiles_are_offered_and_never_chosen_silently() -> None:
    app = console(fake_states.unresolved())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "azure-admin" in screen_text(app)
        assert calls(app) == []
        await pilot.press("i", "down", "enter")
        await app.workers.wait_for_complete()
        assert calls(app) == [("login", "azure-admin")]


async def test_stale_data_stays_with_its_age_and_the_reason() -> None:
    app = console(fake_states.stale())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "shown as of 90 s ago: the workspace does not answer" in screen_text(app)
        assert "silver_refresh" in screen_text(app)


async def test_what_it_waits_for_is_on_screen() -> None:
    app = console(fake_states.running(), clock=True)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        line = screen_lines(app)[-2]
        assert "waiting for run 8130 to end" in line
        assert "2 files changed, d to redeploy" in line
        assert "poll in 12 s" in line


async def test_an_unknown_state_is_shown_as_it_came() -> None:
    app = console(fake_states.running())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "? odd" in screen_text(app)
        assert "hibernating" in screen_text(app)


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_leaving_with_nothing_running_needs_one_key() -> None:
    app = console(replace(fake_states.base(), statuses={}))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0
    assert app.engine.closed  # type: ignore[attr-defined]


async def test_leaving_says_what_goes_on_running_and_cancels_nothing() -> None:
    app = console(fake_states.running())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("q")
        await pilot.pause()
        assert "orchestrator (run 8130)" in screen_text(app)
        assert app.is_running
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1
        await pilot.press("q", "q")
        await pilot.pause()
    assert calls(app) == [("close",)] or calls(app) == []
    assert app.return_code == 0


async def test_what_an_earlier_console_left_is_said_once() -> None:
    state = replace(fake_states.base(), resumable="went on with run 8130, started by an earlier console")
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await publish(pilot, app, state)
        assert "went on with run 8130" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "went on with run 8130" not in screen_text(app)


# --- ringing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pane"), [((80, 24), "diagnosis"), (WIDE, "resources")])
async def test_where_one_pane_is_on_screen_a_failure_brings_its_diagnosis(size: tuple[int, int], pane: str) -> None:
    app = console(fake_states.running())
    async with app.run_test(size=size) as pilot:
        await publish(pilot, app, fake_states.failed())
        assert app.pane == pane
        assert "unresolved_column" in screen_text(app)


async def test_it_leaves_a_pane_that_somebody_went_to() -> None:
    app = console(fake_states.running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await publish(pilot, app, fake_states.failed())
        assert app.pane == "run"


async def test_it_rings_once_for_a_new_failure_and_never_again_for_the_same() -> None:
    app = console(fake_states.failed())
    written: list[str] = []
    async with app.run_test(size=WIDE):
        app.write_terminal = written.append  # type: ignore[method-assign]
        event = ev.FailureDiagnosed("jobs.orchestrator", fake_states.diagnosis(), "8123", "refresh")
        for _ in range(3):
            app.engine.publish(event=event)  # type: ignore[attr-defined]
    assert written == ["\a"]


async def test_a_watched_run_rings_at_its_end_and_others_do_not() -> None:
    state = fake_states.running()
    app = console(state)
    written: list[str] = []
    async with app.run_test(size=WIDE) as pilot:
        app.write_terminal = written.append  # type: ignore[method-assign]
        assert state.run is not None
        done = replace(state, run=replace(state.run, state=fake_states.OK, end_ms=fake_states.NOW_MS))
        event = ev.RunChanged("jobs.orchestrator", "8130", "succeeded")
        app.engine.publish(done, event)  # type: ignore[attr-defined]
        assert written == []
        await publish(pilot, app, state)
        await pilot.press("w")
        app.engine.publish(done, event)  # type: ignore[attr-defined]
        assert written == ["\a"]


async def test_the_report_opens_when_it_comes_and_can_be_copied() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("M")
        await app.workers.wait_for_complete()
        assert calls(app) == [("report",)]
        await publish(pilot, app, replace(fake_states.base(), report_markdown="# It failed\n\n- run 8123"))
        assert "# It failed" in screen_text(app)


async def test_a_bundle_without_resources_and_one_with_odd_names_are_shown() -> None:
    bundle = replace(fake_states.bundle(), resources=())
    app = console(replace(fake_states.base(), bundle=bundle))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "No resource is declared" in screen_text(app)
        odd = fake_states.bundle().resources[0]
        names = ("日本語のジョブ", "[/]", "[@click=app.quit]x[/]", "a" * 200, "ünï")
        many = Bundle(bundle.root, "odd", "dev", resources=tuple(replace(odd, key=name) for name in names))
        await publish(pilot, app, replace(fake_states.base(), bundle=many))
        text = screen_text(app)
        assert "日本語のジョブ" in text
        assert "[@click=app" in text


async def test_a_queued_run_says_why() -> None:
    state = fake_states.running()
    assert state.run is not None
    queued = RunState(Outcome.QUEUED, "QUEUED", queue_reason="max concurrent runs reached")
    app = console(replace(state, run=replace(state.run, state=queued)))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "queued: max concurrent runs reached" in screen_text(app)


def test_the_settings_become_the_consoles_options(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[keys]\ndeploy = "ctrl+d"\n')
    options = Options.of(Config(clock=False, theme="dbops-light", keymap=str(keys), editor="hx"))
    assert (options.clock, options.theme, options.editor) == (False, "dbops-light", "hx")
    assert options.keymap == {"deploy": "ctrl+d"}
    keys.write_text('[keys]\ndeploy = "q"\n')
    with pytest.raises(KeymapError, match="q: stands for deploy and for quit"):
        Options.of(Config(keymap=str(keys)))


async def test_a_theme_that_is_none_is_ours_and_the_key_turns_them() -> None:
    app = console(fake_states.base(), theme="no-such-theme")
    async with app.run_test(size=WIDE) as pilot:
        assert app.theme == "dbops-dark"
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert app.theme == "dbops-light"
        assert app.views["run"].palette is PALETTES["dbops-light"]
