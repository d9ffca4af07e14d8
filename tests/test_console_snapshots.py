"""What each screen looks like, in three sizes. The words are tested elsewhere; this is for the eye.

Made on one Python and one Textual only (both are pinned in CI): an SVG changes with them for no reason of ours.
"""

from __future__ import annotations

import fake_states
import pytest
from snapshot_helper import SIZES, check_snapshot, console

NEXT = "right_square_bracket"
SCREENS: dict[str, tuple[str, tuple[str, ...]]] = {
    "first": ("first", ()),
    "failed": ("failed", ()),
    "failed_run": ("failed", ("2", "n")),
    "failed_diagnosis": ("failed", ("3",)),
    "output": ("failed", ("2", "n", "n", "enter")),
    "timeline": ("failed", ("4", "right_square_bracket")),
    "running": ("running", ()),
    "pipeline": ("pipeline", ("2",)),
    "events": ("pipeline", ("L", "L", "L", "4")),
    "cli": ("failed", ("4", "left_square_bracket")),
    "broken": ("broken", ("3",)),
    "no_cli": ("no_cli", ("3",)),
    "unresolved": ("unresolved", ("3",)),
    "production": ("production", ("d",)),
    "read_only": ("read_only", ()),
    "verified": ("verified", ("2",)),
    "confirm": ("failed", ("a",)),
    "form": ("base", ("X",)),
    "help": ("base", ("question_mark",)),
    "palette": ("failed", ("colon", "r", "u", "n")),
    "quit": ("running", ("q",)),
    "nightly": ("nightly", ("2",)),
    "graph": ("failed", ("2", "4", *[NEXT] * 2, "j")),
    "history": ("nightly", ("4", *[NEXT] * 3, "j", "j", "left")),
    "update_history": ("pipeline", ("4", *[NEXT] * 3)),
    "checked": ("checked", ("3",)),
    "warehouses": ("checked", ("3", "c")),
    "schedule": ("base", ("j", "j", "j", "s")),
    "target": ("base", ("T",)),
    "clean_up": ("left_behind", ("K",)),
    "clean_up_confirm": ("left_behind", ("K", "d")),
    "repair": ("failed", ("2", "n", "m", "R", "tab")),
}


@pytest.fixture(autouse=True)
def nothing_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine the resource under the cursor would be followed before the picture is taken."""
    monkeypatch.setattr("dbops_tui.tui.app.FOCUS_AFTER", 3600.0)


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("screen", list(SCREENS))
async def test_a_screen_looks_as_it_was_left(screen: str, size: str) -> None:
    state, keys = SCREENS[screen]
    app = console(fake_states.ALL[state]())
    async with app.run_test(size=SIZES[size]) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await pilot.pause()
        check_snapshot(app, f"{screen}-{size}")


@pytest.mark.parametrize("theme", ["dbops-light", "dbops-contrast"])
async def test_the_other_themes_look_as_they_were_left(theme: str) -> None:
    app = console(fake_states.failed(), theme=theme)
    async with app.run_test(size=SIZES["wide"]) as pilot:
        await pilot.pause()
        check_snapshot(app, f"failed-{theme}")


async def test_ascii_looks_as_it_was_left() -> None:
    app = console(fake_states.failed(), ascii=True)
    async with app.run_test(size=SIZES["normal"]) as pilot:
        await pilot.press("2")
        await pilot.pause()
        check_snapshot(app, "failed-ascii")
