"""Bytes that a terminal would obey, on each of their ways through the program; nothing but letters may come out.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import sys
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from dbops_tui.core.crash import format_crash, sentence
from dbops_tui.core.event_json import parse_event
from dbops_tui.core.events import Problem, plain, to_json
from dbops_tui.core.process import run_process
from dbops_tui.core.redaction import Redactor
from dbops_tui.core.report import ErrorRecord, FixRecord, LoopRecord, RoundRecord, to_markdown
from dbops_tui.core.run_json import parse_output
from dbops_tui.core.text import Cleaner
from dbops_tui.tui.coloured import Coloured
from dbops_tui.tui.jsonl import line_of
from dbops_tui.tui.notify import copy, desktop
from dbops_tui.tui.place import Stop
from dbops_tui.tui.place import said as said_of
from dbops_tui.tui.plain import Sentences
from dbops_tui.widgets.spans import inert
from fault_cases import Case

ESC = "\x1b"
# Ways to drive a terminal, by what they would do. Every C0, DEL and C1 joins them, alone and between letters.
SEQUENCES: Mapping[str, str] = {
    "colour": f"{ESC}[31mred{ESC}[0m",
    "clear": f"{ESC}[2J{ESC}[H",
    "scroll region": f"{ESC}[1;2r",
    "alternate screen": f"{ESC}[?1049h",
    "mouse": f"{ESC}[?1003h{ESC}[?1006h",
    "bracketed paste": f"{ESC}[?2004h",
    "answerback": f"{ESC}[c{ESC}[6n{ESC}[>q",
    "window title read": f"{ESC}[21t",
    "CSI of 8 bits": "\x9b31m\x9b2J",
    "CSI with intermediates": f"{ESC}[!p{ESC}[?$p",
    "title": f"{ESC}]0;evil\x07",
    "title of 8 bits": "\x9d0;evil\x9c",
    "link": f"{ESC}]8;;https://evil.example{ESC}\\click{ESC}]8;;{ESC}\\",
    "notice": f"{ESC}]9;evil\x07",
    "notice of rxvt": f"{ESC}]777;notify;a;b\x07",
    "clipboard": f"{ESC}]52;c;ZXZpbA==\x07",
    "clipboard read": f"{ESC}]52;c;?{ESC}\\",
    "iTerm": f"{ESC}]1337;File=inline=1:AAAA\x07",
    "colour palette": f"{ESC}]4;1;?\x07",
    "DCS": f"{ESC}P+q544e{ESC}\\",
    "DCS of 8 bits": "\x90+q544e\x9c",
    "sixel": f"{ESC}Pq#0;2;0;0;0#0~~{ESC}\\",
    "APC": f"{ESC}_Gf=24;AAAA{ESC}\\",
    "PM": f"{ESC}^secret{ESC}\\",
    "SOS": f"{ESC}Xsecret{ESC}\\",
    "reset": f"{ESC}c",
    "keypad": f"{ESC}={ESC}>",
    "save and restore": f"{ESC}7{ESC}8",
    "charset": f"{ESC}(0lqk{ESC}(B\x0e\x0f",
    "tmux": f"{ESC}Ptmux;{ESC}{ESC}]52;c;eA=={ESC}\\",
    "carriage return": "failed\rpassed",
    "backspace": "failed\b\b\b\b\b\bpassed",
    "form feed": "one\ftwo\vthree",
    "unterminated CSI": f"{ESC}[31",
    "unterminated OSC": f"{ESC}]52;c;ZXZpbA==",
    "unterminated DCS": f"{ESC}P+q544e",
    "lone escape": f"end{ESC}",
    "escape in escape": f"{ESC}[3{ESC}[1m1m{ESC}]0;{ESC}]0;x\x07y\x07",
    "bidi override": "user\u202egnp.exe",
    "bidi isolate": "a\u2066b\u2069c\u2067d\u2068e",
    "bidi marks": "a\u200eb\u200fc\u061cd",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufeff",
    "tags": "x\U000e0041\U000e0042\U000e007f",
    "line separators": "one\u2028two\u2029three\x85four",
    "lone surrogate": "x\ud800y\udc9bz",
    "not characters": "x\ufffe\uffffy",
    "interlinear": "a\ufff9b\ufffac\ufffb",
}


def payloads() -> list[tuple[str, str]]:
    """Every payload with its name, the text before and after it the same."""
    single = [*range(0x20), 0x7F, *range(0x80, 0xA0)]
    found = [(f"U+{code:04X}", chr(code)) for code in single]
    return [(name, f"head {text} tail") for name, text in (*found, *SEQUENCES.items())]


def live(text: str, *, lines: bool = True) -> str:
    """What in a text a terminal would obey; empty where there is nothing."""
    allowed = "\n\t" if lines else ""
    return "".join(
        char
        for char in text
        if not char.isprintable() and char not in allowed and unicodedata.category(char) != "Cn"  # obeyed by nobody
    )


def _own(text: str, *own: str) -> str:
    """The text without sequences of ours."""
    for part in own:
        text = text.replace(part, "")
    return text


def _record(text: str) -> LoopRecord:
    error = ErrorRecord("jobs.nightly", text, "1", "work")
    fix = FixRecord(text, "person", ("a.py",), text, text)
    return LoopRecord("l", text, "dev", "https://x", "you", "p", ("jobs.nightly",), "escalated", text, "", "",
                      (RoundRecord(1, (error,), (fix,)),))  # fmt: skip


def _output(text: str) -> str:
    """A task's output from the border to a model, all of its texts."""
    raw = json.loads(
        json.dumps({"error": text, "error_trace": text, "logs": text, "notebook_output": {"result": text}})
    )
    return json.dumps(plain(parse_output(raw, Redactor())), ensure_ascii=False).replace("\\n", "")


def _crash(text: str) -> str:
    try:
        raise ValueError(text)
    except ValueError as error:
        return format_crash(error) + "\n" + sentence(error, None)


def _copied(text: str) -> str:
    out: list[str] = []
    said = copy(text, out.append, {})
    data = out[0].removeprefix("\x1b]52;c;").removesuffix("\x07")
    base64.b64decode(data, validate=True)
    return said


def _sentences(text: str) -> str:
    stream = io.StringIO()
    Sentences(stream).event(Problem("x", _model(text)))
    return stream.getvalue()


def _coloured(text: str) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        Coloured().event(Problem("x", _model(text)))
    return stream.getvalue()


def _model(text: str) -> str:
    """A text as it stands in a model: whatever comes from outside came past this."""
    return parse_output({"error": text}, Redactor()).error


def _bit_by_bit(text: str) -> str:
    cleaner = Cleaner()
    return "".join(cleaner.feed(char) for char in text) + cleaner.finish()


# By name: from a text to what is written at the end of this way.
SINKS: Mapping[str, Callable[[str], str]] = {
    "a line of a pane": inert,
    "a task's output": _output,
    "an event of a pipeline": lambda t: parse_event({"id": t, "message": t, "event_type": t, "level": "ERROR"}).message,
    "text in chunks": _bit_by_bit,
    "JSON lines": lambda t: line_of(to_json(Problem("x", t))),
    "sentences": _sentences,
    "sentences with colour": _coloured,
    "the report": lambda t: to_markdown(_record(_model(t))),
    "stderr of a command": lambda t: said_of(Stop(t, t, code="x")),
    "a crash": _crash,
    "a notice of iTerm": lambda t: _own(desktop(t, t, "9"), "\x1b]9; ", "\x1b\\"),
    "a notice of rxvt": lambda t: _own(desktop(t, t, "777"), "\x1b]777;notify;", "\x1b\\"),
    "a notice of kitty": lambda t: _own(desktop(t, t, "99"), "\x1b]99;", "\x1b\\"),
    "the clipboard": _copied,
}


def through_sinks(found: Sequence[tuple[str, str]]) -> list[Case]:
    """Each payload on each way."""
    cases = []
    for sink, write in SINKS.items():
        for name, text in found:
            try:
                left = live(write(text))
                problem = f"{left!r} came through" if left else ""
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            cases.append(Case("terminal bytes", f"{name} to {sink}", problem))
    return cases


async def through_cli(found: Sequence[tuple[str, str]]) -> AsyncIterator[Case]:
    """Each payload as stderr of the CLI, to the line that is shown and to the one that is kept."""
    script = (
        "import json,sys\nfor t in json.load(sys.stdin): sys.stderr.buffer.write(t.encode('utf-8','replace')+b'\\n\\n')"
    )
    for name, text in found:
        told: list[str] = []
        data = json.dumps([text]).encode()
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-ISc", script]
            ended = await run_process(words, cwd=Path(folder), env={}, seconds=60, tell=told.append, stdin=data)
        left = live("\n".join((*told, *ended.lines)))
        yield Case("terminal bytes", f"{name} to a line of the CLI", f"{left!r} came through" if left else "")


async def behind_the_console(found: Sequence[tuple[str, str]]) -> AsyncIterator[Case]:
    """Each payload in a plain widget of Textual within the console: its last net has to hold by itself."""
    import fake_states
    from snapshot_helper import SIZES, console
    from textual.content import Content
    from textual.widgets import Static

    app = console(fake_states.base())
    async with app.run_test(size=SIZES["normal"]) as pilot:
        widget = Static(Content(""), id="net")
        widget.styles.dock = "top"
        widget.styles.height = 2
        await app.screen.mount(widget)
        for name, text in found:
            widget.update(Content(text))
            await pilot.pause()
            strips = app.screen._compositor.render_strips()
            left = "".join(live(s.text, lines=False) for strip in strips for s in strip if not s.control)
            seen = "".join(s.text for strip in strips for s in strip)
            problem = f"{left!r} came through" if left else "" if "head" in seen else "the text is not shown"
            yield Case("terminal bytes", f"{name} to a widget", problem)


async def all_bytes(step: int = 1) -> AsyncIterator[Case]:
    """Every payload (each `step`-th of them) to every sink."""
    found = payloads()[::step]
    for case in await asyncio.to_thread(through_sinks, found):
        yield case
    async for case in through_cli(found[:: max(1, len(found) // 24)]):
        yield case
    async for case in behind_the_console(found):
        yield case
