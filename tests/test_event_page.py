"""The page of events: places that stay, filters in slices, spans of time, errors to go to, and the keys for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_states
import pytest
from dbops_tui.core import event_filter
from dbops_tui.core.bundle import Bundle
from dbops_tui.core.event_log import EventLog
from dbops_tui.core.pipelines import PipelineEvent
from dbops_tui.widgets import events as events_module
from dbops_tui.widgets.event_times import counts_between, histogram, span_of, time_lines
from dbops_tui.widgets.events import EventsPage, event_lines
from dbops_tui.widgets.glyphs import UNICODE
from dbops_tui.widgets.page import Look
from dbops_tui.widgets.spans import text_of
from event_worlds import deliveries, many, raw_events
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_helper import SIZES, console, screen_text

HEIGHT = 10


def log_of(count: int) -> EventLog:
    log = EventLog()
    log.add(many(count))
    return log


def page_of(log: EventLog, level: int = 0, text: str = "") -> EventsPage:
    page = EventsPage()
    page.set_level(level)
    page.set_text(text)
    page.show(log.snapshot())
    page.settle(HEIGHT)
    return page


def finish(page: EventsPage) -> None:
    while page.unfinished:
        page.go_on()
        page.settle(HEIGHT)


def shown(page: EventsPage) -> list[str]:
    return [page.key(index) for index in range(page.count)]


def on_screen(page: EventsPage) -> list[str]:
    return [page.key(index) for index in range(page.top, min(page.count, page.top + HEIGHT))]


@pytest.fixture
def one_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of a single small chunk, so that every search goes on for many of them."""
    monkeypatch.setattr(events_module, "SLICE", 0.0)
    monkeypatch.setattr(event_filter, "CHUNK", 64)
    monkeypatch.setattr(event_filter, "TEXT_CHUNK", 64)
    monkeypatch.setattr(event_filter, "SCREEN", 16)


def test_the_newest_events_are_followed_until_the_cursor_leaves_them() -> None:
    log = EventLog()
    raws = many(200)
    log.add(raws[:100])
    page = page_of(log)
    assert page.follow
    assert on_screen(page) == [raw["id"] for raw in raws[90:100]]
    log.add(raws[100:150])
    page.show(log.snapshot())
    page.settle(HEIGHT)
    assert on_screen(page) == [raw["id"] for raw in raws[140:150]]
    page.move(-3, HEIGHT)
    assert not page.follow
    seen, held = on_screen(page), page.event()
    log.add(raws[150:])
    page.show(log.snapshot())
    page.settle(HEIGHT)
    assert (on_screen(page), page.event()) == (seen, held)


def test_what_is_being_read_does_not_move_when_older_events_are_loaded() -> None:
    raws = many(3000)
    log = EventLog()
    log.add(raws[2500:])
    page = page_of(log)
    page.move_to(200, HEIGHT)
    seen, held, offset = on_screen(page), page.event(), page.cursor - page.top
    for first in range(2000, -1, -500):
        log.add(raws[first : first + 500])
        page.show(log.snapshot())
        finish(page)
        page.settle(HEIGHT)
        assert (on_screen(page), page.event(), page.cursor - page.top) == (seen, held, offset)
    assert page.count == 3000


@pytest.mark.usefixtures("one_chunk_at_a_time")
def test_a_filter_that_goes_on_in_slices_keeps_the_place_and_finds_all() -> None:
    log = log_of(4000)
    page = page_of(log)
    finish(page)
    page.move_to(2000, HEIGHT)
    held = page.event()
    assert held is not None
    page.set_text(f"flow:{held.flow}")
    page.settle(HEIGHT)
    assert page.unfinished
    assert page.event() == held
    offset = page.cursor - page.top
    while page.unfinished:
        page.go_on()
        page.settle(HEIGHT)
        assert page.event() == held
        assert page.cursor - page.top == offset
    assert shown(page) == [event.id for event in log.snapshot() if event.flow == held.flow]


@pytest.mark.usefixtures("one_chunk_at_a_time")
def test_while_the_end_is_followed_what_is_found_before_moves_nothing_on_screen() -> None:
    log = log_of(3000)
    page = page_of(log, text="few rows")
    while page.count < 2 * HEIGHT:
        page.go_on()
        page.settle(HEIGHT)
    seen = on_screen(page)
    while page.unfinished:
        page.take_changes()
        page.go_on()
        page.settle(HEIGHT)
        assert on_screen(page) == seen
    wanted = [event.id for event in log.snapshot() if "few rows" in event.message]
    assert shown(page) == wanted
    assert page.follow


@pytest.mark.usefixtures("one_chunk_at_a_time")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_of_what_comes_and_what_is_pressed_shows_what_passes(data: st.DataObject) -> None:
    raws = data.draw(raw_events())
    log = EventLog()
    page = EventsPage()
    for batch in data.draw(deliveries(raws)):
        log.add(batch)
        page.show(log.snapshot())
        press = data.draw(st.sampled_from(["nothing", "up", "text", "level", "slice", "time"]))
        if press == "up":
            page.move(-2, HEIGHT)
        elif press == "text":
            page.set_text(data.draw(st.sampled_from(["", "running", "type:flow_progress", "/r.w/"])))
        elif press == "level":
            page.set_level(data.draw(st.integers(0, 3)))
        elif press == "slice":
            page.go_on()
        elif press == "time":
            page.go_to_time(data.draw(st.integers(0, 2 * 10**15)), HEIGHT)
        page.settle(HEIGHT)
        assert 0 <= page.cursor < max(1, page.count)
        assert 0 <= page.top <= max(0, page.count - 1)
    finish(page)
    fresh = page_of(log, page.level, page.text)
    finish(fresh)
    assert shown(page) == shown(fresh)


def test_a_plain_list_of_events_is_shown_as_well_as_a_snapshot() -> None:
    log = log_of(300)
    plain: Sequence[PipelineEvent] = tuple(log.snapshot())
    page = EventsPage()
    page.set_level(0)
    page.show(plain[:200])
    page.show(plain)
    assert shown(page) == [event.id for event in plain]
    page.show(log.snapshot())
    assert shown(page) == [event.id for event in plain]
    page.show(())
    assert page.count == 0


def test_the_next_and_previous_error_or_warning_among_what_is_shown() -> None:
    log = log_of(500)
    page = page_of(log, text="flow:raw")
    page.move_to(0, HEIGHT)
    wanted = [e.id for e in log.snapshot() if e.level in ("ERROR", "WARN") and e.flow == "main.shop.raw"]
    first = page.key(0)
    met = [first] if first in wanted else []
    while page.next_problem(HEIGHT):
        met.append(page.key(page.cursor))
    assert met == wanted
    back = [page.key(page.cursor)]
    while page.next_problem(HEIGHT, back=True):
        back.append(page.key(page.cursor))
    assert back == wanted[::-1]


def test_spans_of_time_add_up_and_lead_to_their_first_event() -> None:
    log = log_of(2000)
    view = log.snapshot()
    lines = [line for line in time_lines(view, UNICODE) if line.key]
    assert 2 <= len(lines) <= 60
    starts = [int(line.key.removeprefix("at:")) for line in lines]
    counts = counts_between(view, [*starts, span_of(view)[1] + 1])
    assert sum(counts) == len(view)
    page = page_of(log)
    for start in starts:
        page.go_to_time(start, HEIGHT)
        assert log.time(page.row(page.cursor)) >= start
        assert page.cursor == 0 or log.time(page.row(page.cursor - 1)) < start


def test_the_histogram_shows_where_errors_are_without_colour() -> None:
    log = log_of(1000)
    line = histogram(log.snapshot(), 40, UNICODE)
    first, last = span_of(log.snapshot())
    cells = {(log.time(row) - first) * 40 // (last - first + 1) for row in log.errors().rows}
    signs = text_of(line)
    assert len(signs) == 40
    assert {at for at, sign in enumerate(signs) if sign == UNICODE.failed} >= cells - {39}
    assert histogram((), 40, UNICODE) == ()
    assert time_lines((), UNICODE) == []


def test_times_far_apart_or_missing_do_not_stretch_the_picture() -> None:
    log = EventLog()
    log.add([{"id": "none", "timestamp": "soon"}, *many(50)])
    first, last = span_of(log.snapshot())
    assert 0 < first < last
    assert len(time_lines(log.snapshot(), UNICODE)) < 62


def test_drawing_and_moving_cost_the_same_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of lines and a move look at no more than what is on screen."""
    page = page_of(log_of(6000))
    asked: list[int] = []
    plain = EventsPage.row
    monkeypatch.setattr(EventsPage, "row", lambda self, index: asked.append(index) or plain(self, index))
    page.move_to(100, HEIGHT)
    page.move(HEIGHT, HEIGHT)
    for index in range(page.top, page.top + HEIGHT):
        page.line(index, 120, Look())
    assert len(asked) < 6 * HEIGHT


def test_details_and_frames_of_an_event_are_laid_out() -> None:
    event = replace(
        fake_states.events(1)[-1],
        details={"status": "FAILED", "metrics": {"rows": 3}, "nothing": None, "long": "x" * 100},
    )
    text = "\n".join(text_of(line.spans) for line in event_lines(event))
    assert '"rows": 3' in text
    assert "status" in text
    assert "nothing" not in text
    keys = [line.key for line in event_lines(event, "src/pipeline/orders.sql:12") if line.key]
    assert keys == ["place:src/pipeline/orders.sql:12"]


# --- in the console ---------------------------------------------------------------------------------------------------


async def test_keys_of_the_events_tab() -> None:
    app = console(fake_states.pipeline())
    async with app.run_test(size=SIZES["wide"]) as pilot:
        app.go_to_tab("events")
        await pilot.press("4")
        await pilot.press("N")
        await pilot.pause()
        event = app.panes.events.event()
        assert event is not None
        assert event.level == "WARN"
        await pilot.press("f")
        await pilot.pause()
        assert "flow_progress" in screen_text(app)
        await pilot.press(*"silver", "enter")
        await pilot.pause()
        assert app.panes.events.text == "flow:silver.orders "
        await pilot.press("escape")
        await pilot.pause()
        assert app.panes.events.text == ""
        await pilot.press("t")
        await pilot.pause()
        assert "09:50:05" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert len(app.screen_stack) == 1
        assert not app.panes.events.follow


async def test_an_error_of_a_workspace_file_leads_to_the_file_in_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "orders.py").write_text("x = 1\n" * 9)
    error = replace(
        fake_states.events(1)[-1], source_file="/Workspace/Users/a/.bundle/b/dev/files/src/orders.py", source_line=7
    )
    state = replace(fake_states.pipeline(), bundle=Bundle(tmp_path, "b", "dev"), events=(error,), diagnoses=())
    app = console(state)
    opened: list[Any] = []

    async def open_at(path: Path, line: int | None) -> None:
        opened.append((path, line))

    monkeypatch.setattr(app.operations, "_edit", open_at)
    async with app.run_test(size=SIZES["wide"]) as pilot:
        app.go_to_tab("events")
        await pilot.press("4")
        await pilot.pause()
        await pilot.press("e")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "src/orders.py:7" in screen_text(app)
        await pilot.press("e")
        await pilot.pause()
    assert opened == [(tmp_path / "src" / "orders.py", 7)] * 2
