"""Reads what the console shows: as plain lines, and as SVG compared with a stored one. Sizes are fixed here.

Never compares what differs from run to run: ids and the version of the exporter are taken out first.
`DBOPS_UPDATE_SNAPSHOTS=1` stores what is shown now.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from dbops_tui.core.state import State
from dbops_tui.tui.app import ConsoleApp, Options
from fake_states import NOW_MS, FakeEngine

# What is drawn depends on these, and on nothing else outside.
os.environ.update({"TZ": "UTC", "TERM": "xterm-256color", "LANG": "C.UTF-8"})
for _name in ("NO_COLOR", "LC_ALL", "LC_CTYPE", "TEXTUAL_THEME", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_FILTERS"):
    os.environ.pop(_name, None)
if hasattr(time, "tzset"):
    time.tzset()

SIZES = {"wide": (120, 40), "normal": (80, 24), "small": (40, 10)}
FOLDER = Path(__file__).parent / "snapshots"


def console(state: State, **options: Any) -> ConsoleApp:
    """The console on `state` with a fixed clock."""
    options.setdefault("clock", False)
    return ConsoleApp(
        FakeEngine(state), state, Options(**options), now=lambda: NOW_MS / 1000, monotonic=lambda: 1000.0
    )  # fmt: skip


def screen_lines(app: ConsoleApp) -> list[str]:
    """What stands on the screen, line by line, without colours; dialogs over the panes."""
    width, height = app.size
    grid = [[" "] * width for _ in range(height)]
    for screen in app.screen_stack:
        for widget in screen.walk_children():
            if not widget.display or any(not parent.display for parent in widget.ancestors):  # type: ignore[attr-defined]
                continue
            region = widget.content_region
            if widget.children or not region.width:
                continue
            for y in range(region.height):
                if 0 <= region.y + y < height:
                    _put(grid[region.y + y], region.x, widget.render_line(y).crop(0, region.width).text)
    return ["".join(cell for cell in row).rstrip() for row in grid]


def _put(row: list[str], x: int, text: str) -> None:
    from rich.cells import cell_len

    for char in text:
        size = cell_len(char)
        if 0 <= x < len(row):
            if size:
                row[x] = char
            elif x:
                row[x - 1] += char
            for more in range(1, size):
                if x + more < len(row):
                    row[x + more] = ""
        x += size


def screen_text(app: ConsoleApp) -> str:
    return "\n".join(screen_lines(app))


def normal_svg(svg: str) -> str:
    """`svg` without what is new in every run."""
    svg = re.sub(r"terminal-\d+-", "terminal-", svg)
    svg = re.sub(r"<!-- Generated with Rich [^>]*-->", "", svg)
    return re.sub(r"[ \t]+\n", "\n", svg)


def check_snapshot(app: ConsoleApp, name: str) -> None:
    """Compare the screen with the stored one; the new one is left beside it where they differ."""
    svg = normal_svg(app.export_screenshot(title="dbops-tui"))
    path = FOLDER / f"{name}.svg"
    if os.environ.get("DBOPS_UPDATE_SNAPSHOTS") or not path.exists():
        FOLDER.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8")
        if not os.environ.get("DBOPS_UPDATE_SNAPSHOTS"):
            raise AssertionError(f"{path.name} was not there: it is now, look at it and commit it")
        return
    if path.read_text(encoding="utf-8") != svg:
        seen = path.with_suffix(".new.svg")
        seen.write_text(svg, encoding="utf-8")
        raise AssertionError(f"{path.name} differs from what is shown now: look at {seen.name}")
