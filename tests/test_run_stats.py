"""What past runs say: usual durations, the flaky task, and the arithmetic of partial success."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from dbops_tui.core.changes import summary_of
from dbops_tui.core.run_stats import (
    Share,
    flakiest,
    longer_than_usual,
    partial_success,
    records_of,
    share_of_result,
    share_of_task,
    usual_of,
    usual_of_runs,
    usual_of_tasks,
)
from dbops_tui.core.runs import ForEachStats, Outcome, RepairItem, Run, RunState, TaskRun
from hypothesis import given
from hypothesis import strategies as st

OK = RunState(Outcome.SUCCEEDED)
BAD = RunState(Outcome.FAILED)
HELD = RunState(Outcome.UPSTREAM_FAILED)


def task(key: str, state: RunState = OK, seconds: int = 10, *, start: int = 1, **more: object) -> TaskRun:
    number = more.pop("attempt", 0)
    return TaskRun(
        f"{key}-{start}-{number}", key, state, int(str(number)), str(more.pop("kind", "notebook")),
        start_ms=start * 1000, end_ms=(start + seconds) * 1000, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def run(*tasks: TaskRun, state: RunState = OK, seconds: int = 60, number: int = 1) -> Run:
    return Run(str(number), "1", "job", state, 1_000, 1_000 + seconds * 1000, tasks=tasks)


def loop(good: int, total: int, state: RunState = BAD) -> TaskRun:
    return task(
        "each",
        state,
        kind="for_each",
        for_each=ForEachStats(total, completed=total, succeeded=good, failed=total - good),
    )


# --- usual ------------------------------------------------------------------------------------------------------------


def test_usual_is_the_median_and_the_value_that_nine_of_ten_do_not_pass() -> None:
    usual = usual_of([30, 10, 20, 40, 50, 60, 70, 80, 90, 100])
    assert usual is not None
    assert (usual.median_ms, usual.p90_ms, usual.runs) == (55, 90, 10)
    assert usual_of([5, 5]) is None
    assert usual_of([0, 0, 0, -4]) is None


@given(st.lists(st.integers(1, 10**9), min_size=3, max_size=60))
def test_the_usual_stands_within_what_was_seen(durations: list[int]) -> None:
    usual = usual_of(durations)
    assert usual is not None
    assert min(durations) <= usual.median_ms <= usual.p90_ms <= max(durations)
    assert sum(ms <= usual.p90_ms for ms in durations) >= 0.9 * len(durations)


def test_only_runs_that_succeeded_count_for_what_is_usual() -> None:
    runs = [run(seconds=60), run(seconds=62), run(seconds=64), run(seconds=2, state=BAD)]
    usual = usual_of_runs(runs)
    assert usual is not None
    assert (usual.median_ms, usual.runs) == (62_000, 3)


def test_the_time_that_a_failed_run_waited_for_its_repair_is_not_its_own() -> None:
    parts = (RepairItem("ORIGINAL", "", BAD, 1_000, 31_000), RepairItem("REPAIR", "7", OK, 901_000, 921_000))
    repaired = replace(run(seconds=920), repairs=parts)
    assert repaired.elapsed_ms(2_000_000) == 50_000
    assert summary_of(repaired).duration_ms == 50_000
    usual = usual_of_runs([repaired, run(seconds=50), run(seconds=50)])
    assert usual is not None
    assert usual.p90_ms == 50_000
    again = replace(
        repaired, state=RunState(Outcome.RUNNING), end_ms=0, repairs=(parts[0], replace(parts[1], end_ms=0))
    )
    assert again.elapsed_ms(911_000) == 40_000


def test_each_task_has_its_own_usual() -> None:
    runs = [run(task("a", seconds=n), task("b", BAD, n)) for n in (10, 12, 14)]
    assert {key: usual.median_ms for key, usual in usual_of_tasks(runs).items()} == {"a": 12_000}


def test_longer_than_usual_is_longer_than_nine_of_ten_and_noticeably_more_than_half() -> None:
    usual = usual_of([100, 100, 101])
    assert not longer_than_usual(110, usual)
    assert longer_than_usual(130, usual)
    assert not longer_than_usual(10**9, None)
    wide = usual_of([100, 100, 100, 100, 900])
    assert not longer_than_usual(800, wide)


# --- flaky ------------------------------------------------------------------------------------------------------------


def test_the_flaky_task_is_the_one_that_changes_its_mind() -> None:
    def past(*states: tuple[RunState, RunState, RunState]) -> list[Run]:
        return [run(task("steady", a), task("flaky", b), task("broken", c)) for a, b, c in states]

    records = records_of(past((OK, OK, BAD), (OK, BAD, BAD), (OK, OK, BAD), (OK, BAD, BAD), (OK, OK, OK)))
    by_key = {record.task_key: record for record in records}
    assert list(by_key) == ["steady", "flaky", "broken"]
    assert (by_key["flaky"].flips, by_key["flaky"].failures) == (4, 2)
    assert by_key["flaky"].flaky
    assert not by_key["steady"].flaky
    assert not by_key["broken"].flaky  # it broke once and stayed so
    worst = flakiest(records)
    assert worst is not None
    assert worst.task_key == "flaky"


def test_a_task_that_a_retry_helped_is_flaky_though_its_runs_succeeded() -> None:
    retried = run(task("a", BAD, start=1), task("a", OK, start=20, attempt=1))
    (record,) = records_of([retried, run(task("a"))])
    assert (record.retried, record.failures, record.flaky) == (1, 0, True)
    assert record.states[0] == OK


def test_runs_without_the_task_and_tasks_that_never_ran_say_nothing_of_it() -> None:
    records = records_of([run(task("a", HELD)), run(task("b")), run(task("a", RunState(Outcome.CANCELED)))])
    by_key = {record.task_key: record for record in records}
    assert by_key["a"].ended == 0
    assert by_key["a"].score == 0.0
    assert by_key["a"].states == (HELD, None, RunState(Outcome.CANCELED))
    assert flakiest(records) is None


@given(st.lists(st.lists(st.sampled_from(list(Outcome)), max_size=3), max_size=8))
def test_records_are_as_long_as_there_are_runs_and_scores_are_shares(outcomes: list[list[Outcome]]) -> None:
    runs = [
        run(*(task("a", RunState(outcome), start=n + 1, attempt=n) for n, outcome in enumerate(attempts)))
        for attempts in outcomes
    ]
    for record in records_of(runs):
        assert len(record.states) == len(record.page_urls) == len(runs)
        assert 0.0 <= record.score <= 1.0
        assert record.failures <= record.ended <= len(runs)


# --- partial success --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "total", "enough"),
    [
        (9, 10, True),
        (89, 100, False),
        (90, 100, True),
        (899, 1000, False),
        (10, 10, False),
        (0, 0, False),
        (0, 5, False),
    ],
)
def test_enough_is_nine_of_ten_and_not_all(good: int, total: int, enough: bool) -> None:
    assert Share(good, total, "items").enough() is enough


@given(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(50, 100))
def test_enough_is_never_less_than_the_percentage(good: int, more: int, percent: int) -> None:
    share = Share(good, good + more, "items")
    if share.enough(percent):
        assert more > 0
        assert good / (good + more) * 100 >= percent - 1e-9


def test_a_for_each_of_which_nearly_all_succeeded_is_a_partial_success_and_names_what_failed() -> None:
    each = loop(38, 40)
    failed = run(task("before"), each, state=BAD)
    loops = {each.run_id: (replace(task("each_7", BAD)), task("each_1"))}
    share = partial_success(failed, iterations=loops)
    assert share == Share(38, 40, "iterations", ("each_7",))
    assert share.words == "38 of 40 iterations succeeded (95 %)"
    assert partial_success(run(loop(30, 40), state=BAD)) is None
    assert share_of_task(loop(3, 4, RunState(Outcome.RUNNING))) is None


def test_a_task_that_failed_by_itself_is_no_partial_success() -> None:
    assert partial_success(run(loop(38, 40), task("other", BAD), state=BAD)) is None


def test_what_was_held_back_is_no_partial_success() -> None:
    assert partial_success(run(loop(38, 40), task("after", HELD), state=BAD)) is None
    assert partial_success(run(loop(38, 40), task("child", HELD, kind="run_job"), state=BAD)) is None


def test_child_runs_count_with_those_that_were_held_back() -> None:
    children = [task(f"c{n}", kind="run_job") for n in range(18)]
    one = run(*children, task("bad", BAD, kind="run_job"), state=BAD)
    assert partial_success(one) == Share(18, 19, "child runs", ("bad",))
    two = run(*children, task("bad", BAD, kind="run_job"), task("held", HELD, kind="run_job"), state=BAD)
    assert partial_success(two) == Share(18, 20, "child runs", ("bad", "held"))
    three = run(*children[:5], task("bad", BAD, kind="run_job"), state=BAD)
    assert partial_success(three) is None


def test_a_child_that_failed_only_partly_makes_its_parent_partly_successful() -> None:
    parent = task("child", BAD, kind="run_job")
    child = run(loop(95, 100), state=BAD, number=2)
    assert partial_success(run(parent, state=BAD), {parent.run_id: child}) == Share(95, 100, "iterations")
    assert partial_success(run(parent, state=BAD)) is None


def test_a_run_that_the_platform_calls_partly_failed_is_counted_by_its_tasks() -> None:
    state = RunState(Outcome.SUCCEEDED_WITH_FAILURES)
    many = [task(f"t{n}") for n in range(9)]
    assert partial_success(run(*many, task("x", BAD), state=state)) == Share(9, 10, "tasks", ("x",))
    assert partial_success(run(*many[:3], task("x", BAD), state=state)) is None


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.FAILED, Outcome.SUCCEEDED_WITH_FAILURES)])
def test_only_a_run_that_failed_can_be_partly_successful(outcome: Outcome) -> None:
    assert partial_success(run(loop(38, 40), state=RunState(outcome))) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Outcome)), st.sampled_from(["notebook", "run_job", "for_each"]), st.integers(0, 20)
        ),
        max_size=14,
    ),
    st.sampled_from([Outcome.FAILED, Outcome.SUCCEEDED_WITH_FAILURES]),
)
def test_a_partial_success_is_always_enough_and_never_all(
    parts: list[tuple[Outcome, str, int]], outcome: Outcome
) -> None:
    tasks = [
        task(
            f"t{n}",
            RunState(state),
            kind=kind,
            for_each=ForEachStats(20, succeeded=good) if kind == "for_each" else None,
        )
        for n, (state, kind, good) in enumerate(parts)
    ]
    share = partial_success(run(*tasks, state=RunState(outcome)))
    if share is not None:
        assert share.enough()


# --- exit values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"total": 40, "failed": 2, "failed_items": ["a", "b"]}, Share(38, 40, "items", ("a", "b"))),
        ({"status": "ok", "succeeded": 9, "failed": 1}, Share(9, 10, "items")),
        ({"total": 3, "failed": ["x"]}, Share(2, 3, "items", ("x",))),
        ({"total": 3, "failures": [{"name": "x", "why": "y"}]}, Share(2, 3, "items", ("x",))),
        (
            {"tables": [{"table": "a", "status": "ok"}, {"table": "b", "status": "FAILED"}]},
            Share(1, 2, "items", ("b",)),
        ),
        ([{"id": "1", "status": "passed"}], Share(1, 1, "items")),
        ({"rows": 12}, None),
        ({"total": 3, "failed": 9}, None),
        ({"total": True, "failed": 0}, None),
        ([{"status": "odd"}], None),
        ([1, 2], None),
        ({}, None),
    ],
)
def test_items_of_an_exit_value(value: object, wanted: Share | None) -> None:
    assert share_of_result(json.dumps(value)) == wanted


@pytest.mark.parametrize("text", ["", "done", "{", "[" * 100_000, '"x"', "null"])
def test_an_exit_value_without_items_says_nothing(text: str) -> None:
    assert share_of_result(text) is None
