"""Filters of events: what is found a chunk at a time, in a log that grows, is what a plain look at the whole finds."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from dbops_tui.core import event_filter
from dbops_tui.core.event_blocks import BLOCK
from dbops_tui.core.event_filter import Sieve, Wanted
from dbops_tui.core.event_log import EventLog, EventView
from dbops_tui.core.pipelines import PipelineEvent
from dbops_tui.core.search import pattern_of
from event_worlds import deliveries, many, raw_events
from hypothesis import given, settings
from hypothesis import strategies as st

TYPED = (
    "", "running", "RUNNING", "a\tb", "gone", "GONE", "/r.nn/", "/^Flow .*rows\\.$/", "/[/", "größe", "Größe", "İ",
    "type:flow_progress", "type:flow* processed", "flow:clean", "flow:main.shop.raw", "level:error", "dataset:*a*",
    "level:warn level:error flow:daily", "type: running", "batch 1",
)  # fmt: skip
HIDDEN = (frozenset(), frozenset({"METRICS"}), frozenset({"METRICS", "INFO", "WARN"}))
WANTED = st.builds(
    lambda hidden, text: Wanted(hidden=hidden).with_text(text), st.sampled_from(HIDDEN), st.sampled_from(TYPED)
)


def plain(events: Iterable[PipelineEvent], wanted: Wanted) -> list[str]:
    """The ids of the events that are wanted, looked at one by one."""
    pattern = pattern_of(wanted.text)
    found = []
    for event in events:
        names = [name for full in (event.flow, event.dataset) if full for name in (full, full.rpartition(".")[2])]
        texts = [event.message, event.event_type, event.flow, event.dataset]
        texts += [f"{x.class_name} {x.error_class} {x.sql_state} {x.message}" for x in event.exceptions]
        if (
            event.level not in wanted.hidden
            and _any(wanted.levels, [event.level])
            and _any(wanted.types, [event.event_type])
            and _any(wanted.flows, names)
            and (pattern is None or any(pattern.search(text) for text in texts))
        ):
            found.append(event.id)
    return found


def _any(globs: tuple[str, ...], names: list[str]) -> bool:
    from fnmatch import fnmatchcase

    return not globs or any(fnmatchcase(name.lower(), glob.lower()) for name in names for glob in globs)


def found(sieve: Sieve) -> list[str]:
    return [event.id for event in EventView(sieve.log, sieve.rows, len(sieve))]


def finish(sieve: Sieve) -> None:
    while not sieve.finished:
        before, known = sieve.looked_at, len(sieve)
        moved = sieve.step()
        assert sieve.looked_at > before, "a step that looks at nothing would go on for ever"
        assert 0 <= moved <= len(sieve) - known


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_filter, "CHUNK", 4)
    monkeypatch.setattr(event_filter, "TEXT_CHUNK", 3)
    monkeypatch.setattr(event_filter, "SCREEN", 3)


@pytest.mark.usefixtures("small_chunks")
@settings(max_examples=250, deadline=None)
@given(st.data(), WANTED)
def test_a_log_that_grows_in_any_order_is_filtered_as_the_whole_would_be(data: st.DataObject, wanted: Wanted) -> None:
    raws = data.draw(raw_events())
    batches = data.draw(deliveries(raws))
    log = EventLog()
    at = data.draw(st.integers(0, len(raws)))
    sieve = Sieve(log.snapshot(), wanted, at)
    for number, batch in enumerate(batches):
        log.add(batch)
        if number == 0 and at:
            sieve = Sieve(log.snapshot(), wanted, at)
        sieve.follow(log.snapshot())
        for _ in range(data.draw(st.integers(0, 3))):
            sieve.step()
    finish(sieve)
    assert found(sieve) == plain(log.snapshot(), wanted)


@pytest.mark.parametrize("deal", ["in order", "pages from the end", "shuffled"])
def test_large_logs_across_blocks(deal: str) -> None:
    raws = many(2 * BLOCK + 500)
    batches = [raws[first : first + 900] for first in range(0, len(raws), 900)]
    if deal == "pages from the end":
        batches.reverse()
    elif deal == "shuffled":
        order = list(raws)
        random.Random(5).shuffle(order)
        batches = [order[first : first + 900] for first in range(0, len(order), 900)]
    log = EventLog()
    wanted = {text: Wanted(hidden=frozenset({"METRICS"})).with_text(text) for text in TYPED}
    sieves = {text: Sieve(log.snapshot(), each, 0) for text, each in wanted.items()}
    for batch in batches:
        log.add(batch)
        for sieve in sieves.values():
            sieve.follow(log.snapshot())
            sieve.step()
    for text, sieve in sieves.items():
        finish(sieve)
        late = Sieve(log.snapshot(), wanted[text], 700)
        finish(late)
        assert found(sieve) == found(late) == plain(log.snapshot(), wanted[text]), text


def test_a_screen_around_the_place_is_looked_for_first() -> None:
    log = EventLog()
    log.add(many(6 * BLOCK))
    sieve = Sieve(log.snapshot(), Wanted(text="processed"), 3 * BLOCK)
    sieve.step()
    sieve.step()
    assert sieve.looked_at <= 2 * event_filter.TEXT_CHUNK
    middle = sieve.position(log.snapshot().rows[3 * BLOCK])
    assert middle >= event_filter.SCREEN
    assert len(sieve) - middle >= event_filter.SCREEN


def test_blocks_without_the_text_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog()
    raws = [raw for raw in many(5 * BLOCK) if raw["level"] != "ERROR"]
    raws[10]["message"] = "a needle here"
    log.add(raws)
    looked_into: list[int] = []
    plain_hits = Sieve._hits
    monkeypatch.setattr(Sieve, "_hits", lambda self, block: looked_into.append(block) or plain_hits(self, block))
    sieve = Sieve(log.snapshot(), Wanted(text="needle"), len(raws))
    finish(sieve)
    assert found(sieve) == [log.event(10).id]
    assert set(looked_into) <= {0, len(raws) // BLOCK}


def test_what_is_typed_is_taken_apart() -> None:
    wanted = Wanted().with_text("type:flow_progress flow:orders dataset:raw level:error some /words/")
    assert wanted == Wanted(levels=("error",), types=("flow_progress",), flows=("orders", "raw"), text="some /words/")
    assert Wanted().with_text("time: 3").text == "time: 3"
    assert Wanted().with_text("type:").everything
    assert not wanted.everything


def test_case_counts_only_where_there_are_capitals() -> None:
    for text, message, hit in [
        ("gone", "GONE", True), ("Gone", "GONE", False), ("/g.ne/", "GONE", True), ("/G.ne/", "GONE", False),
        ("a.b", "a.b", True), ("a.b", "axb", False), ("/a(/", "/a(/", True), ("//", "//", True),
    ]:  # fmt: skip
        pattern = pattern_of(text)
        assert pattern is not None
        assert bool(pattern.search(message)) is hit, text


def test_an_empty_log_has_nothing_to_look_for() -> None:
    raws: list[dict[str, Any]] = []
    log = EventLog()
    log.add(raws)
    sieve = Sieve(log.snapshot(), Wanted(text="x"), 0)
    assert sieve.finished
    assert len(sieve) == 0
