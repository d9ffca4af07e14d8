"""From the last write to the start of the CLI, and how many deploys a storm of edits gives; beside a plain awatch loop.

Never deploys anything: the CLI is a script that notes when it was started. It measures; it asserts no time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dbops_tui.core.bundle_load import load_bundle
from dbops_tui.core.databricks_cli import DatabricksCli
from dbops_tui.core.guard import Guard, Policy
from dbops_tui.core.journal import Journal
from dbops_tui.core.state import Identity
from dbops_tui.core.syncrules import SyncRules
from dbops_tui.core.watcher import QUIET_SECONDS, SourceWatcher
from watchfiles import awatch

ROUNDS = 7
FILES = 5000
DEPLOY_SECONDS = 1.0
CALM_SECONDS = 3.0

# The start is noted before anything else: what follows is the deploy.
CLI = """#!/bin/sh
date +%s%N >> "{log}"
sleep {seconds}
"""
STORM = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1]); folder.mkdir(exist_ok=True)
for number in range(int(sys.argv[2])):
    (folder / f"f{number}.py").write_text(sys.argv[3] + str(number))
"""

Deploy = Callable[[], Awaitable[None]]


class Place:
    """A bundle in a folder of its own, a CLI that notes its starts, and the leave to call it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "bundle"
        self.log = folder / "starts"
        self.cli_path = folder / "databricks"
        (self.root / "src").mkdir(parents=True)
        (self.root / "databricks.yml").write_text("bundle: {name: bench}\ntargets: {dev: {default: true}}\n")
        for number in range(200):
            (self.root / f"src/s{number}.py").write_text(f"# {number}\n")
        self.takes(0)

    def takes(self, seconds: float) -> None:
        """From now on a deploy takes this long, and no start was noted yet."""
        self.cli_path.write_text(CLI.format(log=self.log, seconds=seconds))
        self.cli_path.chmod(0o755)
        self.log.write_text("")

    def starts(self) -> list[float]:
        """When the CLI was started, in epoch seconds."""
        return [int(line) / 1e9 for line in self.log.read_text().split()]

    def edit(self, text: str) -> float:
        """One edit; the epoch seconds at which it was done."""
        (self.root / "src/s1.py").write_text(text)
        return time.time()


@asynccontextmanager
async def real_deploy(place: Place, folder: Path) -> AsyncIterator[Deploy]:
    """A deploy as the engine does it: leave by the guard, intent on disk, workspace reached, CLI started."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    here = Identity(host=host, user="you@example.com", target="dev", source="bench")
    journal = await Journal.open(folder / "journal.sqlite3")
    guard = Guard(lambda: here, Policy(), journal)
    env = {"PATH": os.environ["PATH"], "DATABRICKS_CLI_PATH": str(place.cli_path), "DATABRICKS_HOST": host}
    cli = DatabricksCli(place.root, env=env, guard=guard, target="dev", host=host)

    async def deploy() -> None:
        permit = await guard.permit(guard.act("deploy", "bundle"), automatic=True)
        result = await cli.deploy(permit)
        await permit.ended("done" if result.outcome == "ok" else "refused")

    try:
        yield deploy
    finally:
        await journal.close()
        server.close()


@asynccontextmanager
async def redeploying(place: Place, deploy: Deploy) -> AsyncIterator[None]:
    """Our watcher, one deploy at a time, and one more for whatever was edited meanwhile."""
    async with SourceWatcher(place.root, SyncRules.of(load_bundle(place.root, "", {}))) as watcher:
        edited = asyncio.Event()

        async def watch() -> None:
            async for _ in watcher:
                edited.set()

        async def work() -> None:
            while True:
                await edited.wait()
                edited.clear()
                await deploy()

        async with running(watch(), work()):
            yield


@asynccontextmanager
async def redeploying_plainly(place: Place, deploy: Deploy) -> AsyncIterator[None]:
    """What a script does in ten lines: watchfiles with its defaults, a deploy for each batch."""

    async def work() -> None:
        async for _ in awatch(place.root):
            await deploy()

    async with running(work()):
        await asyncio.sleep(0.5)  # it does not tell when it has begun
        yield


@asynccontextmanager
async def running(*jobs: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def begun(place: Place) -> None:
    """Until a deploy has begun: its note is a line in a file of another process, so there is no event to wait for."""
    while not place.starts():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def calm(place: Place) -> None:
    """Until no deploy has begun for a while."""
    count = -1
    while count != len(place.starts()):
        count = len(place.starts())
        await asyncio.sleep(CALM_SECONDS)


async def latency(place: Place, rounds: int) -> list[float]:
    """Milliseconds from each of several last writes to the start of the CLI."""
    found = []
    for number in range(rounds):
        place.takes(0)
        for step in range(3):
            wrote = place.edit(f"# round {number} step {step} {time.time()}\n")
            await asyncio.sleep(0.03)
        await begun(place)
        await asyncio.sleep(0.8)
        found.append((place.starts()[0] - wrote) * 1000)
    return found


async def storm(place: Place, files: int) -> int:
    """How many deploys the writing of so many files by another process gives."""
    place.takes(0.2)
    words = [sys.executable, "-c", STORM, str(place.root / "many"), str(files), f"# {time.time()} "]
    writer = await asyncio.create_subprocess_exec(*words, stdin=subprocess.DEVNULL)
    await writer.wait()
    await calm(place)
    return len(place.starts())


async def edits_during_deploy(place: Place) -> int:
    """How many deploys follow the one during which five edits are made."""
    place.takes(DEPLOY_SECONDS)
    place.edit(f"# first {time.time()}\n")
    await begun(place)
    for number in range(5):
        await asyncio.sleep(0.05)
        place.edit(f"# during {number} {time.time()}\n")
    await calm(place)
    return len(place.starts()) - 1


async def measure(rounds: int, files: int) -> dict[str, dict[str, float]]:
    """The figures of our watcher and of the plain loop, in turn."""
    found: dict[str, dict[str, float]] = {}
    for name, way in (("ours", redeploying), ("plain", redeploying_plainly)):
        with tempfile.TemporaryDirectory(prefix="dbops-bench-") as temporary:
            folder = Path(temporary)
            place = Place(folder)
            async with real_deploy(place, folder) as deploy, way(place, deploy):
                times = await latency(place, rounds)
                found[name] = {
                    "ms": statistics.median(times),
                    "ms_max": max(times),
                    "storm": await storm(place, files),
                    "during": await edits_during_deploy(place),
                }
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--files", type=int, default=FILES)
    options = parser.parse_args()
    found = asyncio.run(measure(options.rounds, options.files))
    ours, plain = found["ours"], found["plain"]
    rows = [
        ("last write -> CLI started, median ms", ours["ms"], plain["ms"]),
        ("last write -> CLI started, slowest ms", ours["ms_max"], plain["ms_max"]),
        (f"deploys for {options.files:,} files written", ours["storm"], plain["storm"]),
        ("further deploys for 5 edits during a deploy", ours["during"], plain["during"]),
    ]
    print(f"{'':46}{'ours':>8}{'plain awatch':>16}")
    for title, left, right in rows:
        print(f"{title:46}{left:8.0f}{right:16.0f}")
    quiet = QUIET_SECONDS * 1000
    print(f"Ours waits for {quiet:.0f} ms without an edit, and needs {ours['ms'] - quiet:.0f} ms more.")
    print("The plain loop waits for 50 ms: what is saved more slowly is deployed half written,")
    print("and files of the editor and of the CLI set it off too.")
    figures = {
        "ms_last_write_to_cli": round(ours["ms"], 1),
        "deploys_for_5000_files": int(ours["storm"]),
        "deploys_for_edit_during_deploy": int(ours["during"]),
        "plain_ms_last_write_to_cli": round(plain["ms"], 1),
        "plain_deploys_for_5000_files": int(plain["storm"]),
        "plain_deploys_for_edit_during_deploy": int(plain["during"]),
    }
    print(json.dumps({"bench": "redeploy", "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
