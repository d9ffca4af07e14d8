"""The views of runs and updates: everything within the tree, the graph, the grid of past runs, and what is usual."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import fake_states
import pytest
from dbops_tui.core.pipelines import Expectation, Flow, Update
from dbops_tui.core.runs import ForEachStats, Outcome, Run, RunState, TaskOutput, TaskRun
from dbops_tui.core.state import Usual
from dbops_tui.tui.app import ConsoleApp
from dbops_tui.tui.panes import TABS, Panes
from dbops_tui.widgets.glyphs import ASCII, UNICODE
from dbops_tui.widgets.graph import GraphNode, GraphPage, in_order_of, rail_spans, rails_of
from dbops_tui.widgets.graph_nodes import declared_nodes, flow_nodes, task_nodes
from dbops_tui.widgets.history import HistoryPage, update_history_lines
from dbops_tui.widgets.output import output_lines
from dbops_tui.widgets.page import Look
from dbops_tui.widgets.resource_tree import ResourcePage
from dbops_tui.widgets.run_nodes import Parts, repairs_of
from dbops_tui.widgets.run_tree import RunPage
from dbops_tui.widgets.spans import text_of, width_of
from dbops_tui.widgets.update_tree import UpdatePage, trend
from dbops_tui.widgets.words import shared_prefix
from fake_states import FAILED, NOW_MS, OK, RUNNING, task
from hypothesis import given
from hypothesis import strategies as st
from snapshot_helper import SIZES, console, screen_lines, screen_text
from test_console_app import calls, publish, until

WIDE, NORMAL = SIZES["wide"], SIZES["normal"]
LOOK = Look(now_ms=NOW_MS)


def run_lines(run: Run | None, width: int = 100, **parts: Any) -> tuple[RunPage, list[str]]:
    page = RunPage()
    page.show_parts(run, Parts(**parts), NOW_MS)
    return page, [text_of(page.line(index, width, LOOK)).rstrip() for index in range(page.count)]


def line_with(lines: list[str], words: str) -> str:
    return next(line for line in lines if words in line)


# --- the tree of a run ------------------------------------------------------------------------------------------------


def test_a_pipeline_task_opens_the_update_it_started_in_the_order_of_its_flows() -> None:
    state = fake_states.nightly()
    _, lines = run_lines(state.run, child_updates=state.child_updates)
    at = lines.index(line_with(lines, "orders_dlt"))
    assert "update u-7743aa 1/3 flows" in lines[at]
    assert [line.split()[1] for line in lines[at + 1 : at + 4]] == ["bronze.orders", "silver.orders", "gold.daily"]
    assert "✗ silver.orders" in lines[at + 2]
    assert "42.0k rows" in lines[at + 2]


def test_a_pipeline_task_whose_update_is_not_known_is_loaded_when_opened() -> None:
    page, _ = run_lines(fake_states.nightly_run())
    node = next(node for node in page.nodes if node.key == "t-orders_dlt")
    assert (node.branch, node.lazy) == (True, True)
    waiting = replace(
        fake_states.nightly_run(), tasks=(task("dlt", RunState(Outcome.BLOCKED), -1, 0, kind="pipeline"),)
    )
    assert not run_lines(waiting)[0].nodes[0].branch


def test_iterations_stand_failed_first_and_the_line_below_them_loads_the_next_page() -> None:
    state = fake_states.nightly()
    parts: dict[str, Any] = {"iterations": state.iterations, "more": state.iterations_more}
    page, _ = run_lines(state.run, **parts)
    page.toggle(0, opened=True)
    lines = [text_of(page.line(index, 100, LOOK)) for index in range(page.count)]
    assert "load_regions_7" in lines[1]
    assert "load_regions_67" in lines[2]
    assert "✓ load_regions_0 " in lines[3]
    assert page.key(101) == "t-load_regions/more"
    assert "140 more iterations" in lines[101]
    # The token decides, not the arithmetic: counts of the platform may be behind what it has listed.
    page.show_parts(state.run, Parts(iterations=state.iterations, more={"t-load_regions": ""}), NOW_MS)
    assert page.key(101) != "t-load_regions/more"


def test_attempts_say_in_which_repair_they_ran() -> None:
    run = fake_states.nightly_run()
    assert repairs_of(run) == {"t-notify-0": "original", "t-orders_dlt": "original", "t-notify-1": "repair 1"}
    page, lines = run_lines(run)
    assert line_with(lines, "notify").endswith("repair 1")
    page.go_to("t-notify-0", 40)
    assert "failed original" in text_of(page.line(page.cursor, 100, LOOK))
    assert repairs_of(fake_states.failed_run()) == {}


def test_a_branch_that_was_not_taken_names_the_condition_and_a_disabled_task_is_called_so() -> None:
    _, lines = run_lines(fake_states.nightly_run())
    assert "excluded: is_month_end is false" in line_with(lines, "close_month")
    assert line_with(lines, "old_export").endswith("disabled")
    assert "is false" in line_with(lines, "✓ is_month_end")


def test_a_for_each_that_failed_in_few_is_a_warning_and_in_many_a_failure() -> None:
    run = fake_states.nightly_run()
    _, lines = run_lines(run)
    assert "⊖ load_regions" in line_with(lines, "load_regions")
    assert "partly: 236 of 240 iterations did well" in line_with(lines, "load_regions")
    many = replace(run.tasks[0], for_each=ForEachStats(240, succeeded=100, failed=140, completed=240))
    _, lines = run_lines(replace(run, tasks=(many,)))
    assert "✗ load_regions" in lines[0]


def test_a_nested_run_that_failed_in_few_makes_its_task_a_warning() -> None:
    loop = task(
        "loop", FAILED, 0, 9, kind="for_each", for_each=ForEachStats(100, succeeded=99, failed=1, completed=100)
    )
    child = Run("2", "7", "child", FAILED, NOW_MS - 9_000, NOW_MS, tasks=(loop,))
    parent = Run(
        "1", "6", "parent", FAILED, NOW_MS - 9_000, NOW_MS, tasks=(task("start", FAILED, 0, 9, kind="run_job"),)
    )
    _, lines = run_lines(parent, child_runs={"t-start": child})
    assert "⊖ start" in lines[0]
    assert "99 of 100 iterations" in lines[0]


def test_a_task_that_takes_longer_than_usual_is_said_while_it_runs_and_afterwards() -> None:
    usual = {"a": Usual(20_000, 30_000, 9), "b": Usual(600_000, 700_000, 9), "c": Usual(1_000, 2_000, 9)}
    tasks = (task("a", RUNNING, 200, 0), task("b", RUNNING, 200, 0), task("c", OK, 0, 60))
    _, lines = run_lines(Run("1", "1", "x", RUNNING, NOW_MS - 300_000, tasks=tasks), usual=usual)
    assert "longer than usual 0:20 (p90 0:30)" in line_with(lines, " a ")
    assert "of about 10:00" in line_with(lines, " b ")
    assert "longer than usual 0:01" in line_with(lines, " c ")


def test_tasks_that_were_marked_carry_a_sign() -> None:
    _, lines = run_lines(fake_states.failed_run(), marked=frozenset({"silver_refresh", "gold_merge"}))
    assert "∗✗ silver_refresh" in line_with(lines, "✗ silver_refresh")
    assert "∗⊘ gold_merge" in line_with(lines, "⊘ gold_merge")
    assert "∗" not in line_with(lines, "bronze_setup")


def test_a_timeline_tells_queue_setup_and_execution_apart_without_colour() -> None:
    run = fake_states.nightly_run()
    page = RunPage(timeline=True)
    page.show_parts(run, Parts(), NOW_MS)
    for glyphs in (UNICODE, ASCII):
        look = Look(glyphs, NOW_MS)
        text = text_of(page.line(0, 100, look))
        for sign in (glyphs.queue, glyphs.setup, glyphs.beam):
            assert sign in text
        assert "queue" in text_of(page.pinned(100, look)[0])
    assert len(page.pinned(44, LOOK)) <= 1


# --- the graph --------------------------------------------------------------------------------------------------------


def drawn(needs: dict[str, list[str]]) -> list[str]:
    order = in_order_of(needs)
    rails = rails_of(order, needs)
    return [
        text_of(rail_spans(line, ("o", ""), UNICODE)).rstrip() + f" {key}"
        for key, line in zip(order, rails, strict=True)
    ]


def test_a_graph_is_drawn_with_one_rail_to_each_thing_that_is_waited_for() -> None:
    assert drawn({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}) == ["o─╮ a", "o │ b", "├─o c", "o d"]
    assert drawn({"a": [], "b": [], "c": ["a", "b"]}) == ["o a", "├─o b", "o c"]
    assert drawn({"a": [], "x": ["a"], "y": ["a"], "z": ["a"]}) == ["o─┬─╮ a", "o │ │ x", "  o │ y", "    o z"]


def test_a_circle_and_a_missing_need_are_drawn_all_the_same() -> None:
    assert drawn({"a": ["b"], "b": ["a"], "c": ["gone"]}) == ["o c", "o a", "o b"]


GRAPHS = st.integers(0, 14).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, max(0, size - 1)), max_size=4), min_size=size, max_size=size)
)


@given(GRAPHS)
def test_every_rail_leads_from_where_it_began_to_the_thing_it_is_for(edges: list[list[int]]) -> None:
    needs = {f"n{n}": [f"n{m}" for m in above] for n, above in enumerate(edges)}
    order = in_order_of(needs)
    assert sorted(order) == sorted(needs)
    place = {key: number for number, key in enumerate(order)}
    lines = rails_of(order, needs)
    for key, line in zip(order, lines, strict=True):
        here = [rail for rail in line if rail.here]
        assert len(here) == 1
        earlier = [name for name in needs[key] if place[name] < place[key]]
        later = [other for other in order if key in needs[other] and place[other] > place[key]]
        assert here[0].up == bool(earlier)
        assert (here[0].down or here[0].left or here[0].right) >= bool(later)
        assert not later or any(rail.down for rail in line)
    for above, below in itertools.pairwise(lines):
        width = max(len(above), len(below))
        down = [rail.down for rail in above] + [False] * (width - len(above))
        up = [rail.up for rail in below] + [False] * (width - len(below))
        assert down == up
    if lines:
        assert not any(rail.down for rail in lines[-1])


@given(GRAPHS)
def test_things_stand_after_what_they_need_unless_they_go_in_a_circle(edges: list[list[int]]) -> None:
    needs = {f"n{n}": [f"n{m}" for m in above if m < n] for n, above in enumerate(edges)}
    place = {key: number for number, key in enumerate(in_order_of(needs))}
    assert all(place[above] < place[key] for key, names in needs.items() for above in names)


def test_a_graph_marks_all_that_the_chosen_line_needs_and_all_that_needs_it() -> None:
    page = GraphPage()
    nodes = [GraphNode(k, k, "o", "ok", (), n) for k, n in (("a", ()), ("b", ("a",)), ("c", ("b",)), ("other", ()))]
    page.show(nodes)
    page.move_to(1, 10)
    lines = [text_of(page.line(index, 60, LOOK)) for index in range(4)]
    assert "^ a" in lines[0]
    assert "v c" in lines[2]
    assert "^" not in lines[3]
    assert "v" not in lines[3]


def test_a_graph_keeps_its_cursor_and_redraws_only_what_looks_different() -> None:
    page = GraphPage()
    nodes = [GraphNode(str(n), str(n), "o", "ok", (), (str(n - 1),) if n else ()) for n in range(50)]
    page.show(nodes)
    page.move_to(30, 10)
    page.take_changes()
    page.show([replace(node, sign="x") if node.key == "7" else node for node in nodes])
    assert page.take_changes() == (False, False, {7})
    page.show([GraphNode("new", "new", "o", "ok"), *nodes])
    assert page.home() == "30"


@given(GRAPHS, st.integers(10, 120))
def test_a_line_of_a_graph_has_its_sign_and_the_start_of_its_name_in_any_width(
    edges: list[list[int]], width: int
) -> None:
    page = GraphPage()
    page.show(
        GraphNode(f"n{n}", f"n{n}", "@", "ok", (), tuple(f"n{m}" for m in above)) for n, above in enumerate(edges)
    )
    for index in range(page.count):
        text = text_of(page.line(index, width, LOOK))
        assert text.count("@") == 1
        assert page.key(index) in text
        assert width_of(page.line(index, width, LOOK)) < width + 40


def test_the_graph_of_a_job_that_never_ran_comes_from_its_yaml_whatever_is_in_it() -> None:
    config = {
        "tasks": [
            {"task_key": "a", "notebook_task": {}},
            {"task_key": "b", "depends_on": [{"task_key": "a"}, "odd", {}]},
            {"depends_on": []}, "odd", None, {"task_key": "c", "depends_on": "a"},
        ]
    }  # fmt: skip
    assert [(node.key, node.needs) for node in declared_nodes(config, UNICODE)] == [("a", ()), ("b", ("a",)), ("c", ())]
    assert declared_nodes({"tasks": "${var.tasks}"}, UNICODE) == []


def test_datasets_of_several_flows_and_sources_from_outside_have_their_own_place() -> None:
    flows = (
        Flow("load_eu", "COMPLETED", "orders", ("raw.eu",), 12),
        Flow("load_us", "RUNNING", "orders", ("raw.us",)),
        Flow("daily", "QUEUED", "daily", ("orders",)),
    )
    nodes = {node.key: node for node in flow_nodes(Update("u", "p", "RUNNING", flows=flows), UNICODE)}
    assert nodes["orders"].needs == ("load_eu", "load_us")
    assert nodes["raw.eu"].needs == ()
    assert text_of(nodes["raw.eu"].note) == "source"
    order = in_order_of({key: node.needs for key, node in nodes.items()})
    assert order.index("load_us") < order.index("orders") < order.index("daily")


def test_the_graph_of_a_run_says_states_in_words_and_conditions() -> None:
    nodes = {node.key: node for node in task_nodes(fake_states.nightly_run(), UNICODE)}
    assert "excluded  if is_month_end true" in text_of(nodes["close_month"].note)
    assert "is false" in text_of(nodes["is_month_end"].note)
    assert "when all done" in text_of(nodes["clean_up"].note)
    assert nodes["load_regions"].sign == UNICODE.partly


# --- the grid of past runs --------------------------------------------------------------------------------------------


def grid(width: int = 80) -> tuple[HistoryPage, list[str]]:
    page = HistoryPage()
    page.show(fake_states.past_runs())
    return page, [text_of(page.line(index, width, LOOK)).rstrip() for index in range(page.count)]


def test_the_grid_has_the_oldest_run_at_the_left_and_finds_the_flaky_task() -> None:
    page, lines = grid()
    assert lines[0].startswith("whole run      ✓ ✓ ✗ ✓ ✓ ✗ ✗ ✓ ✗ ✓  4 of 10 failed")
    assert line_with(lines, "check_quality").endswith("flaky  4 of 10 failed  usually 21s")
    assert "1 by retry" in line_with(lines, "publish")
    assert "flaky" not in line_with(lines, "bronze_setup")
    assert "flakiest: check_quality" in text_of(page.pinned(80, LOOK)[1])


def test_left_and_right_choose_a_run_and_enter_would_open_that_tasks_page() -> None:
    page, _ = grid()
    page.move_to(2, 10)
    page.toggle(2, opened=False)
    assert page.home() == "url:" + fake_states.past_runs()[1].tasks[1].page_url
    assert "run 8099" in text_of(page.pinned(80, LOOK)[0])
    page.toggle(2, opened=True)
    page.toggle(2, opened=True)
    assert "run 8100" in text_of(page.pinned(80, LOOK)[0])
    newer = replace(fake_states.past_runs()[0], run_id="8101")
    page.show((newer, *fake_states.past_runs()))
    assert "run 8100" in text_of(page.pinned(80, LOOK)[0])  # what was chosen stays chosen


@given(st.integers(0, 40), st.integers(20, 160), st.integers(0, 40))
def test_the_chosen_run_is_on_screen_in_any_width(count: int, width: int, older: int) -> None:
    runs = tuple(
        Run(str(n), "1", "x", OK, NOW_MS, NOW_MS + 1, tasks=(TaskRun(str(n), "a_task", OK, start_ms=1, end_ms=2),))
        for n in range(count)
    )
    page = HistoryPage()
    page.show(runs)
    for _ in range(older):
        page.toggle(0, opened=False)
    assert page.column == min(older, max(0, count - 1))
    for index in range(page.count):
        line = page.line(index, width, LOOK)
        chosen = [text for text, role in line if "+r" in role]
        assert chosen == (["✓"] if index == page.cursor else [])


def test_past_updates_say_cause_kind_and_which_one_the_platform_retried() -> None:
    lines = update_history_lines(fake_states.past_updates(), "https://x/pipelines/p-1", NOW_MS, UNICODE)
    text = [text_of(line.spans).rstrip() for line in lines]
    assert text[0] == "5 updates, 1 failed"
    assert "the platform retried u-6600bb" in line_with(text, "u-7743aa")
    assert "Update u-66 is FAILED." in text[3]
    assert line_with(text, "u-5500cc").endswith("validation only")
    assert line_with(text, "u-4400dd").endswith("full refresh")
    assert line_with(text, "u-3300ee").endswith("only silver.orders")
    assert lines[1].key == "url:https://x/pipelines/p-1/updates/u-7743aa10"


# --- updates against the one before -----------------------------------------------------------------------------------


def test_a_rule_says_how_it_did_against_the_update_before() -> None:
    page = UpdatePage()
    page.show(fake_states.update(), NOW_MS, fake_states.previous_update())
    lines = [text_of(page.line(index, 90, LOOK)).rstrip() for index in range(page.count)]
    assert line_with(lines, "valid_id").endswith("31 of 42.0k failed  worse: 12 of 40.1k before")
    assert line_with(lines, "has_day").endswith("passed  better: 100 of 40.1k before")
    page.show(fake_states.update(), NOW_MS)
    assert "before" not in "".join(text_of(page.line(index, 90, LOOK)) for index in range(page.count))


@given(*[st.integers(0, 10**6)] * 4)
def test_a_trend_is_worse_only_where_a_larger_share_failed(good: int, bad: int, good_then: int, bad_then: int) -> None:
    words = text_of(trend(Expectation("r", "d", good, bad), Expectation("r", "d", good_then, bad_then)))
    if "worse" in words:
        assert bad * (good_then + bad_then) > bad_then * (good + bad)
    if "better" in words:
        assert bad * (good_then + bad_then) < bad_then * (good + bad)


def test_what_all_names_of_flows_begin_with_is_left_out_and_the_rest_told_apart() -> None:
    assert shared_prefix(["main.dev.a", "main.dev.b_c", "main.dev.a"]) == "main.dev."
    assert shared_prefix(["main.dev.a", "main.prod.a"]) == "main."
    assert shared_prefix(["main.dev.a"]) == shared_prefix(["a", "b.c"]) == shared_prefix([]) == ""
    flows = (Flow("main.dev.orders", "COMPLETED"), Flow("main.dev.daily", "RUNNING", inputs=("main.dev.orders",)))
    update = Update("u", "p", "RUNNING", flows=flows)
    page = UpdatePage()
    page.show(update, NOW_MS)
    assert [text_of(page.line(n, 90, LOOK)).split()[1] for n in range(2)] == ["orders", "daily"]
    assert [node.name for node in flow_nodes(update, UNICODE)] == ["orders", "daily"]


@given(st.lists(st.text(alphabet="ab.", max_size=6), max_size=6))
def test_a_shared_prefix_is_one_of_all_and_leaves_something_of_each(names: list[str]) -> None:
    prefix = shared_prefix(names)
    assert all(name.startswith(prefix) for name in names)
    assert prefix == "" or prefix.endswith(".")


async def test_an_update_says_that_the_platform_retries_it_and_keeps_its_history() -> None:
    state = fake_states.pipeline()
    assert state.update is not None
    retry = replace(state.update, cause="RETRY_ON_FAILURE")
    app = console(replace(state, update=retry))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2")
        await pilot.pause()
        assert "retried by the platform" in screen_lines(app)[2]
        await go_to_tab(pilot, app, "history")
        text = screen_text(app)
        assert "5 updates, 1 failed" in text
        assert "the platform retried u-6600bb" in text
        await pilot.press("1")
        await done_with(app, pilot)
        assert ("load_history", "pipelines.silver_dlt") in app.engine.calls  # type: ignore[attr-defined]


async def done_with(app: ConsoleApp, pilot: Any) -> None:
    await app.workers.wait_for_complete()
    await pilot.pause()


async def test_the_details_of_a_flow_compare_it_with_the_update_before() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=WIDE) as pilot:
        app.go_to_tab("task")
        await pilot.press("2", "j")
        await pilot.pause()
        text = screen_text(app)
        assert "42,031  (40,100 in the update before)" in text
        assert "worse: 12 of 40.1k before" in text


# --- output -----------------------------------------------------------------------------------------------------------

DBT_LOG = """10:00:01  Running with dbt=1.9.2
10:00:09  Completed with 1 error and 1 warning:
10:00:09    Database Error in model daily_sales (models/marts/daily_sales.sql)
10:00:09  Done. PASS=12 WARN=1 ERROR=1 SKIP=2 TOTAL=16
"""


def output_text(**parts: Any) -> str:
    return "\n".join(text_of(line.spans) for line in output_lines(None, TaskOutput("1", **parts)))


def test_dbt_is_summed_up_with_the_models_that_failed() -> None:
    text = output_text(logs=DBT_LOG)
    assert "✗ dbt: 12 of 16 passed, 1 failed, 1 warned, 2 skipped" in text
    assert "daily_sales  models/marts/daily_sales.sql" in text.split("log")[0]
    assert "✓ dbt: 16 of 16 passed" in output_text(logs="Done. PASS=16 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=16")


def test_items_of_the_exit_value_are_counted_and_few_that_failed_are_a_warning() -> None:
    text = output_text(result='{"total": 40, "failed": 2, "failed_items": ["region_7", "region_9"]}')
    assert "⊖ 38 of 40 items succeeded (95 %)" in text
    assert "failed  region_7, region_9" in text
    assert "✗ 1 of 2 items succeeded (50 %)" in output_text(
        result='[{"id": "a", "status": "ok"}, {"id": "b", "status": "error"}]'
    )


def test_what_else_the_platform_tells_is_text_or_an_address_to_open() -> None:
    extra = {"query": "SELECT *\nFROM dev.silver.orders", "query_link": "https://x/sql/1", "warehouse_id": "w-1"}
    lines = output_lines(None, TaskOutput("1", extra=extra))
    text = "\n".join(text_of(line.spans) for line in lines)
    assert "FROM dev.silver.orders" in text
    assert "warehouse id  w-1" in text
    assert [line.key for line in lines if line.key] == ["url:https://x/sql/1"]


async def test_the_log_of_a_running_task_is_asked_for_while_it_is_read_and_its_end_can_be_followed() -> None:
    state = fake_states.running()
    assert state.run is not None
    tasks = tuple(replace(t, kind="python_wheel") for t in state.run.tasks)
    state = replace(state, run=replace(state.run, tasks=tasks))
    app = console(state)

    def loads() -> int:
        return sum(call == ("load_output", "t-silver_refresh") for call in app.engine.calls)  # type: ignore[attr-defined]

    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2", "g", "j")
        await go_to_tab(pilot, app, "output")
        await until(pilot, lambda: loads() == 1)
        for _ in range(3):
            await publish(pilot, app, replace(state))
        assert loads() == 1
        await publish(pilot, app, replace(state, run=replace(state.run)))  # type: ignore[arg-type]
        await until(pilot, lambda: loads() == 2)
        for count in (50, 60):
            log = "\n".join(f"line {n}" for n in range(count))
            outputs = {"t-silver_refresh": TaskOutput("t-silver_refresh", logs=log)}
            await publish(pilot, app, replace(app.state, outputs=outputs))
            await pilot.press("G")
            assert f"line {count - 1}" in screen_text(app)
        log = "\n".join(f"line {n}" for n in range(80))
        await publish(
            pilot, app, replace(app.state, outputs={"t-silver_refresh": TaskOutput("t-silver_refresh", logs=log)})
        )
        assert "line 79" in screen_text(app)  # followed
        before = loads()
        ended = tuple(replace(t, state=OK, end_ms=NOW_MS) for t in tasks)
        assert app.state.run is not None
        await publish(pilot, app, replace(app.state, run=replace(app.state.run, tasks=ended)))
        await until(pilot, lambda: loads() == before + 1)  # the whole of it, once it has ended


# --- the tree of resources --------------------------------------------------------------------------------------------


def test_a_running_resource_is_compared_with_what_is_usual() -> None:
    def shown(usual: Usual) -> str:
        statuses = fake_states.statuses()
        going = replace(statuses["jobs.orchestrator"], history=fake_states.history((RUNNING, 0)), usual=usual)
        page = ResourcePage()
        page.show(fake_states.bundle(), {"jobs.orchestrator": going}, "")
        return text_of(page.line(1, 44, LOOK))

    assert shown(Usual(420_000, 480_000, 9)).rstrip().endswith("5m of ~7m")
    assert shown(Usual(60_000, 70_000, 9)).rstrip().endswith("5m, slow")


# --- on the screen ----------------------------------------------------------------------------------------------------


async def go_to_tab(pilot: Any, app: ConsoleApp, tab: str) -> None:
    app.go_to_tab(tab)
    await pilot.press("4")
    await pilot.pause()


async def test_the_history_is_asked_for_when_it_is_looked_at_and_again_when_there_is_a_newer_run() -> None:
    state = replace(fake_states.nightly(), past_runs={})
    app = console(state)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert not [call for call in app.engine.calls if call[0] == "load_history"]  # type: ignore[attr-defined]
        await go_to_tab(pilot, app, "history")
        assert "Past runs are being read." in screen_text(app)
        for _ in range(3):
            await publish(pilot, app, replace(state))
        loads = [call for call in app.engine.calls if call[0] == "load_history"]  # type: ignore[attr-defined]
        assert loads == [("load_history", "jobs.orchestrator")]
        await publish(pilot, app, fake_states.nightly())
        assert "flaky" in screen_text(app)
        status = state.statuses["jobs.orchestrator"]
        newer = replace(status, history=(replace(status.history[0], id="9002"), *status.history))
        await publish(pilot, app, replace(state, statuses={**state.statuses, "jobs.orchestrator": newer}))
        await until(pilot, lambda: len([c for c in app.engine.calls if c[0] == "load_history"]) == 2)  # type: ignore[attr-defined]


async def test_enter_on_a_node_of_the_graph_goes_to_that_task_of_the_run() -> None:
    app = console(fake_states.failed())
    async with app.run_test(size=WIDE) as pilot:
        await go_to_tab(pilot, app, "graph")
        assert "in 4 steps" in screen_text(app)
        await pilot.press("end", "enter")
        await pilot.pause()
        assert app.pane == "run"
        item = app.panes.run.item()
        assert item is not None
        assert item.task.task_key == app.panes.graph.home()  # type: ignore[union-attr]


async def test_the_graph_of_a_resource_that_is_only_looked_at_is_the_one_it_declares() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=WIDE) as pilot:
        app.go_to_tab("graph")
        await until(pilot, lambda: "declares no tasks" in screen_text(app))
        await pilot.press("end")
        await until(pilot, lambda: "There is a graph of a job's tasks" in screen_text(app))


async def test_a_run_that_failed_in_few_is_called_partly_at_its_head() -> None:
    run = fake_states.nightly_run()
    app = console(replace(fake_states.nightly(), run=replace(run, tasks=run.tasks[:1])))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "⊖ partly: 236 of 240 iterations 2:25" in screen_text(app)
        await pilot.press("4")
        await pilot.pause()
        text = screen_text(app)
        assert "counts as" in text
        assert "load_regions_7" in text


async def test_a_run_that_takes_longer_than_usual_says_so_at_its_head_as_time_passes() -> None:
    state = fake_states.running()
    status = replace(state.statuses["jobs.orchestrator"], usual=Usual(310_000, 320_000, 9))
    app = console(replace(state, statuses={**state.statuses, "jobs.orchestrator": status}))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.pause()
        assert "of about 5:10" in screen_lines(app)[2]
        app._now = lambda: NOW_MS / 1000 + 600
        app._tick()
        await pilot.pause()
        assert "longer than usual 5:10" in screen_lines(app)[2]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_the_chosen_tab_is_named_in_any_width(width: int) -> None:
    for tab, word in TABS:
        panes = Panes(UNICODE)
        panes.tab, panes.room = tab, width
        state = fake_states.failed()
        panes.show(state, NOW_MS)
        panes.show_chosen(state, None, NOW_MS, of_resource=False)
        title = panes.detail_page(state).title
        assert word in text_of(title)[: width - 4]
        assert panes.tab_at(0) in dict(TABS)


async def test_calls_of_looking_change_nothing() -> None:
    app = console(fake_states.nightly())
    async with app.run_test(size=NORMAL) as pilot:
        await pilot.press("4", *["right_square_bracket"] * len(TABS), "j", "k", "left", "right", "enter")
        await app.workers.wait_for_complete()
        assert {call[0] for call in calls(app)} <= {"load_history"}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("nightly", size) for size in (*SIZES.values(), (20, 5), (10, 3), (3, 1), (250, 70))),
        *((name, size) for name in ("base", "pipeline", "checked", "left_behind") for size in ((80, 24), (20, 5))),
    ],
)
async def test_no_tab_breaks_any_size(name: str, size: tuple[int, int]) -> None:
    app = console(fake_states.ALL[name](), ascii=size[0] % 20 == 0)
    async with app.run_test(size=size) as pilot:
        await pilot.press("escape", "2", "4")
        for _ in TABS:
            await pilot.press("right_square_bracket", "j", "left", "G")
            lines = screen_lines(app)
            assert len(lines) == size[1]
            assert all(len(line) <= size[0] for line in lines)
            if app.glyphs is ASCII:
                assert all(char.isascii() for line in lines for char in line.replace("…", "~").replace("–", "-"))
