"""Events from JSON: times of every form, numbers as text, causes, and details as the API or the table has them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dbops_tui.core.event_json import details_of, iso_text, microseconds, parse_event, raw_of, whole
from event_worlds import raw_event
from hypothesis import given, settings
from hypothesis import strategies as st

RAW: dict[str, Any] = {
    "id": "8f0c",
    "sequence": {"control_plane_seq_no": 17},
    "origin": {
        "update_id": "u-1",
        "flow_name": "main.shop.orders",
        "dataset_name": "main.shop.orders",
        "source_code_location": {"path": "/Workspace/Users/a/files/src/orders.py", "line_number": "12"},
    },
    "timestamp": "2026-11-24T09:50:07.120Z",
    "message": "Flow 'main.shop.orders' has FAILED fatally.",
    "level": "ERROR",
    "event_type": "flow_progress",
    "details": {"flow_progress": {"status": "FAILED", "metrics": {"num_output_rows": "12"}}},
    "error": {
        "fatal": True,
        "exceptions": [
            {"class_name": "a.Outer", "message": "the query was terminated"},
            {
                "class_name": "b.Cause",
                "error_class": "UNKNOWN_FIELD",
                "sql_state": "KD003",
                "message": "an unknown field",
                "stack": [{"declaring_class": "R", "method_name": "read", "file_name": "R.scala", "line_number": 88}],
            },
        ],
    },
    "truncation": {"truncated_fields": [{"field_name": "details"}]},
}


def test_every_part_of_an_event_is_kept() -> None:
    event = parse_event(RAW)
    assert (event.id, event.level, event.event_type, event.timestamp) == (
        "8f0c", "ERROR", "flow_progress", "2026-11-24T09:50:07.120Z",
    )  # fmt: skip
    assert (event.update_id, event.flow, event.dataset) == ("u-1", "main.shop.orders", "main.shop.orders")
    assert (event.source_file, event.source_line) == ("/Workspace/Users/a/files/src/orders.py", 12)
    assert event.fatal
    assert [error.class_name for error in event.exceptions] == ["a.Outer", "b.Cause"]
    assert event.exceptions[1].stack == (("R", "read", "R.scala", 88),)
    assert event.exceptions[1].error_class == "UNKNOWN_FIELD"
    assert event.details == {
        "status": "FAILED", "metrics": {"num_output_rows": "12"}, "truncated_fields": ["details"],
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(raw_event("e-1"))
def test_what_was_made_of_json_can_be_made_of_it_again(raw: dict[str, Any]) -> None:
    event = parse_event(raw)
    assert parse_event(raw_of(event)) == event


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:00.001Z", 1_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T01:00:01+01:00", 1_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("soon", 0),
        ("", 0),
        (None, 0),
        (17, 0),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000_000),
    ],
)
def test_times_of_every_form(text: object, wanted: int) -> None:
    assert microseconds(text) == wanted


@settings(max_examples=200)
@given(st.integers(-(10**14), 4 * 10**15))
def test_a_time_written_and_read_is_the_same(at: int) -> None:
    assert microseconds(iso_text(at)) == at


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3, 3),
        ("3", 3),
        (3.0, 3),
        ("3.7", 3),
        (" 4 ", 4),
        (True, None),
        (None, None),
        ("", None),
        ("x", None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e400", None),
        ("9" * 60, None),
        ([1], None),
        (2**70, 2**70),
    ],
)
def test_numbers_come_as_numbers_or_as_text(value: object, wanted: int | None) -> None:
    assert whole(value) == wanted


def test_details_may_be_json_text_or_stand_under_another_name() -> None:
    inner = {"status": "RUNNING"}
    assert details_of({"flow_progress": inner}, "flow_progress", str) == inner
    assert details_of(json.dumps({"flow_progress": inner}), "flow_progress", str) == inner
    assert details_of({"flow_progress": inner}, "quantum_progress", str) == inner
    assert details_of({"a": 1, "b": 2}, "c", str) == {"a": 1, "b": 2}
    assert details_of("no json", "c", str) == {"text": "no json"}
    assert details_of([1], "c", str) == {}


def test_details_that_go_on_and_on_are_cut_off() -> None:
    deep: Any = "end"
    for _ in range(500):
        deep = {"a": deep}
    assert "[...]" in repr(details_of({"t": deep}, "t", str))
