"""Shows the console on a hand-made State, to look at: `python tests/show_console.py failed`.

Never part of a test run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import fake_states
from dbops_tui.tui.app import ConsoleApp, Options


def main(words: list[str]) -> int:
    """`NAME [keys,... OUT.svg WIDTHxHEIGHT]`: in the terminal, or exported as SVG after pressing the keys."""
    state = fake_states.ALL[words[0] if words else "failed"](
        Path(words[4]) if len(words) > 4 else Path("/bundles/retail")
    )
    offset = fake_states.NOW_MS / 1000 - time.time()
    fixed = len(words) > 2
    app = ConsoleApp(
        fake_states.FakeEngine(state),
        state,
        Options(theme=words[5] if len(words) > 5 else ""),
        now=(lambda: fake_states.NOW_MS / 1000) if fixed else (lambda: time.time() + offset),
        monotonic=lambda: 1000.0,
    )
    if not fixed:
        return app.run() or 0
    width, height = (int(part) for part in words[3].split("x"))

    async def export() -> None:
        async with app.run_test(size=(width, height)) as pilot:
            await pilot.pause()
            for key in filter(None, words[1].split(",")):
                await pilot.press(key)
                await pilot.pause()
            await pilot.pause()
            exported.append(app.export_screenshot(title="dbops-tui"))

    exported: list[str] = []
    asyncio.run(export())
    Path(words[2]).write_text(exported[0], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
