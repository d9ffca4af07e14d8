"""Edits by the thousand, during deploys, half of a file at a time, there and back: what is deployed is what is on disk.
It holds no test and no expectation; what must hold is told in the cases.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.clock import ScaledClock
from dbops_tui.core.engine import Engine
from dbops_tui.core.snapshots import Snapshot
from dbops_tui.core.syncrules import SyncRules
from engine_world import CLOCK, CONFIG, Sample
from fault_cases import Case
from fault_harness import JOBS, NOTEBOOK, Yard

SECONDS = 60.0
REMOTE = "/Workspace/Users/you@example.com/.bundle/retail_lakehouse/dev/files"
FILE = "src/silver/orders.py"


@dataclass
class Storm:
    """An engine that redeploys by itself whenever its watcher sees an edit, and the deploys that it ran."""

    place: Sample
    engine: Engine
    chance: random.Random
    at_once: int = 0
    most: int = 0
    deploys: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self) -> None:
        """Note each deploy from now on."""
        plain: Any = self.engine.world.cli.deploy

        async def deploy(*given: Any) -> Any:
            self.deploys += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.begun.set()
            try:
                return await plain(*given)
            finally:
                self.at_once -= 1

        self.engine.world.cli.deploy = deploy  # type: ignore[method-assign]

    def write(self, name: str, text: str) -> None:
        """As an editor that truncates."""
        path = self.place.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def save(self, name: str, text: str) -> None:
        """As an editor that renames."""
        path = self.place.root / name
        other = path.with_name(f".{path.name}.swp")
        other.write_text(text)
        os.replace(other, path)

    def version(self, number: int) -> str:
        """A notebook that does what the one before did."""
        return NOTEBOOK.replace("COLUMN", "region") + f"# {number} {self.chance.random()}\n"

    async def deploying(self) -> None:
        """Until a deploy has begun."""
        self.begun.clear()
        async with asyncio.timeout(SECONDS):
            await self.begun.wait()

    def on_disk(self) -> str:
        return Snapshot.take(SyncRules.of(self.engine.world.bundle)).digest

    def current(self) -> bool:
        """Whether what was deployed last is what is on disk, and nothing is under way."""
        taken = self.engine.acting.source
        resting = not self.engine.state.busy and not self.at_once
        return resting and taken is not None and taken.digest == self.on_disk()


async def many_files(storm: Storm) -> str:
    """Thousands of files, as a generator writes them."""
    for number in range(2_000):
        storm.write(f"src/made/part_{number:04}.py", f"x = {number}\n")
        if number % 200 == 0:
            await asyncio.sleep(0)
    return ""


async def while_deploying(storm: Storm) -> str:
    """Saves one after the other while a deploy is under way: it is followed by one more, and no other."""
    storm.write(FILE, storm.version(0))
    await storm.deploying()
    before = storm.deploys
    number = 0
    while storm.at_once:
        number += 1
        storm.save(FILE, storm.version(number))
        await asyncio.sleep(0.02)
    await settled(storm)
    more = storm.deploys - before
    # One for all that was saved meanwhile, and one for what was saved as that one began.
    return f"{more} deploys after {number} saves during one" if more > 2 else ""


async def half_a_file(storm: Storm) -> str:
    """YAML that is written in pieces, and is none for a while."""
    text = (storm.place.root / "resources/nightly.yml").read_text()
    cut = storm.chance.randrange(20, len(text) - 20)
    storm.write("resources/nightly.yml", text[:cut] + '\n  "half: [')
    await asyncio.sleep(0.05)
    storm.write("resources/nightly.yml", text + f"# {storm.chance.random()}\n")
    return ""


async def renamed(storm: Storm) -> str:
    """Files that are replaced, each several times."""
    for number in range(40):
        storm.save(storm.chance.choice((FILE, "src/silver/customers.py")), storm.version(number))
        await asyncio.sleep(storm.chance.uniform(0, 0.02))
    return ""


async def there_and_back(storm: Storm) -> str:
    """An edit that is taken back, before or after it has been seen."""
    text = (storm.place.root / FILE).read_text()
    for number in range(6):
        storm.write(FILE, storm.version(number))
        await asyncio.sleep(storm.chance.choice((0, 0, 0.03, 0.2)))
        storm.write(FILE, text)
        await asyncio.sleep(storm.chance.choice((0, 0.03)))
    return ""


async def checkout(storm: Storm) -> str:
    """Another branch, and back again: folders go and come, and git writes into its own."""
    root = storm.place.root
    for number in range(3):
        (root / ".git").mkdir(exist_ok=True)
        (root / ".git/index").write_text(str(number))
        os.rename(root / "src", root / "gone")
        await asyncio.sleep(storm.chance.choice((0, 0.05)))
        os.rename(root / "gone", root / "src")
        storm.write(FILE, storm.version(number))
        await asyncio.sleep(storm.chance.choice((0, 0.05)))
    return ""


STORMS: dict[str, Callable[[Storm], Awaitable[str]]] = {
    "many files": many_files,
    "saved while a deploy is under way": while_deploying,
    "half a file": half_a_file,
    "files renamed over others": renamed,
    "there and back": there_and_back,
    "a checkout": checkout,
}


async def settled(storm: Storm) -> bool:
    """Until what is deployed is what is on disk, twice in a row; whether that came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            for _ in range(2):
                while not await asyncio.to_thread(storm.current):  # noqa: ASYNC110 (a disk tells nobody)
                    await asyncio.sleep(0.02)
                await storm.engine.idle()
            return True
    return False


async def edits(
    yard: Yard, chance: random.Random, rounds: int = 1, only: Iterable[str] = tuple(STORMS)
) -> AsyncIterator[Case]:
    """Each storm so many times, each on a bundle of its own."""
    for name in only:
        for number in range(rounds):
            yield Case("edit storm", f"{name} {number + 1}", await _storm(yard, chance, STORMS[name]))


async def _storm(yard: Yard, chance: random.Random, play: Callable[[Storm], Awaitable[str]]) -> str:
    place = yard.place(JOBS, healthy=True)
    config = replace(CONFIG, watch=True, auto=True)
    engine = Engine(load_bundle(place.root, "", place.env), env=place.env, config=config, clock=ScaledClock(CLOCK))
    storm = Storm(place, engine, chance)
    storm.count()
    try:
        await engine.start(look=False)
        await engine.truth.version()
        await engine.truth.ask()
        await engine.identify()
        await engine.deploy()
        if not await settled(storm):
            return f"the first deploy never came: {engine.state.loop.hold}"
        said = await play(storm)
        if not await settled(storm):
            return f"what is on disk was not deployed: {engine.state.loop.hold} {engine.state.bundle_note}"
        if storm.most > 1:
            return f"{storm.most} deploys at once"
        return said or _other_bytes(storm)
    except TimeoutError:
        return "no deploy began"
    finally:
        await engine.close()
        yard.forget(place)


def _other_bytes(storm: Storm) -> str:
    """Which file at the workspace is not the one on disk."""
    found = storm.place.box.control("GET", "files", path=REMOTE, content="true")["files"]
    there = {item["path"].removeprefix(REMOTE.removeprefix("/Workspace")).removeprefix(REMOTE): item for item in found}
    names = {name: item.get("content") for name, item in there.items() if item["type"] in ("FILE", "NOTEBOOK")}
    for path in sorted((storm.place.root / "src").rglob("*.py")):
        name = "/" + path.relative_to(storm.place.root).as_posix()
        if names.get(name, names.get(name.removesuffix(".py"))) != path.read_text():
            return f"{name} at the workspace is not the one on disk"
    return ""
