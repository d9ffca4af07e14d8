"""Makes the pictures and the example report in this folder from the running program: `python docs/make_screens.py`.

Plays the demo by keys, as a person would; nothing in the pictures is drawn by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from dbops_tui.core.clock import SimulatedClock
from dbops_tui.core.engine import Engine
from dbops_tui.tui.app import ConsoleApp, Options
from dbops_tui.tui.demo_world import DemoWorld
from dbops_tui.tui.place import Place, open_place
from textual.pilot import Pilot

HERE = Path(__file__).parent
WIDE, SMALL = (150, 42), (80, 24)


async def until(pilot: Pilot[int], done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for `done`, then for the paint."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not done():
        if loop.time() > end:
            raise TimeoutError("the demo did not come that far")
        await pilot.pause(0.05)
    await pilot.pause(0.4)


def place_of(world: DemoWorld) -> Place:
    named = argparse.Namespace(path=str(world.bundle_dir), target=world.target, profile=None)
    return open_place(named, env=world.env)


async def play(scenario: str, pictures: Callable[[Pilot[int], ConsoleApp, DemoWorld], object]) -> None:
    """Open the console on a scenario and let `pictures` press the keys."""
    with tempfile.TemporaryDirectory() as folder:
        with DemoWorld.open(scenario, time_scale=40, into=f"{folder}/demo") as world:
            place = place_of(world)
            clock = SimulatedClock(world.now_ms(), world.time_scale)
            engine = Engine(
                place.bundle,
                env=world.env,
                config=place.config,
                target=world.target,
                redactor=place.redactor,
                clock=clock,
            )
            focus = next(r.ref for key in world.run if (r := place.bundle.resource(key)) is not None)
            engine.world.store.set(identity=place.identity, focus=focus)
            app = ConsoleApp(engine, engine.state, Options(clock=False), now=lambda: clock.now_ms() / 1000)
            async with app.run_test(size=WIDE) as pilot:
                await until(pilot, lambda: bool(app.state.identity.user and app.state.cli_version))
                await pictures(pilot, app, world)  # type: ignore[misc]


async def begin(pilot: Pilot[int], app: ConsoleApp) -> None:
    await pilot.press("H")
    await pilot.pause(0.3)
    await pilot.press("y")
    await until(pilot, lambda: waits(app, 1))


def waits(app: ConsoleApp, iteration: int) -> bool:
    """Whether the loop waits for an edit in this round."""
    loop = app.state.loop
    return loop.stage == "fix" and loop.iteration == iteration and bool(app.state.diagnoses)


async def mend(pilot: Pilot[int], app: ConsoleApp, world: DemoWorld, number: int) -> None:
    world.mend(world.fixes[number])
    await until(pilot, lambda: bool(app.state.pending_files))
    await pilot.press("d")
    await pilot.pause(0.3)
    await pilot.press("y")


def save(app: ConsoleApp, name: str) -> None:
    (HERE / f"{name}.svg").write_text(app.export_screenshot(title="dbops-tui"), encoding="utf-8")
    print(f"docs/{name}.svg")


async def retail(pilot: Pilot[int], app: ConsoleApp, world: DemoWorld) -> None:
    await begin(pilot, app)
    save(app, "screen-deploy-failed")
    await mend(pilot, app, world, 0)
    await until(pilot, lambda: app.state.run is not None and waits(app, 2))
    await pilot.press("2", "3")
    await pilot.pause(0.3)
    save(app, "screen-failed")
    await pilot.resize_terminal(*SMALL)
    await pilot.pause(0.5)
    save(app, "screen-small")
    await pilot.resize_terminal(*WIDE)
    await pilot.press("question_mark")
    await pilot.pause(0.3)
    save(app, "screen-help")
    await pilot.press("escape")
    await mend(pilot, app, world, 1)
    await until(pilot, lambda: app.state.loop.outcome is not None)
    await pilot.press("4")
    for _ in range(7):
        if app.panes.tab == "timeline":
            break
        await pilot.press("right_square_bracket")
    await pilot.pause(0.5)
    save(app, "screen-verified")


async def pipeline(pilot: Pilot[int], app: ConsoleApp, world: DemoWorld) -> None:
    await begin(pilot, app)
    await pilot.press("4")
    for _ in range(7):
        if app.panes.tab == "events":
            break
        await pilot.press("right_square_bracket")
    await pilot.pause(0.5)
    save(app, "screen-pipeline")


async def report(pilot: Pilot[int], app: ConsoleApp, world: DemoWorld) -> None:
    await begin(pilot, app)
    await mend(pilot, app, world, 0)
    await until(pilot, lambda: app.state.run is not None and waits(app, 2))
    await mend(pilot, app, world, 1)
    await until(pilot, lambda: app.state.loop.outcome is not None and bool(app.state.report_markdown))
    head = "<!-- Made by docs/make_screens.py from the scenario three-defects. -->\n\n"
    (HERE / "report.md").write_text(head + app.state.report_markdown, encoding="utf-8")
    print("docs/report.md")


async def main() -> None:
    await play("retail", retail)
    await play("pipeline-schema-change", pipeline)
    await play("three-defects", report)


if __name__ == "__main__":
    asyncio.run(main())
