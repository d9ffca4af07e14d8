"""Runs out of raw JSON: the state in true words, every attempt kept, and nothing that could come makes it raise."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from dbops_tui.core import run_json
from dbops_tui.core.redaction import MASK, Redactor
from dbops_tui.core.run_json import page_url, parse_output, parse_run, parse_state, parse_task
from dbops_tui.core.runs import ForEachStats, Outcome
from hypothesis import given
from hypothesis import strategies as st
from shared_data import shared


def state(status: Any = None, old: Any = None, **more: Any) -> dict[str, Any]:
    raw = {**more}
    if status is not None:
        raw["status"] = status
    if old is not None:
        raw["state"] = old
    return raw


def ended(code: str, kind: str = "CLIENT_ERROR", said: str = "") -> dict[str, Any]:
    return {"state": "TERMINATED", "termination_details": {"code": code, "type": kind, "message": said}}


def old(life: str, result: str = "", **more: Any) -> dict[str, Any]:
    return {"life_cycle_state": life, **({"result_state": result} if result else {}), **more}


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        (state({"state": "QUEUED"}), Outcome.QUEUED),
        (state({"state": "PENDING"}), Outcome.PENDING),
        (state({"state": "BLOCKED"}), Outcome.BLOCKED),
        (state({"state": "RUNNING"}), Outcome.RUNNING),
        (state({"state": "TERMINATING"}), Outcome.TERMINATING),
        (state({"state": "WAITING"}, old("WAITING_FOR_RETRY")), Outcome.WAITING_FOR_RETRY),
        (state(None, old("WAITING_FOR_RETRY")), Outcome.WAITING_FOR_RETRY),
        (state({"state": "RUNNING"}, old("TERMINATED", "FAILED")), Outcome.RUNNING),
    ],
)
def test_what_is_under_way_is_active(raw: dict[str, Any], outcome: Outcome) -> None:
    found = parse_state(raw)
    assert (found.outcome, found.active, found.failed) == (outcome, True, False)


@pytest.mark.parametrize(
    ("raw", "outcome", "failed"),
    [
        (state(ended("SUCCESS", "SUCCESS"), old("TERMINATED", "SUCCESS")), Outcome.SUCCEEDED, False),
        (state(ended("SUCCESS", "SUCCESS")), Outcome.SUCCEEDED, False),
        (state(None, old("TERMINATED", "SUCCESS")), Outcome.SUCCEEDED, False),
        (state(ended("SUCCESS_WITH_FAILURES", "SUCCESS")), Outcome.SUCCEEDED_WITH_FAILURES, True),
        (
            state(ended("SUCCESS", "SUCCESS"), old("TERMINATED", "SUCCESS_WITH_FAILURES")),
            Outcome.SUCCEEDED_WITH_FAILURES,
            True,
        ),
        (state(ended("RUN_EXECUTION_ERROR"), old("TERMINATED", "FAILED")), Outcome.FAILED, True),
        (state(ended("LIBRARY_INSTALLATION_ERROR")), Outcome.FAILED, True),
        (state(ended("INTERNAL_ERROR", "INTERNAL_ERROR")), Outcome.FAILED, True),
        (state(ended("CLOUD_FAILURE", "CLOUD_FAILURE")), Outcome.FAILED, True),
        (state(ended("CANCELED"), old("TERMINATED", "TIMEDOUT")), Outcome.TIMED_OUT, True),
        (state(ended("RUN_EXECUTION_ERROR"), old("TERMINATED", "TIMEDOUT")), Outcome.TIMED_OUT, True),
        (state(ended("USER_CANCELED"), old("TERMINATED", "CANCELED")), Outcome.CANCELED, True),
        (state(ended("CANCELED")), Outcome.CANCELED, True),
        (state(ended("SKIPPED"), old("SKIPPED", "UPSTREAM_FAILED")), Outcome.UPSTREAM_FAILED, True),
        (state(ended("SKIPPED"), old("SKIPPED", "UPSTREAM_CANCELED")), Outcome.UPSTREAM_CANCELED, True),
        (state(ended("SKIPPED", "SUCCESS"), old("SKIPPED", "EXCLUDED")), Outcome.EXCLUDED, False),
        (state(ended("SKIPPED", "SUCCESS"), old("SKIPPED", "DISABLED")), Outcome.DISABLED, False),
        (state(ended("DISABLED", "SUCCESS")), Outcome.DISABLED, False),
        (state(ended("SKIPPED")), Outcome.SKIPPED, False),
        (state(None, old("SKIPPED")), Outcome.SKIPPED, False),
        (state(ended("MAX_CONCURRENT_RUNS_EXCEEDED")), Outcome.MAX_CONCURRENT_RUNS, True),
        (state(None, old("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED")), Outcome.MAX_CONCURRENT_RUNS, True),
        (state(None, old("INTERNAL_ERROR")), Outcome.FAILED, True),
        (state(None, old("INTERNAL_ERROR", "FAILED")), Outcome.FAILED, True),
    ],
)
def test_how_it_ended_is_told_by_the_details_first(raw: dict[str, Any], outcome: Outcome, failed: bool) -> None:
    found = parse_state(raw)
    assert (found.outcome, found.failed, found.active) == (outcome, failed, False)


def test_a_failed_run_is_no_platform_fault_because_its_life_cycle_reads_internal_error() -> None:
    found = parse_state(
        state(
            ended("RUN_EXECUTION_ERROR", said="Task a failed"), old("INTERNAL_ERROR", "FAILED", state_message="older")
        )
    )
    assert (found.life, found.result, found.code, found.type) == (
        *("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR"),
        "CLIENT_ERROR",
    )
    assert found.message == "Task a failed"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (state({"state": "QUEUED", "queue_details": {"code": "X", "message": "one at a time"}}), "one at a time"),
        (state(None, old("QUEUED", queue_reason="as it was said before")), "as it was said before"),
        (
            state({"state": "QUEUED", "queue_details": {"code": "MAX_CONCURRENT_RUNS_REACHED"}}),
            "the job has as many runs as it may have at once",
        ),
        (state({"state": "QUEUED", "queue_details": {"code": "MOON_IS_FULL"}}), "MOON_IS_FULL"),
        (state(ended("SUCCESS"), old("TERMINATED", "SUCCESS", queue_reason="long ago")), ""),
    ],
)
def test_what_waits_says_what_for(raw: dict[str, Any], reason: str) -> None:
    assert parse_state(raw).queue_reason == reason


def test_an_unknown_word_is_shown_as_it_comes_and_counts_as_active() -> None:
    for raw in (state({"state": "HIBERNATING"}, old("RUNNING")), state(None, old("HIBERNATING"))):
        found = parse_state(raw)
        assert (found.outcome, found.life, found.active, found.failed) == (Outcome.UNKNOWN, "HIBERNATING", True, False)
    assert parse_state({}).active


@pytest.mark.parametrize(
    ("raw", "end_ms", "outcome"),
    [
        (state({"state": "COCOONED"}, old("TERMINATED", "SUCCESS")), 0, Outcome.SUCCEEDED),
        (state({"state": "COCOONED", "termination_details": {"code": "DRIVER_ERROR"}}), 0, Outcome.FAILED),
        (state({"state": "COCOONED"}, old("COCOONED", "TIMEDOUT")), 0, Outcome.TIMED_OUT),
        (state({"state": "COCOONED"}), 1_790_000_000_000, Outcome.UNKNOWN),
        (state(ended("SOLAR_FLARE", "ACT_OF_GOD"), old("TERMINATED", "MOLTEN")), 0, Outcome.UNKNOWN),
        (state(ended("SOLAR_FLARE", "CLOUD_FAILURE"), old("TERMINATED", "MOLTEN")), 0, Outcome.FAILED),
        (state(ended("SOLAR_FLARE", "SUCCESS")), 0, Outcome.SUCCEEDED),
        (state({"state": "TERMINATED"}), 0, Outcome.UNKNOWN),
    ],
)
def test_what_is_proven_to_be_over_is_not_active_whatever_the_words(
    raw: dict[str, Any], end_ms: int, outcome: Outcome
) -> None:
    found = parse_state(raw, end_ms=end_ms)
    assert (found.outcome, found.active) == (outcome, False)
    # Nobody is told of success where nobody knows.
    assert found.failed == (outcome is not Outcome.SUCCEEDED)


WORDS = st.one_of(
    st.none(),
    st.integers(),
    st.sampled_from(
        [
            *("QUEUED", "PENDING", "RUNNING", "TERMINATING", "TERMINATED", "SKIPPED", "INTERNAL_ERROR", "BLOCKED"),
            *("WAITING", "WAITING_FOR_RETRY", "HIBERNATING", "SUCCESS", "FAILED", "TIMEDOUT", "CANCELED", "EXCLUDED"),
            *("UPSTREAM_FAILED", "SUCCESS_WITH_FAILURES", "MOLTEN", "USER_CANCELED", "SOLAR_FLARE", "CLIENT_ERROR", ""),
        ]
    ),
)


@given(WORDS, WORDS, WORDS, WORDS, WORDS, st.integers(min_value=0, max_value=2))
def test_every_mix_of_words_is_either_active_or_over_and_keeps_the_words(
    life: Any, code: Any, kind: Any, old_life: Any, result: Any, end_ms: int
) -> None:
    details = {"code": code, "type": kind}
    found = parse_state(
        state({"state": life, "termination_details": details}, {"life_cycle_state": old_life, "result_state": result}),
        end_ms=end_ms,
    )
    assert found.active != found.ended
    assert not (found.active and (found.failed or found.succeeded))
    assert not (found.failed and found.succeeded)
    assert found.life in (str(life), str(old_life), "")
    if old_life in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR") and life not in run_json._ACTIVE:
        assert not found.active


# --- runs and task runs -----------------------------------------------------------------------------------------------

RUN = {
    "job_id": 9_007_199_254_740_993,
    "run_id": "9223372036854775807",
    "run_name": "[dev you] nightly",
    "creator_user_name": "you@example.com",
    "trigger": "PERIODIC",
    **state({"state": "RUNNING"}),
    "start_time": "1790000000000",
    "end_time": None,
    "queue_duration": 14111,
    "run_page_url": "https://dev.example.com/?o=123#job/9007199254740993/run/9223372036854775807",
    "trigger_info": {"run_id": 77},
    "job_parameters": [
        {"name": "day", "default": "", "value": "2026-09-21"},
        {"name": "depth", "default": "3"},
        {"name": "none", "default": "x", "value": ""},
        "odd",
    ],
    "tasks": [
        {"run_id": 1, "task_key": "load", "attempt_number": 0, **state(ended("RUN_EXECUTION_ERROR"))},
        {"run_id": 2, "task_key": "load", "attempt_number": 1, **state({"state": "RUNNING"})},
        None,
    ],
    "repair_history": [
        {"type": "ORIGINAL", "start_time": 1, **state(ended("RUN_EXECUTION_ERROR")), "task_run_ids": [1, "2"]},
        {"type": "REPAIR", "id": 734650698524280, **state({"state": "RUNNING"})},
    ],
    "future_field": {"kind": "UNHEARD_OF"},
}


def test_a_run_keeps_its_ids_attempts_repairs_and_parameters() -> None:
    run = parse_run(RUN)
    assert (run.job_id, run.run_id, run.parent_task_run_id) == ("9007199254740993", "9223372036854775807", "77")
    assert (run.start_ms, run.end_ms, run.queue_ms) == (1_790_000_000_000, 0, 14111)
    assert [(task.run_id, task.task_key, task.attempt) for task in run.tasks] == [("1", "load", 0), ("2", "load", 1)]
    assert [(item.kind, item.id, item.task_run_ids) for item in run.repairs] == [
        ("ORIGINAL", "", ("1", "2")),
        ("REPAIR", "734650698524280", ()),
    ]
    assert run.latest_repair_id == "734650698524280"
    assert run.parameters == (("day", "2026-09-21"), ("depth", "3"), ("none", ""))


def test_the_whole_of_a_run_with_several_tasks_is_its_run_duration() -> None:
    assert parse_run({"execution_duration": 0, "run_duration": 412_345}).execution_ms == 412_345
    assert parse_run({"execution_duration": 7, "run_duration": 9}).execution_ms == 7


@pytest.mark.parametrize(
    ("given_url", "found"),
    [
        ("https://h.example.com/?o=12#job/3/run/4", "https://h.example.com/jobs/3/runs/4?o=12"),
        ("https://h.example.com#job/3/run/4", "https://h.example.com/jobs/3/runs/4"),
        ("http://127.0.0.1:8080/?o=12#job/3/run/4", "http://127.0.0.1:8080/jobs/3/runs/4?o=12"),
        ("https://h.example.com/jobs/3/runs/4?o=12", "https://h.example.com/jobs/3/runs/4?o=12"),
        ("https://h.example.com/?o=12#job/3/run/x", "https://h.example.com/?o=12#job/3/run/x"),
        ("javascript:alert(1)", ""),
        (None, ""),
        (17, ""),
    ],
)
def test_the_legacy_page_of_a_run_is_rewritten(given_url: Any, found: str) -> None:
    assert page_url(given_url) == found


@pytest.mark.parametrize(
    ("spec", "kind", "path"),
    [
        ({"notebook_task": {"notebook_path": "/Workspace/a"}}, "notebook", "/Workspace/a"),
        ({"spark_python_task": {"python_file": "/Workspace/a.py"}}, "spark_python", "/Workspace/a.py"),
        ({"sql_task": {"file": {"path": "/Workspace/a.sql"}}}, "sql", "/Workspace/a.sql"),
        ({"sql_task": {"query": {"query_id": "q"}}}, "sql", ""),
        ({"for_each_task": {"task": {"notebook_task": {"notebook_path": "/Workspace/i"}}}}, "for_each", "/Workspace/i"),
        ({"python_wheel_task": {"package_name": "shop"}}, "python_wheel", ""),
        ({"teleport_task": {"to": "x"}}, "teleport", ""),
        ({"notebook_task": None, "dbt_task": {"commands": ["dbt build"]}}, "dbt", ""),
        ({}, "", ""),
    ],
)
def test_what_a_task_runs_and_from_where(spec: dict[str, Any], kind: str, path: str) -> None:
    task = parse_task(spec)
    assert (task.kind, task.source_path) == (kind, path)


def test_what_only_some_tasks_have() -> None:
    assert parse_task({"run_job_task": {"job_id": 12}}).job_id == "12"
    assert parse_task({"pipeline_task": {"pipeline_id": "8199cd89"}}).pipeline_id == "8199cd89"
    assert parse_task({"condition_task": {"outcome": "true"}}).condition_outcome == "true"
    assert parse_task({"environment_key": "default"}).environment_key == "default"
    assert (
        parse_task({"cluster_instance": {"cluster_id": "0921-x"}, "existing_cluster_id": "old"}).cluster_id == "0921-x"
    )
    task = parse_task({"depends_on": [{"task_key": "a"}, {"task_key": "b", "outcome": "false"}], "run_if": None})
    assert (task.depends_on, task.run_if) == ((("a", ""), ("b", "false")), "ALL_SUCCESS")


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({"notebook_task": {"base_parameters": {"day": "1", "n": 2}}}, (("day", "1"), ("n", "2"))),
        ({"spark_python_task": {"parameters": ["--day", "1"]}}, (("1", "--day"), ("2", "1"))),
        ({"python_wheel_task": {"named_parameters": {"catalog": "dev"}, "parameters": []}}, (("catalog", "dev"),)),
        ({"run_job_task": {"job_parameters": {"region": "emea"}}}, (("region", "emea"),)),
        ({"dbt_task": {"commands": ["dbt deps", "dbt build"]}}, (("1", "dbt deps"), ("2", "dbt build"))),
        (
            {
                "notebook_task": {"base_parameters": {"server": "{{input}}"}},
                "resolved_values": {"notebook_task": {"base_parameters": {"server": "srv-01"}}},
            },
            (("server", "srv-01"),),
        ),
        ({"notebook_task": {"base_parameters": {"token": "dapi" + "0123456789abcdef" * 2}}}, (("token", MASK),)),
    ],
)
def test_what_a_task_was_given(raw: dict[str, Any], found: tuple[tuple[str, str], ...]) -> None:
    assert parse_task(raw).parameters == found


def test_the_iterations_of_a_for_each_task_are_counted() -> None:
    stats = {
        "task_run_stats": {"total_iterations": "3", "completed_iterations": 3, "failed_iterations": 1},
        "error_message_stats": [{"count": 1, "error_message": "<span class='ansi-red-fg'>ValueError</span>: srv-02"}],
    }
    assert parse_task({"for_each_task": {"stats": stats}}).for_each == ForEachStats(
        total=3, completed=3, failed=1, errors=((1, "ValueError: srv-02"),)
    )
    assert parse_task({"for_each_task": {}}).for_each == ForEachStats()


def test_a_task_that_a_person_switched_off_is_disabled() -> None:
    off = parse_task({"disabled": True, **state(ended("SKIPPED", "SUCCESS"), old("SKIPPED", "EXCLUDED"))})
    assert (off.state.outcome, off.state.failed, off.state.active) == (Outcome.DISABLED, False, False)
    failed = parse_task({"disabled": True, **state(ended("RUN_EXECUTION_ERROR"))})
    assert failed.state.outcome is Outcome.FAILED


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_an_output_has_no_colours_spans_or_secrets() -> None:
    token = "dapi" + "89abcdef" * 4
    output = parse_output(
        {
            "metadata": {"run_id": 910},
            "error": "<span class='ansi-red-fg'>ValueError</span>: expected 12 columns",
            "error_trace": "\x1b[0;31mValueError\x1b[0m  Traceback\r\n\x1b]0;title\x07File <span style='x'>a</span>",
            "logs": f"using {token}\nand my own word of honour-77\n",
            "logs_truncated": True,
            "notebook_output": {"result": "done \u202e", "truncated": "true"},
            "run_job_output": {"run_id": 41847992400777},
            "dbt_output": {"artifacts_link": "https://x.example/a.tar.gz?sig=abcdef1234567890"},
        },
        Redactor(["my own word of honour-77"]),
    )
    assert output.run_id == "910"
    assert output.error == "ValueError: expected 12 columns"
    assert output.error_trace == "ValueError  Traceback\nFile a"
    assert output.logs == f"using {MASK}\nand {MASK}\n"
    assert (output.result, output.result_truncated, output.logs_truncated) == ("done ", True, True)
    assert output.child_run_id == "41847992400777"
    assert "abcdef1234567890" not in output.extra["dbt_artifacts"]


def test_what_the_widgets_of_a_dashboard_and_an_alert_came_to_is_the_result() -> None:
    widgets = [
        {"widget_id": "w1", "widget_title": "Sales", "status": "SUCCESS"},
        {"widget_id": "w2", "status": "FAILED", "error": {"message": "no table"}},
    ]
    output = parse_output({"sql_output": {"dashboard_output": {"widgets": widgets}}}, Redactor())
    assert output.result == "Sales: SUCCESS\nw2: FAILED: no table"
    assert parse_output({"sql_output": {"alert_output": {"alert_state": "TRIGGERED"}}}, Redactor()).result == (
        "alert: TRIGGERED"
    )


# --- whatever comes ---------------------------------------------------------------------------------------------------

KEYS = sorted(
    {
        *("status", "state", "termination_details", "queue_details", "code", "type", "message", "life_cycle_state"),
        *("result_state", "state_message", "queue_reason", "run_id", "job_id", "run_name", "start_time", "end_time"),
        *(
            "tasks",
            "repair_history",
            "job_parameters",
            "name",
            "value",
            "default",
            "trigger_info",
            "task_run_ids",
            "id",
        ),
        *("task_key", "attempt_number", "depends_on", "outcome", "notebook_task", "for_each_task", "sql_task", "file"),
        *("stats", "task_run_stats", "total_iterations", "error_message_stats", "count", "error_message", "task"),
        *("base_parameters", "parameters", "resolved_values", "cluster_instance", "disabled", "run_page_url", "path"),
        *("metadata", "error", "error_trace", "logs", "notebook_output", "result", "truncated", "sql_output"),
        *("query_output", "dashboard_output", "widgets", "run_job_output", "dbt_output", "info", "alert_output"),
    }
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**52, max_value=2**200),
    st.floats(),
    st.text(),
    st.sampled_from(["RUNNING", "TERMINATED", "1790000000000", "1e400", "-5", "\x1b[31mred", "nan", "\ud800"]),
)
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=8),
    max_leaves=40,
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=12)


def every_text(model: Any) -> list[str]:
    """Each text in a model, however deep."""
    if isinstance(model, str):
        return [str(model)]
    if isinstance(model, dict):
        return [text for pair in model.items() for item in pair for text in every_text(item)]
    if isinstance(model, tuple):
        return [text for item in model for text in every_text(item)]
    if is_dataclass(model):
        return [text for each in fields(model) for text in every_text(getattr(model, each.name))]
    return []


@given(OBJECTS | JSON)
def test_no_json_makes_a_parser_raise_or_lets_a_terminal_sequence_through(raw: Any) -> None:
    for model in (parse_run(raw), parse_task(raw), parse_output(raw, Redactor())):
        for text in every_text(model):
            assert not any(ord(char) < 32 and char not in "\n\t" for char in text)
            assert "\x1b" not in text
            text.encode()


@given(OBJECTS)
def test_times_and_counts_are_whole_and_never_below_zero(raw: dict[str, Any]) -> None:
    task = parse_task(raw)
    for value in (task.start_ms, task.end_ms, task.setup_ms, task.attempt, task.queue_ms):
        assert isinstance(value, int)
        assert 0 <= value < 2**63
    assert task.elapsed_ms(10) >= 0


def test_what_json_itself_allows_but_nobody_writes() -> None:
    raw = json.loads('{"start_time": NaN, "end_time": 1e999, "run_id": 1.0, "tasks": {"a": 1}}')
    run = parse_run(raw)
    assert math.isinf(raw["end_time"])
    assert (run.start_ms, run.end_ms, run.run_id, run.tasks) == (0, 0, "1", ())


# --- answers as they are documented (optional test data) --------------------------------------------------------------


def sample(name: str) -> Any:
    return json.loads((shared("facts/samples") / f"{name}.json").read_text())


def test_the_documented_failed_run_reads_as_it_should() -> None:
    run = parse_run(sample("runs_get_multi_task_failed"))
    assert (run.state.outcome, run.state.life, run.state.type) == (Outcome.FAILED, "TERMINATED", "CLIENT_ERROR")
    found = {task.task_key: (task.kind, task.state.outcome) for task in run.tasks}
    assert found == {
        "ingest_bronze": ("notebook", Outcome.SUCCEEDED),
        "check_rows": ("condition", Outcome.SUCCEEDED),
        "transform_silver": ("python_wheel", Outcome.FAILED),
        "refresh_pipeline": ("pipeline", Outcome.SUCCEEDED),
        "publish_gold": ("sql", Outcome.UPSTREAM_FAILED),
    }
    assert run.page_url.endswith("/jobs/281874479417551/runs/41847992357943?o=1234567890123456")


def test_the_documented_repaired_run_keeps_both_attempts() -> None:
    run = parse_run(sample("runs_get_repaired_with_history"))
    assert run.latest_repair_id == "734650698524280"
    assert [task.run_id for task in run.tasks if task.task_key == "transform_silver"] == [
        "910000000000003",
        "950000000000003",
    ]
    assert [item.state.outcome for item in run.repairs] == [Outcome.FAILED, Outcome.SUCCEEDED]


def test_the_documented_outputs_have_their_error_and_their_logs() -> None:
    read = {
        name: parse_output(sample(f"runs_get_output_{name}"), Redactor()) for name in ("notebook_failed", "dbt_failed")
    }
    assert read["notebook_failed"].error.startswith("[UNRESOLVED_COLUMN.WITH_SUGGESTION]")
    assert "\x1b" not in read["notebook_failed"].error_trace
    assert "Database Error in model fct_orders" in read["dbt_failed"].logs
    assert parse_output(sample("runs_get_output_run_job_task"), Redactor()).child_run_id == "41847992400777"
    wheel = parse_output(sample("runs_get_output_python_wheel_failed"), Redactor())
    assert wheel.error == "ValueError: expected 12 columns, got 11"
    assert parse_output(sample("runs_get_output_sql_failed"), Redactor()).extra["query"].startswith("CREATE OR REPLACE")
