"""`dbops-tui demo`: a simulated workspace, a sample bundle with defects, and the console (or the whole loop) on it.

Never touches a real workspace: the environment of the demo knows the simulated one alone.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from dataclasses import replace

from ..core.clock import SimulatedClock
from ..core.config import load_config
from ..core.engine import Engine
from ..core.loop_model import NoFix
from ..core.stages import LoopOutcome, Stage
from ..core.state import State
from ..widgets.words import plural
from . import headless
from .cmd_console import run_console
from .demo_world import DemoError, DemoWorld, PlannedFix
from .exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from .headless import Headless, Interrupted
from .place import Place, Stop, open_place

HEADLESS_SCALE = 60.0


def main(arguments: argparse.Namespace) -> int:
    """Open the demo; headless it is 0 only where the end was verified (or escalated, where the scenario ends so)."""
    bare = arguments.headless or arguments.plain or not (sys.stdin.isatty() and sys.stdout.isatty())
    scale = arguments.time_scale or (HEADLESS_SCALE if bare else None)
    try:
        with DemoWorld.open(arguments.scenario, time_scale=scale, into=arguments.into) as world:
            arguments.path = str(world.bundle_dir)
            place = open_place(_at(world, arguments), env=world.env)
            if bare:
                return headless.run(lambda: play(place, world))
            clock = SimulatedClock(world.now_ms(), world.time_scale)
            named = _at(world, arguments)
            code = run_console(
                place.bundle,
                place.config,
                lambda redactor: open_place(named, redactor=redactor, env=world.env),
                named,
                focus=_first(place, world),
                heal=arguments.auto,
                clock=clock,
            )
            print(f"The bundle of the demo is in {world.bundle_dir}", file=sys.stderr)
            return code
    except DemoError as error:
        raise Stop(str(error), code="demo", exit_code=EXIT_FAILED) from error


def _at(world: DemoWorld, arguments: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(
        path=str(world.bundle_dir), target=world.target, profile=None, auto=arguments.auto, read_only=False
    )


def _first(place: Place, world: DemoWorld) -> str:
    """The resource that the sample is about."""
    found = next((resource for key in world.run if (resource := place.bundle.resource(key)) is not None), None)
    return found.ref if found is not None else ""


async def play(place: Place, world: DemoWorld) -> int:
    """The whole loop without a hand on it: deploy, fail, diagnose, mend as a person would, redeploy, repair, verify."""
    config = load_config(place.root, world.env, {"watch": True})
    clock = SimulatedClock(world.now_ms(), world.time_scale)
    engine = Engine(
        place.bundle, env=world.env, config=config, target=world.target, redactor=place.redactor, clock=clock
    )
    engine.acts.headless = True
    face = Headless(engine, as_json=False)
    cli = "the databricks CLI found here" if world.real_cli else "a stand-in for the databricks CLI"
    defects = plural(len(world.fixes), "defect") if world.fixes else "nothing to mend in the source"
    face.words.say(f"{world.title}: {defects}, in {world.bundle_dir}, with {cli}.")
    person = _Person(engine, world, face)
    engine.subscribe(person.look)
    try:
        await face.until(_loop(engine, place, world))
    except Interrupted:
        await face.close()
        return EXIT_INTERRUPTED
    await face.close()
    if face.ended is None:
        return EXIT_FAILED
    # The report is in the journal of the demo, where nobody would look for it by its number alone.
    face.words.event(replace(face.ended, report_id=""))
    if face.ended.report_id:
        state = shlex.quote(world.env["DBOPS_STATE_DIR"])
        where = shlex.quote(str(world.bundle_dir))
        face.words.say(f"The report: DBOPS_STATE_DIR={state} dbops-tui report --path {where} {face.ended.report_id}")
    if face.ended.outcome == LoopOutcome.ESCALATED:
        print(engine.state.report_markdown)
    return EXIT_OK if face.ended.outcome == LoopOutcome.VERIFIED else EXIT_FAILED


async def _loop(engine: Engine, place: Place, world: DemoWorld) -> None:
    await engine.start(look=False)
    if not await engine.truth.version():
        raise Stop(engine.state.cli_problem, code="cli", exit_code=EXIT_FAILED)
    await engine.truth.ask()
    refs = [resource.ref for key in world.run if (resource := place.bundle.resource(key)) is not None]
    await engine.heal(refs, confirmed=world.target if world.target == "prod" else "")
    await engine.runner.ended.wait()


class _Person:
    """Mends the file that the diagnosis points at, as somebody in an editor would; the watcher sees it saved."""

    def __init__(self, engine: Engine, world: DemoWorld, face: Headless) -> None:
        self._engine = engine
        self._world = world
        self._face = face
        self._left: list[PlannedFix] = list(world.fixes)
        self._mended: tuple[int, Stage] = (0, Stage.IDLE)

    def look(self, state: State, event: object) -> None:
        """Called for each new State: acts once a round, when the loop waits for an edit."""
        loop = state.loop
        here = (loop.iteration, loop.stage)
        if loop.stage is not Stage.FIX or here == self._mended or not state.loop.hold.startswith("waiting for an edit"):
            return
        self._mended = here
        # What the diagnosis points at is what a person opens; where it points nowhere, they look around.
        places = {place.file for d in state.diagnoses for place in (d.location, *d.also_at) if place is not None}
        due = [fix for fix in self._left if fix.file in places] or self._left[:1]
        self._engine.world.spawn(self._mend(due), "a person mends")

    async def _mend(self, fixes: list[PlannedFix]) -> None:
        if not fixes:
            self._face.words.say("Nobody knows what to mend here.")
            await self._engine.runner.feed(NoFix("nobody knows what to mend here"))
            return
        for fix in fixes:
            self._left.remove(fix)
            done = await asyncio.to_thread(self._world.mend, fix)
            self._face.words.say(f"A person edits {fix.file}: {fix.why}." if done else f"{fix.file} is mended already.")
