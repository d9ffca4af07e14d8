"""Text from outside cannot do anything: neither markup nor escape codes, wherever it is shown."""

from __future__ import annotations

import ast
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import dbops_tui.tui.app as app_module
import fake_states
import pytest
from dbops_tui.core.state import CliLine, State
from dbops_tui.tui.notify import COPY_LIMIT, Notifier, copy, desktop, through_tmux
from dbops_tui.tui.safety import InertFilter, crash_sentence
from dbops_tui.widgets.spans import cells, crop, fit, inert, span, wrap
from dbops_tui.widgets.theme import linked
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from snapshot_helper import SIZES, console, screen_text
from textual.color import Color

PAYLOADS = (
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b[31mred\x1b[0m\x1b[2J",
    "\x9b31m\x9d0;title\x9c",
    "\x1bc\x1bP+q\x1b\\",
    "abc\u202edef\u2066ghi\u200b",
    "a\rb\nc\td\x00e\x08f\x7f",
    "[/] [@click=app.quit]x[/] [b]bold [INFO] [type=x, v={'a[0]'}] [[ \\[",
    "\ud800 lone surrogate \U000e0041",
)
ROOM = Path(app_module.__file__).resolve().parents[1]


def poisoned(text: str) -> State:
    """A State in which every text that comes from outside holds `text`."""
    state = fake_states.failed()
    assert state.run is not None
    assert state.bundle is not None
    bad = replace(fake_states.FAILED, message=text)
    tasks = tuple(
        replace(t, task_key=t.task_key + text, source_path=text, condition_outcome=text) for t in state.run.tasks
    )
    tasks = tuple(replace(t, state=bad if t.state.failed else t.state) for t in tasks)
    diagnosis = replace(
        fake_states.diagnosis(), title=text, explanation=text, evidence=(fake_states.Evidence(1, text),),
        location=fake_states.Location(text, 3), entities={"column": text},
    )  # fmt: skip
    fix = replace(fake_states.fixes()[0], title=text, command=text, risk=text,
                  patch=fake_states.Patch((fake_states.Edit(text, 1, text, text),)))  # fmt: skip
    resource = replace(
        state.bundle.resources[0], key=text or "x", name=text, url=text, config={"parameters": [{"name": text}]}
    )
    levels = ("ERROR", text)
    events = tuple(
        replace(e, message=text, event_type=text, level=levels[n % 2], flow=text, timestamp=text)
        for n, e in enumerate(fake_states.events(6))
    )
    output = replace(fake_states.OUTPUT, error=text, error_trace=text, result=text, logs=text * 3, extra={text: text})
    return replace(
        state,
        bundle=replace(state.bundle, name=text, resources=(resource, *state.bundle.resources[1:])),
        bundle_note=text,
        identity=replace(state.identity, host=text, user=text, profile=text, target=text),
        run=replace(state.run, tasks=tasks, name=text, state=bad, page_url=text),
        outputs=dict.fromkeys(("c-2", *(t.run_id for t in tasks)), output),
        events=events,
        diagnoses=(diagnosis,),
        fixes=(fix,),
        cli_lines=(CliLine("cmd", text), CliLine("err", text), CliLine("out", text)),
        loop=replace(state.loop, hold=text),
        busy=text,
        journal_note=text,
        cli_problem=text,
        stale=fake_states.Stale(1, text),
        pending_files=(text,),
        report_markdown=text,
        resumable=text,
    )


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_no_text_from_outside_reaches_the_screen_as_more_than_letters(payload: str) -> None:
    app = console(poisoned(payload))
    async with app.run_test(size=SIZES["wide"]) as pilot:
        keys = [*"2n", "enter", "4", *["right_square_bracket"] * 4, *"3a", "escape", "d", "escape", "X", "escape"]
        for key in [*keys, "colon", "escape", "M", "escape", "q", "escape"]:
            await pilot.press(key)
            await pilot.pause()
            for line in screen_text(app).split("\n"):
                assert line.isprintable(), repr(line)
            assert app.is_running
        assert app.return_code is None


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_what_is_written_to_the_terminal_holds_only_our_own_sequences(payload: str) -> None:
    app = console(poisoned(payload))
    async with app.run_test(size=SIZES["normal"]) as pilot:
        for key in ("1", "2", "3", "4"):
            await pilot.press(key)
            await pilot.pause()
            svg = app.export_screenshot()
            assert "https://evil.example" not in svg.replace("evil.example\\click", "") or "href" not in svg
            for line in app.screen._compositor.render_strips():
                for segment in line:
                    assert segment.text.isprintable(), repr(segment.text)
                    assert not segment.control


def test_the_filter_is_the_last_net_for_every_control_character() -> None:
    every = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x200B, 0xFEFF, 0xD800)]
    style = Style(bold=True)
    for char in every:
        made = InertFilter().apply([Segment(f"a{char}b", style), Segment("clean", style)], Color(0, 0, 0))
        assert made[0].text == "a\ufffdb"
        assert made[0].style is style
        assert made[1].text == "clean"
    clean = [Segment("clean", style)]
    assert InertFilter().apply(clean, Color(0, 0, 0)) is clean


async def test_the_filter_stands_behind_every_widget() -> None:
    app = console(fake_states.base())
    async with app.run_test(size=SIZES["normal"]):
        assert isinstance(app.get_line_filters()[-1], InertFilter)


@given(st.text(max_size=60))
def test_any_text_becomes_one_printable_line(text: str) -> None:
    made = inert(text)
    assert made.isprintable()
    assert "\n" not in made


@given(st.text(max_size=80), st.integers(0, 60))
def test_cropped_text_is_never_wider_than_its_room(text: str, width: int) -> None:
    text = inert(text)
    assert cells(crop(text, width)) <= width
    assert sum(cells(part) for part, _ in fit((span(text), span(text)), width)) <= width


@settings(max_examples=200)
@given(st.text(max_size=120), st.integers(8, 40), st.integers(0, 6))
def test_wrapping_loses_no_letter_and_keeps_to_the_width(text: str, width: int, indent: int) -> None:
    line = (span(text),)
    parts = wrap(line, width, indent=indent)
    assert all(sum(cells(part) for part, _ in row) <= width for row in parts)
    kept = "".join(part for row in parts for part, _ in row)
    assert kept.replace(" ", "") == line[0][0].replace(" ", "") or any(c.isspace() for c in line[0][0])


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x/\x1b]0;evil\x07", "file:///etc/passwd", "https://ü.example"]
)
def test_only_plain_web_addresses_become_links(url: str) -> None:
    assert linked("accent", url) == "accent"
    assert linked("accent", "https://adb-1.net/x?a=1+2") == "accent+link.https://adb-1.net/x?a=1+2"


def test_no_widget_is_given_text_to_parse() -> None:
    """Only our own line views draw; what Textual would parse for markup gets constants or Content."""
    for path in (*(ROOM / "widgets").glob("*.py"), *(ROOM / "tui").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in ("Static", "Label", "notify", "RichLog", "Log", "DataTable", "from_markup"), (
                    path,
                    name,
                )
            if isinstance(node, ast.Attribute) and node.attr == "loading":
                raise AssertionError(f"{path}: a spinner writes 100 kB/s over SSH")


# --- the terminal itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("kind", ["9", "777", "99"])
def test_a_desktop_notice_cannot_be_broken_out_of(kind: str, payload: str) -> None:
    sequence = desktop("dbops", payload, kind)
    body = sequence[2:-2] if kind != "99" else sequence
    assert sequence.startswith("\x1b]")
    assert sequence.endswith("\x1b\\")
    if kind != "99":
        assert body.isprintable()
    assert sequence.count("\x1b]") == (2 if kind == "99" else 1)


def test_a_notice_of_an_unknown_kind_is_none() -> None:
    assert desktop("a", "b", "") == ""
    assert desktop("a", "b", "42") == ""


def test_inside_of_tmux_a_sequence_is_passed_through() -> None:
    assert through_tmux("\x1b]9;x\x07", {"TMUX": "1"}) == "\x1bPtmux;\x1b\x1b]9;x\x07\x1b\\"
    assert through_tmux("\x1b]9;x\x07", {}) == "\x1b]9;x\x07"


def test_it_rings_once_for_one_thing() -> None:
    out: list[str] = []
    notifier = Notifier(out.append, kind="9", env={})
    notifier.known("old")
    assert not notifier.tell("old", "t", "x")
    assert notifier.tell("new", "t", "x")
    assert not notifier.tell("new", "t", "x")
    assert out == ["\a", "\x1b]9; t: x\x1b\\"]


def test_copying_goes_through_the_terminal_and_has_a_limit(tmp_path: Path) -> None:
    out: list[str] = []
    assert "sent" in copy("run 8123", out.append, {})
    assert out == ["\x1b]52;c;cnVuIDgxMjM=\x07"]
    said = copy("x" * (COPY_LIMIT + 1), out.append, {}, folder=tmp_path)
    saved = tmp_path / "copied.txt"
    assert str(saved) in said
    assert saved.stat().st_mode & 0o077 == 0
    assert len(out[-1]) < 400


def test_a_crash_leaves_a_report_without_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBOPS_STATE_DIR", str(tmp_path))
    secret = "dapi" + "0123456789abcdef" * 2

    def fail() -> None:
        token = secret
        raise ValueError("bad \x1b[31m thing") if token else None  # type: ignore[misc]

    try:
        fail()
    except ValueError as error:
        said = crash_sentence(error)
    assert "ValueError" in said
    assert said.isprintable()
    text = next(tmp_path.glob("crash-*.txt")).read_text()
    assert secret not in text
    assert "ValueError" in text


async def test_an_unhandled_error_of_the_console_prints_one_sentence_and_no_locals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBOPS_STATE_DIR", str(tmp_path))
    secret = "dapi" + "fedcba9876543210" * 2
    app = console(fake_states.base())

    def broken(*_: Any) -> None:
        token = secret
        raise RuntimeError(f"no {len(token)}")

    with contextlib.suppress(RuntimeError):
        async with app.run_test(size=SIZES["normal"]) as pilot:
            app.panes.show = broken  # type: ignore[method-assign]
            app.call_later(app.refresh_scene)
            await pilot.pause()
    shown = capsys.readouterr().err
    assert shown.startswith("dbops-tui failed: RuntimeError")
    assert secret not in shown
    assert "Traceback" not in shown
    reports = [path.read_text() for path in sorted(tmp_path.iterdir())]  # noqa: ASYNC240
    assert reports
    assert not any(secret in report for report in reports)
