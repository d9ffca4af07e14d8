"""Runs as people see them in the console: every kind of task, really run in the simulated workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_states
from console_play import SIZE, go_to, played, resources, said, until
from dbops_tui.core.engine import Engine
from dbops_tui.core.run_stats import LEAST_RUNS
from dbops_tui.core.runs import Outcome, Run, RunState, TaskOutput
from dbops_tui.tui.app import ConsoleApp
from dbops_tui.widgets.glyphs import UNICODE
from dbops_tui.widgets.history import HistoryPage
from dbops_tui.widgets.output import output_lines
from dbops_tui.widgets.page import Look
from engine_world import mutating
from sandbox_fixture import SandboxBox
from sandbox_work import advance
from snapshot_helper import console, screen_lines, screen_text
from textual import events

BOOKS = "jobs.books"


async def ended(pilot: Any, engine: Engine, but: str = "") -> Run:
    """The run on show, once it is over; another one than `but`."""

    def over() -> bool:
        run = engine.state.run
        return run is not None and run.run_id != but and not run.state.active

    await until(pilot, over)
    assert engine.state.run is not None
    return engine.state.run


async def on_task(pilot: Any, app: ConsoleApp, key: str) -> None:
    """Put the cursor of the run on the newest attempt of this task, in its pane."""
    await pilot.press("2")
    app.panes.go_to_task(key, 30)
    app.views["run"].sync()
    app.refresh_scene()
    await pilot.pause()


def line(app: ConsoleApp, *words: str) -> str:
    """The first line of the screen with all these words; empty where there is none."""
    return next((text for text in screen_lines(app) if all(word in text for word in words)), "")


async def output_of(pilot: Any, app: ConsoleApp, key: str, *words: str) -> None:
    """Look at what a task put out until it says all these words."""
    await on_task(pilot, app, key)
    await pilot.press("enter")
    await until(pilot, said(app, *words))
    assert f" {key} ─" in line(app, "4 Details"), "the title of the output says whose it is"


async def test_every_kind_of_task_is_told_as_it_happened_and_repaired(tmp_path: Path) -> None:
    async with played(tmp_path, "every-kind") as (pilot, app, engine, box):
        await go_to(pilot, app, BOOKS)
        await pilot.press("x", "y")
        run = await ended(pilot, engine)
        await until(pilot, lambda: len(engine.state.diagnoses) == 2)
        await pilot.press("2", "z")
        await until(pilot, said(app, "divide_by_zero"))
        assert "is true" in line(app, "✓ is_full")
        assert "excluded: is_full is true" in line(app, "load_changes")
        assert line(app, "old_export").rstrip("│┃ ").endswith("disabled")
        assert "attempt 2" in line(app, "✓ copy_ledger")
        assert "upstream failed: models" in line(app, "⊘ statements")
        assert "partly: 117 of 120 iterations did well" in line(app, "⊖ read_files")
        assert "Workload failed" not in screen_text(app), "what says nothing is not said"
        await on_task(pilot, app, "copy_ledger")
        await pilot.press("right")
        await until(pilot, lambda: "attempt 1" in line(app, "✗ copy_ledger"))
        await on_task(pilot, app, "read_files")
        await pilot.press("right")
        await until(pilot, lambda: "checksum mismatch for file-007" in line(app, "✗ file-007"))
        shown = [text for text in screen_lines(app) if " file-" in text]
        assert "file-007" in shown[0]
        assert "file-042" in shown[1], "those that failed stand first"
        await pilot.press("end")
        await until(pilot, said(app, "20 more iterations, 1 of them failed: Enter"))
        await pilot.press("enter")
        loops = key_of(run, "read_files")
        await until(pilot, lambda: len(engine.state.iterations[loops]) == 120)
        await pilot.press("z")
        await output_of(
            pilot, app, "models", "dbt: 2 of 4 passed, 1 failed, 1 skipped", "balances  models/balances.sql"
        )
        await output_of(pilot, app, "load_full", "38 of 40 items succeeded (95 %)", "failed  shop-12, shop-31")
        await output_of(pilot, app, "totals", "SELECT account, SUM(amount)")
        # All that failed is run again: of the task with few failures, too.
        await pilot.press("2", "r", "y")
        await until(pilot, lambda: engine.state.run is not None and bool(engine.state.run.latest_repair_id))
        await ended(pilot, engine)
        await until(pilot, said(app, "repair 1"))
        await until(pilot, lambda: "partly: 117 of 120 iterations" in line(app, "2 books"))
        assert "failed" not in line(app, "books   "), "nor on the line of the job"
        assert "partly" in line(app, "⊖ books")
        assert sum("repair" in call for call in mutating(box)) == 1


def key_of(run: Run, key: str) -> str:
    return next(task.run_id for task in run.tasks if task.task_key == key)


async def test_a_run_with_other_parameters_takes_the_other_branch_and_an_unknown_task_is_not_asked_for(
    tmp_path: Path,
) -> None:
    async with played(tmp_path, "every-kind") as (pilot, app, engine, box):
        await go_to(pilot, app, BOOKS)
        await pilot.press("X", "down", "down", *"nosuch", "ctrl+s")
        await until(pilot, said(app, "books has no task nosuch"))
        assert not any("run-now" in call for call in mutating(box))
        await pilot.press("X", "down", "ctrl+u", *"delta", "ctrl+s")
        await until(pilot, said(app, "--params mode=delta"))
        await pilot.press("y")
        run = await ended(pilot, engine)
        assert dict(run.parameters)["mode"] == "delta"
        await pilot.press("2")
        await until(pilot, said(app, "excluded: is_full is false"))
        assert "✓ load_changes" in screen_text(app)
        # Only one task, and what it needs: the others are left out of the run.
        await pilot.press("1", "X", "down", "down", "plus", *"totals", "ctrl+s")
        await until(pilot, said(app, "Run only +totals of jobs.books"))
        await pilot.press("y")
        run = await ended(pilot, engine, but=run.run_id)
        ran = {task.task_key for task in run.tasks if task.state.succeeded}
        assert ran == {"is_full", "load_full", "totals"}


async def test_the_run_that_was_started_last_is_on_show_queued_with_its_reason_and_can_be_cancelled(
    tmp_path: Path,
) -> None:
    async with played(tmp_path, "every-kind", scale=20) as (pilot, app, engine, box):
        await go_to(pilot, app, BOOKS)
        await pilot.press("x", "y")
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.state.outcome is Outcome.RUNNING)
        first = engine.state.run
        assert first is not None
        box.control("POST", "clock", {"freeze": True})
        await pilot.press("x", "y")
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.run_id != first.run_id)
        await pilot.press("2")
        await until(pilot, said(app, "queued", "maximum concurrent runs of 1"))
        await pilot.press("c", "y")
        await until(pilot, lambda: any("cancel" in call for call in mutating(box)))
        box.control("POST", "clock", {"freeze": False})
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.state.outcome is Outcome.CANCELED)
        await until(pilot, said(app, "canceled"))
        assert [call for call in mutating(box) if "cancel" in call] == ["POST /api/2.2/jobs/runs/cancel"]


async def test_jobs_that_another_run_starts_have_their_own_line_to_the_end(tmp_path: Path) -> None:
    async with played(tmp_path) as (pilot, app, engine, _):
        await go_to(pilot, app, "jobs.orchestrator")
        await pilot.press("x", "y")
        await ended(pilot, engine)
        await until(pilot, lambda: "failed" in line(app, "✗ silver_refresh"))
        await until(pilot, lambda: line(app, "✓ bronze_ingest") != "")
        # The task that started the nested run says where in it the failure is, not that there is one.
        await until(pilot, lambda: "in refresh_orders" in line(app, "✗ silver  "))


async def test_a_nested_run_that_nobody_saw_active_has_its_line_too(tmp_path: Path) -> None:
    # So fast that all of it happens between two looks.
    async with played(tmp_path, healthy=True, scale=100_000) as (pilot, app, engine, _):
        await go_to(pilot, app, "jobs.orchestrator")
        await pilot.press("x", "y")
        await ended(pilot, engine)
        for job in ("bronze_ingest", "silver_refresh", "gold_publish"):
            await until(pilot, lambda job=job: line(app, f"✓ {job}") != "")


async def test_a_run_that_tolerates_a_failure_is_called_so(tmp_path: Path) -> None:
    async with played(tmp_path, "every-kind") as (pilot, app, engine, _):
        await go_to(pilot, app, "jobs.tolerant")
        await pilot.press("x", "y")
        run = await ended(pilot, engine)
        assert run.state.outcome is Outcome.SUCCEEDED_WITH_FAILURES
        await until(pilot, said(app, "succeeded with failures"))
        await pilot.press("2")
        await until(pilot, lambda: "failed" in line(app, "✗ read_one"))


async def test_what_the_platform_cut_short_is_said_with_the_page_that_has_all(tmp_path: Path) -> None:
    async with played(tmp_path, "every-kind") as (pilot, app, engine, box):
        box.control("POST", "quirks", {"output_limit": 30})
        await go_to(pilot, app, BOOKS)
        await pilot.press("x", "y")
        await ended(pilot, engine)
        await output_of(pilot, app, "load_full", "The platform cut this short; all of it is on the run page (o).")


async def test_repair_is_offered_only_while_something_is_failed_in_its_newest_attempt() -> None:
    run = fake_states.failed_run()
    good = RunState(Outcome.SUCCEEDED)
    mended = tuple(
        replace(task, run_id=f"{task.run_id}-2", attempt=task.attempt + 1, start_ms=task.start_ms + 1, state=good)
        for task in run.tasks
    )
    state = replace(fake_states.failed(), run=replace(run, state=good, tasks=(*run.tasks, *mended)), diagnoses=())
    app = console(state)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        assert "r repair" not in screen_lines(app)[-1]
        await pilot.press("r")
        assert "nothing of this run has failed" in screen_text(app)
    app = console(replace(state, run=replace(run, state=good, tasks=(*run.tasks, *mended[1:]))))
    failing = run.tasks[0].state.failed
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        assert ("r repair" in screen_lines(app)[-1]) is failing


def text(task_output: TaskOutput) -> str:
    task = next(task for task in fake_states.failed_run().tasks if task.state.failed)
    return "\n".join("".join(part for part, _ in row.spans) for row in output_lines(task, task_output, UNICODE))


def test_the_step_it_died_in_is_read_from_the_lines_of_a_trace_that_ran() -> None:
    trace = (
        "ValueError                                Traceback (most recent call last)\n"
        "File <command-12>, line 3\n"
        '      1 print("[Step 1/4] Reading")\n'
        '      2 print("[Step 2/4] Joining")\n'
        "----> 3 joined = a.join(b)\n"
        '      4 print("[Step 3/4] Writing")\n'
    )
    said_ = text(TaskOutput("t", error="ValueError: no", error_trace=trace))
    assert "died in step 2 of 4  Joining\n" in said_


async def test_a_check_query_asks_the_warehouse_that_was_chosen_and_confirms(tmp_path: Path) -> None:
    async with played(tmp_path, "missing-table") as (pilot, app, engine, box):
        await go_to(pilot, app, "jobs.silver_refresh")
        await pilot.press("x", "y")
        await ended(pilot, engine)
        await until(pilot, lambda: bool(engine.state.diagnoses))
        await pilot.press("3")
        tab = app.panes.tab
        assert "c check" in screen_lines(app)[-1]
        await pilot.press("c")
        await until(pilot, said(app, "stopped: would be started by it"))
        await pilot.press("enter")
        await until(pilot, said(app, "DESCRIBE TABLE", "silver_ordres", "the query starts it"))
        assert not any("sql/statements" in call for call in mutating(box)), "nothing is sent before a person says yes"
        await pilot.press("y")
        await until(pilot, said(app, "the check query confirmed it", "99 % (was 97 %)"))
        assert app.panes.tab == tab, "what was being read stays"
        assert [call for call in mutating(box) if "/sql/" in call] == ["POST /api/2.0/sql/statements"]


async def test_a_watched_run_is_followed_also_while_the_terminal_is_out_of_sight_until_it_has_rung() -> None:
    state = fake_states.running()
    run = state.run
    assert run is not None
    app = console(state)
    async with app.run_test(size=(120, 40)) as pilot:
        told = app.engine.presence  # type: ignore[attr-defined]
        await pilot.press("w")
        app.post_message(events.AppBlur())
        await pilot.pause()
        assert ("away", True) not in told, "else nobody would see it end"
        over = replace(run, state=RunState(Outcome.SUCCEEDED), end_ms=run.start_ms + 1)
        app.engine.publish(replace(state, run=over))  # type: ignore[attr-defined]
        await until(pilot, lambda: ("away", True) in told)
        assert not app.watched
        app.post_message(events.AppFocus())
        await until(pilot, lambda: told[-1] == ("away", False))


def test_a_run_that_failed_in_few_is_no_failure_in_the_grid_of_past_runs() -> None:
    run = fake_states.nightly_run()
    few = replace(run, tasks=run.tasks[:1], state=RunState(Outcome.FAILED))
    assert few.tasks[0].for_each is not None
    page = HistoryPage()
    page.show((few, replace(few, run_id="other", tasks=(replace(few.tasks[0], for_each=None),))))
    whole = "".join(part for part, _ in page.line(0, 100, Look(glyphs=UNICODE, now_ms=fake_states.NOW_MS)))
    assert whole.split() == ["whole", "run", "✗", "⊖", "1", "of", "2", "failed,", "1", "partly"]


async def test_iterations_that_were_opened_while_they_ran_are_brought_up_to_date(tmp_path: Path) -> None:
    async with played(tmp_path, "every-kind", scale=4) as (pilot, app, engine, box):
        await go_to(pilot, app, BOOKS)
        await pilot.press("x", "y")
        await until(pilot, said(app, "read_files", "/120", "running"))
        box.control("POST", "clock", {"freeze": True})
        run = engine.state.run
        assert run is not None
        await on_task(pilot, app, "read_files")
        await pilot.press("right")
        loops = key_of(run, "read_files")
        await until(pilot, lambda: bool(engine.state.iterations.get(loops)))
        assert any(loop.state.active for loop in engine.state.iterations[loops])
        box.control("POST", "clock", {"freeze": False, "scale": 100})
        await until(pilot, lambda: not any(loop.state.active for loop in engine.state.iterations[loops]))
        await until(pilot, lambda: "ValueError" in line(app, "✗ file-007"))


async def test_what_failed_before_is_explained_when_it_is_looked_at_and_a_past_run_is_opened(tmp_path: Path) -> None:
    async with played(tmp_path) as (pilot, app, engine, box):
        job = next(r for r in resources(engine) if r.ref == "jobs.silver_refresh")

        async def somebody_runs_it(end: str) -> str:
            run_id = str(box.post("/api/2.2/jobs/run-now", {"job_id": int(job.id)})["run_id"])
            await until(pilot, lambda: result_of(box, run_id) == end)
            return run_id

        app.go_to_tab("history")
        await go_to(pilot, app, job.ref)
        await until(pilot, said(app, "No run has ended yet."))
        app.go_to_tab("task")
        failed = await somebody_runs_it("FAILED")
        await go_to(pilot, app, job.ref)
        await until(pilot, said(app, f"run {failed}", "unresolved_column", "customer_idd → customer_id"))
        await go_to(pilot, app, "jobs.bronze_ingest")
        await until(pilot, lambda: "unresolved_column" not in screen_text(app))
        await pilot.resize_terminal(80, 24)
        await pilot.press("3")
        await until(pilot, said(app, "Nothing on show has failed; silver_refresh has: n."))
        await pilot.resize_terminal(*SIZE)
        await pilot.press("n")
        await until(pilot, said(app, f"run {failed}", "unresolved_column"))
        await go_to(pilot, app, "jobs.bronze_ingest")

        source = engine.world.root / "src/silver/refresh_orders.py"
        source.write_text(source.read_text().replace("customer_idd", "customer_id"))
        await pilot.press("d", "y")
        await until(pilot, said(app, "Files: 1 uploaded"))
        await until(pilot, lambda: not engine.state.busy)
        good = await somebody_runs_it("SUCCESS")
        await go_to(pilot, app, job.ref)
        await until(pilot, said(app, f"run {good}"))
        assert engine.state.diagnoses == ()

        app.go_to_tab("history")
        await pilot.press("4")
        await until(pilot, said(app, "whole run"))
        await pilot.press("left", "enter")
        await until(pilot, said(app, f"run {failed}", "a past run", "unresolved_column"))
        await go_to(pilot, app, job.ref)
        await until(pilot, said(app, f"run {good}"))
        await until(pilot, lambda: engine.state.diagnoses == ())


def result_of(box: SandboxBox, run_id: str) -> str:
    return str(box.get("/api/2.2/jobs/runs/get", run_id=run_id)["state"].get("result_state", ""))


async def test_a_task_that_waits_for_its_retry_says_so_and_its_attempts_stand_under_it(tmp_path: Path) -> None:
    async with played(tmp_path) as (pilot, app, engine, box):
        source = engine.world.root / "resources/silver_refresh.job.yml"
        key = "- task_key: refresh_orders\n          notebook_task"
        wait = "max_retries: 1\n          min_retry_interval_millis: 9000000\n          notebook"
        more = key.replace("notebook", wait)
        source.write_text(source.read_text().replace(key, more))
        await pilot.press("d", "y")
        await until(pilot, said(app, "1 changed"))
        await until(pilot, lambda: not engine.state.busy)
        await go_to(pilot, app, "jobs.silver_refresh")
        await pilot.press("x", "y")
        await until(pilot, lambda: "waiting for retry after 1 attempt" in line(app, "↻ refresh_orders"))
        advance(box, 9000)
        run = await ended(pilot, engine)
        assert [task.attempt for task in run.tasks if task.task_key == "refresh_orders"] == [0, 1]
        await until(pilot, lambda: "failed after 2 attempts" in line(app, "✗ refresh_orders"))


async def test_one_task_is_cancelled_and_the_others_go_on(tmp_path: Path) -> None:
    async with played(tmp_path, "every-kind", scale=20) as (pilot, app, engine, box):
        await go_to(pilot, app, BOOKS)
        await pilot.press("x", "y")
        await until(pilot, said(app, "◉ load_full"))
        box.control("POST", "clock", {"freeze": True})
        await on_task(pilot, app, "load_full")
        await pilot.press("c", "tab")
        await until(pilot, said(app, "Cancel only the task load_full"))
        await pilot.press("y")
        await until(pilot, lambda: any("cancel" in call for call in mutating(box)))
        box.control("POST", "clock", {"freeze": False})
        run = await ended(pilot, engine)
        found = {task.task_key: task.state.outcome for task in run.tasks}
        assert found["load_full"] is Outcome.CANCELED
        assert found["copy_ledger"] is Outcome.SUCCEEDED


async def test_the_log_of_a_running_script_grows_is_followed_and_searched(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True, scale=20) as (pilot, app, engine, box):
        await go_to(pilot, app, "jobs.bronze_ingest")
        box.control("POST", "clock", {"scale": 2})  # slow enough for any machine to be there before its end
        await pilot.press("x", "y")
        await until(pilot, said(app, "◉ ingest_customers"))
        await on_task(pilot, app, "ingest_customers")
        app.go_to_tab("output")
        await pilot.press("4")
        await until(pilot, said(app, "[Step 1/"))
        await until(pilot, said(app, "end follows"))
        await pilot.press("G")
        assert "following" in line(app, "Output")
        box.control("POST", "clock", {"scale": 20})
        await ended(pilot, engine)
        await until(pilot, said(app, "step 2 of 2"))
        await pilot.press("slash", *"Step", "enter")
        await until(pilot, said(app, "1 of 2"))
        await pilot.press("n")
        assert "2 of 2" in screen_text(app)


async def test_nested_runs_and_updates_that_went_well_are_loaded_when_they_are_opened(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True) as (pilot, app, engine, box):
        await go_to(pilot, app, "jobs.orchestrator")
        await pilot.press("x", "y")
        await ended(pilot, engine)
        await on_task(pilot, app, "silver")
        before = len(box.calls(path="*/jobs/runs/get"))
        await pilot.press("right")
        await until(pilot, lambda: "✓ refresh_returns" in line(app, "refresh_returns"))
        assert len(box.calls(path="*/jobs/runs/get")) - before <= 1, "one nested run, asked for once"
        await go_to(pilot, app, "jobs.gold_publish")
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.state.succeeded)
        await on_task(pilot, app, "refresh_orders_live")
        assert "live_orders" not in screen_text(app), "nothing is loaded that nobody opened"
        await pilot.press("right")
        await until(pilot, lambda: "rows" in line(app, "✓ live_orders_raw"))
        assert "5/5 flows" in line(app, "refresh_orders_live")


async def test_a_run_that_takes_longer_than_those_before_it_says_so(tmp_path: Path) -> None:
    async with played(tmp_path, healthy=True, scale=100) as (pilot, app, engine, box):
        await go_to(pilot, app, "jobs.silver_refresh")
        last = ""
        for _ in range(LEAST_RUNS):
            await pilot.press("x", "y")
            last = (await ended(pilot, engine, but=last)).run_id
            assert "than usual" not in screen_text(app)
        # The workspace stands still while its run is under way, and the time of those who wait for it goes on.
        box.control("POST", "clock", {"freeze": True})
        await pilot.press("x", "y")
        await until(pilot, lambda: engine.state.run is not None and engine.state.run.run_id != last)
        advance(box, 10)
        await pilot.press("2", "C")
        await until(pilot, lambda: "longer than usual" in line(app, "◉ refresh_orders"))
        await until(pilot, lambda: ", slow" in line(app, "◉ silver_refresh"))
        box.control("POST", "clock", {"freeze": False})
        run = await ended(pilot, engine, but=last)
        assert run.state.outcome is Outcome.SUCCEEDED
        await until(pilot, lambda: "slow" not in line(app, "✓ silver_refresh"))
