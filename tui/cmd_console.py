"""`dbops-tui [PATH]`: the console on the bundle at or above PATH; without a terminal, or with `--plain`, as sentences.

Paints what the YAML says before anything else is looked at.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .early import look_early
from .exits import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from ..core.bundle import Bundle
    from ..core.clock import Clock
    from ..core.config import Config
    from ..core.engine import Engine
    from ..core.redaction import Redactor
    from .app import ConsoleApp
    from .place import Place


def main(arguments: argparse.Namespace) -> int:
    """Run the console; its exit status."""
    if not is_plain(arguments.plain, os.environ):
        early = look_early(arguments)
        if early is not None:
            return run_console(early.bundle, early.config, lambda redactor: _place(arguments, redactor), arguments)
    # Without a screen, or where something is wrong: that is said before anything is drawn.
    place = _place(arguments, None)
    if is_plain(arguments.plain, place.env):
        return plain_console(place, arguments.target or "", arguments.profile or "")
    return run_console(place.bundle, place.config, lambda redactor: _place(arguments, redactor), arguments)


def _place(arguments: argparse.Namespace, redactor: Redactor | None) -> Place:
    from .place import open_place

    return open_place(arguments, redactor=redactor)


def is_plain(asked: bool, env: Mapping[str, str]) -> bool:
    """Whether there is to be no screen. Raises Stop where there is no terminal and nobody asked for that."""
    if asked or env.get("TERM") == "dumb":
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from .place import Stop

        raise Stop(
            "there is no terminal to draw on", "--plain, or `dbops-tui heal KEY`", code="terminal", exit_code=EXIT_USAGE
        )
    return False


def run_console(
    bundle: Bundle,
    config: Config,
    place: Callable[[Redactor], Place],
    arguments: argparse.Namespace,
    *,
    focus: str = "",
    heal: bool = False,
    clock: Clock | None = None,
) -> int:
    """The console on `bundle`; it begins on `focus`, where `heal` with the loop on it.

    `place` finds out the rest, after the first paint and in a thread.
    """
    # What is imported stays: to look for garbage in it again and again takes a tenth of the time to the first paint.
    # The app begins to collect after that.
    gc.disable()
    from ..core.clock import SystemClock
    from ..core.redaction import Redactor
    from ..core.state import Identity, State
    from .app import ConsoleApp, Options
    from .late_engine import LateEngine

    clock = clock or SystemClock()
    redactor = Redactor()
    target = next((entry for entry in bundle.targets if entry.name == bundle.target), None)
    identity = Identity(host=bundle.workspace_host, target=bundle.target, mode=target.mode if target else "")
    first = State(
        bundle=bundle,
        identity=identity,
        read_only=config.read_only,
        auto=config.auto,
        watching=config.watch,
        focus=focus,
    )

    def make() -> Engine:
        return _engine(place(redactor), arguments, app, focus=focus, heal=heal, clock=clock)

    late = LateEngine(first, make)
    options = Options.of(config, redactor=redactor)
    app = ConsoleApp(late, first, options, now=lambda: clock.now_ms() / 1000)
    code = app.run()
    if late.real is not None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            _farewell(late.real)
    _let_go_of_a_dead_line()
    return code if isinstance(code, int) else app.return_code or EXIT_OK


def _let_go_of_a_dead_line() -> None:
    """What is left to write would fail as Python ends, and 120 would be the exit status whatever happened."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _engine(
    place: Place, arguments: argparse.Namespace, app: ConsoleApp, *, focus: str, heal: bool, clock: Clock
) -> Engine:
    """The real engine. What it imports takes a while: for a thread."""
    from ..core.engine import Engine
    from .sign_in import in_terminal

    engine = Engine(
        place.bundle,
        env=place.env,
        config=place.config,
        target=arguments.target or "",
        profile=arguments.profile or "",
        redactor=place.redactor,
        clock=clock,
    )
    engine.world.store.set(identity=place.identity, focus=focus)
    engine.login_program = in_terminal(app)
    if heal and focus:
        engine.first_wish = lambda: engine.heal((focus,))
    return engine


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
