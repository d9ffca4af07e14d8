"""An engine on a copy of a sample bundle, against a sandbox over HTTP and the stand-in CLI, with time that runs fast.
It holds no test and no expectation."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.clock import Clock, ScaledClock
from dbops_tui.core.config import Config
from dbops_tui.core.engine import Engine
from dbops_tui.core.events import EngineEvent
from dbops_tui.core.stages import LoopOutcome
from dbops_tui.core.state import State
from quick import quick, quick_cli
from sandbox_fixture import SandboxBox

SCALE = 400.0  # of the sandbox
CLOCK = 20.0  # of the engine
CONFIG = Config(request_budget_per_minute=6000, watch=False)


@dataclass
class Sample:
    """A copied sample bundle, and the environment in which a CLI and an engine know one sandbox alone."""

    box: SandboxBox
    root: Path
    env: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def fixes(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.about["fixes"]
        return found

    def mend(self, fix: dict[str, str]) -> tuple[str, ...]:
        """Make one planned edit; the files."""
        path = self.root / fix["file"]
        text = path.read_text()
        assert fix["find"] in text, (fix, text)
        path.write_text(text.replace(fix["find"], fix["replace"]))
        return (fix["file"],)


def sample(box: SandboxBox, folder: Path, scenario: str = "retail", *, healthy: bool = False) -> Sample:
    """Copy the bundle of `scenario` below `folder`."""
    root = folder / "bundle"
    words = [*quick("dbops_tui.sandbox"), "scenario", scenario, "--into", str(root)]
    done = subprocess.run(words + ["--healthy"] * healthy, capture_output=True, text=True, check=True)
    env = {**box.env(folder), "DATABRICKS_CLI_PATH": str(quick_cli(folder)), "DBOPS_STATE_DIR": str(folder / "state")}
    return Sample(box, root, env, json.loads(done.stdout))


@dataclass
class Played:
    """What an engine told while it ran."""

    engine: Engine
    events: list[EngineEvent] = field(default_factory=list)

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    @property
    def outcome(self) -> str:
        ended = self.of("loop.ended")
        return str(ended[-1].outcome) if ended else ""


@asynccontextmanager
async def running(
    place: Sample,
    *,
    config: Config = CONFIG,
    clock: Clock | None = None,
    target: str = "",
    profile: str = "",
    look: bool = False,
    env: dict[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[Played]:
    """An engine that has started; closed at the end. Headless, with nobody to wait for."""
    env = env or place.env
    engine = Engine(
        load_bundle(place.root, target, env),
        env=env,
        config=replace(config, **changes),
        target=target,
        profile=profile,
        clock=clock or ScaledClock(CLOCK),
    )
    engine.acts.headless = True
    engine.acts.patience = 0.0
    played = Played(engine)
    engine.subscribe(lambda _, event: played.events.append(event) if event is not None else None)
    try:
        await engine.start(look=look)
        yield played
    finally:
        await engine.close()


async def heal(played: Played, *refs: str, **options: Any) -> str:
    """Play the whole loop; its outcome."""
    engine = played.engine
    assert await engine.truth.version()
    await engine.truth.ask()
    await engine.heal(refs, **options)
    await engine.runner.ended.wait()
    return played.outcome


def person(played: Played, place: Sample) -> None:
    """From now on somebody makes the next planned edit whenever the loop waits for one, and it is redeployed."""
    engine = played.engine
    left = list(place.fixes)
    mended: set[int] = set()
    engine.acts.patience = None

    def look(state: State, _: object) -> None:
        # As the face sees it: the machine may be a step ahead, and its reason that of the round before.
        iteration = state.loop.iteration
        if not state.loop.hold.startswith("waiting for an edit") or iteration in mended or not left:
            return
        mended.add(iteration)
        places = {p.file for d in state.diagnoses for p in (d.location, *d.also_at) if p is not None}
        due = [fix for fix in left if fix["file"] in places] or left[:1]
        for fix in due:
            left.remove(fix)
        engine.world.spawn(engine.edited(tuple(name for fix in due for name in place.mend(fix))), "edit")

    engine.subscribe(look)


def mutating(box: SandboxBox) -> list[str]:
    """The requests seen that change something: `METHOD path`, without files, folders and reads by POST."""
    reads = ("/clusters/events", "/workspace/mkdirs", "/telemetry")
    return [
        f"{call['method']} {call['path']}"
        for call in box.calls()
        if call["method"] not in ("GET", "HEAD")
        and not call["path"].startswith("/sandbox")
        and not any(r in call["path"] for r in reads)
    ]


Wait = Callable[[], bool]
__all__ = ["LoopOutcome", "Played", "Sample", "heal", "mutating", "person", "running", "sample"]
