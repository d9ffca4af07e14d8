"""Pipelines, updates and statements out of raw JSON: true words, and nothing that could come makes it raise."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from dbops_tui.core.pipeline_json import epoch_ms, parse_pipeline, parse_update
from dbops_tui.core.statements import ROW_LIMIT, parse_statement
from hypothesis import given
from hypothesis import strategies as st
from shared_data import shared

UPDATE = {
    "pipeline_id": "p-1",
    "update_id": "u-1",
    "cause": "JOB_TASK",
    "state": "FAILED",
    "creation_time": 1_790_000_000_000,
    "full_refresh": False,
    "validate_only": True,
    "refresh_selection": ["a", "b"],
    "full_refresh_selection": ["b", "c", None],
}


def test_an_update_is_the_same_wrapped_or_not() -> None:
    update = parse_update(UPDATE)
    assert update == parse_update({"update": UPDATE})
    assert (update.update_id, update.pipeline_id, update.state, update.cause) == ("u-1", "p-1", "FAILED", "JOB_TASK")
    assert (update.ended, update.failed, update.validate_only, update.full_refresh) == (True, True, True, False)
    assert update.refresh_selection == ("a", "b", "c")


@pytest.mark.parametrize("word", ["QUEUED", "WAITING_FOR_RESOURCES", "RUNNING", "STOPPING", "HIBERNATING", ""])
def test_an_update_is_under_way_until_its_end_is_said(word: str) -> None:
    update = parse_update({"state": word})
    assert (update.state, update.ended, update.failed) == (word, False, False)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1_790_000_000_000, 1_790_000_000_000),
        ("1790000000000", 1_790_000_000_000),
        ("2026-09-21T14:20:31.066Z", 1_790_000_431_066),
        ("2026-09-21T14:20:31.066", 1_790_000_431_066),
        ("2026-09-21T16:20:31.066+02:00", 1_790_000_431_066),
        ("yesterday-ish", 0),
        ("-5", 0),
        (None, 0),
        (float("nan"), 0),
        ("0001-01-01T00:00:00+14:00", 0),
    ],
)
def test_times_come_as_numbers_and_as_text(value: Any, found: int) -> None:
    assert epoch_ms(value) == found


def test_a_pipeline_tells_its_newest_updates_first() -> None:
    pipeline = parse_pipeline(
        {
            "pipeline_id": "p-1",
            "state": "IDLE",
            "health": "UNHEALTHY",
            "latest_updates": [{"update_id": "u-2", "state": "FAILED"}, {"update_id": "u-1", "state": "COMPLETED"}],
            "spec": {"name": "orders", "continuous": "true", "serverless": True},
        }
    )
    assert pipeline.latest_updates == (("u-2", "FAILED"), ("u-1", "COMPLETED"))
    assert (pipeline.name, pipeline.continuous, pipeline.serverless, pipeline.health) == (
        *("orders", True, True),
        "UNHEALTHY",
    )


def test_a_statement_tells_its_rows_as_text_and_why_it_failed() -> None:
    result = parse_statement(
        {
            "statement_id": "s-1",
            "status": {"state": "SUCCEEDED"},
            "manifest": {"schema": {"columns": [{"name": "n"}, {"name": "word"}]}},
            "result": {"data_array": [["1", None], ["2", "\x1b[31mred"], "odd"]},
        }
    )
    assert (result.succeeded, result.columns, result.rows) == (True, ("n", "word"), (("1", ""), ("2", "red")))
    failed = parse_statement({"status": {"state": "FAILED", "error": {"message": "no"}, "sql_state": "42P01"}})
    assert (failed.succeeded, failed.message, failed.sql_state) == (False, "no", "42P01")
    many = parse_statement({"result": {"data_array": [["x"]] * (ROW_LIMIT + 1)}})
    assert (len(many.rows), many.truncated) == (ROW_LIMIT, True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["RUNNING", "\x1b[31mred", "2026-13-45T99:00Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(UPDATE)) | st.text(), inner),
    max_leaves=30,
)
KEYS = st.sampled_from(
    [*UPDATE, *("update", "spec", "latest_updates", "name", "status", "error", "manifest", "result", "schema")]
)


@given(st.dictionaries(KEYS, JSON) | JSON)
def test_no_json_makes_a_parser_raise(raw: Any) -> None:
    update = parse_update(raw)
    assert 0 <= update.creation_ms < 2**63
    for model in (update, parse_pipeline(raw), parse_statement(raw)):
        assert "\\u001b" not in json.dumps(asdict(model))


def sample(name: str) -> Any:
    return json.loads((shared("facts/samples") / f"{name}.json").read_text())


def test_the_documented_answers_read_as_they_should() -> None:
    update = parse_update(sample("pipelines_get_update"))
    assert (update.state, update.cause, update.creation_ms) == ("FAILED", "JOB_TASK", 1_790_000_000_000)
    pipeline = parse_pipeline(sample("pipelines_get"))
    assert (pipeline.name, pipeline.serverless, pipeline.latest_updates[0][1]) == (
        *("[dev ada] orders-ingest", True),
        "FAILED",
    )
    assert parse_statement(sample("statement_failed")).sql_state == "42P01"
