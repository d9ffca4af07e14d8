"""`dbops-tui [PATH]`: the console on the bundle at or above PATH; without a terminal, or with `--plain`, as sentences.

Paints what the YAML says before anything else is looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .exits import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from .place import Place, Stop, open_place

if TYPE_CHECKING:
    from ..core.clock import Clock
    from ..core.engine import Engine


def main(arguments: argparse.Namespace) -> int:
    """Run the console; its exit status."""
    place = open_place(arguments)
    target, profile = arguments.target or "", arguments.profile or ""
    if is_plain(arguments.plain, place.env):
        return plain_console(place, target, profile)
    return run_console(place, target, profile)


def is_plain(asked: bool, env: Mapping[str, str]) -> bool:
    """Whether there is to be no screen. Raises Stop where there is no terminal and nobody asked for that."""
    if asked or env.get("TERM") == "dumb":
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Stop(
            "there is no terminal to draw on", "--plain, or `dbops-tui heal KEY`", code="terminal", exit_code=EXIT_USAGE
        )
    return False


def run_console(
    place: Place, target: str, profile: str, *, focus: str = "", heal: bool = False, clock: Clock | None = None
) -> int:
    """The console at `place`; it begins on `focus`, where `heal` with the loop on it."""
    from ..core.clock import SystemClock
    from ..core.engine import Engine
    from .app import ConsoleApp, Options
    from .sign_in import in_terminal

    clock = clock or SystemClock()
    engine = Engine(
        place.bundle,
        env=place.env,
        config=place.config,
        target=target,
        profile=profile,
        redactor=place.redactor,
        clock=clock,
    )
    engine.world.store.set(identity=place.identity, focus=focus)
    options = Options.of(place.config, redactor=place.redactor)
    app = ConsoleApp(engine, engine.state, options, now=lambda: clock.now_ms() / 1000)
    engine.login_program = in_terminal(app)
    if heal and focus:
        engine.first_wish = lambda: engine.heal((focus,))
    code = app.run()
    _farewell(engine)
    return code if isinstance(code, int) else app.return_code or EXIT_OK


def _farewell(engine: Engine) -> None:
    """What goes on without us, for the terminal that is left behind."""
    goals = [goal for goal in engine.runner.state.goals if goal.in_flight and goal.run_id]
    if engine.runner.running and goals:
        names = ", ".join(f"{goal.ref} ({goal.run_id})" for goal in goals)
        print(f"Still running at {engine.state.identity.host}: {names}. The next start takes it up.", file=sys.stderr)


def plain_console(place: Place, target: str, profile: str) -> int:
    """Watch and tell in sentences until Ctrl-C: nothing is started, the source is watched, runs are followed."""
    from ..core.engine import Engine
    from . import headless
    from .headless import Headless, Interrupted

    async def go() -> int:
        import asyncio

        engine = Engine(
            place.bundle, env=place.env, config=place.config, target=target, profile=profile, redactor=place.redactor
        )
        face = Headless(engine, as_json=False, plain=True)
        face.words.say(f"{place.bundle.name}, target {place.bundle.target or 'default'}: Ctrl-C leaves.")
        try:
            await engine.start()
            await face.until(asyncio.Event().wait())
        except Interrupted:
            await face.close()
        return EXIT_INTERRUPTED

    return headless.run(go)
