"""Flows added up from events: each event once, sums over micro-batches, the latest word by time, in their order."""

from __future__ import annotations

from typing import Any

from dbops_tui.core.event_log import EventLog
from dbops_tui.core.flow_fold import FlowFold, in_order
from dbops_tui.core.pipelines import Expectation, Flow
from event_worlds import TOKEN, deliveries, many, raw_events
from hypothesis import given, settings
from hypothesis import strategies as st

RAW, CLEAN, DAILY = "main.shop.raw", "main.shop.clean", "main.shop.daily"
_numbers = iter(range(10**9))


def event(second: int, flow: str = "", **details: Any) -> dict[str, Any]:
    """An event of `second`, with one object in its details."""
    (kind,) = details
    return {
        "id": f"e-{next(_numbers)}",
        "timestamp": f"2026-11-24T09:50:{second:02}.000Z",
        "event_type": kind,
        "origin": {"update_id": "u-1", "flow_name": flow, "dataset_name": flow},
        "details": details,
    }


def progress(second: int, flow: str, status: str, **more: Any) -> dict[str, Any]:
    return event(second, flow, flow_progress={"status": status, **more})


def batch(second: int, flow: str, rows: Any, passed: Any, failed: Any, backlog: Any = 0) -> dict[str, Any]:
    rule = {"name": "valid_id", "dataset": flow, "passed_records": passed, "failed_records": failed}
    metrics = {"num_output_rows": rows, "num_upserted_rows": rows, "num_deleted_rows": "0", "backlog_bytes": backlog}
    quality = {"dropped_records": failed, "expectations": [rule]}
    return progress(second, flow, "RUNNING", metrics=metrics, data_quality=quality)


def defined(second: int, flow: str, *inputs: Any, kind: str = "APPEND") -> dict[str, Any]:
    body = {"output_dataset": flow, "input_datasets": list(inputs), "flow_type": kind}
    return event(second, flow, flow_definition=body)


def flows(*raws: dict[str, Any]) -> tuple[Flow, ...]:
    fold = FlowFold()
    fold.add(raws)
    return fold.flows()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_order_repetition_and_cut_gives_the_same_flows(data: st.DataObject) -> None:
    raws = data.draw(raw_events())
    whole = FlowFold()
    whole.add(raws)
    fold, log, behind_log = FlowFold(), EventLog(), FlowFold()
    for part in data.draw(deliveries(raws)):
        fold.add(part)
        behind_log.take(log.take(part))
        fold.flows()
    assert fold.flows() == behind_log.flows() == whole.flows()
    assert fold.state == behind_log.state == whole.state


def test_counts_are_summed_over_micro_batches_and_come_as_text_too() -> None:
    (flow,) = flows(
        progress(1, CLEAN, "STARTING"), batch(2, CLEAN, 10, 9, 1, 500), batch(3, CLEAN, "20", "18", "2", "300"),
        progress(4, CLEAN, "COMPLETED"),
    )  # fmt: skip
    assert (flow.rows, flow.upserted, flow.deleted, flow.dropped, flow.backlog_bytes) == (30, 30, 0, 3, 300)
    assert flow.expectations == (Expectation("valid_id", CLEAN, 27, 3),)
    assert (flow.status, flow.start, flow.end) == (
        "COMPLETED", "2026-11-24T09:50:01.000Z", "2026-11-24T09:50:04.000Z",
    )  # fmt: skip


def test_the_latest_word_by_time_counts_not_the_last_to_arrive() -> None:
    late = batch(3, CLEAN, 5, 5, 0, 111)
    (flow,) = flows(progress(9, CLEAN, "FAILED"), batch(5, CLEAN, 1, 1, 0, 222), late, progress(1, CLEAN, "QUEUED"))
    assert (flow.status, flow.backlog_bytes, flow.rows) == ("FAILED", 222, 6)
    assert (flow.start, flow.end) == ("2026-11-24T09:50:03.000Z", "2026-11-24T09:50:09.000Z")


def test_a_flow_that_is_tried_again_has_no_end_yet() -> None:
    (flow,) = flows(progress(1, RAW, "RUNNING"), progress(2, RAW, "FAILED"), progress(3, RAW, "RUNNING"))
    assert (flow.status, flow.start, flow.end) == ("RUNNING", "2026-11-24T09:50:01.000Z", "")


def test_what_was_never_told_is_not_known() -> None:
    (flow,) = flows(progress(1, RAW, "RUNNING"))
    assert (flow.rows, flow.upserted, flow.deleted, flow.backlog_bytes, flow.dropped) == (None, None, None, None, 0)
    (flow,) = flows(progress(1, RAW, "RUNNING", metrics={"num_output_rows": "many", "backlog_bytes": None}))
    assert (flow.rows, flow.backlog_bytes) == (None, None)


def test_flows_stand_in_dependency_order_and_views_are_looked_through() -> None:
    found = flows(
        defined(1, DAILY, "view_b"), defined(2, "view_b", "view_a", RAW, kind="VIEW"),
        defined(3, "view_a", CLEAN, "view_b", kind="VIEW"), defined(4, CLEAN, RAW), defined(5, RAW),
        progress(6, DAILY, "QUEUED"),
    )  # fmt: skip
    assert [flow.name for flow in found] == [RAW, CLEAN, DAILY]
    assert [flow.inputs for flow in found] == [(), (RAW,), (CLEAN, RAW)]
    assert [flow.status for flow in found] == ["QUEUED"] * 3


def test_a_view_that_failed_is_shown() -> None:
    found = flows(defined(1, "v", RAW, kind="VIEW"), progress(2, "v", "FAILED"), defined(3, DAILY, "v"))
    assert [(flow.name, flow.status, flow.inputs) for flow in found] == [
        ("v", "FAILED", (RAW,)), (DAILY, "QUEUED", ("v",)),
    ]  # fmt: skip


def test_a_circle_and_a_flow_that_reads_itself_do_not_hang() -> None:
    circle = [Flow("a", inputs=("b",)), Flow("b", inputs=("a",)), Flow("c", inputs=("c", "d")), Flow("d")]
    assert [flow.name for flow in in_order(circle)] == ["d", "c", "a", "b"]


def test_inputs_and_outputs_in_other_forms() -> None:
    (flow,) = flows(
        event(1, "f", flow_definition={"output_sink": {"name": "kafka"}, "input_datasets": [
            {"catalog": "main", "schema": "shop", "name": "raw"}, "x", None, "x"]})
    )  # fmt: skip
    assert (flow.dataset, flow.inputs) == ("kafka", ("main.shop.raw", "x"))


def test_what_is_done_with_failed_records_comes_from_the_definition_before_or_after() -> None:
    rules = event(1, CLEAN, dataset_definition={"expectations": [{"name": "valid_id", "action": "drop"}]})
    fold = FlowFold()
    fold.add([batch(2, CLEAN, 10, 9, 1)])
    assert fold.flows()[0].expectations[0].action == ""
    fold.add([rules])
    assert fold.flows()[0].expectations == (Expectation("valid_id", CLEAN, 9, 1, "DROP"),)
    assert fold.flows()[0].expectations[0].dropped == 1


def test_a_flow_that_did_not_change_is_the_same_object() -> None:
    fold = FlowFold()
    fold.add([defined(1, RAW), defined(2, CLEAN, RAW)])
    before = fold.flows()
    assert fold.flows() is before
    fold.add([progress(3, CLEAN, "RUNNING")])
    after = fold.flows()
    assert after[0] is before[0]
    assert after[1] is not before[1]


def test_the_state_of_the_update_is_its_latest_and_tells_its_end() -> None:
    fold = FlowFold()
    fold.add([event(9, update_progress={"state": "COMPLETED"})])
    assert (fold.state, fold.ended) == ("COMPLETED", True)
    fold.add([event(3, update_progress={"state": "RUNNING"})])
    assert (fold.state, fold.ended) == ("COMPLETED", True)


def test_names_are_inert() -> None:
    bad = f"\x1b[31m{TOKEN}"
    (flow,) = flows(progress(1, bad, bad), defined(2, bad, bad))
    assert "\x1b" not in repr(flow)
    assert TOKEN not in repr(flow)


def test_an_event_type_that_nobody_knows_may_carry_progress() -> None:
    raw = progress(1, RAW, "RUNNING")
    assert flows({**raw, "event_type": "quantum_progress", "level": "NOTICE"})[0].status == "RUNNING"


def test_a_long_update_is_added_up_once() -> None:
    raws = many(3000)
    fold = FlowFold()
    for first in range(0, len(raws), 500):
        fold.add(raws[max(0, first - 100) : first + 500])
    assert sum(flow.rows or 0 for flow in fold.flows()) == sum(range(3000))
