"""How long the console's trees take at the platform's own sizes: the first picture, and a poll that changes ten tasks.

Never asserts: prints a table for people and, as its last line, one JSON object. Textual's own Tree stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dbops_tui.core.bundle import Bundle
from dbops_tui.core.runs import Outcome, Run, RunState, TaskRun
from dbops_tui.core.state import State
from dbops_tui.tui.app import ConsoleApp
from rich.text import Text
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Tree

OK = RunState(Outcome.SUCCEEDED, "TERMINATED", "SUCCESS")
RUNNING = RunState(Outcome.RUNNING, "RUNNING")
NOW = 1_795_514_400_000


class Quiet:
    """An engine that does nothing."""

    def __init__(self, state: State) -> None:
        self.state = state

    def subscribe(self, subscriber: Any) -> Any:
        return lambda: None

    def __getattr__(self, name: str) -> Any:
        async def nothing(*args: object, **more: object) -> None:
            return None

        return nothing


def run_of(count: int, ended: int) -> Run:
    """A run of `count` tasks of which the first `ended` have ended. Made anew, as a poll's reply is."""
    tasks = tuple(
        TaskRun(
            str(10_000 + number),
            f"task_{number:05}",
            OK if number < ended else RUNNING,
            kind="notebook",
            depends_on=((f"task_{number - 10:05}", ""),) if number >= 10 else (),
            start_ms=NOW - 60_000,
            end_ms=NOW - 30_000 if number < ended else 0,
        )
        for number in range(count)
    )
    return Run("1", "2", "large", RUNNING, NOW - 60_000, tasks=tasks)


async def work_ms(pilot: Pilot[Any], act: Callable[[], None], idle: float) -> float:
    """CPU milliseconds of `act` and of what the event loop does after it until idle, less `idle` for the waiting."""
    gc.collect()
    started = time.process_time()
    act()
    await pilot.pause()
    return max(0.0, (time.process_time() - started) * 1000 - idle)


async def idle_ms(pilot: Pilot[Any]) -> float:
    """CPU milliseconds that waiting for an idle app costs by itself."""
    return statistics.median([await work_ms(pilot, lambda: None, 0.0) for _ in range(5)])


async def ours(count: int, rounds: int) -> tuple[list[float], list[float]]:
    """(ms of each first picture, ms of each poll that changes ten of `count` tasks), from the State to the terminal."""
    firsts: list[float] = []
    updates: list[float] = []
    base = State(bundle=Bundle(Path("."), "b", "dev"), focus="jobs.large")
    for _ in range(rounds):
        app = ConsoleApp(Quiet(base), base, now=lambda: NOW / 1000)

        def show(run: Run, app: ConsoleApp = app) -> None:
            app._newest = replace(base, run=run)
            app._paint()

        async with app.run_test(size=(120, 40)) as pilot:
            idle = await idle_ms(pilot)
            runs = [run_of(count, 5 + 10 * number) for number in range(6)]
            firsts.append(await work_ms(pilot, partial(show, runs[0]), idle))
            for run in runs[1:]:
                updates.append(await work_ms(pilot, partial(show, run), idle))
    return firsts, updates


class Plain(App[None]):
    """Textual's own Tree with the same labels."""

    def compose(self) -> ComposeResult:
        yield Tree("run")


async def theirs(count: int, rounds: int) -> tuple[list[float], list[float]]:
    """The same with Textual's Tree: all labels added, then set_label on ten nodes that are known to have changed."""
    firsts: list[float] = []
    updates: list[float] = []
    for _ in range(rounds):
        app = Plain()
        async with app.run_test(size=(120, 40)) as pilot:
            tree = app.query_one(Tree)
            nodes: list[Any] = []

            def fill(tree: Tree[Any] = tree, nodes: list[Any] = nodes) -> None:
                tree.root.expand()
                nodes += [tree.root.add_leaf(Text(f"o task_{number:05}  0:30")) for number in range(count)]

            def change(first: int, nodes: list[Any] = nodes) -> None:
                for node in nodes[first : first + 10]:
                    node.set_label(Text("+ task  0:31"))

            idle = await idle_ms(pilot)
            firsts.append(await work_ms(pilot, fill, idle))
            for number in range(5):
                updates.append(await work_ms(pilot, partial(change, 5 + number * 10), idle))
    return firsts, updates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each size is shown (default: 5)")
    rounds = parser.parse_args().rounds
    figures: dict[str, float] = {}
    print(f"{'tree':26} {'tasks':>7} {'first ms':>9} {'10 change ms':>13} {'worst':>7}")
    for count in (1_000, 10_000):
        for name, measure in (("dbops-tui", ours), ("Textual's Tree", theirs)):
            firsts, updates = asyncio.run(measure(count, rounds))
            first, update = statistics.median(firsts), statistics.median(updates)
            print(f"{name:26} {count:7,} {first:9.1f} {update:13.1f} {max(updates):7.1f}")
            if name == "dbops-tui":
                figures[f"update_10_of_{count}_ms"] = round(update, 1)
                figures[f"first_{count}_ms"] = round(first, 1)
    print(json.dumps({"bench": "tree", "figures": figures}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
