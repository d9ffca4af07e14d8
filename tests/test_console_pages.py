"""The pages of the console by themselves: what lines they make of the models, and that they keep the place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fake_states
import pytest
from dbops_tui.core.runs import ForEachStats, Outcome, Run, RunState, TaskOutput, TaskRun
from dbops_tui.core.state import RunSummary
from dbops_tui.tui import editor
from dbops_tui.tui.excerpts import read_excerpt
from dbops_tui.tui.fuzzy import rank, score
from dbops_tui.tui.layout import PANES, arrange
from dbops_tui.tui.panes import TABS, Panes
from dbops_tui.widgets.beam import Window, axis, beam, window_of
from dbops_tui.widgets.diagnosis import DiagnosisPage, diagnosis_lines
from dbops_tui.widgets.events import LEVELS, EventsPage, event_lines, histogram, pattern_of
from dbops_tui.widgets.glyphs import ASCII, UNICODE, Glyphs, choose, pipeline_look, state_look, state_words
from dbops_tui.widgets.line_view import LineView
from dbops_tui.widgets.outline import Node, OutlinePage
from dbops_tui.widgets.output import LogPage, last_step, output_lines, result_lines
from dbops_tui.widgets.page import Look, TextLine, TextPage
from dbops_tui.widgets.resource_tree import STRIP, ResourcePage, history_strip
from dbops_tui.widgets.run_nodes import TaskItem, critical_path, in_order
from dbops_tui.widgets.run_tree import RunPage
from dbops_tui.widgets.spans import text_of, width_of
from dbops_tui.widgets.strips import header_line, loop_line, status_line
from dbops_tui.widgets.theme import PALETTES, SIXTEEN, Styles, palette_of
from dbops_tui.widgets.update_tree import UpdatePage
from dbops_tui.widgets.words import brief, duration, short_count, size
from fake_states import FAILED, NOW_MS, OK, RUNNING, UPSTREAM, task
from hypothesis import given
from hypothesis import strategies as st

LOOK = Look(now_ms=NOW_MS)


def shown(page: RunPage | UpdatePage | ResourcePage, width: int = 76) -> list[str]:
    return [text_of(page.line(index, width, LOOK)).rstrip() for index in range(page.count)]


def run_page(run: Run, **more: object) -> RunPage:
    page = RunPage()
    parts: dict[str, object] = {"child_runs": {}, "iterations": {}, "outputs": {}, "notes": {}, **more}
    page.show(run, now_ms=NOW_MS, **parts)  # type: ignore[arg-type]
    page.take_changes()
    return page


# --- the outline ------------------------------------------------------------------------------------------------------


def nodes(*entries: tuple[str, int]) -> list[Node[str]]:
    last = len(entries) - 1
    return [
        Node(key, depth, key, branch=number < last and entries[number + 1][1] > depth)
        for number, (key, depth) in enumerate(entries)
    ]


def test_an_outline_tells_only_the_lines_that_changed() -> None:
    page: OutlinePage[str] = OutlinePage()
    first = nodes(("a", 0), ("a1", 1), ("b", 0))
    page.set_nodes(first)
    page.take_changes()
    page.set_nodes(list(first))
    assert page.take_changes() == (False, False, set())
    page.set_nodes([*first[:2], Node("b", 0, "other")])
    assert page.take_changes() == (False, False, {2})


def test_an_outline_keeps_the_cursor_on_its_node_when_others_come_and_go() -> None:
    page: OutlinePage[str] = OutlinePage()
    page.set_nodes(nodes(("a", 0), ("b", 0), ("c", 0), ("d", 0)))
    page.cursor, page.top = 2, 1
    page.set_nodes(nodes(("new", 0), ("a", 0), ("b", 0), ("c", 0)))
    assert page.home() == "c"
    assert page.cursor - page.top == 1
    page.set_nodes(nodes(("new", 0), ("a", 0), ("b", 0)))
    assert page.home() == "b"
    page.set_nodes([])
    page.settle(5)
    assert page.home() == ""


def test_an_outline_keeps_closed_what_was_closed() -> None:
    page: OutlinePage[str] = OutlinePage()
    page.set_nodes(nodes(("a", 0), ("a1", 1), ("b", 0)))
    assert page.toggle(0)
    assert [page.key(i) for i in range(page.count)] == ["a", "b"]
    page.set_nodes(nodes(("a", 0), ("a1", 1), ("a2", 1), ("b", 0)))
    assert [page.key(i) for i in range(page.count)] == ["a", "b"]
    assert page.go_to("a2", 5)
    assert page.home() == "a2"
    assert page.toggle(page.cursor, opened=False)
    assert page.home() == "a"


def test_a_filter_keeps_what_stands_above_a_match() -> None:
    page: OutlinePage[str] = OutlinePage()
    page.set_nodes(nodes(("a", 0), ("a1", 1), ("a2", 1), ("b", 0)))
    page.set_filter(lambda node: node.key == "a2")
    assert [page.key(i) for i in range(page.count)] == ["a", "a2"]
    assert page.home() == "a2"
    page.set_filter(None)
    assert page.count == 4
    assert page.home() == "a2"


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 3)), max_size=12, unique_by=lambda e: e[0]),
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 3)), max_size=12, unique_by=lambda e: e[0]),
    st.lists(st.integers(0, 11), max_size=6),
)
def test_whatever_comes_the_cursor_stays_within_and_every_visible_node_once(
    before: list[tuple[str, int]], after: list[tuple[str, int]], toggles: list[int]
) -> None:
    page: OutlinePage[str] = OutlinePage()
    page.set_nodes(nodes(*before))
    for index in toggles:
        page.toggle(index)
        page.move_to(index, 4)
    page.set_nodes(nodes(*after))
    page.settle(4)
    keys = [page.key(index) for index in range(page.count)]
    assert len(keys) == len(set(keys))
    assert 0 <= page.cursor < max(1, page.count)
    assert 0 <= page.top <= max(0, page.count - 4)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_followers_are_folded_under_the_task_that_caused_them() -> None:
    lines = shown(run_page(fake_states.failed_run()))
    at = next(number for number, line in enumerate(lines) if "✗ silver_refresh" in line)
    assert "⊘ gold_merge" in lines[at + 1]
    assert "⊘ publish" in lines[at + 2]
    assert "upstream failed: silver_refresh" in lines[at + 2]


def test_a_nested_run_is_opened_in_place_where_it_failed() -> None:
    page = run_page(fake_states.failed_run(), child_runs={"t-silver_refresh": fake_states.child_run()})
    lines = shown(page)
    at = next(number for number, line in enumerate(lines) if "✗ silver_refresh" in line)
    assert "✓ read_orders" in lines[at + 1]
    assert "✗ refresh" in lines[at + 2]
    assert "⊘ optimize" in lines[at + 3]


def test_older_attempts_stand_under_their_task_and_are_closed() -> None:
    page = run_page(fake_states.failed_run())
    line = next(i for i in range(page.count) if page.key(i) == "t-check-1")
    assert "attempt 2" in shown(page)[line]
    assert page.toggle(line)
    assert page.key(line + 1) == "t-check-0"
    assert "failed attempt 1  connection reset" in shown(page)[line + 1]


def test_a_for_each_says_its_counts_and_loads_its_iterations_when_opened() -> None:
    run = fake_states.failed_run()
    page = run_page(run)
    line = next(i for i in range(page.count) if page.key(i) == "t-load_regions")
    assert "40/40 2 failed" in shown(page)[line]
    node = page.node(line)
    assert node is not None
    assert node.lazy
    loops = tuple(task(f"i{n}", FAILED if n == 3 else OK, 2, 5, id_=f"i-{n}") for n in range(5))
    page.show(run, {}, {"t-load_regions": loops}, {}, {}, NOW_MS)
    page.toggle(line, opened=True)
    assert page.key(line + 1) == "i-3"  # failed first
    assert page.key(line + 6) == "t-load_regions/more"
    assert "35 more iterations" in shown(page)[line + 6]


def test_a_failed_run_is_not_called_a_fault_of_the_platform() -> None:
    lines = shown(run_page(fake_states.failed_run()))
    assert not any("INTERNAL" in line.upper() for line in lines)


def test_a_thousand_tasks_of_which_ten_changed_redraw_ten_lines() -> None:
    def made(ended: int) -> Run:
        tasks = tuple(
            TaskRun(
                f"r{n}",
                f"t{n}",
                OK if n < ended else RUNNING,
                start_ms=NOW_MS - 9_000,
                end_ms=NOW_MS if n < ended else 0,
            )
            for n in range(1000)
        )
        return Run("1", "1", "x", RUNNING, NOW_MS - 9_000, tasks=tasks)

    page = run_page(made(100))
    page.show(made(110), {}, {}, {}, {}, NOW_MS)
    assert page.take_changes() == (False, False, set(range(100, 110)))


def test_tasks_stand_after_what_they_depend_on() -> None:
    tasks = [
        task("c", OK, 0, 1, depends_on=(("b", ""),)),
        task("b", OK, 0, 1, depends_on=(("a", ""),)),
        task("a", OK, 0, 1),
    ]
    assert [tasks[i].task_key for i in in_order(tasks)] == ["a", "b", "c"]


def test_a_circle_of_tasks_is_shown_all_the_same() -> None:
    tasks = [task("a", OK, 0, 1, depends_on=(("b", ""),)), task("b", OK, 0, 1, depends_on=(("a", ""),))]
    assert sorted(in_order(tasks)) == [0, 1]
    odd = replace(fake_states.failed_run(), tasks=tuple(replace(t, state=UPSTREAM) for t in tasks))
    assert len(shown(run_page(odd))) == 2


def test_the_critical_path_goes_back_from_what_ended_last() -> None:
    tasks = [
        task("a", OK, 0, 10),
        task("quick", OK, 0, 2),
        task("b", OK, 10, 30, depends_on=(("a", ""), ("quick", ""))),
        task("c", OK, 10, 5, depends_on=(("a", ""),)),
    ]
    assert critical_path(tasks) == {"a", "b"}


def test_every_state_has_a_sign_and_words() -> None:
    for outcome in Outcome:
        state = RunState(outcome, "SOME_LIFE")
        for glyphs in (UNICODE, ASCII):
            sign, role = state_look(state, glyphs)
            assert len(sign) == 1
            assert role
        assert state_words(state)
    assert state_words(RunState(Outcome.UNKNOWN, "HIBERNATING")) == "hibernating"
    assert pipeline_look("SOMETHING_NEW", UNICODE) == ("?", "warn", "something new")


def test_no_sign_is_wide_in_any_terminal() -> None:
    """Box drawing and blocks are ambiguous by the book and one cell in fact; every other sign is narrow by the book."""
    import unicodedata
    from dataclasses import fields

    for field in fields(Glyphs):
        for char in getattr(UNICODE, field.name):
            drawing = 0x2500 <= ord(char) <= 0x259F
            assert drawing or char in "…·–→" or unicodedata.east_asian_width(char) in ("N", "Na", "H"), (
                field.name,
                char,
            )
        assert getattr(ASCII, field.name).isascii()


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({"TERM": "xterm", "LANG": "en_US.UTF-8"}, UNICODE),
        ({"TERM": "linux", "LANG": "en_US.UTF-8"}, ASCII),
        ({"TERM": "dumb"}, ASCII),
        ({"TERM": "xterm", "LANG": "en_US.ISO-8859-1"}, ASCII),
        ({"TERM": "xterm", "LC_ALL": "C.utf8", "LANG": "de_DE.ISO-8859-1"}, UNICODE),
    ],
)
def test_signs_are_chosen_by_locale_and_terminal(env: dict[str, str], wanted: Glyphs) -> None:
    assert choose(env) is wanted
    assert choose(env, ascii_only=True) is ASCII


# --- bars over time ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 400), st.integers(0, 400), st.integers(1, 60))
def test_a_bar_is_as_wide_as_its_room_and_never_empty(start: int, length: int, width: int) -> None:
    window = Window(NOW_MS, NOW_MS + 300_000)
    line = beam(window, NOW_MS + start * 1000, NOW_MS + (start + length) * 1000, width, "ok", UNICODE)
    assert width_of(line) == width
    assert any(role == "ok" for _, role in line)


@given(st.integers(1, 10_000_000), st.integers(1, 120))
def test_an_axis_fits_its_room(length: int, width: int) -> None:
    assert width_of(axis(Window(0, length), width, UNICODE)) == width


def test_the_window_of_a_running_run_grows_by_steps() -> None:
    ends = {window_of(NOW_MS, 0, NOW_MS + seconds * 1000).end_ms for seconds in range(0, 300)}
    assert len(ends) == 4  # 30 s, 1, 2 and 5 minutes


# --- resources --------------------------------------------------------------------------------------------------------


def test_resources_are_grouped_with_jobs_and_pipelines_first() -> None:
    page = ResourcePage()
    page.show(fake_states.bundle(), fake_states.statuses(), "")
    lines = shown(page, 44)
    groups = [line.strip("▾ ") for line in lines if line.startswith("▾")]
    assert groups == ["Jobs", "Pipelines", "Dashboards", "Schemas", "Volumes"]
    text = "\n".join(lines)
    assert "3/7 flows" in text
    assert "not deployed" in text


def test_a_strip_of_runs_shows_failures_without_colour_too() -> None:
    history = fake_states.history((FAILED, 10), (OK, 60), (OK, 30))
    plain = text_of(history_strip(history, UNICODE, mono=True))
    assert plain.endswith("✗")
    assert width_of(history_strip(history, UNICODE)) == STRIP
    many = tuple(RunSummary(str(n), OK, NOW_MS, NOW_MS + n) for n in range(40))
    assert width_of(history_strip(many, UNICODE)) == STRIP


# --- updates and events -----------------------------------------------------------------------------------------------


def test_flows_stand_after_what_they_read_and_failed_rules_are_open() -> None:
    page = UpdatePage()
    page.show(fake_states.update(), NOW_MS)
    text = "\n".join(shown(page))
    assert text.index("bronze.orders") < text.index("silver.orders") < text.index("gold.daily")
    assert "31 of 42.0k failed" in text


def test_events_that_go_on_keep_the_place_unless_the_end_is_followed() -> None:
    page = EventsPage()
    events = fake_states.events(100)
    page.show(events[:50])
    page.settle(10)
    assert page.follow
    assert page.top == page.count - 10
    page.move_to(20, 10)
    held = page.event()
    page.show(events)
    page.settle(10)
    assert page.event() == held
    assert not page.follow
    page.move_to(page.count - 1, 10)
    assert page.follow


def test_events_of_another_update_start_anew() -> None:
    page = EventsPage()
    page.show(fake_states.events(100))
    other = tuple(replace(event, update_id="u-2") for event in fake_states.events(5))
    page.show(other)
    page.set_level(0)
    assert page.count == 6


@given(
    st.integers(0, len(LEVELS) - 1),
    st.sampled_from(["", "silver", "/211|FAILED/", "nothing", "[", "/[/"]),
    st.integers(0, 61),
)
def test_filtering_while_events_come_shows_what_filtering_at_the_end_would(level: int, text: str, cut: int) -> None:
    events = fake_states.events(60)
    live, late = EventsPage(), EventsPage()
    live.set_level(level)
    live.set_text(text)
    live.show(events[:cut])
    live.show(events)
    late.show(events)
    late.set_level(level)
    late.set_text(text)
    assert [live.key(i) for i in range(live.count)] == [late.key(i) for i in range(late.count)]


def test_the_root_cause_of_an_exception_chain_stands_first() -> None:
    text = "\n".join(text_of(line.spans) for line in event_lines(fake_states.events(1)[-1]))
    assert text.index("UnknownFieldException") < text.index("StreamingQueryException")
    assert "SQLSTATE KD003" in text


def test_a_histogram_marks_where_the_errors_are() -> None:
    line = histogram(fake_states.events(60), 30, UNICODE)
    assert width_of(line) == 30
    assert line[-1][1] == "error"
    assert histogram((), 30, UNICODE) == ()


def test_capitals_in_a_search_count() -> None:
    low, high, odd = pattern_of("err"), pattern_of("Err"), pattern_of("/[/")
    assert low is not None
    assert high is not None
    assert odd is not None
    assert low.search("ERROR")
    assert not high.search("ERROR")
    assert odd.search("a /[/ b")


# --- output -----------------------------------------------------------------------------------------------------------


def test_the_exit_value_is_a_table_with_the_failed_rows_first() -> None:
    lines = [text_of(line.spans) for line in output_lines(None, fake_states.JSON_OUTPUT)]
    text = "\n".join(lines)
    assert "status" in text
    assert text.index("customers") < text.index("orders")


@pytest.mark.parametrize(
    "text", ["", "plain", "{", '{"a": {"b": [1, 2]}}', "[1, 2]", "[[[", '{"a": null}', "[" * 100_000]
)
def test_any_exit_value_is_shown(text: str) -> None:
    assert isinstance(result_lines(text), list)


def test_the_step_it_died_in_is_the_last_one_printed() -> None:
    assert last_step("[Step 1/5] a\nx\n[Step 3/5] join\n") == (3, 5, "join")
    assert last_step("[Step 1/0] a") is None
    text = "\n".join(text_of(line.spans) for line in output_lines(replace(task("a", FAILED, 0, 1)), fake_states.OUTPUT))
    assert "died in step 3 of 5" in text


def test_what_the_platform_cut_off_is_said() -> None:
    output = TaskOutput("1", result="x", result_truncated=True, logs="y", logs_truncated=True)
    text = "\n".join(text_of(line.spans) for line in output_lines(None, output))
    assert text.count("cut this short") == 2


def test_a_search_goes_round_and_counts() -> None:
    page = LogPage()
    page.set_lines([((f"line {n}{' hit' if n % 10 == 0 else ''}", ""),) for n in range(100)])
    page.fit(80)
    pattern = pattern_of("hit")
    assert page.search(pattern, 10) == (1, 10)
    assert page.search(pattern, 10) == (2, 10)
    assert page.search(pattern, 10, back=True) == (1, 10)
    assert page.search(pattern, 10, back=True) == (10, 10)
    assert page.search(pattern_of("nothing"), 10) == (0, 0)


# --- diagnosis --------------------------------------------------------------------------------------------------------


def test_a_diagnosis_has_cause_evidence_place_and_both_sides_of_the_diff() -> None:
    lines = [
        text_of(line.spans) for line in diagnosis_lines(fake_states.diagnosis(), fake_states.fixes(), None, UNICODE)
    ]
    text = "\n".join(lines)
    assert "unresolved_column  96 %" in text
    assert "line 14: [UNRESOLVED_COLUMN" in text
    assert "also in   src/silver/returns.py:17" in text
    assert "- " in text
    assert "+ " in text
    assert "query     DESCRIBE TABLE" in text


def test_an_unknown_cause_is_called_so_and_has_no_percentage() -> None:
    unknown = replace(fake_states.diagnosis(), cause="unknown", confidence=0.0)
    first = text_of(diagnosis_lines(unknown, (), None, UNICODE)[0].spans)
    assert first.startswith("unknown cause")
    assert "%" not in first


def test_several_diagnoses_are_turned_over_and_the_place_starts_anew() -> None:
    page = DiagnosisPage()
    both = (fake_states.diagnosis(), replace(fake_states.diagnosis(), cause="other"))
    page.show(both, (), None, UNICODE)
    assert page.turn(1)
    page.show(both, (), None, UNICODE)
    assert page.diagnosis is both[1]
    assert not DiagnosisPage().turn(1)


def test_source_lines_are_read_only_below_the_bundle(tmp_path: Path) -> None:
    root = tmp_path / "bundle"
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("one\ntwo \x1b[31m\nthree\nfour\nfive\n\n\n")
    (tmp_path / "secret.txt").write_text("x\ny\nz\n")
    found = read_excerpt(root, "src/a.py", 3)
    assert found is not None
    assert (found.first, found.lines) == (1, ("one", "two ", "three", "four", "five"))
    assert read_excerpt(root, "../secret.txt", 2) is None
    assert read_excerpt(root, "src/a.py", 99) is None
    assert read_excerpt(root, "src/none.py", 1) is None
    assert read_excerpt(root, "src/a.py", None) is None


# --- lines around -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(fake_states.ALL))
def test_header_strip_and_status_never_leave_their_width(name: str) -> None:
    state = fake_states.ALL[name]()
    for width in (1, 5, 10, 20, 40, 64, 79, 80, 110, 120, 200):
        for line in (
            header_line(state, width, UNICODE),
            loop_line(state, width, UNICODE),
            status_line(state, width, UNICODE, now_ms=NOW_MS),
        ):
            assert width_of(line) <= width or width < 20, (width, text_of(line))


def test_the_host_outlives_profile_and_user_when_it_gets_narrow() -> None:
    state = fake_states.base()
    assert "adb-123" in text_of(header_line(state, 70, UNICODE))
    assert "you@example.com" not in text_of(header_line(state, 70, UNICODE))


@given(
    st.integers(0, 300), st.integers(0, 100), st.sampled_from(PANES), st.booleans(), st.integers(0, 60),
    st.integers(0, 200), st.booleans(),
)  # fmt: skip
def test_no_layout_overlaps_or_leaves_the_screen(
    width: int, height: int, pane: str, zoomed: bool, wanted: int, names: int, prompt: bool
) -> None:
    layout = arrange(
        width, height, pane=pane, zoomed=zoomed, diagnosis_lines=wanted, resource_width=names, prompt=prompt  # type: ignore[arg-type]
    )  # fmt: skip
    boxes = list(layout.boxes.values())
    for number, a in enumerate(boxes):
        assert a.x >= 0
        assert a.y >= 0
        assert a.x + a.width <= width
        assert a.y + a.height <= height
        for b in boxes[number + 1 :]:
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            assert apart or not (a.width and a.height and b.width and b.height)
    if height >= 4 and width:
        assert any(layout.shows(name) for name in PANES)


def test_every_tab_is_found_where_its_name_stands() -> None:
    panes = Panes(UNICODE)
    state = fake_states.failed()
    panes.show(state, NOW_MS)
    panes.show_chosen(state, None, NOW_MS, of_resource=False)
    text = text_of(panes.task.title)
    for name, word in TABS:
        assert panes.tab_at(text.index(word)) == name
        assert panes.tab_at(text.index(word) + len(word) - 1) == name
    assert panes.tab_at(500) == ""


def test_text_pages_keep_the_cursor_by_key_when_lines_come_before_it() -> None:
    page = TextPage(cursor=True)
    page.set_lines([TextLine((("a", ""),), key="a"), TextLine((("b", ""),), key="b")])
    page.fit(20)
    page.move_to(1, 5)
    page.set_lines([TextLine((("new", ""),)), *page.source])
    page.fit(20)
    assert page.home() == "b"


def test_moves_reach_the_lines_that_can_be_chosen_without_skipping_what_is_to_be_read() -> None:
    page = TextPage(cursor=True)
    page.set_lines([TextLine(((f"{n}", ""),), key="k" if n in (0, 30) else "") for n in range(40)])
    page.fit(20)
    page.settle(10)
    seen = set()
    for _ in range(60):
        seen.update(range(page.top, page.top + 10))
        page.move(1, 10)
    assert page.home() == "k"
    assert seen >= set(range(40))


def test_every_colour_role_is_known_to_every_palette() -> None:
    from textual.theme import BUILTIN_THEMES

    for palette in (*PALETTES.values(), SIXTEEN, *(palette_of(theme) for theme in BUILTIN_THEMES.values())):
        styles = Styles(palette)
        for role in ("", "b", "error+b", "muted+on.select", "accent+u", "ok+link.https://x/?a=b+c", "nonsense"):
            assert styles[role].color is not None
    assert Styles(PALETTES["dbops-dark"])["a+link.https://x/?a=b+c"].link == "https://x/?a=b+c"


@pytest.mark.parametrize("name", list(PALETTES))
def test_text_can_be_read_on_every_ground_it_stands_on(name: str) -> None:
    """WCAG contrast: 4.5 for text, 3 for what is meant to stand back."""
    from textual.color import Color

    palette = PALETTES[name]
    for ground in ("background", "surface", "select", "select_faint", "add", "remove"):
        back = Color.parse(getattr(palette, ground))
        for role, least in (("text", 7.0), ("muted", 3.5), ("ok", 3.0), ("error", 3.0), ("warn", 3.0), ("accent", 3.0)):
            ratio = _contrast(Color.parse(getattr(palette, role)), back)
            assert ratio >= least, (name, role, ground, round(ratio, 2))


def _contrast(a, b) -> float:  # type: ignore[no-untyped-def]
    def light(colour) -> float:  # type: ignore[no-untyped-def]
        parts = [part / 255 for part in (colour.r, colour.g, colour.b)]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# --- words, palette, editor -------------------------------------------------------------------------------------------


def test_durations_and_counts_are_short() -> None:
    assert [duration(ms) for ms in (0, 7_400, 133_000, 3_729_000, 270_000_000)] == [
        "0:00",
        "0:07",
        "2:13",
        "1:02:09",
        "3d 03h",
    ]
    assert [brief(ms) for ms in (0, 41_000, 90_000, 150_000, 7_200_000)] == ["0s", "41s", "1m 30s", "2m", "2h"]
    assert [short_count(n) for n in (0, 9_999, 12_345, 999_499, 4_100_000)] == ["0", "9,999", "12.3k", "999k", "4.1M"]
    assert [size(n) for n in (3, 12_000, 1_400_000)] == ["3 B", "12 kB", "1.4 MB"]


def test_the_palette_ranks_starts_of_words_before_scattered_letters() -> None:
    names = ["sandbox deploy", "deploy", "redeploy", "d e p l o y", "other"]
    assert rank("deploy", names, lambda n: n, lambda n: "")[:2] == ["deploy", "sandbox deploy"]
    assert "other" not in rank("deploy", names, lambda n: n, lambda n: "")
    assert score("xyz", "deploy") == 0
    assert rank("", names, lambda n: n, lambda n: "") == names


@pytest.mark.parametrize(
    ("chosen", "words", "own"),
    [
        ("vim", ("vim", "+42", "/b/a.py"), False),
        ("nvim -p", ("nvim", "-p", "+42", "/b/a.py"), False),
        ("code --wait", ("code", "--wait", "-g", "/b/a.py:42"), True),
        ("/opt/bin/hx", ("/opt/bin/hx", "/b/a.py:42"), False),
        ("pycharm", ("pycharm", "--line", "42", "/b/a.py"), True),
        ("ed '{file}' -l {line}", ("ed", "/b/a.py", "-l", "42"), False),
    ],
)
def test_each_editor_is_told_the_line_its_own_way(chosen: str, words: tuple[str, ...], own: bool) -> None:
    command = editor.command_for(Path("/b/a.py"), 42, env={"EDITOR": chosen, "PATH": ""})
    assert command == editor.Command(words, own)


def test_the_configured_editor_goes_before_visual_and_visual_before_editor() -> None:
    env = {"VISUAL": "nano", "EDITOR": "vim", "PATH": ""}
    assert editor.command_for(Path("a"), None, editor="micro", env=env).words[0] == "micro"
    assert editor.command_for(Path("a"), None, env=env).words == ("nano", "+1", "a")


@pytest.mark.parametrize("env", [{"PATH": ""}, {"EDITOR": "vim 'unclosed", "PATH": ""}, {"EDITOR": " ", "PATH": ""}])
def test_where_there_is_no_editor_it_says_what_to_set(env: dict[str, str]) -> None:
    with pytest.raises(editor.NoEditor):
        editor.command_for(Path("a"), 1, env=env)


def test_an_editor_that_cannot_be_run_is_a_sentence() -> None:
    assert "is not installed" in editor.run(editor.Command(("no-such-editor-anywhere", "a")))
    assert "status 3" in editor.run(editor.Command(("sh", "-c", "exit 3")))
    assert editor.run(editor.Command(("true",), own_window=True)) == ""


def test_the_views_moves_are_all_there() -> None:
    from dbops_tui.widgets.line_view import MOVES

    for action, *_ in MOVES:
        assert callable(getattr(LineView, f"action_{action}"))


def test_a_for_each_with_nothing_to_do_is_not_lazy() -> None:
    empty = task("loop", OK, 0, 1, kind="for_each", for_each=ForEachStats())
    page = run_page(replace(fake_states.failed_run(), tasks=(empty,)))
    node = page.node(0)
    assert node is not None
    assert not node.branch
    assert isinstance(node.data, TaskItem)
