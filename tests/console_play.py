"""The console over the real engine and the simulated workspace, and what tests do with it: wait, go, read.
It holds no test and no expectation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.clock import ScaledClock, SimulatedClock
from dbops_tui.core.engine import Engine
from dbops_tui.tui.app import ConsoleApp, Options
from engine_world import CLOCK, CONFIG, SCALE, sample
from sandbox_fixture import SandboxBox, running_sandbox
from snapshot_helper import screen_text

SIZE = (140, 48)


@asynccontextmanager
async def played(
    folder: Path,
    scenario: str = "retail",
    *,
    healthy: bool = False,
    scale: float = SCALE,
    target: str = "",
    **changes: Any,
) -> AsyncIterator[tuple[Any, ConsoleApp, Engine, SandboxBox]]:
    """(pilot, console, engine, sandbox) on a copy of a sample bundle that has been deployed."""
    with running_sandbox(time_scale=scale, scenario=scenario) as box:
        place = sample(box, folder, scenario, healthy=healthy)
        for fix in () if healthy else place.fixes:
            if fix.get("after") == "deploy":
                place.mend(fix)
        bundle = load_bundle(place.root, target, place.env)
        clock = ScaledClock(CLOCK)
        engine = Engine(bundle, env=place.env, config=replace(CONFIG, **changes), target=target, clock=clock)
        shown = SimulatedClock(box.control("GET", "clock")["now_ms"], scale)
        app = ConsoleApp(engine, engine.state, Options(clock=False), now=lambda: shown.now_ms() / 1000)
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: engine.state.identity.resolved)
            await pilot.press("d", *([*target, "enter"] if target == "prod" else ["y"]))
            await until(pilot, lambda: all(r.id for r in resources(engine) if r.type == "jobs"))
            await until(pilot, lambda: not engine.state.busy)
            yield pilot, app, engine, box


def resources(engine: Engine) -> Any:
    return engine.state.bundle.resources if engine.state.bundle is not None else ()


async def until(pilot: Any, true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let both work until `true` holds; fails with what is on the screen where it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        # A key means what is on the screen, and that may be a moment behind the engine.
        if true() and pilot.app.state is pilot.app._newest:
            await pilot.pause()
            return
        await pilot.pause(0.02)
    raise AssertionError(f"that never happened; on the screen:\n{screen_text(pilot.app)}")


async def go_to(pilot: Any, app: ConsoleApp, ref: str) -> None:
    await pilot.press("1")
    app.panes.resources.go_to(ref, 20)
    app.views["resources"].sync()
    await pilot.pause()
    await pilot.press("enter")
    await until(pilot, lambda: app.state.focus == ref)


def said(app: ConsoleApp, *words: str) -> Callable[[], bool]:
    return lambda: all(word in screen_text(app) for word in words)
