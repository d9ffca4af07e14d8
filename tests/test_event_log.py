"""The log of an update's events: whatever the order and however often they come, it is the same log, and inert."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dbops_tui.core.event_blocks import BLOCK, Blocks
from dbops_tui.core.event_json import keyed, parse_event
from dbops_tui.core.event_log import EventLog, EventView, inert_texts
from dbops_tui.core.pipelines import PipelineEvent
from dbops_tui.core.redaction import MASK, Redactor
from dbops_tui.core.text import clean
from event_worlds import MESSAGES, TOKEN, deliveries, many, raw_events
from hypothesis import given, settings
from hypothesis import strategies as st

CLEAN = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=9)


def plain(raws: list[dict[str, Any]]) -> list[PipelineEvent]:
    """What a log of these events has to hold, made in the plainest way."""
    return [parse_event(raw) for *_, raw in sorted(keyed(raws))]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_order_repetition_and_cut_gives_the_same_log(data: st.DataObject) -> None:
    raws = data.draw(raw_events())
    log = EventLog()
    new: list[PipelineEvent] = []
    seen: list[tuple[EventView, list[PipelineEvent]]] = []
    for batch in data.draw(deliveries(raws)):
        new += log.add(batch)
        seen.append((log.snapshot(), list(log.snapshot())))
    wanted = plain(raws)
    assert list(log.snapshot()) == wanted
    assert sorted(event.id for event in new) == sorted(event.id for event in wanted)
    assert list(log.errors()) == [event for event in wanted if event.level == "ERROR" or event.fatal]
    assert list(log.of_level("WARN")) == [event for event in wanted if event.level == "WARN"]
    assert sum(log.levels().values()) == len(wanted) == len(log)
    # What was shown stays as it was, whatever comes later.
    assert all(list(view) == held for view, held in seen)


def test_many_events_in_any_order_across_blocks() -> None:
    raws = many(3 * BLOCK + 100)
    wanted = plain(raws)
    chance = random.Random(3)
    for deal in ("in order", "backwards", "shuffled"):
        order = list(raws) if deal == "in order" else raws[::-1]
        if deal == "shuffled":
            chance.shuffle(order)
        log = EventLog()
        for first in range(0, len(order), 700):
            log.add(order[max(0, first - 50) : first + 700])
        assert list(log.snapshot()) == wanted, deal
        places = [chance.randrange(len(wanted)) for _ in range(50)]
        assert [log.snapshot()[place] for place in places] == [wanted[place] for place in places]
        late = {log.event(row).id for row in range(len(raws) - 100, len(raws))}
        assert [event.id for event in log.since(len(raws) - 100)] == [event.id for event in wanted if event.id in late]


def test_no_text_of_an_event_can_move_the_terminal_or_holds_a_secret() -> None:
    bad = f"\x1b]0;title\x07 {TOKEN} \x9b2J"
    raw = {
        "id": bad, "timestamp": bad, "message": bad, "level": bad, "event_type": bad,
        "origin": {"flow_name": bad, "dataset_name": bad, "update_id": bad,
                   "source_code_location": {"path": bad, "line_number": 1}},
        "error": {"fatal": True, "exceptions": [
            {"class_name": bad, "message": bad, "error_class": bad, "sql_state": bad,
             "stack": [{"declaring_class": bad, "method_name": bad, "file_name": bad, "line_number": 3}]}]},
        "details": {bad: {bad: [bad, {bad: bad}], "password": "hunter2hunter2"}},
        "truncation": {"truncated_fields": [{"field_name": bad}]},
    }  # fmt: skip
    log = EventLog()
    log.add([raw])
    for event in (log.snapshot()[0], parse_event(raw)):
        text = repr(event)
        assert TOKEN not in text
        assert MASK in text
        assert "hunter2" not in text
        assert "\\x1b" not in text
        assert "\\x9b" not in text


def test_a_secret_that_this_process_holds_is_masked_wherever_it_stands() -> None:
    secret = "correct-horse-battery-9"
    log = EventLog(redactor=Redactor([secret]))
    log.add({"id": str(n), "message": f"line {n}" + (f" {secret}" if n == 70 else "")} for n in range(200))
    messages = [event.message for event in log.snapshot()]
    assert sum(MASK in message for message in messages) == 1
    assert not any(secret in message for message in messages)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(MESSAGES), st.text(max_size=30)), max_size=40))
def test_looking_at_many_texts_at_once_gives_what_one_by_one_gives(texts: list[str]) -> None:
    redactor = Redactor(["s3cr3t-s3cr3t-s3cr3t"])

    def safe(text: str) -> str:
        return redactor.redact(clean(text))

    assert inert_texts(texts, safe) == [safe(text) for text in texts]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CLEAN, st.integers(0, 99)), max_size=60))
def test_blocks_give_every_row_back(rows: list[tuple[str, int]]) -> None:
    blocks = Blocks()
    rows = rows * (1 + 2 * BLOCK // max(1, len(rows)))
    for first in range(0, len(rows), 333):
        part = rows[first : first + 333]
        blocks.add([text for text, _ in part], [({"n": number}, None, None) if number else None for _, number in part])
    assert len(blocks) == len(rows)
    assert [blocks.message(row) for row in range(len(rows))] == [text for text, _ in rows]
    wanted = [({"n": number}, None, None) if number else None for _, number in rows]
    assert [blocks.extras(row) for row in range(len(rows))] == wanted


def test_a_view_is_a_sequence_and_equal_only_to_a_view_of_the_same_events() -> None:
    log, other = EventLog(), EventLog()
    raws = many(30)
    log.add(raws[:20])
    other.add(raws[:20])
    early = log.snapshot()
    assert log.snapshot() is early
    assert early != other.snapshot()
    assert early[3:7] == early[3:7] != early[4:8]
    assert [event.id for event in early[::-7]] == [event.id for event in list(early)[::-7]]
    assert early[-1] == list(early)[-1]
    assert list(reversed(early)) == list(early)[::-1]
    with pytest.raises(IndexError):
        early[20]
    log.add(raws[:20])
    assert log.snapshot() == early
    log.add(raws[20:])
    assert log.snapshot() != early
    assert len(early) == 20
    assert bool(EventLog().snapshot()) is False
    assert list(early.errors()) == [event for event in early if event.level == "ERROR"]


def test_events_without_an_id_are_told_apart_by_what_they_say() -> None:
    log = EventLog()
    log.add(
        [{"message": "a"}, {"message": "a"}, {"message": "b"}, {"id": 7, "message": "c"}, {"id": "7", "message": "c"}]
    )
    assert sorted(event.message for event in log.snapshot()) == ["a", "b", "c"]


ODD: list[list[Any]] = [
    [],
    [None, 3, "x", [1]],
    [{}],
    [{"id": [1]}],
    [{"origin": 3, "error": 4, "sequence": 5}],
    [{"level": ["INFO"], "event_type": {"a": 1}, "message": {"b": 2}}],
    [{"error": {"exceptions": [3, {"stack": 4}, {"stack": [5]}]}}],
    [{"timestamp": "2026-13-45T99:99:99Z"}, {"timestamp": float("nan")}],
]


@pytest.mark.parametrize("odd", ODD)
def test_shapes_that_nobody_promised_are_taken_as_they_are(odd: list[Any]) -> None:
    log = EventLog()
    log.add(odd)
    assert len(list(log.snapshot())) == len(log) == len([raw for raw in odd if isinstance(raw, dict)])
